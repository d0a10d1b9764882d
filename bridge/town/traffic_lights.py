"""Traffic lights and signs: one actor each, groups of lights that take turns, and what stops which vehicle."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bridge.carla_wire import layouts
from bridge.carla_wire.snapshot import TrafficLightTail, TrafficSignTail
from bridge.town.actors import GREEN, Actor, Vehicle
from bridge.town.pose import Pose
from bridge.town.signals import SignalSite, phases_of
from bridge.town.views import SignalHead

RED, YELLOW, OFF, UNKNOWN = 0, 1, 3, 4
NAMES: dict[int, Literal["red", "yellow", "green", "off"]] = {RED: "red", YELLOW: "yellow", GREEN: "green"}
TRAFFIC_LIGHT_TAG, TRAFFIC_SIGN_TAG = 7, 8
COMFORT_BRAKE_M_S2 = 6.5
"""A vehicle is told of its light as late as a firm stop allows: CARLA's TrafficManager brakes at once."""
REACH_M = 1.5
"""Nearer than this to the stop line a vehicle is always at the light."""
LONGEST_REACH_M = 60.0
SIGN_REACH_M = 14.0
"""So far before a stop or yield line a vehicle minds the sign."""
CELL_M = 64.0


@dataclass(eq=False)
class TrafficSign(Actor):
    """What stands beside the road for its traffic: `site` says where and for whom.

    As in CARLA the actor's x axis points across the lanes, to the right of the traffic.
    """

    site: SignalSite = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.semantic_tags = bytes([TRAFFIC_SIGN_TAG])
        self.bounding_box = self._trigger_volume()

    def _trigger_volume(self) -> layouts.BoundingBox:
        """Return the stretch of lanes before the stop line, in the actor's axes: clients take its box for it."""
        stop, yaw = self.site.stop_pose, math.radians(self.pose.yaw_deg)
        turn_deg = stop.yaw_deg + 90.0 - self.pose.yaw_deg
        before = math.radians(stop.yaw_deg)
        dx = stop.x_m - REACH_M * math.cos(before) - self.pose.x_m
        dy = stop.y_m - REACH_M * math.sin(before) - self.pose.y_m
        return layouts.BoundingBox(
            layouts.Vector3D(dx * math.cos(yaw) + dy * math.sin(yaw), dy * math.cos(yaw) - dx * math.sin(yaw), 1.0),
            layouts.Vector3D(self.site.half_width_m, REACH_M, 1.0),
            layouts.Rotation(yaw=(turn_deg + 180.0) % 360.0 - 180.0),
            self.actor_id,
        )

    def tail(self) -> bytes:
        """Return the sign's OpenDRIVE id as a snapshot carries it."""
        return TrafficSignTail(self.site.sign_id.encode("ascii")).pack()

    def distance_to_stop_m(self, vehicle: Vehicle) -> float:
        """Return metres from a vehicle's front to the stop line, negative beyond; infinite outside the lanes."""
        stop = self.site.stop_pose
        dx, dy = stop.x_m - vehicle.pose.x_m, stop.y_m - vehicle.pose.y_m
        if abs(dx) + abs(dy) > LONGEST_REACH_M:
            return math.inf
        yaw = math.radians(stop.yaw_deg)
        cos, sin = math.cos(yaw), math.sin(yaw)
        turned = math.cos(yaw - math.radians(vehicle.pose.yaw_deg)) > 0.7
        if abs(dy * cos - dx * sin) > self.site.half_width_m or not turned:
            return math.inf
        return dx * cos + dy * sin - vehicle.half_extents_m[0]

    def stops(self, vehicle: Vehicle) -> bool:
        """Tell whether a vehicle drives towards this stop line and must decide now."""
        ahead_m = self.distance_to_stop_m(vehicle)
        speed = math.hypot(vehicle.velocity_m_s[0], vehicle.velocity_m_s[1])
        return -0.5 <= ahead_m < REACH_M + speed * speed / (2.0 * COMFORT_BRAKE_M_S2)


@dataclass(eq=False)
class TrafficLight(TrafficSign):
    """A traffic light; its group switches it unless a client does."""

    pole_index: int = 0
    green_s: float = 9.0
    yellow_s: float = 3.0
    red_s: float = 2.0
    """How long its whole group shows red after it."""
    elapsed_s: float = 0.0
    light_state: int = RED
    is_frozen: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.semantic_tags = bytes([TRAFFIC_LIGHT_TAG])

    def set_state(self, state: int) -> None:
        """Switch to a state, whose time begins now."""
        self.light_state, self.elapsed_s = state, 0.0

    def limit_s(self) -> float:
        """Return how long the light's present state lasts while its group is at it."""
        seconds = {GREEN: self.green_s, YELLOW: self.yellow_s, RED: self.red_s}.get(self.light_state, self.red_s)
        return max(0.1, seconds)

    def tail(self) -> bytes:
        """Return times and state as a snapshot carries them."""
        return TrafficLightTail(
            self.site.sign_id.encode("ascii"),
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


class LightGroup:
    """The lights of one junction or crossing. Phases take turns: green, yellow, and red for all before the next."""

    def __init__(self, phases: Sequence[Sequence[TrafficLight]]) -> None:
        self.phases = tuple(tuple(phase) for phase in phases)
        self.lights = tuple(light for phase in self.phases for light in phase)
        self._phase = 0
        self.restart()

    def restart(self) -> None:
        """Put the group at the beginning of its cycle."""
        self._phase = 0
        for light in self.lights:
            light.set_state(RED)
        self._switch(GREEN)

    def _switch(self, state: int) -> None:
        for light in self.phases[self._phase]:
            light.set_state(state)

    def advance(self, dt_s: float) -> None:
        """Let time pass. A frozen light stops its whole group."""
        if any(light.is_frozen for light in self.lights):
            return
        for light in self.lights:
            light.elapsed_s += dt_s
        leader = self.phases[self._phase][0]
        if leader.light_state not in (GREEN, YELLOW, RED) or leader.elapsed_s < leader.limit_s() - 1e-9:
            return
        if leader.light_state == GREEN:
            self._switch(YELLOW)
        elif leader.light_state == YELLOW:
            self._switch(RED)
        else:
            self._phase = (self._phase + 1) % len(self.phases)
            self._switch(GREEN)


def light_groups(lights: Sequence[TrafficLight]) -> tuple[LightGroup, ...]:
    """Return the groups of lights, by their sites."""
    by_id = {light.site.sign_id: light for light in lights}
    phases = phases_of([light.site for light in lights])
    return tuple(LightGroup([[by_id[site.sign_id] for site in phase] for phase in group]) for group in phases.values())


def sign_actor(actor_id: int, site: SignalSite, pole_index: int = 0) -> TrafficSign:
    """Return the actor of a site: CARLA's blueprint id and axes."""
    pose = replace(site.pose, yaw_deg=(site.pose.yaw_deg + 270.0) % 360.0 - 180.0)
    if site.kind == "light":
        description = layouts.ActorDescription(0, "traffic.traffic_light")
        return TrafficLight(actor_id, description, pose, site=site, pole_index=pole_index)
    name = f"speed_limit.{site.value:.0f}" if site.kind == "speed" else site.kind
    return TrafficSign(actor_id, layouts.ActorDescription(0, f"traffic.{name}"), pose, site=site)


class RoadSigns:
    """All lights and signs, found by place: who must mind which."""

    def __init__(self, signs: Iterable[TrafficSign]) -> None:
        self._near: dict[tuple[int, int], list[TrafficSign]] = {}
        for sign in signs:
            if sign.site.kind == "speed":
                continue
            column, row = _cell(sign.site.stop_pose)
            for i in (column - 1, column, column + 1):
                for j in (row - 1, row, row + 1):
                    self._near.setdefault((i, j), []).append(sign)

    def direct(self, vehicles: Iterable[Vehicle]) -> None:
        """Tell every vehicle the light that it stands at or comes to, if any.

        Before a stop or yield sign a vehicle is told of red without a light, as CARLA does; its TrafficManager then
        stops there and takes turns with the others of the junction.
        """
        for vehicle in vehicles:
            vehicle.light_id, vehicle.light_state = 0, GREEN
            for sign in self._near.get(_cell(vehicle.pose), ()):
                if isinstance(sign, TrafficLight):
                    if sign.stops(vehicle):
                        vehicle.light_id, vehicle.light_state = sign.actor_id, sign.light_state
                        break
                elif -SIGN_REACH_M < sign.distance_to_stop_m(vehicle) < SIGN_REACH_M:
                    vehicle.light_state = RED
                    break


def _cell(pose: Pose) -> tuple[int, int]:
    return math.floor(pose.x_m / CELL_M), math.floor(pose.y_m / CELL_M)
