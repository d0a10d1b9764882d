"""A movable thing's shape: rigid parts and where they stand against each other as it steers, rolls and walks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine.mesh import MeshArrays


@dataclass(frozen=True)
class Motion:
    """What bends a body: front wheels' angle (left positive), how far the wheels have rolled, the distance walked."""

    steer_rad: float = 0.0
    roll_rad: float = 0.0
    stride_m: float = 0.0


@dataclass(frozen=True)
class Shape:
    """Rigid parts in their own frames, and `part_poses`, which gives (parts,3,4) body_from_part matrices.

    The body's frame: x forward, y left, z up, origin on the ground below the middle. `half_extents_m` is the half size
    of a box around it that stands on the ground; `contact_m` the half size of the shadow where it touches the ground.
    """

    parts: tuple[MeshArrays, ...]
    part_poses: Callable[[Motion], NDArray[np.float64]]
    half_extents_m: tuple[float, float, float]
    contact_m: tuple[float, float]
    contact_strength: float
    wheel_radius_m: float = 0.0


def placed(x: float, y: float, z: float) -> NDArray[np.float64]:
    """Return the 4x4 matrix of a shift."""
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def pitched(angle_rad: float) -> NDArray[np.float64]:
    """Return the 4x4 rotation about y that takes x toward -z (a wheel rolling forward, a leg swinging back)."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    matrix = np.eye(4)
    matrix[0, 0] = matrix[2, 2] = c
    matrix[0, 2], matrix[2, 0] = s, -s
    return matrix


def yawed(angle_rad: float) -> NDArray[np.float64]:
    """Return the 4x4 rotation about z, counter-clockwise seen from above."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    matrix = np.eye(4)
    matrix[0, 0] = matrix[1, 1] = c
    matrix[0, 1], matrix[1, 0] = -s, s
    return matrix
