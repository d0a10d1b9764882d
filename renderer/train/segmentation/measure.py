"""What a segmentation network is worth: how well it finds the classes of photos, and those of synthesized frames."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from bridge.protocol.labels import class_names
from renderer.models.live import LiveGenerator
from renderer.segmentation import Segmentation, class_ious, confusion
from renderer.surface_tones import tones_of_labels
from renderer.tones import without_tones
from renderer.train.clips import resize_labels
from renderer.train.data import LabelledPhoto
from renderer.train.evaluate import follow_clip
from renderer.train.preview import device_of, picture_of
from renderer.train.recordings import RecordedFrame, true_motion
from renderer.train.segmentation.preset import EvaluationConfig

_FLOW_TOLERANCE_PX = 1.0


class Recognition(msgspec.Struct, frozen=True, kw_only=True):
    """The mean over classes of the intersection over the union, and that of each, as percentages."""

    mean_iou: float
    class_ious: dict[str, float]


class SegmentationMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """All measures, on the validation split, which was not trained on.

    photos: real ones, or frames of recordings in their light · synthesized: a look's pictures of the same label maps,
    each on its own picture before · share: how much of the mean on photos is left on them, as a percentage.
    """

    photos: Recognition
    synthesized: Recognition | None
    share: float | None


def measure(
    segmentation: Segmentation, look: LiveGenerator | None, photos: Sequence[LabelledPhoto], config: EvaluationConfig
) -> SegmentationMetrics:
    """Return the measures of a network on photos with label maps without tones."""
    size_px = (config.width_px, config.height_px)
    real = [np.asarray(cv2.resize(photo.rgb, size_px, interpolation=cv2.INTER_AREA), np.uint8) for photo in photos]
    labels = [resize_labels(photo.labels, *size_px) for photo in photos]
    found = recognise(segmentation, real, labels)
    if look is None:
        return SegmentationMetrics(photos=found, synthesized=None, share=None)
    drawn, _ = follow_clip(look, list(zip(real, _conditioned(look, labels), strict=True)), _FLOW_TOLERANCE_PX)
    return _metrics(found, recognise(segmentation, drawn, labels))


def measure_recorded(
    segmentation: Segmentation, look: LiveGenerator | None, frames: Sequence[RecordedFrame]
) -> SegmentationMetrics:
    """Return the measures of a network on recorded frames whose labels have tones: a look draws each on its own picture
    before, moved as in a drive, with the tones that a drive gives."""
    num_classes = segmentation.num_classes
    labels = [without_tones(frame.labels, num_classes) for frame in frames]
    found = recognise(segmentation, [frame.rgb for frame in frames], labels)
    if look is None:
        return SegmentationMetrics(photos=found, synthesized=None, share=None)
    return _metrics(found, recognise(segmentation, _drive_on(look, frames, num_classes), labels))


def _metrics(found: Recognition, found_drawn: Recognition) -> SegmentationMetrics:
    return SegmentationMetrics(
        photos=found, synthesized=found_drawn, share=100 * found_drawn.mean_iou / max(found.mean_iou, 1e-6)
    )


def recognise(
    segmentation: Segmentation, pictures: Sequence[NDArray[np.uint8]], labels: Sequence[NDArray[np.uint8]]
) -> Recognition:
    """Return how well a network finds the classes (H,W) u8 of pictures (H,W,3) u8."""
    space = segmentation.label_space
    counts = np.zeros((256, 256), np.int64)
    for rgb, label_map in zip(pictures, labels, strict=True):
        counts += confusion(label_map, segmentation.label_map(rgb), space)
    ious = class_ious(counts) * 100
    each = {name: float(ious[class_id]) for class_id, name in class_names(space).items() if np.isfinite(ious[class_id])}
    return Recognition(mean_iou=float(np.nanmean(ious)) if each else 0.0, class_ious=each)


@torch.no_grad()
def _drive_on(look: LiveGenerator, frames: Sequence[RecordedFrame], num_classes: int) -> list[NDArray[np.uint8]]:
    drawn: list[NDArray[np.uint8]] = []
    device, last_B3HW = device_of(look), torch.zeros(0)
    for index, frame in enumerate(frames):
        labels = frame.labels if look.config.tones else without_tones(frame.labels, num_classes)
        warped_B3HW = torch.zeros(1, 3, *labels.shape, device=device)
        valid_B1HW = warped_B3HW[:, :1]
        if frame.follows:
            place_HW2, valid_HW = true_motion(frames[index - 1], frame)
            valid_B1HW = torch.from_numpy(valid_HW)[None, None].to(device)
            moved_B3HW = F.grid_sample(
                last_B3HW,
                torch.from_numpy(np.ascontiguousarray(place_HW2))[None].to(device),
                mode="bicubic",
                padding_mode="border",
                align_corners=False,
            )
            warped_B3HW = moved_B3HW.clamp(-1, 1) * valid_B1HW
        last_B3HW = look(torch.from_numpy(labels)[None].to(device), warped_B3HW, valid_B1HW)
        drawn.append(picture_of(last_B3HW[0]))
    return drawn


def _conditioned(look: LiveGenerator, labels: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    if not look.config.tones:
        return list(labels)
    return [tones_of_labels(torch.from_numpy(label_map)[None])[0].numpy() for label_map in labels]
