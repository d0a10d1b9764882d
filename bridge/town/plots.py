"""Lots along the frontages: what is built, fenced or left green, so that no two stand in each other or in a street."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bridge.town.districts import DistrictKind, Districts
from bridge.town.footprints import Footprint, overlaps
from bridge.town.junctions import Junction
from bridge.town.lots import LOT_DEPTHS_M, Lot, LotKind, frontage_scale, lot_boxes
from bridge.town.roads import JunctionLink, Road, RoadLink
from bridge.town.surface import CELL_M, Surface

CLEAR_OF_KERB_M = 1.6
"""House corners come so near to the kerb where a junction's corner is rounded."""
NARROWEST_M = 6.0
_STEP_M = 1.0
_CORNER_REACH_M = 6.0
_CELL_M = 16.0
_GENTLE_RADIUS_M = 90.0
_NARROWEST: dict[LotKind, float] = {"building": 0.0, "yard": 0.0, "park": 0.0, "villa": 11.5, "works": 18.0}
_BACKDROP_TRIES = 900
_BEHIND_HOUSES_M = 18.0
_TALL_DISTRICTS = ("centre", "terrace", "works")


@dataclass(frozen=True)
class Backdrop:
    """Something plain behind the houses, seen between and over them: a block of flats or, without floors, a tree."""

    place: Footprint
    floors: int
    seed: int


@dataclass(frozen=True)
class _Frontage:
    """A side of a road, from where to where it may be built on."""

    road: Road
    side: int
    s0_m: float
    s1_m: float

    @property
    def scale(self) -> float:
        return frontage_scale(self.road, self.side)


def lay_out_lots(
    roads: Sequence[Road],
    junctions: Sequence[Junction],
    surface: Surface,
    districts: Districts,
    rng: np.random.Generator,
) -> tuple[list[Lot], list[Backdrop]]:
    """Return the lots of a town, wide streets first, so that corners are theirs; and what stands behind them."""
    lots: list[Lot] = []
    taken = _Taken(surface)
    for frontage in _frontages(roads, junctions):
        lots += _fill(frontage, taken, districts, rng)
    return lots, _backdrops(taken, surface, districts, rng)


def _backdrops(taken: _Taken, surface: Surface, districts: Districts, rng: np.random.Generator) -> list[Backdrop]:
    """Return blocks and trees in the middle of the town's blocks, wherever there is room behind the houses."""
    backdrops: list[Backdrop] = []
    low = np.array(surface.origin_m) + 12.0
    high = low + CELL_M * np.array(surface.inside_m.shape[::-1]) - 24.0
    for _ in range(_BACKDROP_TRIES):
        x, y = rng.uniform(low, high)
        district = districts.at(x, y)
        width, depth, turn = rng.uniform(13.0, 24.0), rng.uniform(12.0, 16.0), rng.uniform(-0.15, 0.15)
        floors = int(rng.integers(4, 8)) if district == "centre" else int(rng.integers(2, 5))
        seed = int(rng.integers(1 << 30))
        place = Footprint(x, y, 0.5 * width, 0.5 * depth, turn)
        if district in _TALL_DISTRICTS and taken.is_free([place], clear_m=_BEHIND_HOUSES_M):
            taken.take([place])
            backdrops.append(Backdrop(place, floors, seed))
        elif taken.is_free([trunk := Footprint(x, y, 2.0, 2.0, 0.0)], clear_m=_BEHIND_HOUSES_M):
            taken.take([trunk])
            backdrops.append(Backdrop(trunk, 0, seed))
    return backdrops


def _frontages(roads: Sequence[Road], junctions: Sequence[Junction]) -> list[_Frontage]:
    frontages: list[_Frontage] = []
    for road in roads:
        first = -_CORNER_REACH_M if isinstance(road.predecessor, JunctionLink) else 0.0
        last = road.length_m + (_CORNER_REACH_M if isinstance(road.successor, JunctionLink) else 0.0)
        frontages += [_Frontage(road, side, first, last) for side in (1, -1) if frontage_scale(road, side) > 0.25]
    frontages += [
        _Frontage(corner, 1, 0.0, corner.length_m)
        for junction in junctions
        for corner in junction.corners
        if corner.is_straight
    ]
    return sorted(frontages, key=lambda f: (-f.road.profile.kerb_m(f.side), f.road.road_id))


class _Taken:
    """The ground that is built on or driven on."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._boxes: dict[tuple[int, int], list[Footprint]] = {}

    def is_free(self, boxes: Sequence[Footprint], clear_m: float = CLEAR_OF_KERB_M) -> bool:
        """Tell whether boxes stand so far clear of kerbs, and of everything built."""
        corners = np.array([corner for box in boxes for corner in box.corners()])
        if (self._surface.distance_inside_m(corners[:, 0], corners[:, 1]) > -clear_m).any():
            return False
        return not any(
            overlaps(box, other) for box in boxes for cell in _cells(box) for other in self._boxes.get(cell, ())
        )

    def take(self, boxes: Sequence[Footprint]) -> None:
        """Build on boxes."""
        for box in boxes:
            for cell in _cells(box):
                self._boxes.setdefault(cell, []).append(box)


def _cells(box: Footprint) -> list[tuple[int, int]]:
    """Return the squares of a coarse grid that a box may touch."""
    corners = box.corners()
    columns, rows = ([int(corner[k] // _CELL_M) for corner in corners] for k in (0, 1))
    return [(i, j) for i in range(min(columns), max(columns) + 1) for j in range(min(rows), max(rows) + 1)]


def _fill(frontage: _Frontage, taken: _Taken, districts: Districts, rng: np.random.Generator) -> list[Lot]:
    """Tile one frontage from end to end; where a house does not fit, the next metre is tried."""
    lots: list[Lot] = []
    s = frontage.s0_m
    while s < frontage.s1_m - NARROWEST_M / frontage.scale:
        lot = _draw_lot(frontage, s, districts, rng)
        boxes = list(lot_boxes(lot, (0.0, lot.width_m, 0.0, LOT_DEPTHS_M[lot.kind])))
        if lot.s1_m <= frontage.s1_m + 0.5 and taken.is_free(boxes):
            taken.take([_shrunk(box) for box in boxes])
            lots.append(lot)
            s = lot.s1_m
        else:
            s += _STEP_M / frontage.scale
    return _with_open_sides(frontage, lots)


def _with_open_sides(frontage: _Frontage, lots: list[Lot]) -> list[Lot]:
    """Return the lots, each knowing at which end no house adjoins it."""
    walls = {round(edge, 3) for lot in lots if lot.kind == "building" for edge in (lot.s0_m, lot.s1_m)}
    twice = {
        round(lot.s1_m, 3)
        for lot, after in itertools.pairwise(lots)
        if lot.kind == after.kind == "building" and round(lot.s1_m, 3) == round(after.s0_m, 3)
    }
    road = frontage.road
    if isinstance(road.predecessor, RoadLink):
        twice |= {edge for edge in walls if edge < _STEP_M}
    if isinstance(road.successor, RoadLink):
        twice |= {edge for edge in walls if edge > road.length_m - _STEP_M}
    return [replace(lot, opens=(round(lot.s0_m, 3) not in twice, round(lot.s1_m, 3) not in twice)) for lot in lots]


def _draw_lot(frontage: _Frontage, s_m: float, districts: Districts, rng: np.random.Generator) -> Lot:
    road, side = frontage.road, frontage.side
    x, y, _ = road.point(s_m, side * (road.profile.frontage_m(side) + 12.0))
    kind, width, floors, styles = _character(districts.at(x, y), rng)
    bends = not road.is_straight
    if bends and (kind == "yard" or abs(road.segments[0].curvature_per_m) > 1.0 / _GENTLE_RADIUS_M):
        kind, width, floors = "building", min(width, 12.0), max(1, floors)
    room = (frontage.s1_m - s_m) * frontage.scale
    if room - width < NARROWEST_M:  # what is left behind would be too narrow for another
        width = room if room < 1.5 * width else 0.5 * room
    if width < _NARROWEST[kind]:
        kind, floors = ("yard", 0) if not bends else ("building", max(1, floors))
    style = int(styles[int(rng.integers(len(styles)))])
    return Lot(road, side, s_m, s_m + width / frontage.scale, kind, floors, style, int(rng.integers(1 << 30)))


def _character(district: DistrictKind, rng: np.random.Generator) -> tuple[LotKind, float, int, tuple[int, ...]]:
    """Draw kind, width in metres, upper floors and possible styles of a lot in a district."""
    draw = rng.random()
    if district == "centre":
        return "building", rng.uniform(12.0, 18.0), int(rng.choice([2, 3, 3, 4, 4])), (2, 3, 4, 5, 6)
    if district == "park" or (district == "woods" and draw < 0.7):
        return "park", rng.uniform(18.0, 30.0), 0, (0,)
    if district == "works" and draw < 0.75:
        return "works", rng.uniform(24.0, 36.0), 1, (0, 1, 2)
    if district in ("villas", "woods") and draw < 0.85:
        return "villa", rng.uniform(13.0, 17.0), 1, (0, 1, 2, 7)
    if draw > 0.92:
        return "yard", rng.uniform(5.0, 8.0), 0, (0,)
    return "building", rng.uniform(8.0, 14.0), int(rng.choice([1, 2, 2, 3])), (0, 1, 2, 4, 7)


def _shrunk(box: Footprint) -> Footprint:
    """Return a box whose neighbours may touch it."""
    return Footprint(box.x_m, box.y_m, max(0.1, box.half_x_m - 0.05), max(0.1, box.half_y_m - 0.05), box.yaw_rad)
