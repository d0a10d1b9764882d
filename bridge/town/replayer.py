"""The replayer: lets the actors of a log move again, in time with the town's ticks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from bridge.carla_wire import layouts
from bridge.carla_wire import recorder_log as log
from bridge.carla_wire.recorder_log import PacketId
from bridge.town.actors import Actor, Vehicle, change_per_s, six_of, transform_of, wrapped_deg
from bridge.town.episode import Episode, SpawnRefused
from bridge.town.pose import Pose, pose_from_matrix
from bridge.town.recorded_log import EVENTS, LoggedFrame, RecordedLog
from bridge.town.traffic_lights import TrafficLight
from bridge.town.walkers import Walker

M_PER_CM = 0.01
OUT_OF_THE_WAY_M = 1000.0
"""Actors are made at this height, where nothing is in their way, and put in their place then."""
NEAR_LIGHT_M = 0.5
DEFAULT_OFFSET = Pose(x_m=-10.0, z_m=6.0, pitch_deg=-25.0)

UNREADABLE = (OSError, ValueError, ArithmeticError)
"""What a log with a bad packet, or with numbers that are no places, raises; RecorderLogError is a ValueError."""

Spawn = Callable[[layouts.ActorDescription, layouts.Transform, Actor | None], Actor]
Destroy = Callable[[int], bool]


@dataclass(frozen=True)
class ReplayOptions:
    """What clients set before a replay: speed, whether the hero and the spectator stay out of it."""

    time_factor: float = 1.0
    ignores_hero: bool = False
    ignores_spectator: bool = True


@dataclass(frozen=True)
class ReplayPlan:
    """What to replay: from `start_s` to `stop_s` of the log; the spectator follows actor `follow_id` (0: nobody)."""

    start_s: float
    stop_s: float
    follow_id: int = 0
    has_sensors: bool = False
    offset: Pose = field(default_factory=lambda: DEFAULT_OFFSET)


def _pose(place: log.Three, turn: log.Three) -> Pose:
    x, y, z = (M_PER_CM * value for value in place)
    return Pose(x, y, z, roll_deg=turn[0], pitch_deg=turn[1], yaw_deg=turn[2])


def pose_of_place(place: log.Place) -> Pose:
    """Return where a record puts an actor."""
    return _pose((place.x_cm, place.y_cm, place.z_cm), (place.roll_deg, place.pitch_deg, place.yaw_deg))


def between(first: Pose, second: Pose, share: float) -> Pose:
    """Return the pose a share of the way from one to another; angles take the shorter way."""

    def turned(a: float, b: float) -> float:
        return wrapped_deg(a + share * wrapped_deg(b - a))

    return Pose(
        first.x_m + share * (second.x_m - first.x_m),
        first.y_m + share * (second.y_m - first.y_m),
        first.z_m + share * (second.z_m - first.z_m),
        turned(first.pitch_deg, second.pitch_deg),
        turned(first.yaw_deg, second.yaw_deg),
        turned(first.roll_deg, second.roll_deg),
    )


class Replayer:
    """Plays a log into an episode, from the moment it is made; `is_over` when the plan's end is reached.

    Making it and `advance` raise one of UNREADABLE for a bad log; one that could not be made leaves nothing behind.
    """

    def __init__(
        self,
        recorded: RecordedLog,
        plan: ReplayPlan,
        options: ReplayOptions,
        episode: Episode,
        spawn: Spawn,
        destroy: Destroy,
    ) -> None:
        self.options = options
        self.is_over = False
        self._recorded = recorded
        self._plan = plan
        self._episode = episode
        self._spawn = spawn
        self._destroy = destroy
        self._time_s = plan.start_s
        self._done = -1
        self._actor_of: dict[int, Actor] = {}
        self._made: set[int] = set()
        self._pair: tuple[int, LoggedFrame, LoggedFrame] | None = None
        try:
            self._show()
        except UNREADABLE:
            self.stop(keeps_actors=False)
            raise

    def advance(self, dt_s: float) -> None:
        """Let a tick's time pass and put everybody in place; call it before the episode's own step."""
        self._time_s += dt_s * self.options.time_factor
        if self._time_s >= self._plan.stop_s:
            self._time_s = self._plan.stop_s
            self.is_over = True
        self._show()

    def set_velocities(self, dt_s: float) -> None:
        """Say how fast everybody moved in this tick; call it after the episode's own step."""
        for actor in self._actor_of.values():
            if not isinstance(actor, Vehicle | Walker):
                continue
            now, before = actor.pose, actor.previous_pose
            actor.velocity_m_s = change_per_s(six_of(before)[:3], six_of(now)[:3], dt_s)
            yaw_rate = wrapped_deg(now.yaw_deg - before.yaw_deg) / dt_s
            actor.angular_velocity_deg_s = (0.0, 0.0, yaw_rate)
            moved_m = math.hypot(now.x_m - before.x_m, now.y_m - before.y_m)
            if isinstance(actor, Vehicle):
                actor.chassis.show_driven(-moved_m if actor.control.reverse else moved_m, actor.control)
            else:
                actor.stride_m += moved_m

    def stop(self, *, keeps_actors: bool) -> None:
        """End the replay: actors are free again, or those that it made are gone."""
        for actor in list(self._actor_of.values()):
            if isinstance(actor, Vehicle):
                actor.simulates_physics = True
                actor.control = layouts.VehicleControl()
                actor.set_velocity((0.0, 0.0, 0.0))
            elif isinstance(actor, Walker):
                actor.walk(layouts.WalkerControl(actor.control.direction, 0.0))
            if not keeps_actors and actor.actor_id in self._made:
                self._destroy(actor.actor_id)
        self._actor_of.clear()
        self._recorded.close()

    # ---- one moment

    def _show(self) -> None:
        index = self._recorded.index_at(self._time_s)
        for number in range(self._done + 1, index + 1):
            self._apply_events(self._recorded.read(number, EVENTS))
        self._done = max(self._done, index)
        if index < 0:
            return
        now, then = self._frames(index)
        length_s = then.frame.elapsed_s - now.frame.elapsed_s
        share = min(1.0, (self._time_s - now.frame.elapsed_s) / length_s) if length_s > 0.0 else 0.0
        self._place(now, then, share)
        self._control(now)
        self._follow()

    def _frames(self, index: int) -> tuple[LoggedFrame, LoggedFrame]:
        """Return a frame and the next one; the last frame is its own next."""
        if self._pair is None or self._pair[0] != index:
            known = self._pair
            now = known[2] if known is not None and known[0] + 1 == index else self._recorded.read(index)
            is_last = index + 1 >= len(self._recorded.frames)
            self._pair = (index, now, now if is_last else self._recorded.read(index + 1))
        return self._pair[1], self._pair[2]

    def _place(self, now: LoggedFrame, then: LoggedFrame, share: float) -> None:
        later = {place.actor_id: place for place in then.of(PacketId.PLACES)}
        for place in now.of(PacketId.PLACES):
            actor = self._actor_of.get(place.actor_id)
            if actor is None or actor.parent is not None or actor.actor_id not in self._episode.actors:
                continue
            actor.move_to(between(pose_of_place(place), pose_of_place(later.get(place.actor_id, place)), share))

    def _control(self, now: LoggedFrame) -> None:
        for record in now.of(PacketId.VEHICLES):
            vehicle = self._actor_of.get(record.actor_id)
            if isinstance(vehicle, Vehicle):
                vehicle.control = layouts.VehicleControl(
                    record.throttle, record.steer, record.brake, record.hand_brake, record.gear < 0, gear=record.gear
                )
        for record in now.of(PacketId.WALKERS):
            walker = self._actor_of.get(record.actor_id)
            if isinstance(walker, Walker):
                walker.control = _walking(walker.pose, M_PER_CM * record.speed_cm_s)
                walker.is_led = True
        for record in now.of(PacketId.VEHICLE_LIGHTS):
            vehicle = self._actor_of.get(record.actor_id)
            if isinstance(vehicle, Vehicle):
                vehicle.lights = record.flags
        for record in now.of(PacketId.TRAFFIC_LIGHTS):
            light = self._actor_of.get(record.actor_id)
            if isinstance(light, TrafficLight):
                light.set_state(record.state)
                light.elapsed_s, light.is_frozen = record.elapsed_s, record.is_frozen

    def _follow(self) -> None:
        followed = self._actor_of.get(self._plan.follow_id)
        if self._plan.follow_id and followed is not None:
            self._episode.spectator.move_to(followed.pose.compose(self._plan.offset))

    # ---- who is there

    def _apply_events(self, frame: LoggedFrame) -> None:
        parents = {record.actor_id: record.parent_id for record in frame.of(PacketId.ATTACHED)}
        for added in frame.added:
            self._add(added, parents.get(added.actor_id))
        for record in frame.of(PacketId.REMOVED):
            actor = self._actor_of.pop(record.actor_id, None)
            if actor is not None:
                self._made.discard(actor.actor_id)
                self._destroy(actor.actor_id)

    def _add(self, added: log.Added, parent_id: int | None) -> None:
        if added.blueprint_id == "spectator":
            if not self.options.ignores_spectator and not self._plan.follow_id:
                self._actor_of[added.actor_id] = self._episode.spectator
            return
        if added.blueprint_id.startswith("traffic."):
            light = self._same_actor(added) or self._light_at(_pose(added.location_cm, added.rotation_deg))
            if isinstance(light, TrafficLight):
                self._actor_of[added.actor_id] = light
            return
        is_hero = ("role_name", "hero") in [(name, value) for _kind, name, value in added.attributes]
        if (self.options.ignores_hero and is_hero) or (
            added.blueprint_id.startswith("sensor.") and not self._plan.has_sensors
        ):
            return
        actor = self._same_actor(added) or self._make(added, None if not parent_id else self._actor_of.get(parent_id))
        if actor is not None:
            self._actor_of[added.actor_id] = actor
            if isinstance(actor, Vehicle):
                actor.simulates_physics = False
                actor.ackermann = actor.constant_velocity_m_s = None

    def _same_actor(self, added: log.Added) -> Actor | None:
        """Return the actor that is there already with the recorded id and blueprint."""
        actor = self._episode.actors.get(added.actor_id)
        return actor if actor is not None and actor.blueprint_id == added.blueprint_id else None

    def _make(self, added: log.Added, parent: Actor | None) -> Actor | None:
        attributes = [layouts.AttributeValue(name, kind, value) for kind, name, value in added.attributes]
        description = layouts.ActorDescription(added.uid, added.blueprint_id, attributes)
        pose = _pose(added.location_cm, added.rotation_deg)
        self._episode.reserve(added.actor_id)
        try:
            if parent is not None:
                relative = pose_from_matrix(np.linalg.inv(parent.pose.matrix()) @ pose.matrix())
                actor = self._spawn(description, transform_of(relative), parent)
            else:
                high = replace(pose, z_m=pose.z_m + OUT_OF_THE_WAY_M)
                actor = self._spawn(description, transform_of(high), None)
                actor.move_to(pose)
        except SpawnRefused:
            return None  # CARLA, too, goes on without an actor that it cannot make
        self._made.add(actor.actor_id)
        return actor

    def _light_at(self, pose: Pose) -> TrafficLight | None:
        for light in self._episode.lights:
            if math.hypot(light.pose.x_m - pose.x_m, light.pose.y_m - pose.y_m) < NEAR_LIGHT_M:
                return light
        return None


def _walking(pose: Pose, speed_m_s: float) -> layouts.WalkerControl:
    yaw = math.radians(pose.yaw_deg)
    return layouts.WalkerControl(layouts.Vector3D(math.cos(yaw), math.sin(yaw), 0.0), speed_m_s)
