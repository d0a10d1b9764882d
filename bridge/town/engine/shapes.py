"""A movable thing's shape: rigid parts and where they stand against each other as it steers, rolls and walks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

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


def standing(pivots_m: ArrayLike) -> NDArray[np.float64]:
    """Return (P,3,4) matrices that only shift, by the rows of `pivots_m` (P,3)."""
    pivots = np.asarray(pivots_m, np.float64)
    matrices = np.zeros((len(pivots), 3, 4))
    matrices[:, :, :3] = np.eye(3)
    matrices[:, :, 3] = pivots
    return matrices


def pitched(angle_rad: float) -> tuple[tuple[float, float, float], ...]:
    """Return the rotation about y that takes x toward -z (a wheel rolling forward, a leg swinging back)."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return ((c, 0.0, s), (0.0, 1.0, 0.0), (-s, 0.0, c))


def steered_and_rolled(steer_rad: float, roll_rad: float) -> tuple[tuple[float, float, float], ...]:
    """Return the rotation of a wheel: rolled about its axle, then turned to the left."""
    cr, sr = math.cos(roll_rad), math.sin(roll_rad)
    cs, ss = math.cos(steer_rad), math.sin(steer_rad)
    return ((cs * cr, -ss, cs * sr), (ss * cr, cs, ss * sr), (-sr, 0.0, cr))
