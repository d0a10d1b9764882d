"""The one place where CARLA's left-handed world meets the engine's right-handed street frame: y changes its sign."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bridge.town.pose import Pose

_FLIP_Y = np.array([1.0, -1.0, 1.0, 1.0])
_FLIP_BOTH = np.outer(_FLIP_Y, _FLIP_Y)


def street_from_body(pose: Pose) -> NDArray[np.float64]:
    """Return the (4,4) street-frame matrix of a body: x forward, y left, z up."""
    return pose.matrix() * _FLIP_BOTH


def camera_axes(pose: Pose) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a camera's position (3,) and its axes (3,3) in the street frame; rows: right, down, forward."""
    matrix = pose.matrix() * _FLIP_Y[:, None]
    return matrix[:3, 3].copy(), np.stack([matrix[:3, 1], -matrix[:3, 2], matrix[:3, 0]])
