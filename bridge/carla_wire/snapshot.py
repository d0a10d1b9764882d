"""The world snapshot that closes each tick: the episode, and the state of every actor in 119 bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from bridge.carla_wire.streams import SENSOR_HEADER_BYTES, SensorHeader, SensorType

ACTOR_STATE_BYTES = 119
ACTIVE = 1
"""The actor state of everything that lives; 2 dormant and 3 dying do not occur in the town."""
MAP_CHANGED = 1
"""Bit of the simulation state in an episode's first snapshot."""
LAMPS_CHANGED = 2
"""Bit of the simulation state after street lamps were switched: clients ask for them anew."""

_EPISODE = struct.Struct("<Qdf3iI")
_ACTOR = struct.Struct("<IB6f3f3f3f54s")
_WALKER = struct.Struct("<4f?")
_TRAFFIC_LIGHT = struct.Struct("<32s4fI?B")
_VEHICLE = struct.Struct("<3f3?ifB?IB")

Triple = tuple[float, float, float]


class EpisodeState(NamedTuple):
    """The part of a snapshot that is not about an actor; `delta_s` is the tick's length in simulation seconds."""

    episode_id: int
    platform_timestamp_s: float
    delta_s: float
    simulation_state: int = 0


class ActorState(NamedTuple):
    """One actor at one tick, world axes: metres, degrees, m/s, deg/s, m/s2; `tail` depends on the kind of actor."""

    actor_id: int
    pose: tuple[float, float, float, float, float, float]
    velocity_m_s: Triple = (0.0, 0.0, 0.0)
    angular_velocity_deg_s: Triple = (0.0, 0.0, 0.0)
    acceleration_m_s2: Triple = (0.0, 0.0, 0.0)
    tail: bytes = b""


class VehicleTail(NamedTuple):
    """What the snapshot says of a vehicle; speed limit in km/h, traffic light 0 red, 1 yellow, 2 green, 3 off."""

    throttle: float = 0.0
    steer: float = 0.0
    brake: float = 0.0
    hand_brake: bool = False
    reverse: bool = False
    manual_gear_shift: bool = False
    gear: int = 0
    speed_limit_kmh: float = 0.0
    traffic_light_state: int = 2
    has_traffic_light: bool = False
    traffic_light_id: int = 0
    failure_state: int = 0

    def pack(self) -> bytes:
        """Return the tail's bytes."""
        return _VEHICLE.pack(*self)

    @classmethod
    def unpack(cls, tail: bytes) -> VehicleTail:
        """Return the tail in these bytes; the inverse of `pack`."""
        return cls(*_VEHICLE.unpack_from(tail))


class WalkerTail(NamedTuple):
    """What the snapshot says of a walker: where it goes (unit vector), m/s, and whether it jumps."""

    direction_x: float = 0.0
    direction_y: float = 0.0
    direction_z: float = 0.0
    speed_m_s: float = 0.0
    jump: bool = False

    def pack(self) -> bytes:
        """Return the tail's bytes."""
        return _WALKER.pack(*self)

    @classmethod
    def unpack(cls, tail: bytes) -> WalkerTail:
        """Return the tail in these bytes; the inverse of `pack`."""
        return cls(*_WALKER.unpack_from(tail))


class TrafficLightTail(NamedTuple):
    """What the snapshot says of a traffic light; `sign_id` is its OpenDRIVE signal id, at most 32 bytes of ASCII."""

    sign_id: bytes
    green_s: float
    yellow_s: float
    red_s: float
    elapsed_s: float
    pole_index: int
    is_frozen: bool
    state: int

    def pack(self) -> bytes:
        """Return the tail's bytes; raises ValueError for a sign id that does not fit."""
        if len(self.sign_id) > 32:
            raise ValueError(f"the sign id {self.sign_id!r} is longer than 32 bytes")
        return _TRAFFIC_LIGHT.pack(*self)

    @classmethod
    def unpack(cls, tail: bytes) -> TrafficLightTail:
        """Return the tail in these bytes; the inverse of `pack`."""
        sign_id, *rest = _TRAFFIC_LIGHT.unpack_from(tail)
        return cls(sign_id.rstrip(b"\0"), *rest)


class TrafficSignTail(NamedTuple):
    """What the snapshot says of a traffic sign: its OpenDRIVE signal id, at most 32 bytes of ASCII."""

    sign_id: bytes

    def pack(self) -> bytes:
        """Return the tail's bytes; raises ValueError for a sign id that does not fit."""
        if len(self.sign_id) > 32:
            raise ValueError(f"the sign id {self.sign_id!r} is longer than 32 bytes")
        return self.sign_id.ljust(32, b"\0")

    @classmethod
    def unpack(cls, tail: bytes) -> TrafficSignTail:
        """Return the tail in these bytes; the inverse of `pack`."""
        return cls(tail[:32].rstrip(b"\0"))


def encode_snapshot(frame: int, timestamp_s: float, episode: EpisodeState, actors: Iterable[ActorState]) -> bytes:
    """Return a whole snapshot message, without its size prefix."""
    parts = [
        SensorHeader(SensorType.WORLD_SNAPSHOT, frame, timestamp_s).pack(),
        _EPISODE.pack(episode[0], episode[1], episode[2], 0, 0, 0, episode[3]),
    ]
    parts += [_ACTOR.pack(a[0], ACTIVE, *a[1], *a[2], *a[3], *a[4], a[5]) for a in actors]
    return b"".join(parts)


def decode_snapshot(message: bytes) -> tuple[SensorHeader, EpisodeState, list[ActorState]]:
    """Return what a snapshot holds; the inverse of `encode_snapshot`. Raises ValueError if its length does not fit."""
    header = SensorHeader.unpack(message)
    episode_id, platform_s, delta_s, _x, _y, _z, state = _EPISODE.unpack_from(message, SENSOR_HEADER_BYTES)
    states = memoryview(message)[SENSOR_HEADER_BYTES + _EPISODE.size :]
    if len(states) % ACTOR_STATE_BYTES:
        raise ValueError(f"{len(states)} bytes are not a whole number of actor states")
    actors = [ActorState(v[0], v[2:8], v[8:11], v[11:14], v[14:17], v[17]) for v in _ACTOR.iter_unpack(states)]
    return header, EpisodeState(episode_id, platform_s, delta_s, state), actors
