"""Pedestrians: they walk as they are told, or stand where the client's own pedestrian AI puts them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from bridge.carla_wire import layouts
from bridge.carla_wire.snapshot import WalkerTail
from bridge.town.actors import KERB_CLIMB_M_S, ZERO, Actor, box_of, change_per_s
from bridge.town.pose import Pose
from bridge.town.views import Body

PEDESTRIAN_TAG = 12
FALL_M_S = 3.0
LIES_AFTER_S = 0.5
"""So long does a walker fall that was run over."""
STAYS_S = 10.0
"""So long do the dead lie there, as in CARLA: then they are taken away."""


@dataclass(eq=False)
class Walker(Actor):
    """A pedestrian; CARLA puts its origin in the middle of the body, the engine draws it from the ground."""

    half_extents_m: tuple[float, float, float] = (0.22, 0.28, 0.9)
    control: layouts.WalkerControl = field(default_factory=layouts.WalkerControl)
    is_led: bool = False
    """The client's pedestrian AI places it; it does not walk by itself."""
    collides: bool = True
    stride_m: float = 0.0
    dead_s: float | None = None
    """How long the walker has been dead, None while it lives."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.bounding_box = box_of(self.actor_id, self.half_extents_m, 0.0)
        self.reach_m = math.hypot(*self.half_extents_m[:2])
        self.semantic_tags = bytes([PEDESTRIAN_TAG])

    @property
    def is_gone(self) -> bool:
        """Whether it has been dead for so long that it is to be taken away."""
        return self.dead_s is not None and self.dead_s >= STAYS_S

    def die(self) -> None:
        """Fall and lie there from now on, in nobody's way."""
        if self.dead_s is None:
            self.dead_s, self.collides = 0.0, False
            self.control = layouts.WalkerControl(self.control.direction, 0.0)
            # clients may have given it a slant, which the living do not show
            self.pose = replace(self.pose, pitch_deg=0.0, roll_deg=0.0)
            if self.shown_pose is not None:
                self.shown_pose = replace(self.shown_pose, pitch_deg=0.0, roll_deg=0.0)

    def walk(self, control: layouts.WalkerControl) -> None:
        """Walk by itself from now on."""
        if self.dead_s is None:
            self.control, self.is_led = control, False

    def lead(self, pose: Pose, speed_m_s: float) -> None:
        """Put the walker's feet where the client's AI wants them, walking at a speed."""
        if self.dead_s is not None:
            return
        self.pose, self.is_led = replace(pose, z_m=pose.z_m + self.half_extents_m[2]), True
        yaw = math.radians(pose.yaw_deg)
        direction = layouts.Vector3D(math.cos(yaw), math.sin(yaw), 0.0)
        self.control = layouts.WalkerControl(direction, speed_m_s)

    def be_shoved(self, dx_m: float, dy_m: float) -> None:
        """Be pushed aside; the client's pedestrian AI decides by itself where its walkers are."""
        if not self.is_led:
            self.pose = replace(self.pose, x_m=self.pose.x_m + dx_m, y_m=self.pose.y_m + dy_m)

    def advance(self, dt_s: float, ground_m: float) -> None:
        """Walk for one tick over ground that is `ground_m` high here; the dead fall on their backs."""
        if self.dead_s is not None:
            self._fall(self.dead_s + dt_s, ground_m)
            return
        way, speed = self.control.direction, self.control.speed
        before = self.velocity_m_s
        self.velocity_m_s = (way.x * speed, way.y * speed, 0.0)
        self.acceleration_m_s2 = change_per_s(before, self.velocity_m_s, dt_s)
        self.stride_m += math.hypot(way.x, way.y) * speed * dt_s
        if self.is_led:
            return
        standing_m = ground_m + self.half_extents_m[2]
        z_m = self.pose.z_m
        z_m = (
            max(standing_m, z_m - FALL_M_S * dt_s) if z_m > standing_m else min(standing_m, z_m + KERB_CLIMB_M_S * dt_s)
        )
        yaw_deg = math.degrees(math.atan2(way.y, way.x)) if speed > 0.01 else self.pose.yaw_deg
        self.pose = Pose(
            self.pose.x_m + self.velocity_m_s[0] * dt_s,
            self.pose.y_m + self.velocity_m_s[1] * dt_s,
            z_m,
            yaw_deg=yaw_deg,
        )

    def _fall(self, dead_s: float, ground_m: float) -> None:
        self.dead_s = dead_s
        self.velocity_m_s = self.acceleration_m_s2 = ZERO
        down = math.radians(90.0 * min(1.0, dead_s / LIES_AFTER_S))
        z_m = ground_m + self.half_extents_m[2] * math.cos(down) + self.half_extents_m[0] * math.sin(down)
        self.pose = replace(self.pose, z_m=z_m, pitch_deg=math.degrees(down))

    def tail(self) -> bytes:
        """Return direction and speed as a snapshot carries them."""
        c = self.control
        return WalkerTail(c.direction.x, c.direction.y, c.direction.z, c.speed, c.jump).pack()

    def body(self) -> Body:
        """Return the walker as the engine draws it, from the ground up."""
        now, before = self._feet(self.pose), self._feet(self.previous_pose)
        return Body(self.actor_id, self.blueprint_id, now, before, stride_m=self.stride_m)

    def _feet(self, pose: Pose) -> Pose:
        """Return where the feet are and how the body stands on them: who lives stands upright."""
        if self.dead_s is None:
            return Pose(pose.x_m, pose.y_m, pose.z_m - self.half_extents_m[2], yaw_deg=pose.yaw_deg)
        return pose.compose(Pose(z_m=-self.half_extents_m[2]))
