"""Where the car will be before the simulator's next tick says it: its course, and how it answers the steering wheel.

The heading's rate at a tick is a share of the rate before and a multiple of speed times steering; both numbers are
learnt from the ticks by recursive least squares with forgetting (Ljung 1999, section 11.2), for every simulator and car
has its own. Speed is carried on with its last change. The camera rides on a lever before the point that follows the
wheels (the rear axle); how long that is follows from how the camera swings out in bends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

FURTHEST_M: Final = 5.0  # that a car moves in a tick; what is further was put there
LEVER_M: Final = 2.0  # of a camera behind the windscreen, before the rear axle
LONGEST_LEVER_M: Final = 15.0
LEARN_LEVER: Final = 0.2  # share of what a bend says that is believed
BEND_RAD_S: Final = 0.3  # a rate from which a bend says something of the lever
RESPONSE: Final = (0.5, 0.15)  # of a car nobody has steered yet: share of the rate before; 1/m
MAX_RESPONSE: Final = (1.0, 1.0)
FORGET: Final = 0.98  # of the evidence at each tick
UNSURE: Final = 10.0  # what the evidence's covariance begins with and never exceeds
STRONGEST_M_S2: Final = 15.0  # that a car is taken to speed up or brake
FASTEST_RAD_S: Final = 3.0
LEVEL: Final = 0.1  # of a camera's axis that must be horizontal to have a heading


@dataclass(frozen=True)
class Response:
    """How a car answers its steering wheel: `share` of the heading's rate stays for a tick, `per_m` of speed times
    steering (-1..1) is added, in rad/s per m/s; `covariance` (2,2) of the two."""

    share: float = RESPONSE[0]
    per_m: float = RESPONSE[1]
    covariance: Matrix = field(default_factory=lambda: UNSURE * np.eye(2))

    def rate(self, before_rad_s: float, speed_m_s: float, steer: float) -> float:
        """Return the heading's rate in the tick after one with that rate."""
        rate = self.share * before_rad_s + self.per_m * speed_m_s * steer
        return float(np.clip(rate, -FASTEST_RAD_S, FASTEST_RAD_S))

    def learnt(self, before_rad_s: float, speed_m_s: float, steer: float, rate_rad_s: float) -> Response:
        """Return the response after a tick that was seen to have that rate."""
        seen = np.array([before_rad_s, speed_m_s * steer])
        if not seen.any():
            return self
        spread = self.covariance @ seen
        gain = spread / (FORGET + seen @ spread)
        now = np.array([self.share, self.per_m]) + gain * (
            rate_rad_s - self.share * before_rad_s - self.per_m * seen[1]
        )
        covariance = (self.covariance - np.outer(gain, spread)) / FORGET
        if np.trace(covariance) > 2.0 * UNSURE:  # straight on nothing is learnt, and nothing must be forgotten
            covariance = self.covariance
        share, per_m = np.clip(now, 0.0, MAX_RESPONSE)
        return Response(float(share), float(per_m), covariance)


@dataclass(frozen=True)
class Course:
    """How a camera on a car moved until its newest tick, and what was learnt of the car.

    world_from_camera (4,4) f64, optical axes to a left-handed world with z up · `velocity_m_s` (3,) of the rear axle in
    the last tick, forward, right and up, and `gained_m_s`, what that was more than in the tick before · `rate_rad_s` of
    the heading in the last tick, clockwise from above, and `bent_rad_s`, the same · `lever_m` from axle to camera.
    """

    world_from_camera: Matrix
    step_s: float
    velocity_m_s: Vector
    gained_m_s: Vector
    rate_rad_s: float = 0.0
    bent_rad_s: float = 0.0
    lever_m: float = LEVER_M
    response: Response = field(default_factory=Response)

    @classmethod
    def begin(cls, world_from_camera: Matrix, step_s: float) -> Course:
        """Return the course of a car that stands; `step_s` is the simulation time of a tick."""
        return cls(world_from_camera, step_s, np.zeros(3), np.zeros(3))

    def follow(self, world_from_camera: Matrix, steer: float | None) -> Course:
        """Return the course after one more tick, that was driven with this steering; None is somebody else's."""
        if float(np.linalg.norm(world_from_camera[:3, 3] - self.world_from_camera[:3, 3])) > FURTHEST_M:
            return replace(Course.begin(world_from_camera, self.step_s), response=self.response, lever_m=self.lever_m)
        before, now = heading_rad(self.world_from_camera), heading_rad(world_from_camera)
        if before is None or now is None:
            return Course.begin(world_from_camera, self.step_s)
        rate = math.remainder(now - before, math.tau) / self.step_s
        middle = _level_axes(before + 0.5 * rate * self.step_s)
        moved = middle @ (world_from_camera[:3, 3] - self.world_from_camera[:3, 3]) / self.step_s
        lever = self._lever(float(moved[1]), rate)
        axle = world_from_camera[:3, 3] - lever * _level_axes(now)[0]
        axle_before = self.world_from_camera[:3, 3] - lever * _level_axes(before)[0]
        velocity = middle @ (axle - axle_before) / self.step_s
        limit = STRONGEST_M_S2 * self.step_s
        response = self.response
        if steer is not None:
            response = response.learnt(self.rate_rad_s, float(velocity[0]), steer, rate)
        return Course(
            world_from_camera,
            self.step_s,
            velocity,
            np.clip(velocity - self.velocity_m_s, -limit, limit),
            rate,
            rate - self.rate_rad_s,
            lever,
            response,
        )

    def ahead(self, ahead_s: float, steer: float | None) -> Matrix:
        """Return world_from_camera that long after the newest tick, at most one tick, if it is steered like that.

        With None for the steering the bend goes on as it went.
        """
        ahead_s = min(max(ahead_s, 0.0), self.step_s)
        heading = heading_rad(self.world_from_camera)
        if heading is None or ahead_s == 0.0:
            return self.world_from_camera
        speed = float(self.velocity_m_s[0])
        # Rates are means over a tick: from now on the mean is half-way to the next tick's, and all of it at its end.
        share = 0.5 + 0.5 * ahead_s / self.step_s
        coming = self.rate_rad_s + self.bent_rad_s
        if steer is not None:
            coming = self.response.rate(self.rate_rad_s, speed, steer)
        turn_rad = (self.rate_rad_s + share * (coming - self.rate_rad_s)) * ahead_s
        velocity = self.velocity_m_s + share * self.gained_m_s
        if speed * velocity[0] < 0.0:
            velocity = np.zeros(3)  # who brakes comes to a stand, not to go backward
        axle = self.world_from_camera[:3, 3] - self.lever_m * _level_axes(heading)[0]
        axle = axle + velocity @ _level_axes(heading + 0.5 * turn_rad) * ahead_s
        pose = self.world_from_camera.copy()
        pose[:3, :3] = _turned(turn_rad) @ self.world_from_camera[:3, :3]
        pose[:3, 3] = axle + self.lever_m * _level_axes(heading + turn_rad)[0]
        return pose

    def _lever(self, sideways_m_s: float, rate_rad_s: float) -> float:
        """How far before the axle the camera is, after a tick in which it moved sideways like that."""
        if abs(rate_rad_s) < BEND_RAD_S:
            return self.lever_m
        lever = self.lever_m + LEARN_LEVER * (sideways_m_s / rate_rad_s - self.lever_m)
        return float(np.clip(lever, -LONGEST_LEVER_M, LONGEST_LEVER_M))


def heading_rad(world_from_camera: Matrix) -> float | None:
    """Return where a camera looks, clockwise from above, from x; None for one that looks straight up or down."""
    x, y = float(world_from_camera[0, 2]), float(world_from_camera[1, 2])
    return math.atan2(y, x) if math.hypot(x, y) > LEVEL else None


def apart(one: Matrix, other: Matrix) -> tuple[float, float]:
    """Return how far two poses are from each other, in metres and in degrees of heading."""
    first, second = heading_rad(one), heading_rad(other)
    turned = 0.0 if first is None or second is None else math.remainder(first - second, math.tau)
    return float(np.linalg.norm(one[:3, 3] - other[:3, 3])), abs(math.degrees(turned))


def _level_axes(heading: float) -> Matrix:
    """Rows: forward, right and up of a heading, in the world."""
    cosine, sine = math.cos(heading), math.sin(heading)
    return np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _turned(angle: float) -> Matrix:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
