"""The recorder: writes what happens in an episode, tick by tick, as a log in CARLA's own format."""

from __future__ import annotations

import time
from pathlib import Path

from bridge.carla_wire import recorder_log as log
from bridge.carla_wire.recorder_log import PacketId
from bridge.town.actors import Actor, Vehicle
from bridge.town.episode import Episode
from bridge.town.pose import Pose
from bridge.town.sensors import Sensor
from bridge.town.traffic_lights import TrafficLight, TrafficSign
from bridge.town.walkers import Walker

CM_PER_M = 100.0


def kind_of(actor: Actor) -> log.ActorKind:
    """Return how a log sorts an actor."""
    for kind, number in (
        (Vehicle, log.ActorKind.VEHICLE),
        (Walker, log.ActorKind.WALKER),
        (TrafficLight, log.ActorKind.TRAFFIC_LIGHT),
        (TrafficSign, log.ActorKind.TRAFFIC_SIGN),
        (Sensor, log.ActorKind.SENSOR),
    ):
        if isinstance(actor, kind):
            return number
    return log.ActorKind.OTHER


def is_hero(actor: Actor | None) -> bool:
    """Tell whether an actor has the role of the hero."""
    return actor is not None and actor.attributes.get("role_name") == "hero"


def _location_cm(pose: Pose) -> log.Three:
    return (CM_PER_M * pose.x_m, CM_PER_M * pose.y_m, CM_PER_M * pose.z_m)


def _rotation_deg(pose: Pose) -> log.Three:
    return (pose.roll_deg, pose.pitch_deg, pose.yaw_deg)


class Recorder:
    """Writes one log; raises OSError where the file cannot be written.

    With `has_additional_data` it also writes velocities, boxes, the wall clock and the traffic lights' times.
    """

    def __init__(self, path: Path, map_name: str, *, has_additional_data: bool = False) -> None:
        self.path = path
        self._has_additional_data = has_additional_data
        self._file = path.open("wb")
        self._file.write(log.encode_info(log.LogInfo(map_name, int(time.time()))))
        self._began = time.perf_counter()
        self._frame = log.LogFrame(0, 0.0, 0.0)
        self._duration_at = 0
        self._known: dict[int, int] = {}
        self._hits = 0

    def record(self, episode: Episode, dt_s: float) -> None:
        """Write the frame that a tick of `dt_s` has made; the first one holds every actor there is."""
        number = self._frame.number + 1
        elapsed_s = self._frame.elapsed_s + (dt_s if number > 1 else 0.0)
        self._frame = log.LogFrame(number, log.UNKNOWN_DURATION_S, elapsed_s)
        if number > 1:
            self._write_duration(dt_s)
        self._duration_at = self._file.tell() + log.DURATION_OFFSET
        # a packet of actors, positions and states each, in CARLA's order
        parts = [log.encode_frame(self._frame), *self._events(episode), *self._positions(episode)]
        if self._has_additional_data:
            parts += self._additional(episode)
        parts.append(log.encode_packet(PacketId.FRAME_END))
        self._file.write(b"".join(parts))

    def close(self) -> None:
        """End the log."""
        self._file.close()

    def _write_duration(self, dt_s: float) -> None:
        end = self._file.tell()
        self._file.seek(self._duration_at)
        self._file.write(log.encode_duration(dt_s))
        self._file.seek(end)

    def _events(self, episode: Episode) -> list[bytes]:
        """Return what came, went, was attached or collided since the last frame."""
        now = {
            actor.actor_id: 0 if actor.parent is None else actor.parent.actor_id for actor in episode.actors.values()
        }
        added = [episode.actors[actor_id] for actor_id in now if actor_id not in self._known]
        self._new = added
        attached = [log.Attached(a, parent) for a, parent in now.items() if parent and self._known.get(a) != parent]
        removed = [log.Removed(actor_id) for actor_id in self._known if actor_id not in now]
        self._known = now
        return [
            log.encode_added([_added(actor) for actor in added]),
            log.encode_records(PacketId.REMOVED, removed),
            log.encode_records(PacketId.ATTACHED, attached),
            log.encode_records(PacketId.COLLISIONS, self._collisions(episode)),
        ]

    def _collisions(self, episode: Episode) -> list[log.Hit]:
        hits, seen = [], set[tuple[int, int]]()
        for collision in episode.collisions:
            other_id = log.NOT_AN_ACTOR if collision.other is None else collision.other.actor_id
            pair = (collision.actor.actor_id, other_id)
            if pair not in seen:
                seen.add(pair)
                hits.append(log.Hit(self._hits, *pair, is_hero(collision.actor), is_hero(collision.other)))
                self._hits += 1
        return hits

    def _positions(self, episode: Episode) -> list[bytes]:
        vehicles, walkers = list(episode.of_kind(Vehicle)), list(episode.of_kind(Walker))
        movable = [a for a in episode.actors.values() if not isinstance(a, Sensor | TrafficSign)]
        controls = [(v.actor_id, v.control, v.chassis.gear) for v in vehicles]
        return [
            log.encode_records(
                PacketId.PLACES, [log.Place(a.actor_id, *_location_cm(a.pose), *_rotation_deg(a.pose)) for a in movable]
            ),
            log.encode_records(
                PacketId.TRAFFIC_LIGHTS,
                [
                    log.TrafficLightRecord(light.actor_id, light.is_frozen, light.elapsed_s, light.light_state)
                    for light in episode.lights
                ],
            ),
            log.encode_records(
                PacketId.VEHICLES,
                [log.VehicleRecord(i, c.steer, c.throttle, c.brake, c.hand_brake, gear) for i, c, gear in controls],
            ),
            log.encode_records(
                PacketId.WALKERS, [log.WalkerRecord(w.actor_id, CM_PER_M * w.control.speed) for w in walkers]
            ),
            log.encode_records(
                PacketId.VEHICLE_LIGHTS, [log.VehicleLightRecord(v.actor_id, v.lights) for v in vehicles]
            ),
        ]

    def _additional(self, episode: Episode) -> list[bytes]:
        moving = [a for a in episode.actors.values() if isinstance(a, Vehicle | Walker)]
        boxes = [
            log.BoxRecord(a.actor_id, *(CM_PER_M * v for v in (b.location.x, b.location.y, b.location.z)),
                          *(CM_PER_M * v for v in (b.extent.x, b.extent.y, b.extent.z)))
            for a in self._new if (b := a.bounding_box).extent.x > 0.0
        ]  # fmt: skip
        times = [
            log.LightTimesRecord(a.actor_id, a.green_s, a.yellow_s, a.red_s)
            for a in self._new
            if isinstance(a, TrafficLight)
        ]
        kinematics = [log.KinematicRecord(a.actor_id, *a.velocity_m_s, *a.angular_velocity_deg_s) for a in moving]
        return [
            log.encode_records(PacketId.KINEMATICS, kinematics),
            log.encode_records(PacketId.BOXES, boxes),
            log.encode_platform_time(time.perf_counter() - self._began),
            log.encode_records(PacketId.LIGHT_TIMES, times),
        ]


def _added(actor: Actor) -> log.Added:
    attributes = tuple((a.type, a.id, a.value) for a in actor.description.attributes)
    place, turn = _location_cm(actor.pose), _rotation_deg(actor.pose)
    return log.Added(actor.actor_id, kind_of(actor), place, turn, actor.description.uid, actor.blueprint_id, attributes)
