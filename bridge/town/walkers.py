"""Pedestrians: they walk as they are told, or stand where the client's own pedestrian AI puts them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from bridge.carla_wire import layouts
from bridge.carla_wire.snapshot import WalkerTail
from bridge.town.actors import KERB_CLIMB_M_S, Actor, box_of, change_per_s
from bridge.town.pose import Pose
from bridge.town.views import Body

PEDESTRIAN_TAG = 12
FALL_M_S = 3.0


@dataclass(eq=False)
class Walker(Actor):
    """A pedestrian; CARLA puts its origin in the middle of the body, the engine draws it from the ground."""

    half_extents_m: tuple[float, float, float] = (0.22, 0.28, 0.9)
    control: layouts.WalkerControl = field(default_factory=layouts.WalkerControl)
    is_led: bool = False
    """The client's pedestrian AI places it; it does not walk by itself."""
    collides: bool = True
    stride_m: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.bounding_box = box_of(self.actor_id, self.half_extents_m, 0.0)
        self.reach_m = math.hypot(*self.half_extents_m[:2])
        self.semantic_tags = bytes([PEDESTRIAN_TAG])

    def walk(self, control: layouts.WalkerControl) -> None:
        """Walk by itself from now on."""
        self.control, self.is_led = control, False

    def lead(self, pose: Pose, speed_m_s: float) -> None:
        """Put the walker's feet where the client's AI wants them, walking at a speed."""
        self.pose, self.is_led = replace(pose, z_m=pose.z_m + self.half_extents_m[2]), True
        yaw = math.radians(pose.yaw_deg)
        direction = layouts.Vector3D(math.cos(yaw), math.sin(yaw), 0.0)
        self.control = layouts.WalkerControl(direction, speed_m_s)

    def advance(self, dt_s: float, ground_m: float) -> None:
        """Walk for one tick over ground that is `ground_m` high here."""
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

    def tail(self) -> bytes:
        """Return direction and speed as a snapshot carries them."""
        c = self.control
        return WalkerTail(c.direction.x, c.direction.y, c.direction.z, c.speed, c.jump).pack()

    def body(self) -> Body:
        """Return the walker as the engine draws it, from the ground up."""
        down_m = self.half_extents_m[2]
        now, before = self.pose, self.previous_pose
        return Body(
            self.actor_id,
            self.blueprint_id,
            Pose(now.x_m, now.y_m, now.z_m - down_m, yaw_deg=now.yaw_deg),
            Pose(before.x_m, before.y_m, before.z_m - down_m, yaw_deg=before.yaw_deg),
            stride_m=self.stride_m,
        )
