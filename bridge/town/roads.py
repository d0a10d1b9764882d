"""Roads as chains of lines and arcs with a lane profile, in OpenDRIVE's frame: right-handed, x east, y north, metres.

A road's own coordinates are (s, t): s along its reference line, t to the left of it. Everything else of the town
(OpenDRIVE text, ground height, scenery) is swept along these; nothing assumes that there is one street.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

LaneKind = Literal["driving", "parking", "shoulder", "sidewalk"]
Mark = Literal["none", "solid", "broken", "solid solid"]
Contact = Literal["start", "end"]

KERB_HEIGHT_M = 0.14


@dataclass(frozen=True)
class Segment:
    """A line (curvature 0) or an arc of the reference line; curvature is positive to the left."""

    x_m: float
    y_m: float
    heading_rad: float
    length_m: float
    curvature_per_m: float = 0.0

    def point(self, s_m: ArrayLike, t_m: ArrayLike = 0.0) -> tuple[NDArray, NDArray, NDArray]:
        """Return x, y and heading at distance `s_m` along and `t_m` to the left of this segment."""
        s, t = np.broadcast_arrays(np.asarray(s_m, np.float64), np.asarray(t_m, np.float64))
        k = self.curvature_per_m
        heading = self.heading_rad + k * s
        if k == 0.0:
            along_x, along_y = s * math.cos(self.heading_rad), s * math.sin(self.heading_rad)
        else:
            along_x = (np.sin(heading) - math.sin(self.heading_rad)) / k
            along_y = (math.cos(self.heading_rad) - np.cos(heading)) / k
        return self.x_m + along_x - t * np.sin(heading), self.y_m + along_y + t * np.cos(heading), heading

    def project(self, x_m: NDArray, y_m: NDArray) -> tuple[NDArray, NDArray]:
        """Return (s, t) of points; s lies outside 0..length where a point is not beside this segment."""
        dx, dy = x_m - self.x_m, y_m - self.y_m
        cos_h, sin_h = math.cos(self.heading_rad), math.sin(self.heading_rad)
        ahead, left = dx * cos_h + dy * sin_h, dy * cos_h - dx * sin_h
        k = self.curvature_per_m
        if k == 0.0:
            return ahead, left
        radius = 1.0 / k
        # Seen from the arc's centre, the angle swept since the start; centred on the arc so that it never wraps inside.
        half = 0.5 * self.length_m * k
        angle = np.arctan2(ahead, radius - left) if k > 0 else np.arctan2(-ahead, left - radius)
        angle = (angle - half + math.pi) % (2 * math.pi) - math.pi + half
        t = radius - math.copysign(1.0, k) * np.hypot(ahead, radius - left)
        return angle / k, t

    def end(self) -> tuple[float, float, float]:
        """Return x, y and heading where this segment ends."""
        x, y, heading = self.point(self.length_m)
        return float(x), float(y), float(heading)


@dataclass(frozen=True)
class Lane:
    """One lane of a profile; `mark` is the paint along its outer edge."""

    kind: LaneKind
    width_m: float
    mark: Mark = "none"


@dataclass(frozen=True)
class LaneProfile:
    """The lanes of a road on each side of its reference line, from the inside out; traffic keeps right."""

    left: tuple[Lane, ...]
    right: tuple[Lane, ...]
    centre_mark: Mark = "broken"

    def lanes(self, side: int) -> tuple[Lane, ...]:
        """Return the lanes of one side: +1 left (t > 0), -1 right."""
        return self.left if side > 0 else self.right

    def edge_m(self, side: int, kinds: Sequence[LaneKind]) -> float:
        """Return the distance from the reference line to the outer edge of the outermost lane of these kinds."""
        outer = reached = 0.0
        for lane in self.lanes(side):
            outer += lane.width_m
            if lane.kind in kinds:
                reached = outer
        return reached

    def kerb_m(self, side: int) -> float:
        """Return the distance from the reference line to the kerb."""
        return self.edge_m(side, ("driving", "parking", "shoulder"))

    def frontage_m(self, side: int) -> float:
        """Return the distance from the reference line to the back of the sidewalk, where the lots begin."""
        return self.edge_m(side, ("driving", "parking", "shoulder", "sidewalk"))

    def num_driving(self, side: int) -> int:
        """Return how many driving lanes a side has."""
        return sum(lane.kind == "driving" for lane in self.lanes(side))

    def centre_of_m(self, side: int, index: int) -> float:
        """Return the signed t of the middle of lane `index` (0 = innermost) of a side."""
        lanes = self.lanes(side)
        return side * (sum(lane.width_m for lane in lanes[:index]) + 0.5 * lanes[index].width_m)


@dataclass(frozen=True)
class RoadLink:
    """What a road's end touches: another road, at that road's start or end."""

    road_id: int
    contact: Contact


@dataclass(frozen=True)
class JunctionLink:
    """What a road's end touches: a junction."""

    junction_id: int


@dataclass(frozen=True)
class Road:
    """A chain of segments that share one lane profile; `junction_id` is -1 unless it connects roads in a junction.

    `lane_links` (from lane, to lane) name the lanes at the predecessor's and the successor's end that lane -1 of a
    connecting road joins; other roads join lanes of equal place.
    """

    road_id: int
    segments: tuple[Segment, ...]
    profile: LaneProfile
    predecessor: RoadLink | JunctionLink | None = None
    successor: RoadLink | JunctionLink | None = None
    junction_id: int = -1
    speed_limit_kmh: float = 30.0
    lane_links: tuple[int, int] | None = None

    @property
    def length_m(self) -> float:
        """The length of the reference line."""
        return sum(segment.length_m for segment in self.segments)

    @property
    def is_straight(self) -> bool:
        """Whether no segment bends."""
        return all(segment.curvature_per_m == 0.0 for segment in self.segments)

    def locate(self, s_m: float) -> tuple[Segment, float]:
        """Return the segment at distance `s_m` along the road and the distance within it."""
        for segment in self.segments[:-1]:
            if s_m <= segment.length_m:
                return segment, s_m
            s_m -= segment.length_m
        return self.segments[-1], s_m

    def point(self, s_m: float, t_m: float = 0.0) -> tuple[float, float, float]:
        """Return x, y and heading at (s, t) of this road."""
        segment, s = self.locate(s_m)
        x, y, heading = segment.point(s, t_m)
        return float(x), float(y), float(heading)

    def sample(self, s_m: NDArray, t_m: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
        """Return x, y and heading of many (s, t) of this road; shapes broadcast."""
        s, t = np.broadcast_arrays(np.asarray(s_m, np.float64), np.asarray(t_m, np.float64))
        x, y, heading = np.empty(s.shape), np.empty(s.shape), np.empty(s.shape)
        start = 0.0
        for index, segment in enumerate(self.segments):
            last = index == len(self.segments) - 1
            here = (s >= start if index else s > -np.inf) & (s <= np.inf if last else s < start + segment.length_m)
            x[here], y[here], heading[here] = segment.point(s[here] - start, t[here])
            start += segment.length_m
        return x, y, heading


PoseOnPlan = tuple[float, float, float]
"""x, y in metres and heading in radians."""
_STRAIGHT_RAD = 1e-7
_SHORTEST_M = 1e-6


def join(start: PoseOnPlan, end: PoseOnPlan, radius_m: float = math.inf) -> tuple[Segment, ...]:
    """Return a line, an arc and a line (those of no length left out) from one pose to another.

    The arc's radius is the given one or, if that is too large for the space, the largest that fits. Raises ValueError
    where no such curve exists: the tangents of the two poses do not meet ahead of the one and behind the other.
    """
    x0, y0, h0 = start
    x1, y1, h1 = end
    turn = (h1 - h0 + math.pi) % (2.0 * math.pi) - math.pi
    dx, dy = x1 - x0, y1 - y0
    if abs(turn) < _STRAIGHT_RAD:
        if abs(dy * math.cos(h0) - dx * math.sin(h0)) > 1e-4:
            raise ValueError(f"no arc joins two parallel poses that are {math.hypot(dx, dy):.1f} m apart")
        return (Segment(x0, y0, h0, math.hypot(dx, dy)),)
    ahead = (dx * math.sin(h1) - dy * math.cos(h1)) / math.sin(turn)
    behind = (dy * math.cos(h0) - dx * math.sin(h0)) / math.sin(turn)
    if min(ahead, behind) <= 0.0:
        raise ValueError(f"no arc joins poses whose tangents meet {ahead:.1f} m ahead and {behind:.1f} m behind")
    half = math.tan(0.5 * abs(turn))
    tangent = min(radius_m * half, ahead, behind)
    segments: list[Segment] = []
    x, y = x0, y0
    for length, curvature in (
        (ahead - tangent, 0.0),
        (tangent / half * abs(turn), math.copysign(half / tangent, turn)),
        (behind - tangent, 0.0),
    ):
        if length > _SHORTEST_M:
            segments.append(Segment(x, y, segments[-1].end()[2] if segments else h0, length, curvature))
            x, y, _ = segments[-1].end()
    return tuple(segments)
