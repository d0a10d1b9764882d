"""Junctions: the lanes that lead through them, the kerbs round their corners, and the ends of streets they join.

A street's arm ends where the corner beside it begins. Every lane that arrives leads on: outer lanes turn right, inner
ones left, and all go straight on where there is a street ahead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.town.profiles import CONNECTING, KERB, LANE_WIDTH_M
from bridge.town.roads import Contact, Road, RoadLink, join
from bridge.town.street_graph import KERB_RADIUS_M, Control

RIGHT, AHEAD, LEFT = 1, 2, 3
FIRST_CORNER_ID = 100_000
"""Corners are no OpenDRIVE roads; their ids begin here."""


@dataclass(frozen=True)
class Arm:
    """A street's end at a junction: its road touches with `contact`; `heading_rad` leads away from the junction."""

    road: Road
    contact: Contact
    number: int
    heading_rad: float
    setback_m: float

    @property
    def arriving_side(self) -> int:
        """The side of the road whose traffic drives into the junction: -1 right of its reference line, +1 left."""
        return -1 if self.contact == "end" else 1

    @property
    def num_lanes(self) -> int:
        """How many driving lanes arrive (and leave)."""
        return self.road.profile.num_driving(self.arriving_side)

    @property
    def kerb_m(self) -> float:
        """The distance from the street's middle to its kerb."""
        return self.road.profile.kerb_m(1)

    def arriving_lane(self, index: int) -> int:
        """Return the OpenDRIVE id of an arriving lane (0 = innermost)."""
        return self.arriving_side * (index + 1)

    def s_before_m(self, distance_m: float) -> float:
        """Return where on its road a place is that far before the junction."""
        return self.road.length_m - distance_m if self.contact == "end" else distance_m


@dataclass(frozen=True)
class Junction:
    """A junction: arms counter-clockwise, connecting roads, and the kerbs between arms as roads (`profiles.KERB`)."""

    junction_id: int
    x_m: float
    y_m: float
    control: Control
    arms: tuple[Arm, ...]
    connecting: tuple[Road, ...]
    corners: tuple[Road, ...]

    @property
    def stem(self) -> Arm | None:
        """The arm without another opposite, where three streets meet; None where four do."""
        numbers = {arm.number for arm in self.arms}
        return next((arm for arm in self.arms if (arm.number + 2) % 4 not in numbers), None)


def build_junction(
    junction_id: int, middle_m: tuple[float, float], control: Control, arms: Sequence[Arm], first_road_id: int
) -> Junction:
    """Return the junction of some arms; its connecting roads are numbered from `first_road_id`."""
    connecting: list[Road] = []
    for arriving in arms:
        for leaving in arms:
            turn = (leaving.number - arriving.number) % 4
            for lane_in, lane_out in _lane_pairs(turn, arriving, leaving):
                road_id = first_road_id + len(connecting)
                connecting.append(_connect(road_id, junction_id, middle_m, (arriving, lane_in), (leaving, lane_out)))
    corners: list[Road] = []
    for index, arm in enumerate(arms):
        after = arms[(index + 1) % len(arms)]
        road_id = FIRST_CORNER_ID + 10 * junction_id + index
        corners.append(_corner(road_id, junction_id, middle_m, after, arm))
    return Junction(junction_id, *middle_m, control, tuple(arms), tuple(connecting), tuple(corners))


def _lane_pairs(turn: int, arriving: Arm, leaving: Arm) -> list[tuple[int, int]]:
    """Return which arriving lanes (0 = innermost) lead to which leaving ones for a turn."""
    if turn == RIGHT:
        return [(arriving.num_lanes - 1, leaving.num_lanes - 1)]
    if turn == LEFT:
        return [(0, 0)]
    if turn == AHEAD:
        return [(lane, lane) for lane in range(min(arriving.num_lanes, leaving.num_lanes))]
    return []


def _place(middle_m: tuple[float, float], arm: Arm, right_m: float, heading_rad: float) -> tuple[float, float, float]:
    """Return the pose at an arm's end, shifted to the right of the heading in which it is passed."""
    x = middle_m[0] + arm.setback_m * math.cos(arm.heading_rad) + right_m * math.sin(heading_rad)
    y = middle_m[1] + arm.setback_m * math.sin(arm.heading_rad) - right_m * math.cos(heading_rad)
    return x, y, heading_rad


def _connect(
    road_id: int, junction_id: int, middle_m: tuple[float, float], into: tuple[Arm, int], out: tuple[Arm, int]
) -> Road:
    (arriving, lane_in), (leaving, lane_out) = into, out
    start = _place(middle_m, arriving, lane_in * LANE_WIDTH_M, arriving.heading_rad + math.pi)
    end = _place(middle_m, leaving, lane_out * LANE_WIDTH_M, leaving.heading_rad)
    leaving_lane = -leaving.arriving_side * (lane_out + 1)
    return Road(
        road_id,
        join(start, end),
        CONNECTING,
        predecessor=RoadLink(arriving.road.road_id, arriving.contact),
        successor=RoadLink(leaving.road.road_id, leaving.contact),
        junction_id=junction_id,
        speed_limit_kmh=min(arriving.road.speed_limit_kmh, leaving.road.speed_limit_kmh),
        lane_links=(arriving.arriving_lane(lane_in), leaving_lane),
    )


def _corner(road_id: int, junction_id: int, middle_m: tuple[float, float], start: Arm, end: Arm) -> Road:
    """Return the kerb from one arm to the next clockwise, the junction on its right."""
    first = _place(middle_m, start, -start.kerb_m, start.heading_rad + math.pi)
    last = _place(middle_m, end, -end.kerb_m, end.heading_rad)
    return Road(road_id, join(first, last, KERB_RADIUS_M), KERB, junction_id=junction_id)
