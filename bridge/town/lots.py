"""Lots: stretches of frontage, what stands on them, and where that is solid.

A lot has coordinates of its own: x along the frontage, y away from the street, metres.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bridge.town.footprints import Footprint
from bridge.town.roads import Road

LotKind = Literal["building", "yard", "park", "villa", "works"]

BUILDING_DEPTH_M = 11.0
GROUND_FLOOR_M, FLOOR_M = 3.9, 3.15
LOT_DEPTHS_M: dict[LotKind, float] = {
    "building": BUILDING_DEPTH_M,
    "yard": BUILDING_DEPTH_M,
    "park": 27.0,
    "villa": 17.0,
    "works": 25.0,
}
VILLA_GARDEN_M, VILLA_DEPTH_M, VILLA_ASIDE_M, VILLA_GATE_M = 5.5, 9.0, 2.2, 1.3
WORKS_YARD_M, WORKS_DEPTH_M, WORKS_ASIDE_M, WORKS_GATE_M, WORKS_HEIGHT_M = 8.0, 16.0, 1.5, 7.0, 6.6
BUILDING_TAG, WALL_TAG, FENCE_TAG = 3, 4, 5
_PIECE_M = 4.0

Area = tuple[float, float, float, float]
"""x0, x1, y0, y1 in a lot's coordinates."""


@dataclass(frozen=True)
class Lot:
    """A stretch of frontage from `s0_m` to `s1_m` of a road, beside the sidewalk of one side (+1 left, -1 right).

    `opens` tells whether no house adjoins it at s0 and at s1.
    """

    road: Road
    side: int
    s0_m: float
    s1_m: float
    kind: LotKind
    floors: int
    style: int
    seed: int
    opens: tuple[bool, bool] = (True, True)

    @property
    def width_m(self) -> float:
        """How wide the lot's frontage is."""
        return (self.s1_m - self.s0_m) * frontage_scale(self.road, self.side)

    @property
    def eaves_m(self) -> float:
        """The height of the eaves of a house on it, above the sidewalk."""
        return GROUND_FLOOR_M + self.floors * FLOOR_M


class Solid(NamedTuple):
    """A part of a lot that nothing can drive through, and CARLA's semantic tag of it."""

    area: Area
    height_m: float
    tag: int


def frontage_scale(road: Road, side: int) -> float:
    """Return metres along the frontage of a side per metre along the road's reference line (single-segment roads)."""
    return 1.0 - road.segments[0].curvature_per_m * side * road.profile.frontage_m(side)


def villa_house(lot: Lot) -> Area:
    """Return where the house of a villa's lot stands."""
    return VILLA_ASIDE_M, lot.width_m - VILLA_ASIDE_M, VILLA_GARDEN_M, VILLA_GARDEN_M + VILLA_DEPTH_M


def works_hall(lot: Lot) -> Area:
    """Return where the hall of a works' lot stands."""
    return WORKS_ASIDE_M, lot.width_m - WORKS_ASIDE_M, WORKS_YARD_M, WORKS_YARD_M + WORKS_DEPTH_M


def front_fence(lot: Lot) -> list[tuple[float, float]]:
    """Return the stretches of fence along a villa's or a works' front: between its gates."""
    if lot.kind == "works":
        gates, wide = [0.5 * lot.width_m], WORKS_GATE_M
    else:
        x0, x1, _, _ = villa_house(lot)
        bays = max(1, round((x1 - x0) / HOUSE_FRONT_M))
        gates = [x0 + (x1 - x0) * (bay + DOOR_AT) / bays for bay in range(bays)]
        wide = VILLA_GATE_M
    edges = [0.0, *(edge for gate in gates for edge in (gate - 0.5 * wide, gate + 0.5 * wide)), lot.width_m]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 0.3]


HOUSE_FRONT_M, DOOR_AT = 4.4, 0.75
"""A house's ground floor has one front a bay, each with its door at this share of it."""


def lot_solids(lot: Lot) -> Iterator[Solid]:
    """Yield what is solid of a lot."""
    width = lot.width_m
    if lot.kind == "building":
        yield Solid((0.0, width, 0.0, BUILDING_DEPTH_M), lot.eaves_m, BUILDING_TAG)
    elif lot.kind == "yard":
        yield Solid((0.0, width, 0.05, 0.35), 2.0, WALL_TAG)
    elif lot.kind == "park":
        yield Solid((0.0, width, 0.1, 0.4), 1.75, FENCE_TAG)
    else:
        is_villa = lot.kind == "villa"
        house = villa_house(lot) if is_villa else works_hall(lot)
        yield Solid(house, lot.eaves_m if is_villa else WORKS_HEIGHT_M, BUILDING_TAG)
        for a, b in front_fence(lot):
            yield Solid((a, b, 0.15, 0.35), 1.0 if is_villa else 2.0, FENCE_TAG)


def lot_boxes(lot: Lot, area: Area) -> Iterator[Footprint]:
    """Yield boxes that cover an area of a lot, in OpenDRIVE's frame: one beside a straight road, more round a bend."""
    x0, x1, y0, y1 = area
    road, side = lot.road, lot.side
    scale = frontage_scale(road, side)
    first, last = (lot.s0_m + x0 / scale, lot.s0_m + x1 / scale)
    if side < 0:
        first, last = lot.s1_m - x1 / scale, lot.s1_m - x0 / scale
    pieces = 1 if road.is_straight else max(1, round((x1 - x0) / _PIECE_M))
    step = (last - first) / pieces
    t = side * (road.profile.frontage_m(side) + 0.5 * (y0 + y1))
    for k in range(pieces):
        x, y, heading = road.point(first + (k + 0.5) * step, t)
        yield Footprint(x, y, 0.5 * step * scale, 0.5 * (y1 - y0), heading % (2.0 * math.pi))
