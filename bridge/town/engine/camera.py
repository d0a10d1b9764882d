"""A camera in the street frame, and the arrays of its pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine import layout
from bridge.town.engine.frames import camera_axes
from bridge.town.views import CameraView

_MAX_SIDE_PX = 8192


@dataclass
class Buffers:
    """A picture size's arrays, reused at every frame of that size."""

    inverse_z: NDArray[np.float32]
    sample: NDArray[np.int32]
    bgra: NDArray[np.uint8]
    semantic: NDArray[np.uint8]
    instance: NDArray[np.int32]
    depth_m: NDArray[np.float32]
    flow_px: NDArray[np.float32]
    normals: NDArray[np.float32]
    glare: NDArray[np.float32]
    before_weather: NDArray[np.uint8]

    @classmethod
    def of_size(cls, width: int, height: int) -> Buffers:
        """Return arrays for pictures of this size."""
        n = layout.SAMPLES_PER_AXIS
        return cls(
            np.empty((n * height, n * width), np.float32),
            np.empty((n * height, n * width), np.int32),
            np.empty((height, width, 4), np.uint8),
            np.empty((height, width), np.uint8),
            np.empty((height, width), np.int32),
            np.empty((height, width), np.float32),
            np.empty((height, width, 2), np.float32),
            np.empty((height, width, 3), np.float32),
            np.empty((-(-height // layout.GLARE_PX), -(-width // layout.GLARE_PX), 3), np.float32),
            np.empty((height, width, 4), np.uint8),
        )


@dataclass(frozen=True)
class Camera:
    """A view in the street frame: axes' rows are right, down, forward; lengths in pixels."""

    eye: NDArray[np.float64]
    axes: NDArray[np.float64]
    focal_px: float
    centre_x: float
    centre_y: float

    @classmethod
    def of_view(cls, view: CameraView) -> Camera:
        """Return a view's camera; raises ValueError for a view that is no picture."""
        _check(view)
        eye, axes = camera_axes(view.pose)
        focal = 0.5 * view.width_px / math.tan(0.5 * math.radians(view.fov_deg))
        return cls(eye, axes, focal, 0.5 * view.width_px, 0.5 * view.height_px)


def _check(view: CameraView) -> None:
    if not (1 <= view.width_px <= _MAX_SIDE_PX and 1 <= view.height_px <= _MAX_SIDE_PX):
        message = f"a picture is 1 to {_MAX_SIDE_PX} pixels wide and high, not {view.width_px}x{view.height_px}"
        raise ValueError(message)
    if not 1.0 <= view.fov_deg < 179.0:
        message = f"a field of view is 1 to 179 degrees, not {view.fov_deg}"
        raise ValueError(message)
