"""Rigid poses in CARLA's world: left-handed, x forward, y right, z up, metres and degrees."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pose:
    """Where something is and how it is turned; yaw is positive clockwise seen from above, pitch positive nose up."""

    x_m: float = 0.0
    y_m: float = 0.0
    z_m: float = 0.0
    pitch_deg: float = 0.0
    yaw_deg: float = 0.0
    roll_deg: float = 0.0

    def matrix(self) -> NDArray[np.float64]:
        """Return the 4x4 world_from_local matrix; its columns are forward, right, up and the position."""
        cp, sp = math.cos(math.radians(self.pitch_deg)), math.sin(math.radians(self.pitch_deg))
        cy, sy = math.cos(math.radians(self.yaw_deg)), math.sin(math.radians(self.yaw_deg))
        cr, sr = math.cos(math.radians(self.roll_deg)), math.sin(math.radians(self.roll_deg))
        return np.array(
            [
                [cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr, self.x_m],
                [cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr, self.y_m],
                [sp, -cp * sr, cp * cr, self.z_m],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )

    def compose(self, relative: Pose) -> Pose:
        """Return the world pose of something attached at `relative` (given in this pose's own axes)."""
        return pose_from_matrix(self.matrix() @ relative.matrix())


def pose_from_matrix(world_from_local: NDArray[np.float64]) -> Pose:
    """Return the pose of a 4x4 rigid matrix; the inverse of `Pose.matrix` (roll is 0 at pitch +-90 degrees)."""
    m = world_from_local
    sin_pitch = max(-1.0, min(1.0, float(m[2, 0])))
    pitch_deg = math.degrees(math.asin(sin_pitch))
    if abs(sin_pitch) > 1.0 - 1e-12:
        yaw_deg = math.degrees(math.atan2(-m[0, 1], m[1, 1]))
        roll_deg = 0.0
    else:
        yaw_deg = math.degrees(math.atan2(m[1, 0], m[0, 0]))
        roll_deg = math.degrees(math.atan2(-m[2, 1], m[2, 2]))
    return Pose(float(m[0, 3]), float(m[1, 3]), float(m[2, 3]), pitch_deg, yaw_deg, roll_deg)
