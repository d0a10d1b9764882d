"""Rough depth from a label map alone, for pictures that no simulator made."""

from __future__ import annotations

from typing import Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

_SMOOTHING_PX: Final = 2.0


class GroundConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the photos' camera stood over the road, from which rough depth follows."""

    ground_ids: tuple[int, ...]
    sky_id: int
    horizon: float  # fraction of the photo's height
    focal_per_width: float  # focal length as a fraction of the photo's width
    camera_height_m: float
    farthest_m: float


def nearness(labels: NDArray[np.uint8], config: GroundConfig) -> NDArray[np.float32]:
    """Return rough inverse depth (H,W) float32 in 1/m of a photo with these labels.

    The ground is a plane, the sky infinitely far, and all else stands where its column leaves the ground (stixels,
    Badino et al. 2009).
    """
    height_px, width_px = labels.shape
    rows = np.arange(height_px)[:, None]
    below_horizon_px = rows - config.horizon * height_px
    plane = below_horizon_px / (config.focal_per_width * width_px * config.camera_height_m)
    plane = np.maximum(plane, 1 / config.farthest_m).repeat(width_px, axis=1)
    ground = np.isin(labels, config.ground_ids) & (below_horizon_px > 0)
    ground[-1] = True
    foot_row = np.minimum.accumulate(np.where(ground, rows, height_px - 1)[::-1], axis=0)[::-1]
    near = np.where(ground, plane, np.take_along_axis(plane, foot_row, axis=0)).astype(np.float32)
    near[labels == config.sky_id] = 0
    return np.asarray(cv2.GaussianBlur(near, (0, 0), _SMOOTHING_PX), np.float32)
