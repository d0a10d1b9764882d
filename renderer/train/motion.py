"""Made-up camera motion in front of single photos, so that they teach a recurrent generator.

The photo's label map says roughly how far away everything is; a camera that drives, pans or is parked looks at the
photo from other places, and each frame's pixels are found in the frame before it by solving for them. What matters is
that the last picture arrives displaced, resampled and with holes, as the engine's exact motion will bring it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

Range = tuple[float, float]

FLOW_ITERATIONS: Final = 4
FLOW_TOLERANCE_PX: Final = 0.5


class MotionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How cameras move from one frame to the next."""

    speed_m: Range  # a frame, forwards
    longest_drive_m: float
    backward_share: float
    parked_share: float
    pan_sigma_px: tuple[float, float]  # x, y, a frame
    vanishing_point: Range  # fraction of the photo's width
    largest_stretch: float  # what comes closer than this share of its distance would be smeared


class HoleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a frame's past is struck out, as what other things uncover: around one class, and in a rectangle."""

    chance: float  # of each of the two
    class_ids: tuple[int, ...]
    farthest_px: int  # around the class
    min_height_px: int
    min_width_px: int
    max_height: float  # fractions of the frame
    max_width: float


@dataclass(frozen=True)
class CameraPath:
    """A camera in front of a photo: metres and pixels (x, y) a frame, and where it begins, in metres."""

    speed_m: float
    pan_px: tuple[float, float]
    start_m: float
    vanishing_px: tuple[float, float]

    def at(self, frame: int) -> tuple[float, tuple[float, float]]:
        """Return how far it has driven, in metres, and panned, in pixels, at a frame counted from 0."""
        return self.start_m + self.speed_m * frame, (self.pan_px[0] * frame, self.pan_px[1] * frame)


def draw_path(
    rng: np.random.Generator, num_frames: int, size_px: tuple[int, int], horizon: float, config: MotionConfig
) -> tuple[CameraPath, int]:
    """Return a camera path in front of a photo of this width and height, and how many frames it lasts."""
    vanishing_px = (size_px[0] * rng.uniform(*config.vanishing_point), size_px[1] * horizon)
    if rng.random() < config.parked_share:
        return CameraPath(0.0, (0.0, 0.0), 0.0, vanishing_px), num_frames
    speed_m = float(rng.uniform(*config.speed_m))
    pan_px = (float(rng.normal(0, config.pan_sigma_px[0])), float(rng.normal(0, config.pan_sigma_px[1])))
    num_frames = min(num_frames, 1 + int(config.longest_drive_m / max(speed_m, 1e-6)))
    if rng.random() < config.backward_share:
        return CameraPath(-speed_m, pan_px, speed_m * (num_frames - 1), vanishing_px), num_frames
    return CameraPath(speed_m, pan_px, 0.0, vanishing_px), num_frames


def look(
    pixels_HW2: NDArray[np.float32], near: NDArray[np.float32], path: CameraPath, frame: int, largest_stretch: float
) -> NDArray[np.float32]:
    """Return where in the photo each pixel of a frame looks (x, y): near things grow as the camera drives towards them.

    `pixels_HW2` are the frame's pixels in the photo before any motion, `near` the photo's inverse depth.
    """
    driven_m, pan_px = path.at(frame)
    x = pixels_HW2[..., 0] + np.float32(pan_px[0])
    y = pixels_HW2[..., 1] + np.float32(pan_px[1])
    near_here = cv2.remap(near, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    stretch = np.minimum(near_here * np.float32(driven_m), np.float32(largest_stretch))
    x = x - (x - np.float32(path.vanishing_px[0])) * stretch
    y = y - (y - np.float32(path.vanishing_px[1])) * stretch
    return np.stack([x, y], axis=-1)


def look_back(
    pixels_HW2: NDArray[np.float32], near: NDArray[np.float32], path: CameraPath, frame: int, largest_stretch: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each pixel's place in the frame before, in that frame's own pixels (H,W,2), and 1 where it is visible.

    Solved by fixed-point iteration for the pixel that looked at the same spot of the photo; where none did, inside the
    frame, validity (H,W) is 0.
    """
    target_HW2 = look(pixels_HW2, near, path, frame, largest_stretch)
    guess_HW2 = pixels_HW2.copy()
    for _ in range(FLOW_ITERATIONS):
        guess_HW2 += target_HW2 - look(guess_HW2, near, path, frame - 1, largest_stretch)
    miss_HW = np.abs(target_HW2 - look(guess_HW2, near, path, frame - 1, largest_stretch)).max(axis=-1)
    previous_HW2 = guess_HW2 - pixels_HW2[0, 0]
    height_px, width_px = miss_HW.shape
    x, y = previous_HW2[..., 0], previous_HW2[..., 1]
    visible = (x >= 0) & (x <= width_px - 1) & (y >= 0) & (y <= height_px - 1) & (miss_HW < FLOW_TOLERANCE_PX)
    return previous_HW2, visible.astype(np.float32)


@dataclass(frozen=True)
class Holes:
    """Where a frame's past is struck out: within `reach_px` (odd) of a class, and a box of rows and columns."""

    class_id: int | None
    reach_px: int
    box: tuple[slice, slice] | None


def draw_holes(rng: np.random.Generator, size_hw: tuple[int, int], config: HoleConfig) -> Holes:
    """Return holes for a frame of a size."""
    height_px, width_px = size_hw
    class_id, reach_px, box = None, 1, None
    if rng.random() < config.chance:
        class_id = int(rng.choice(config.class_ids))
        reach_px = 1 + 2 * int(rng.integers(0, config.farthest_px + 1))
    if rng.random() < config.chance:
        hole_height_px = int(rng.integers(config.min_height_px, int(height_px * config.max_height)))
        hole_width_px = int(rng.integers(config.min_width_px, int(width_px * config.max_width)))
        top = int(rng.integers(height_px - hole_height_px))
        left = int(rng.integers(width_px - hole_width_px))
        box = slice(top, top + hole_height_px), slice(left, left + hole_width_px)
    return Holes(class_id, reach_px, box)


def punch_holes(
    rng: np.random.Generator, valid_HW: NDArray[np.float32], labels: NDArray[np.uint8], config: HoleConfig
) -> NDArray[np.float32]:
    """Return validity (H,W), 0 or 1, with holes in it; see `HoleConfig`."""
    valid_HW = valid_HW.copy()
    holes = draw_holes(rng, (valid_HW.shape[0], valid_HW.shape[1]), config)
    if holes.class_id is not None:
        region = (labels == holes.class_id).astype(np.uint8)
        valid_HW[cv2.dilate(region, np.ones((holes.reach_px, holes.reach_px), np.uint8)) > 0] = 0
    if holes.box is not None:
        valid_HW[holes.box] = 0
    return valid_HW


def draw_shake(
    rng: np.random.Generator, size_hw: tuple[int, int], sigma_px: float, period_px: int
) -> NDArray[np.float32]:
    """Return (2,h,w) float32: by how many pixels labels of a size move right and down, once every `period_px`."""
    height_px, width_px = size_hw
    return rng.normal(0, sigma_px, (2, height_px // period_px + 2, width_px // period_px + 2)).astype(np.float32)


def shake_borders(
    rng: np.random.Generator, labels: NDArray[np.uint8], sigma_px: float, period_px: int
) -> NDArray[np.uint8]:
    """Return the labels moved by a smooth random field, so that nobody relies on how exactly borders were drawn."""
    return moved_by(labels, draw_shake(rng, (labels.shape[0], labels.shape[1]), sigma_px, period_px))


def moved_by(labels: NDArray[np.uint8], shake_2hw: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the labels (H,W) u8 moved by a field that `draw_shake` drew."""
    height_px, width_px = labels.shape
    moved_x, moved_y = (cv2.resize(plane, (width_px, height_px), interpolation=cv2.INTER_CUBIC) for plane in shake_2hw)
    rows, columns = np.mgrid[0:height_px, 0:width_px].astype(np.float32)
    moved = cv2.remap(labels, columns + moved_x, rows + moved_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)
