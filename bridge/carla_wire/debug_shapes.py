"""CARLA's debug drawings: the primitives that a client may draw, typed, and both directions of their coding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from bridge.carla_wire.layouts import BoundingBox, ColorRgb, Layout, Rotation, Vector3D


class DebugPoint(Layout, frozen=True):
    """A point; size in metres."""

    location: Vector3D
    size: float


class DebugLine(Layout, frozen=True):
    """A line; thickness in metres."""

    begin: Vector3D
    end: Vector3D
    thickness: float


class DebugArrow(Layout, frozen=True):
    """A line with a head of `arrow_size` metres at its end."""

    line: DebugLine
    arrow_size: float


class DebugBox(Layout, frozen=True):
    """The edges of a box in world axes."""

    box: BoundingBox
    rotation: Rotation
    thickness: float


class DebugString(Layout, frozen=True):
    """A text, which CARLA shows in its own window only."""

    location: Vector3D
    text: str
    has_shadow: bool


Primitive = DebugPoint | DebugLine | DebugArrow | DebugBox | DebugString
PRIMITIVE_TYPES: tuple[type[Primitive], ...] = (DebugPoint, DebugLine, DebugArrow, DebugBox, DebugString)
"""By the variant index of CARLA 0.9.16; 5 to 8 are the first four again, for its own window."""
FIRST_OF_THE_WINDOW, AFTER_THE_WINDOW = 5, 9

_decoders: tuple[msgspec.msgpack.Decoder[Any], ...] = tuple(msgspec.msgpack.Decoder(kind) for kind in PRIMITIVE_TYPES)
_variant = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw])
_color = msgspec.msgpack.Decoder(ColorRgb)


def decode_primitive(wire: msgspec.Raw) -> Primitive | None:
    """Return what is to be drawn, None for what only CARLA's window shows; raises msgspec.ValidationError."""
    index, payload = _variant.decode(wire)
    if FIRST_OF_THE_WINDOW <= index < AFTER_THE_WINDOW:
        return None
    if not 0 <= index < len(_decoders):
        raise msgspec.ValidationError(f"Debug shape {index} does not exist")
    return _decoders[index].decode(payload)


def encode_primitive(primitive: Primitive) -> msgspec.Raw:
    """Return the wire form of a primitive; the inverse of `decode_primitive`."""
    return msgspec.Raw(msgspec.msgpack.encode((PRIMITIVE_TYPES.index(type(primitive)), primitive)))


def numbers_of(layout: Layout) -> Iterator[float]:
    """Return every float of a primitive, in the order of the wire."""
    for name in layout.__struct_fields__:
        value = getattr(layout, name)
        if isinstance(value, Layout):
            yield from numbers_of(value)
        elif isinstance(value, float):
            yield value


def decode_color(wire: msgspec.Raw) -> ColorRgb:
    """Return a drawing's colour; an opacity behind it is ignored."""
    return _color.decode(wire)
