"""All that is drawn by lot for a clip of a photo: which part of it, how it is changed, and how the camera moves.

Plans are numbers, so that frames can be made of them by a CPU (`renderer.train.clips`) or in batches on a device that
holds the photos (`renderer.train.device_clips`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from renderer.train.clip_config import MARGIN_PX, ClipConfig
from renderer.train.motion import CameraPath, draw_path, draw_shake

Size = tuple[int, int]


@dataclass(frozen=True)
class CropPlan:
    """A crop of a photo: sizes are width and height, places x and y.

    size_px: of the whole photo as it is shown · kept_px: of the photo as it is kept, for frames closer up ·
    shake_2hw: how the labels' borders move, of `renderer.train.motion.draw_shake` · hand: whose drawing the labels
    imitate · corner_px: top left, in the photo as it is shown, mirrored.
    """

    size_px: Size
    kept_px: Size
    toneless: tuple[int, ...]
    mirrored: bool
    hand: int | None
    shake_2hw: NDArray[np.float32] | None
    exposure: float
    corner_px: Size

    def around(self, middle_px: tuple[float, float], place: NDArray[np.float64], config: ClipConfig) -> CropPlan:
        """Return the crop that has a pixel of the photo as it is shown at a place in it, 0..1."""
        crop_px = np.array([config.width_px, config.height_px])
        corner_px = np.array(middle_px) - crop_px * place
        left, top = np.clip(corner_px, 0, np.array(self.size_px) - crop_px).astype(int).tolist()
        return replace(self, corner_px=(left, top))


@dataclass(frozen=True)
class MotionPlan:
    """How the camera moves in a clip, and by which share of half the canvas its frames lie to the right in it."""

    path: CameraPath
    num_frames: int
    shift: float


def draw_crop(rng: np.random.Generator, photo_px: Size, config: ClipConfig) -> CropPlan:
    """Return a crop of a photo of a width and height."""
    width_px, height_px = photo_px
    smallest = max(
        config.scale[0], (config.width_px + MARGIN_PX) / width_px, (config.height_px + MARGIN_PX) / height_px
    )
    scale = float(np.exp(rng.uniform(np.log(smallest), np.log(max(config.scale[1], smallest)))))
    size_px = (round(width_px * scale), round(height_px * scale))
    kept = min(1.0, config.sharpness * scale)
    kept_px = (round(width_px * kept), round(height_px * kept))
    toneless: list[int] = []
    if config.num_classes is not None:
        toneless = np.nonzero(rng.random(config.num_classes) < config.tone_loss_share)[0].tolist()
    mirrored = bool(rng.random() < config.mirror_share)
    hand = draw_hand(rng, config)
    shake_2hw = None
    if rng.random() < config.shaken_share:
        shake_2hw = draw_shake(rng, (kept_px[1], kept_px[0]), config.shake_sigma_px, config.shake_period_px)
    exposure = float(rng.uniform(*config.exposure))
    left = int(rng.integers(size_px[0] - config.width_px + 1))
    top = int(rng.integers(size_px[1] - config.height_px + 1))
    return CropPlan(size_px, kept_px, tuple(toneless), mirrored, hand, shake_2hw, exposure, (left, top))


def draw_hand(rng: np.random.Generator, config: ClipConfig) -> int | None:
    """Return a seed of who draws the label maps of a clip, None where they stay as they are."""
    return int(rng.integers(1 << 32)) if config.annotation is not None and config.annotation.share else None


def looks_at_focus(rng: np.random.Generator, config: ClipConfig) -> bool:
    """Whether a clip looks at a pixel of a class that matters."""
    return bool(config.focus_share) and rng.random() < config.focus_share


def draw_motion(rng: np.random.Generator, size_px: Size, longest_frames: int, config: ClipConfig) -> MotionPlan:
    """Return the motion of a clip of at most `longest_frames` frames of a photo that is shown at a size."""
    single = longest_frames < 2 or rng.random() < config.single_share
    num_frames = 1 if single else int(rng.integers(2, longest_frames + 1))
    path, num_frames = draw_path(rng, num_frames, size_px, config.ground.horizon, config.motion)
    return MotionPlan(path, num_frames, float(rng.uniform(-config.canvas_shift, config.canvas_shift)))
