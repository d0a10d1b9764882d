"""What a trained generator is worth: distance to real photos, flicker on a real clip, stability over many frames.

Labels and photos are those of the validation split, which was not trained on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import cv2
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bridge.protocol.errors import UsageError
from bridge.protocol.labels import palette
from renderer.models.live import LiveGenerator
from renderer.surface_tones import tones_of_labels
from renderer.tones import without_tones
from renderer.train.clips import resize_labels
from renderer.train.data import LabelledPhoto
from renderer.train.kernel_distance import Distance, kernel_distance
from renderer.train.perceptual import FeatureNetwork
from renderer.train.preview import device_of, picture_of, spread

_EMBED_BATCH: Final = 8
_BLUR_SIGMA_PX: Final = 4.0
_FEWEST_FRAMES: Final = 3


class EvaluationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a generator is measured."""

    width_px: int
    height_px: int
    subset_size: int
    num_subsets: int
    clip_drive: str  # whose validation frames follow each other; "": the first drive's
    flow_tolerance_px: float  # between flow forward and back, where a pixel counts as visible in both frames
    stability_frames: int
    stability_photos: int
    stability_zoom: float  # by how much a frame is larger than the one before, while driving


class Flicker(msgspec.Struct, frozen=True, kw_only=True):
    """Mean change, in grey levels of 255, of pixels followed from frame to frame of the real clip, where visible."""

    synthesized: float
    photos: float
    ratio: float


class Stability(msgspec.Struct, frozen=True, kw_only=True):
    """The last of many frames on own pictures against the first.

    contrast: the share of the standard deviation that is left · brightness: shift in grey levels of 255 · change:
    mean absolute difference to the frame before it, in grey levels.
    """

    frames: int
    contrast: float
    brightness: float
    change: float


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """All measures. Distances are KID x 1000, [mean, deviation over subsets], to the real validation photos."""

    synthesized_first_frames: Distance
    synthesized_without_tones: Distance | None = None  # the same of label maps without tones read off the photos
    synthesized_by_rule: Distance | None = None  # the same with tones by rule from the label map alone
    synthesized_clip: Distance
    synthesized_clip_by_rule: Distance | None = None
    label_colours: Distance
    blurred_photos: Distance
    real_drives: dict[str, Distance]
    flicker: Flicker
    parked: Stability
    driving: Stability


def evaluate(
    generator: LiveGenerator,
    validation: Sequence[LabelledPhoto],
    training: Sequence[LabelledPhoto],
    feature_network: FeatureNetwork,
    label_space: str,
    config: EvaluationConfig,
) -> Metrics:
    """Return the measures of a generator; the training photos give the distances between real drives.

    The feature network is on the generator's device.
    Raises UsageError where the validation split has too few frames of a clip.
    """
    clip = [_resized(photo, config) for photo in clip_frames(validation, config)]
    frames = [_resized(photo, config) for photo in validation]
    real, labels = [rgb for rgb, _ in frames], [label_map for _, label_map in frames]
    device = device_of(generator)
    real_NC = _embed(feature_network, real, device)

    def distance(pictures: Sequence[NDArray[np.uint8]]) -> Distance:
        return kernel_distance(
            _embed(feature_network, pictures, device), real_NC, config.subset_size, config.num_subsets
        )

    drawn_clip, flicker = follow_clip(generator, clip, config.flow_tolerance_px)
    num_classes = generator.config.num_classes
    plain = [without_tones(label_map, num_classes) for label_map in labels] if generator.config.tones else []
    ruled = [tones_of_labels(torch.from_numpy(label_map)[None])[0].numpy() for label_map in plain]
    still = [_resized(photo, config)[1] for photo in spread(validation, config.stability_photos)]
    return Metrics(
        synthesized_first_frames=distance([_first_frame(generator, label_map) for label_map in labels]),
        synthesized_without_tones=(
            distance([_first_frame(generator, label_map) for label_map in plain]) if plain else None
        ),
        synthesized_by_rule=distance([_first_frame(generator, label_map) for label_map in ruled]) if ruled else None,
        synthesized_clip=distance(drawn_clip),
        synthesized_clip_by_rule=distance(_draw_ruled(generator, clip, config)) if ruled else None,
        label_colours=distance([palette(label_space)[label_map % num_classes] for label_map in labels]),
        blurred_photos=distance([np.asarray(cv2.GaussianBlur(rgb, (0, 0), _BLUR_SIGMA_PX), np.uint8) for rgb in real]),
        real_drives={
            drive: distance([_resized(photo, config)[0] for photo in training if photo.drive == drive])
            for drive, count in sorted(Counter(photo.drive for photo in training).items())
            if count >= _FEWEST_FRAMES
        },
        flicker=flicker,
        parked=roll_on(generator, still, config.stability_frames, 0.0),
        driving=roll_on(generator, still, config.stability_frames, config.stability_zoom),
    )


def clip_frames(validation: Sequence[LabelledPhoto], config: EvaluationConfig) -> list[LabelledPhoto]:
    """Return the frames that are measured as a clip; raises UsageError where there are too few."""
    counts = Counter(photo.drive for photo in validation)
    clip_drive = config.clip_drive or validation[0].drive
    if counts[clip_drive] >= _FEWEST_FRAMES:
        return [photo for photo in validation if photo.drive == clip_drive]
    longest = max(counts, key=lambda drive: counts[drive])
    raise UsageError(
        f"the validation split has {counts[clip_drive]} frames of drive {clip_drive}, a clip needs three",
        f"Measure another: --set evaluation.clip_drive={longest}"
        if counts[longest] >= _FEWEST_FRAMES
        else "Add some that follow each other, NAME_1 to NAME_3 for instance, or leave val/ out",
    )


def _draw_ruled(
    generator: LiveGenerator, clip: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]], config: EvaluationConfig
) -> list[NDArray[np.uint8]]:
    """Return the pictures of a clip whose tones follow from its label maps alone, nothing being read off its photos."""
    num_classes = generator.config.num_classes
    plain = [torch.from_numpy(without_tones(label_map, num_classes))[None] for _, label_map in clip]
    ruled = [(rgb, tones_of_labels(labels)[0].numpy()) for (rgb, _), labels in zip(clip, plain, strict=True)]
    return follow_clip(generator, ruled, config.flow_tolerance_px)[0]


@torch.no_grad()
def follow_clip(
    generator: LiveGenerator, clip: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]], tolerance_px: float
) -> tuple[list[NDArray[np.uint8]], Flicker]:
    """Draw a clip of (photo, label map) pairs on its own pictures, moved by the photos' optical flow; measure flicker.

    Without an engine's motion the flow is estimated (DIS, Kroeger et al. 2016): errors in it count against both.
    """
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    pictures: list[NDArray[np.uint8]] = []
    changes: list[tuple[float, float]] = []
    device = device_of(generator)
    last_B3HW = torch.zeros(0)
    last_photo: NDArray[np.uint8] | None = None
    for photo, labels in clip:
        labels_BHW = torch.from_numpy(labels)[None].to(device)
        if last_photo is None:
            last_B3HW = torch.zeros(1, 3, *labels.shape, device=device)
            rgb_B3HW = generator(labels_BHW, last_B3HW, last_B3HW[:, :1])
        else:
            grid_BHW2, valid_B1HW = (
                plane.to(device) for plane in _flow_back(estimator, photo, last_photo, tolerance_px)
            )
            warped_B3HW = _move(last_B3HW, grid_BHW2) * valid_B1HW
            rgb_B3HW = generator(labels_BHW, warped_B3HW, valid_B1HW)
            warped_photo_B3HW = _move(_tensor_of(last_photo, device), grid_BHW2)
            changes.append(
                (
                    _change(rgb_B3HW, warped_B3HW, valid_B1HW),
                    _change(_tensor_of(photo, device), warped_photo_B3HW, valid_B1HW),
                )
            )
        pictures.append(picture_of(rgb_B3HW[0]))
        last_B3HW, last_photo = rgb_B3HW, photo
    synthesized, photos = (float(value) for value in np.mean(changes, axis=0))
    return pictures, Flicker(synthesized=synthesized, photos=photos, ratio=synthesized / max(photos, 1e-6))


@torch.no_grad()
def roll_on(
    generator: LiveGenerator, label_maps: Sequence[NDArray[np.uint8]], num_frames: int, zoom: float
) -> Stability:
    """Draw frame after frame of label maps that stay, while the picture grows by `zoom` a frame (0: parked).

    The zoom carries away what was drawn, as a drive does: what then appears must be as good as what was there.
    """
    device = device_of(generator)
    labels_BHW = torch.from_numpy(np.stack(label_maps)).to(device)
    batch, height_px, width_px = labels_BHW.shape
    shrink = torch.tensor([[1 / (1 + zoom), 0.0, 0.0], [0.0, 1 / (1 + zoom), 0.0]]).expand(batch, -1, -1)
    grid_BHW2 = F.affine_grid(shrink, [batch, 3, height_px, width_px], align_corners=False).to(device)
    rgb_B3HW = torch.zeros(batch, 3, height_px, width_px, device=device)
    valid_B1HW = rgb_B3HW[:, :1]
    first_B3HW = rgb_B3HW = generator(labels_BHW, rgb_B3HW, valid_B1HW)
    before_B3HW = first_B3HW
    valid_B1HW = torch.ones_like(valid_B1HW)
    for _ in range(num_frames):
        before_B3HW = rgb_B3HW
        warped_B3HW = _move(rgb_B3HW, grid_BHW2) if zoom else rgb_B3HW
        rgb_B3HW = generator(labels_BHW, warped_B3HW, valid_B1HW)
    return Stability(
        frames=num_frames,
        contrast=_finite(rgb_B3HW.std() / first_B3HW.std()),
        brightness=_finite((rgb_B3HW - first_B3HW).mean() * 127.5),
        change=_finite((rgb_B3HW - before_B3HW).abs().mean() * 127.5),
    )


def _resized(photo: LabelledPhoto, config: EvaluationConfig) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rgb = cv2.resize(photo.rgb, (config.width_px, config.height_px), interpolation=cv2.INTER_AREA)
    return np.asarray(rgb, np.uint8), resize_labels(photo.labels, config.width_px, config.height_px)


@torch.no_grad()
def _first_frame(generator: LiveGenerator, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    device = device_of(generator)
    nothing_B3HW = torch.zeros(1, 3, *labels.shape, device=device)
    return picture_of(generator(torch.from_numpy(labels)[None].to(device), nothing_B3HW, nothing_B3HW[:, :1])[0])


@torch.no_grad()
def _embed(feature_network: FeatureNetwork, pictures: Sequence[NDArray[np.uint8]], device: torch.device) -> Tensor:
    batches = (pictures[start : start + _EMBED_BATCH] for start in range(0, len(pictures), _EMBED_BATCH))
    vectors = [feature_network.embed(torch.cat([_tensor_of(rgb, device) for rgb in batch])) for batch in batches]
    return torch.cat(vectors).cpu()


def _tensor_of(rgb: NDArray[np.uint8], device: torch.device) -> Tensor:
    return torch.from_numpy(rgb).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1


def _flow_back(
    estimator: cv2.DISOpticalFlow, photo: NDArray[np.uint8], last_photo: NDArray[np.uint8], tolerance_px: float
) -> tuple[Tensor, Tensor]:
    """Return where each pixel was in the last photo, as a grid, and 1 where flow there and back agree, inside."""
    now, before = (cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in (photo, last_photo))
    nothing = np.zeros((*now.shape, 2), np.float32)
    back_HW2 = np.asarray(estimator.calc(now, before, nothing.copy()), np.float32)
    forth_HW2 = np.asarray(estimator.calc(before, now, nothing), np.float32)
    height_px, width_px = now.shape
    rows, columns = np.mgrid[0:height_px, 0:width_px].astype(np.float32)
    x, y = columns + back_HW2[..., 0], rows + back_HW2[..., 1]
    return_HW2 = cv2.remap(forth_HW2, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = (x >= 0) & (x <= width_px - 1) & (y >= 0) & (y <= height_px - 1)
    valid = inside & (np.abs(back_HW2 + return_HW2).max(axis=-1) <= tolerance_px)
    grid_HW2 = np.stack([2 * (x + 0.5) / width_px - 1, 2 * (y + 0.5) / height_px - 1], axis=-1)
    return torch.from_numpy(grid_HW2)[None], torch.from_numpy(valid.astype(np.float32))[None, None]


def _move(rgb_B3HW: Tensor, grid_BHW2: Tensor) -> Tensor:
    """Return pictures resampled as training does it: bicubic, because bilinear blurs a little more with every frame."""
    moved_B3HW = F.grid_sample(rgb_B3HW, grid_BHW2, mode="bicubic", padding_mode="border", align_corners=False)
    return moved_B3HW.clamp(-1, 1)


def _change(rgb_B3HW: Tensor, warped_B3HW: Tensor, valid_B1HW: Tensor) -> float:
    changed = ((rgb_B3HW - warped_B3HW).abs() * valid_B1HW).sum() / (3 * valid_B1HW.sum()).clamp(min=1)
    return float(changed) * 127.5


def _finite(value: Tensor) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise UsageError("the generator's pictures are not finite after many frames", "Train it anew")
    return number
