"""CARLA's recorder files: the header, and packets of packed little-endian records, in both directions.

A file is a header (version, magic, date, map) and then, frame after frame, packets `u8 id | u32 size | payload`. Most
payloads are `u16 count` and so many records. Places are in centimetres, rotations are roll, pitch, yaw in degrees, as
the game engine has them; walkers' speeds are in cm/s. Layout after CARLA's recorder, version 0.9.12 and later: a reader
skips packets that it does not know, so files of other versions can be read as far as they agree.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

MAGIC = "CARLA_RECORDER"
VERSION = 1
NOT_AN_ACTOR = 0xFFFFFFFF
"""The id of the other party when something hits the static world."""
UNKNOWN_DURATION_S = -1.0
"""What a frame's duration says until the next frame has begun; the last frame keeps it."""
LONGEST_TEXT_BYTES = 0xFFFF
MOST_RECORDS = 0xFFFF

_PACKET = struct.Struct("<BI")
_COUNT = struct.Struct("<H")
_DATE = struct.Struct("<q")
_FRAME = struct.Struct("<Qdd")
_ADDED = struct.Struct("<IB6fI")

Three = tuple[float, float, float]


class RecorderLogError(ValueError):
    """A file that is no recorder's log, or ends in the middle of its header."""


class PacketId(enum.IntEnum):
    """What a packet holds; others that exist (walkers' bones, wheels' turns ...) are not written here."""

    FRAME_START = 0
    FRAME_END = 1
    ADDED = 2
    REMOVED = 3
    ATTACHED = 4
    COLLISIONS = 5
    PLACES = 6
    TRAFFIC_LIGHTS = 7
    VEHICLES = 8
    WALKERS = 9
    VEHICLE_LIGHTS = 10
    STREET_LIGHTS = 11
    KINEMATICS = 12
    BOXES = 13
    PLATFORM_TIME = 14
    LIGHT_TIMES = 16


class ActorKind(enum.IntEnum):
    """How a log sorts actors."""

    OTHER = 0
    VEHICLE = 1
    WALKER = 2
    TRAFFIC_LIGHT = 3
    TRAFFIC_SIGN = 4
    SENSOR = 5


class LogInfo(NamedTuple):
    """A file's header; `date_s` counts seconds since 1970."""

    map_name: str
    date_s: int
    version: int = VERSION


class LogFrame(NamedTuple):
    """A frame: its number from 1, how long it lasts (UNKNOWN_DURATION_S: the last one) and when it begins, seconds."""

    number: int
    duration_s: float
    elapsed_s: float


class Added(NamedTuple):
    """An actor that is there from this frame on: id, kind, place, rotation, and the blueprint with its attributes."""

    actor_id: int
    kind: int
    location_cm: Three
    rotation_deg: Three
    uid: int
    blueprint_id: str
    attributes: tuple[tuple[int, str, str], ...]

    def pack(self) -> bytes:
        """Return the record's bytes; attributes are type, id and value."""
        parts = [
            _ADDED.pack(self.actor_id, self.kind, *self.location_cm, *self.rotation_deg, self.uid),
            _pack_text(self.blueprint_id),
            _COUNT.pack(len(self.attributes)),
        ]
        for kind, name, value in self.attributes:
            parts += [bytes([kind]), _pack_text(name), _pack_text(value)]
        return b"".join(parts)


class Removed(NamedTuple):
    """An actor that is gone."""

    actor_id: int


class Attached(NamedTuple):
    """An actor that is attached to another."""

    actor_id: int
    parent_id: int


class Hit(NamedTuple):
    """A collision: its number, the two actors (NOT_AN_ACTOR: the static world), and whether each is the hero."""

    number: int
    actor_id: int
    other_id: int
    is_hero: bool
    is_other_hero: bool


class Place(NamedTuple):
    """Where an actor is: x, y, z in cm and roll, pitch, yaw in degrees."""

    actor_id: int
    x_cm: float
    y_cm: float
    z_cm: float
    roll_deg: float
    pitch_deg: float
    yaw_deg: float


class TrafficLightRecord(NamedTuple):
    """A traffic light: how long it has been in its state (0 red, 1 yellow, 2 green)."""

    actor_id: int
    is_frozen: bool
    elapsed_s: float
    state: int


class VehicleRecord(NamedTuple):
    """What a vehicle's driver does."""

    actor_id: int
    steer: float
    throttle: float
    brake: float
    hand_brake: bool
    gear: int


class WalkerRecord(NamedTuple):
    """How fast a walker walks."""

    actor_id: int
    speed_cm_s: float


class VehicleLightRecord(NamedTuple):
    """Which lights a vehicle has on."""

    actor_id: int
    flags: int


class StreetLightRecord(NamedTuple):
    """A street light that was switched: linear colour 0..1, group as in light states."""

    light_id: int
    intensity: float
    red: float
    green: float
    blue: float
    alpha: float
    is_on: bool
    group: int


class KinematicRecord(NamedTuple):
    """How an actor moves: m/s and deg/s, world axes."""

    actor_id: int
    vx_m_s: float
    vy_m_s: float
    vz_m_s: float
    wx_deg_s: float
    wy_deg_s: float
    wz_deg_s: float


class BoxRecord(NamedTuple):
    """An actor's box: middle and half sizes in cm, its own axes."""

    actor_id: int
    x_cm: float
    y_cm: float
    z_cm: float
    half_x_cm: float
    half_y_cm: float
    half_z_cm: float


class LightTimesRecord(NamedTuple):
    """How long a traffic light stays in each state."""

    actor_id: int
    green_s: float
    yellow_s: float
    red_s: float


RECORDS: dict[PacketId, tuple[type[Any], struct.Struct]] = {
    PacketId.REMOVED: (Removed, struct.Struct("<I")),
    PacketId.ATTACHED: (Attached, struct.Struct("<II")),
    PacketId.COLLISIONS: (Hit, struct.Struct("<III??")),
    PacketId.PLACES: (Place, struct.Struct("<I6f")),
    PacketId.TRAFFIC_LIGHTS: (TrafficLightRecord, struct.Struct("<I?fb")),
    PacketId.VEHICLES: (VehicleRecord, struct.Struct("<I3f?i")),
    PacketId.WALKERS: (WalkerRecord, struct.Struct("<If")),
    PacketId.VEHICLE_LIGHTS: (VehicleLightRecord, struct.Struct("<II")),
    PacketId.STREET_LIGHTS: (StreetLightRecord, struct.Struct("<i5f?B")),
    PacketId.KINEMATICS: (KinematicRecord, struct.Struct("<I6f")),
    PacketId.BOXES: (BoxRecord, struct.Struct("<I6f")),
    PacketId.LIGHT_TIMES: (LightTimesRecord, struct.Struct("<I3f")),
}
"""The packets that are lists of records of one size: the record's type and layout."""


def _pack_text(text: str) -> bytes:
    data = text.encode()[:LONGEST_TEXT_BYTES]
    return _COUNT.pack(len(data)) + data


def _unpack_text(data: bytes, offset: int) -> tuple[str, int]:
    (length,) = _COUNT.unpack_from(data, offset)
    end = offset + 2 + length
    if end > len(data):
        raise RecorderLogError("a text ends too early")
    return data[offset + 2 : end].decode(errors="replace"), end


def encode_info(info: LogInfo) -> bytes:
    """Return a file's header."""
    return _COUNT.pack(info.version) + _pack_text(MAGIC) + _DATE.pack(info.date_s) + _pack_text(info.map_name)


def decode_info(data: bytes) -> tuple[LogInfo, int]:
    """Return a file's header and where the packets begin; raises RecorderLogError if it is no recorder's file."""
    try:
        (version,) = _COUNT.unpack_from(data)
        magic, offset = _unpack_text(data, 2)
        if magic != MAGIC:
            raise RecorderLogError("it does not begin as one")
        (date_s,) = _DATE.unpack_from(data, offset)
        map_name, offset = _unpack_text(data, offset + _DATE.size)
    except struct.error as error:
        raise RecorderLogError("its header ends too early") from error
    return LogInfo(map_name, date_s, version), offset


def encode_packet(packet_id: PacketId, payload: bytes = b"") -> bytes:
    """Return one packet."""
    return _PACKET.pack(packet_id, len(payload)) + payload


def encode_records(packet_id: PacketId, records: Sequence[tuple[Any, ...]]) -> bytes:
    """Return the packet of a list of records of the packet's own type."""
    records = records[:MOST_RECORDS]
    pack = RECORDS[packet_id][1].pack
    return encode_packet(packet_id, _COUNT.pack(len(records)) + b"".join([pack(*record) for record in records]))


def decode_records(packet_id: PacketId, payload: bytes) -> list[Any]:
    """Return the records of a packet; the inverse of `encode_records`. Raises RecorderLogError if it ends too early."""
    kind, layout = RECORDS[packet_id]
    if len(payload) < 2:
        raise RecorderLogError("a packet ends too early")
    (count,) = _COUNT.unpack_from(payload)
    end = 2 + count * layout.size
    if end > len(payload):
        raise RecorderLogError("a packet ends too early")
    return [kind(*values) for values in layout.iter_unpack(payload[2:end])]


def encode_added(added: Sequence[Added]) -> bytes:
    """Return the packet of the actors that are new in a frame."""
    added = added[:MOST_RECORDS]
    return encode_packet(PacketId.ADDED, _COUNT.pack(len(added)) + b"".join(record.pack() for record in added))


def decode_added(payload: bytes) -> list[Added]:
    """Return the new actors of a packet; the inverse of `encode_added`. Raises RecorderLogError if it ends early."""
    found = []
    try:
        (count,) = _COUNT.unpack_from(payload)
        offset = 2
        for _ in range(count):
            actor_id, kind, *six, uid = _ADDED.unpack_from(payload, offset)
            blueprint_id, offset = _unpack_text(payload, offset + _ADDED.size)
            (attributes,) = _COUNT.unpack_from(payload, offset)
            offset += 2
            rows = []
            for _ in range(attributes):
                (attribute_kind,) = struct.unpack_from("<B", payload, offset)
                name, offset = _unpack_text(payload, offset + 1)
                value, offset = _unpack_text(payload, offset)
                rows.append((attribute_kind, name, value))
            place, turn = (six[0], six[1], six[2]), (six[3], six[4], six[5])
            found.append(Added(actor_id, kind, place, turn, uid, blueprint_id, tuple(rows)))
    except struct.error as error:
        raise RecorderLogError("a packet ends too early") from error
    return found


def encode_frame(frame: LogFrame) -> bytes:
    """Return the packet that begins a frame."""
    return encode_packet(PacketId.FRAME_START, _FRAME.pack(*frame))


DURATION_OFFSET = _PACKET.size + 8
"""Where in `encode_frame`'s bytes the duration stands, which is known only when the next frame begins."""


def encode_duration(duration_s: float) -> bytes:
    """Return a duration's bytes, to be written over the unknown one."""
    return struct.pack("<d", duration_s)


def decode_frame(payload: bytes) -> LogFrame:
    """Return the frame that a packet begins; the inverse of `encode_frame`."""
    try:
        return LogFrame(*_FRAME.unpack_from(payload))
    except struct.error as error:
        raise RecorderLogError("a packet ends too early") from error


def encode_platform_time(time_s: float) -> bytes:
    """Return the packet of the wall clock's seconds since the recording began."""
    return encode_packet(PacketId.PLATFORM_TIME, struct.pack("<d", time_s))


class Packet(NamedTuple):
    """A packet in a file: its id, and where its payload stands."""

    packet_id: int
    offset: int
    size: int


def scan_packets(file: BinaryIO, offset: int, size: int) -> Iterator[Packet]:
    """Yield the whole packets between `offset` and the file's `size`; what is cut off at the end is left out."""
    while offset + _PACKET.size <= size:
        file.seek(offset)
        packet_id, length = _PACKET.unpack(file.read(_PACKET.size))
        offset += _PACKET.size
        if offset + length > size:
            return
        yield Packet(packet_id, offset, length)
        offset += length
