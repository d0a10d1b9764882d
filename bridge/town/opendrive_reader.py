"""A client's OpenDRIVE text to roads: pieces with one lane profile each, in OpenDRIVE's frame.

Read are reference lines (line, arc, spiral, poly3, paramPoly3), lane offsets, lane sections, lanes with their widths
and marks, and speed limits. Where widths change, a road is cut into pieces so short that each may have the mean. The
town is flat, so roads that climb are refused; signs, lights and objects are not read.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np

from bridge.town.roads import Lane, LaneKind, LaneProfile, Mark, Road, Segment

MOST_BYTES = 8 * 1024 * 1024
MOST_LENGTH_M = 30_000.0
MOST_ACROSS_M = 1200.0
MOST_PIECES = 4000
MOST_LANES = 40
STEEPEST_M = 0.3
"""A road that leaves the plane by more is no road of the town's."""
_PIECE_M = 2.0
_LONGEST_PIECE_M = 40.0
_SHORTEST_M = 1e-3
_SAME_M = 1e-4
_MPH_KMH, _M_S_KMH = 1.609344, 3.6
_KINDS: dict[str, LaneKind] = {"parking": "parking", "sidewalk": "sidewalk", "curb": "sidewalk", "walking": "sidewalk"}
_KINDS |= dict.fromkeys(
    ("driving", "bidirectional", "entry", "exit", "onRamp", "offRamp", "connectingRamp", "bus", "taxi", "HOV"),
    "driving",
)
_NOTHING = ("none", "border", "median", "tram", "rail", "roadWorks")


class OpenDriveRefused(Exception):
    """A text of which the town cannot make a world; the message says why."""


@dataclass(frozen=True)
class Piece:
    """A stretch of a client's road from `from_s_m` on; `is_inside`: it leads through a junction."""

    road: Road
    from_s_m: float
    is_inside: bool


@dataclass(frozen=True)
class _Cubic:
    """a + b ds + c ds^2 + d ds^3 from `s_m` on."""

    s_m: float
    a: float
    b: float
    c: float
    d: float

    def at(self, s_m: float) -> float:
        ds = s_m - self.s_m
        return self.a + ds * (self.b + ds * (self.c + ds * self.d))

    @property
    def is_constant(self) -> bool:
        return self.b == self.c == self.d == 0.0


def read_opendrive(text: str) -> tuple[Piece, ...]:
    """Return the pieces of all roads of an OpenDRIVE document; raises OpenDriveRefused."""
    if len(text) > MOST_BYTES:
        raise OpenDriveRefused(f"The OpenDRIVE text is longer than {MOST_BYTES // 2**20} MiB")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise OpenDriveRefused("The OpenDRIVE text declares a document type, which the town does not read")
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError) as error:
        raise OpenDriveRefused(f"The OpenDRIVE text is no XML: {error}") from error
    if root.tag != "OpenDRIVE":
        raise OpenDriveRefused(f"The text's root is <{root.tag[:40]}>, not <OpenDRIVE>")
    pieces: list[Piece] = []
    length_m = 0.0
    elements = root.findall("road")
    if len(elements) > MOST_PIECES:
        raise OpenDriveRefused(f"The OpenDRIVE text has more than {MOST_PIECES} roads")
    for element in elements:
        name = element.get("id", "?")[:40]
        try:
            line = _reference_line(element)
            length_m += sum(segment.length_m for segment in line)
            if length_m <= MOST_LENGTH_M:
                pieces += _read_road(element, line, len(pieces))
        except (ValueError, OverflowError) as error:
            raise OpenDriveRefused(f"Road {name} of the OpenDRIVE text is not understood: {error}") from error
        if length_m > MOST_LENGTH_M or len(pieces) > MOST_PIECES:
            raise OpenDriveRefused(
                f"The OpenDRIVE text has more than {MOST_LENGTH_M / 1000.0:.0f} km of road,"
                f" or more than {MOST_PIECES} changes of its lanes"
            )
    if not any(lane.kind == "driving" for piece in pieces for lane in _all_lanes(piece.road.profile)):
        raise OpenDriveRefused("The OpenDRIVE text has no road with a driving lane")
    ends = np.array([segment.end()[:2] for piece in pieces for segment in piece.road.segments])
    if np.ptp(ends, axis=0).max() > MOST_ACROSS_M or np.abs(ends).max() > 1e5:
        raise OpenDriveRefused(f"The OpenDRIVE text's roads reach over more than {MOST_ACROSS_M:.0f} m")
    return tuple(pieces)


def _all_lanes(profile: LaneProfile) -> tuple[Lane, ...]:
    return (*profile.left, *profile.right)


def _number(element: ET.Element, name: str, default: float | None = None) -> float:
    """Return a finite number of an element; raises ValueError."""
    text = element.get(name)
    if text is None:
        if default is None:
            raise ValueError(f"<{element.tag}> has no {name}")
        return default
    value = float(text)
    if not math.isfinite(value) or abs(value) > 1e9:
        raise ValueError(f"{name} of <{element.tag}> is no number of reasonable size")
    return value


def _cubics(elements: Sequence[ET.Element], start: str = "s", from_m: float = 0.0) -> list[_Cubic]:
    cubics = [
        _Cubic(from_m + _number(e, start, 0.0), *(_number(e, name, 0.0) for name in ("a", "b", "c", "d")))
        for e in elements
    ]
    return sorted(cubics, key=lambda cubic: cubic.s_m)


def _value(cubics: Sequence[_Cubic], s_m: float) -> float:
    """Return the value of the last polynomial that has begun; they are in their order along the road."""
    begun = bisect.bisect_right(cubics, s_m + _SAME_M, key=lambda cubic: cubic.s_m)
    return cubics[begun - 1].at(s_m) if begun else 0.0


def _read_road(element: ET.Element, line: Sequence[Segment], first_id: int) -> Iterator[Piece]:
    length_m = sum(segment.length_m for segment in line)
    if not _SHORTEST_M < length_m <= MOST_LENGTH_M:
        raise ValueError(f"its length is {length_m:.3g} m")
    _refuse_slopes(element, length_m)
    lanes = element.find("lanes")
    if lanes is None:
        raise ValueError("it has no lanes")
    offsets = _cubics(lanes.findall("laneOffset"))
    sections = sorted(lanes.findall("laneSection"), key=lambda section: _number(section, "s"))
    if not sections:
        raise ValueError("it has no lane section")
    if len(sections) > MOST_PIECES:
        raise ValueError(f"it has {len(sections)} lane sections")
    whole = Road(0, tuple(line), LaneProfile((), ()))
    limit_kmh = _speed_limit_kmh(element)
    is_inside = element.get("junction", "-1") not in ("-1", "")
    edges = [*(min(max(0.0, _number(section, "s")), length_m) for section in sections), length_m]
    number = first_id
    for section, (start, stop) in zip(sections, itertools.pairwise(edges), strict=True):
        for first, last, segments, profile in _stretches(whole, section, offsets, start, stop):
            number += 1
            road = Road(number, segments, profile, junction_id=0 if is_inside else -1, speed_limit_kmh=limit_kmh)
            if last - first > _SHORTEST_M and _all_lanes(profile):
                yield Piece(road, first, is_inside)


def _stretches(
    whole: Road, section: ET.Element, offsets: Sequence[_Cubic], start: float, stop: float
) -> Iterator[tuple[float, float, tuple[Segment, ...], LaneProfile]]:
    """Yield where a lane section's pieces begin and end, their reference lines and their profiles."""
    widths = {
        side: [(lane, _cubics(lane.findall("width"), "sOffset", start)) for lane in _lanes_of(section, side)]
        for side in ("left", "right")
    }
    centre = section.find("center/lane")
    centre_mark = _mark(centre) if centre is not None else "none"
    varies = any(not cubic.is_constant for lanes in widths.values() for _, width in lanes for cubic in width)
    cuts = {cubic.s_m for lanes in widths.values() for _, width in lanes for cubic in width if start < cubic.s_m < stop}
    shifts = any(not (cubic.is_constant and cubic.a == 0.0) for cubic in offsets)
    longest = _PIECE_M if varies or shifts else _LONGEST_PIECE_M
    if math.ceil((stop - start) / longest) + len(cuts) > MOST_PIECES:
        raise ValueError("it is too long, or its lanes change too often")
    for a, b in itertools.pairwise(sorted({start, stop, *cuts})):
        count = max(1, math.ceil((b - a) / longest))
        for k in range(count):
            first, last = a + (b - a) * k / count, a + (b - a) * (k + 1) / count
            if last - first <= _SHORTEST_M:
                continue
            middle = 0.5 * (first + last)
            sides = {side: _profile_side(lanes, middle) for side, lanes in widths.items()}
            profile = LaneProfile(sides["left"], sides["right"], centre_mark)
            if shifts:
                ends = [whole.point(s, _value(offsets, s)) for s in (first, last)]
                segments = (_between(ends[0], ends[1]),)
            else:
                segments = tuple(_cut(whole.segments, first, last))
            if segments:
                yield first, last, segments, profile


def _lanes_of(section: ET.Element, side: str) -> list[ET.Element]:
    """Return the lanes of a side from the inside out."""
    lanes = section.findall(f"{side}/lane")
    if len(lanes) > MOST_LANES:
        raise ValueError(f"it has {len(lanes)} lanes on one side")
    return sorted(lanes, key=lambda lane: abs(_number(lane, "id")))


def _profile_side(lanes: Sequence[tuple[ET.Element, Sequence[_Cubic]]], s_m: float) -> tuple[Lane, ...]:
    found: list[Lane] = []
    for element, width in lanes:
        kind_name = element.get("type", "none")
        width_m = max(0.0, _value(width, s_m))
        if width_m > 100.0:
            raise ValueError(f"a lane is {width_m:.0f} m wide")
        found.append(Lane(_KINDS.get(kind_name, "shoulder"), width_m, _mark(element)))
    names = [element.get("type", "none") for element, _ in lanes]
    while found and names[len(found) - 1] in _NOTHING:  # beside the outermost lane with a surface there is grass
        found.pop()
    return tuple(found)


def _mark(lane: ET.Element) -> Mark:
    """Return the first mark of a lane, in the town's words."""
    kinds = [mark.get("type", "none") for mark in lane.findall("roadMark")]
    kind = next(iter(kinds), "none")
    if kind == "solid solid":
        return "solid solid"
    if "solid" in kind:
        return "solid"
    return "broken" if "broken" in kind else "none"


def _speed_limit_kmh(road: ET.Element) -> float:
    speed = road.find("type/speed")
    if speed is None or speed.get("max", "") in ("", "no limit", "undefined"):
        return 50.0
    factor = {"km/h": 1.0, "mph": _MPH_KMH}.get(speed.get("unit", "m/s"), _M_S_KMH)
    return min(max(5.0, _number(speed, "max") * factor), 300.0)


def _refuse_slopes(road: ET.Element, length_m: float) -> None:
    heights = _cubics(road.findall("elevationProfile/elevation"))
    tilts = _cubics(road.findall("lateralProfile/superelevation"))
    for s in np.linspace(0.0, length_m, max(2, min(2000, math.ceil(length_m / 5.0)) + 1)).tolist():
        height, tilt = _value(heights, s), _value(tilts, s)
        if abs(height) > STEEPEST_M:
            raise ValueError(f"it is {height:.1f} m high {s:.0f} m along, and the town is flat")
        if abs(tilt) > 0.05:
            raise ValueError(f"it tilts by {math.degrees(tilt):.0f} degrees {s:.0f} m along, and the town is flat")


# ---- reference lines


def _reference_line(road: ET.Element) -> list[Segment]:
    geometries = sorted(road.findall("planView/geometry"), key=lambda geometry: _number(geometry, "s"))
    if not geometries:
        raise ValueError("it has no plan view")
    line: list[Segment] = []
    for geometry in geometries:
        x, y, heading, length = (_number(geometry, name) for name in ("x", "y", "hdg", "length"))
        if not 0.0 <= length <= MOST_LENGTH_M:
            raise ValueError(f"a geometry is {length:.3g} m long")
        if length > _SHORTEST_M:
            line += _segments(geometry, (x, y, heading), length)
    return line


def _segments(geometry: ET.Element, start: tuple[float, float, float], length: float) -> list[Segment]:
    for kind in geometry:
        if kind.tag == "line":
            return [Segment(*start, length)]
        if kind.tag == "arc":
            return [Segment(*start, length, _curvature(_number(kind, "curvature")))]
        if kind.tag == "spiral":
            return _spiral(kind, start, length)
        if kind.tag in ("poly3", "paramPoly3"):
            return _polynomial(kind, start, length)
    raise ValueError("a geometry is no line, arc, spiral or polynomial")


def _curvature(value: float) -> float:
    if abs(value) > 2.0:
        raise ValueError(f"it bends with a radius of {1.0 / abs(value):.2f} m")
    return 0.0 if abs(value) < 1e-9 else value


def _spiral(kind: ET.Element, start: tuple[float, float, float], length: float) -> list[Segment]:
    """Return a clothoid as short arcs, each with the curvature of its middle."""
    first, last = _number(kind, "curvStart"), _number(kind, "curvEnd")
    count = max(1, math.ceil(length))
    segments: list[Segment] = []
    for k in range(count):
        curvature = _curvature(first + (last - first) * (k + 0.5) / count)
        x, y, heading = segments[-1].end() if segments else start
        segments.append(Segment(x, y, heading, length / count, curvature))
    return segments


def _polynomial(kind: ET.Element, start: tuple[float, float, float], length: float) -> list[Segment]:
    """Return a polynomial of the geometry's own axes as chords of about a metre."""
    count = max(1, math.ceil(length))
    share = np.linspace(0.0, 1.0, count + 1)
    if kind.tag == "poly3":
        u, v = share * length, _polyval(kind, "", share * length)
    else:
        p = share if kind.get("pRange", "normalized") == "normalized" else share * length
        u, v = _polyval(kind, "U", p), _polyval(kind, "V", p)
    x0, y0, heading = start
    x = x0 + u * math.cos(heading) - v * math.sin(heading)
    y = y0 + u * math.sin(heading) + v * math.cos(heading)
    ends = [(float(a), float(b), 0.0) for a, b in zip(x, y, strict=True)]
    chords = [_between(a, b) for a, b in itertools.pairwise(ends)]
    return [chord for chord in chords if chord.length_m > _SHORTEST_M]


def _polyval(kind: ET.Element, axis: str, p: np.ndarray) -> np.ndarray:
    a, b, c, d = (_number(kind, name + axis, 0.0) for name in ("a", "b", "c", "d"))
    values = a + p * (b + p * (c + p * d))
    if not np.isfinite(values).all() or np.abs(values).max() > 1e6:
        raise ValueError("a polynomial leaves the world")
    return values


def _between(start: tuple[float, float, float], end: tuple[float, float, float]) -> Segment:
    dx, dy = end[0] - start[0], end[1] - start[1]
    return Segment(start[0], start[1], math.atan2(dy, dx), math.hypot(dx, dy))


def _cut(segments: Sequence[Segment], first: float, last: float) -> Iterator[Segment]:
    """Yield what lies of a chain between two distances along it."""
    start = 0.0
    for segment in segments:
        a, b = max(first - start, 0.0), min(last - start, segment.length_m)
        if b - a > 1e-6:
            x, y, heading = (float(value) for value in segment.point(a))
            yield Segment(x, y, heading, b - a, segment.curvature_per_m)
        start += segment.length_m
