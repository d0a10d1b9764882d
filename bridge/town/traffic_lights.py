"""Traffic lights: one actor a light, groups that change together, and which light stops which vehicle."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bridge.carla_wire import layouts
from bridge.carla_wire.snapshot import TrafficLightTail
from bridge.town.actors import GREEN, Actor, Vehicle
from bridge.town.pose import Pose
from bridge.town.views import SignalHead

RED, YELLOW, OFF, UNKNOWN = 0, 1, 3, 4
NAMES: dict[int, Literal["red", "yellow", "green", "off"]] = {RED: "red", YELLOW: "yellow", GREEN: "green"}
TRAFFIC_LIGHT_TAG = 7
COMFORT_BRAKE_M_S2 = 6.5
"""A vehicle is told of its light as late as a firm stop allows: CARLA's TrafficManager brakes at once."""
REACH_M = 1.5
"""Nearer than this to the stop line a vehicle is always at the light."""
LANE_HALF_WIDTH_M = 1.75
NEXT = {GREEN: YELLOW, YELLOW: RED, RED: GREEN}


@dataclass(eq=False)
class TrafficLight(Actor):
    """A traffic light; `stop_pose` is the middle of its lane at the stop line, turned along the traffic."""

    sign_id: str = ""
    stop_pose: Pose = field(default_factory=Pose)
    group: int = 0
    pole_index: int = 0
    green_s: float = 12.0
    yellow_s: float = 3.0
    red_s: float = 7.0
    elapsed_s: float = 0.0
    light_state: int = GREEN
    is_frozen: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.semantic_tags = bytes([TRAFFIC_LIGHT_TAG])
        self.bounding_box = self._trigger_volume()

    def _trigger_volume(self) -> layouts.BoundingBox:
        """Return the stretch of lane before the stop line, in the light's axes: clients take a light's box for it."""
        dx, dy = self.stop_pose.x_m - self.pose.x_m, self.stop_pose.y_m - self.pose.y_m
        yaw, turn_deg = math.radians(self.pose.yaw_deg), self.stop_pose.yaw_deg - self.pose.yaw_deg
        ahead_m, aside_m = dx * math.cos(yaw) + dy * math.sin(yaw), dy * math.cos(yaw) - dx * math.sin(yaw)
        turn = math.radians(turn_deg)
        return layouts.BoundingBox(
            layouts.Vector3D(ahead_m - REACH_M * math.cos(turn), aside_m - REACH_M * math.sin(turn), 1.0),
            layouts.Vector3D(REACH_M, LANE_HALF_WIDTH_M, 1.0),
            layouts.Rotation(yaw=turn_deg),
            self.actor_id,
        )

    def set_state(self, state: int) -> None:
        """Switch to a state, whose time begins now."""
        self.light_state, self.elapsed_s = state, 0.0

    def advance(self, dt_s: float) -> None:
        """Let time pass; each state gives way to the next when its time is over."""
        if self.is_frozen or self.light_state not in NEXT:
            return
        self.elapsed_s += dt_s
        while self.elapsed_s >= (limit := max(0.1, self._limit_s())):
            self.elapsed_s -= limit
            self.light_state = NEXT[self.light_state]

    def _limit_s(self) -> float:
        return {GREEN: self.green_s, YELLOW: self.yellow_s, RED: self.red_s}[self.light_state]

    def tail(self) -> bytes:
        """Return times and state as a snapshot carries them."""
        return TrafficLightTail(
            self.sign_id.encode("ascii"),
            self.green_s,
            self.yellow_s,
            self.red_s,
            self.elapsed_s,
            self.pole_index,
            self.is_frozen,
            self.light_state,
        ).pack()

    def head(self) -> SignalHead:
        """Return the light as the engine draws it."""
        return SignalHead(self.actor_id, NAMES.get(self.light_state, "off"))

    def stops(self, vehicle: Vehicle) -> bool:
        """Tell whether a vehicle drives towards this light's stop line and must decide now."""
        dx, dy = self.stop_pose.x_m - vehicle.pose.x_m, self.stop_pose.y_m - vehicle.pose.y_m
        if abs(dx) + abs(dy) > 80.0:
            return False
        yaw = math.radians(self.stop_pose.yaw_deg)
        cos, sin = math.cos(yaw), math.sin(yaw)
        ahead_m = dx * cos + dy * sin - vehicle.half_extents_m[0]
        aside_m = abs(dy * cos - dx * sin)
        turned = math.cos(yaw - math.radians(vehicle.pose.yaw_deg)) > 0.7
        if aside_m > LANE_HALF_WIDTH_M or not turned or ahead_m < -0.5:
            return False
        speed = math.hypot(vehicle.velocity_m_s[0], vehicle.velocity_m_s[1])
        return ahead_m < REACH_M + speed * speed / (2.0 * COMFORT_BRAKE_M_S2)


def reset_group(lights: Iterable[TrafficLight]) -> None:
    """Put lights at the beginning of their cycle."""
    for light in lights:
        light.set_state(GREEN)


def obey(vehicles: Iterable[Vehicle], lights: Sequence[TrafficLight]) -> None:
    """Tell every vehicle the light that it stands at or comes to, if any."""
    for vehicle in vehicles:
        vehicle.light_id, vehicle.light_state = 0, GREEN
        for light in lights:
            if light.stops(vehicle):
                vehicle.light_id, vehicle.light_state = light.actor_id, light.light_state
                break
