"""Contact sheets: label map | photo | the first frame drawn | the same after some frames on its own pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.protocol.errors import OutputError
from bridge.protocol.labels import palette
from renderer.models.live import LiveGenerator
from renderer.train.clips import resize_labels
from renderer.train.data import LabelledPhoto


class PreviewConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which photos are shown and when: `num_photos` spread over the split, each at this size."""

    every: int
    num_photos: int
    width_px: int
    height_px: int
    num_frames: int


def spread(photos: Sequence[LabelledPhoto], num_photos: int) -> list[LabelledPhoto]:
    """Return up to `num_photos` photos, evenly spaced."""
    count = min(num_photos, len(photos))
    return [photos[index * len(photos) // count] for index in range(count)]


def contact_sheet(
    generator: LiveGenerator, photos: Sequence[LabelledPhoto], label_space: str, config: PreviewConfig
) -> NDArray[np.uint8]:
    """Return one row a photo, (rows*height, 4*width, 3) u8 RGB."""
    rows: list[NDArray[np.uint8]] = []
    for photo in photos:
        labels = resize_labels(photo.labels, config.width_px, config.height_px)
        size = (config.width_px, config.height_px)
        real = np.asarray(cv2.resize(photo.rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        first, later = draw_still(generator, labels, config.num_frames)
        rows.append(np.hstack([palette(label_space)[labels % generator.config.num_classes], real, first, later]))
    return np.vstack(rows)


@torch.no_grad()
def draw_still(
    generator: LiveGenerator, labels: NDArray[np.uint8], num_frames: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the first frame and the one `num_frames` later, (H,W,3) u8, of a scene (H,W) in which nothing moves."""
    device = device_of(generator)
    labels_BHW = torch.from_numpy(labels)[None].to(device)
    valid_B1HW = torch.zeros(1, 1, *labels.shape, device=device)
    first_B3HW = rgb_B3HW = generator(labels_BHW, torch.zeros(1, 3, *labels.shape, device=device), valid_B1HW)
    valid_B1HW = torch.ones_like(valid_B1HW)
    for _ in range(num_frames):
        rgb_B3HW = generator(labels_BHW, rgb_B3HW, valid_B1HW)
    return picture_of(first_B3HW[0]), picture_of(rgb_B3HW[0])


def picture_of(rgb_3HW: Tensor) -> NDArray[np.uint8]:
    """Return a tensor of [-1, 1] as a picture (H,W,3) u8, rounded to nearest."""
    scaled_3HW = (rgb_3HW.clamp(-1, 1) * 127.5 + 127.5).round()
    return scaled_3HW.to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def device_of(generator: LiveGenerator) -> torch.device:
    """Return where a generator draws."""
    return generator.label_table.weight.device


def write_picture(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write a picture (H,W,3) u8 RGB as PNG; raises OutputError where that cannot be."""
    if not cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)):
        raise OutputError(f"{path} cannot be written", "Choose another --out folder")
