"""CARLA's sensor streams: the token that names one, the header of every message, and the small measurements' bodies.

A client opens one TCP connection per subscription and sends four bytes, the stream id; from then on it only reads
`u32 size | header (48) | body` messages. All integers are little-endian.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

import msgspec

from bridge.carla_wire.layouts import Actor, GeoLocation, Layout, Vector3D

TOKEN_BYTES = 24
SENSOR_HEADER_BYTES = 48
SNAPSHOT_STREAM_ID = 1
"""The world snapshot's stream; sensors count on from here."""

_TOKEN = struct.Struct("<IHBB16s")
_SIZE = struct.Struct("<I")
_SENSOR_HEADER = struct.Struct("<QQd6f")
_PROTOCOL_TCP = 1
_ADDRESS_OF_THE_SERVER = 0


class SensorType(enum.IntEnum):
    """Sensor ids of the 0.9.16 wheel; others in its table are not named here because sending them kills the client."""

    COLLISION = 0
    DEPTH = 1
    NORMALS = 2
    DVS = 3
    GNSS = 4
    IMU = 5
    OBSTACLE = 7
    OPTICAL_FLOW = 8
    RADAR = 9
    SEMANTIC_LIDAR = 10
    LIDAR = 11
    RGB = 13
    SEMANTIC_SEGMENTATION = 14
    INSTANCE_SEGMENTATION = 15
    WORLD_SNAPSHOT = 17


class StreamToken(NamedTuple):
    """Which stream, on which TCP port of the host that the client was given."""

    stream_id: int
    port: int

    def pack(self) -> bytes:
        """Return the token's 24 bytes; its empty address means "the host you already talk to", so NAT does no harm."""
        return _TOKEN.pack(self.stream_id, self.port, _PROTOCOL_TCP, _ADDRESS_OF_THE_SERVER, bytes(16))

    @classmethod
    def unpack(cls, data: bytes) -> StreamToken:
        """Return the token in 24 bytes; the inverse of `pack`. Raises ValueError for another size or protocol."""
        if len(data) != TOKEN_BYTES:
            raise ValueError(f"a stream token has {TOKEN_BYTES} bytes, not {len(data)}")
        stream_id, port, protocol, _kind, _address = _TOKEN.unpack(data)
        if protocol != _PROTOCOL_TCP:
            raise ValueError(f"stream protocol {protocol} is not TCP")
        return cls(stream_id, port)


class SensorHeader(NamedTuple):
    """The head of every message: what, which frame, when (elapsed simulation seconds), and the sensor's world pose.

    The pose is x, y, z in metres and pitch, yaw, roll in degrees; zeros for the world snapshot.
    """

    sensor_type: int
    frame: int
    timestamp_s: float
    pose: tuple[float, float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    def pack(self) -> bytes:
        """Return the header's 48 bytes; raises ValueError for a sensor type that the client would not survive."""
        return _SENSOR_HEADER.pack(SensorType(self.sensor_type), self.frame, self.timestamp_s, *self.pose)

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> SensorHeader:
        """Return the header at the beginning of a message; the inverse of `pack`."""
        sensor_type, frame, timestamp_s, *pose = _SENSOR_HEADER.unpack_from(data)
        return cls(sensor_type, frame, timestamp_s, tuple(pose))


def pack_stream_id(stream_id: int) -> bytes:
    """Return the four bytes by which a client subscribes."""
    return _SIZE.pack(stream_id)


def unpack_stream_id(data: bytes) -> int:
    """Return the stream id of a subscription; the inverse of `pack_stream_id`."""
    (stream_id,) = _SIZE.unpack(data)
    return stream_id


def pack_size(*buffers: bytes | memoryview) -> bytes:
    """Return the four bytes that go before the message made of `buffers`; raises ValueError if it is empty."""
    size = sum(memoryview(buffer).nbytes for buffer in buffers)
    if size == 0:
        raise ValueError("a stream message may not be empty")
    return _SIZE.pack(size)


def unpack_size(data: bytes) -> int:
    """Return the size of the message that follows these four bytes; the inverse of `pack_size`."""
    (size,) = _SIZE.unpack(data)
    return size


class InertialMeasurement(Layout, frozen=True):
    """Acceleration with gravity in m/s2 and angular velocity in rad/s, sensor axes; compass in radians, 0 = north."""

    accelerometer: Vector3D
    gyroscope: Vector3D
    compass_rad: float


class CollisionEvent(Layout, frozen=True):
    """Who met whom, and the impulse on the first, in N s."""

    actor: Actor
    other: Actor
    normal_impulse: Vector3D


class ObstacleEvent(Layout, frozen=True):
    """Who sees what ahead, and how far away it is in metres."""

    actor: Actor
    other: Actor
    distance_m: float


_encoder = msgspec.msgpack.Encoder()
_gnss = msgspec.msgpack.Decoder(GeoLocation)
_inertial = msgspec.msgpack.Decoder(InertialMeasurement)
_collision = msgspec.msgpack.Decoder(CollisionEvent)
_obstacle = msgspec.msgpack.Decoder(ObstacleEvent)


def encode_measurement(measurement: GeoLocation | InertialMeasurement | CollisionEvent | ObstacleEvent) -> bytes:
    """Return the body of a GNSS, IMU, collision or obstacle message."""
    return _encoder.encode(measurement)


def decode_gnss(body: bytes) -> GeoLocation:
    """Return the position in a GNSS body; an inverse of `encode_measurement`."""
    return _gnss.decode(body)


def decode_inertial(body: bytes) -> InertialMeasurement:
    """Return the measurement in an IMU body; an inverse of `encode_measurement`."""
    return _inertial.decode(body)


def decode_collision(body: bytes) -> CollisionEvent:
    """Return the event in a collision body; an inverse of `encode_measurement`."""
    return _collision.decode(body)


def decode_obstacle(body: bytes) -> ObstacleEvent:
    """Return the event in an obstacle body; an inverse of `encode_measurement`."""
    return _obstacle.decode(body)
