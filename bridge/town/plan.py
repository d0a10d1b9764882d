"""What stands where along the streets: lots, trees, lamps, furniture and parked cars, as places without pictures.

The physics reads it for what is solid, the engine for what to draw. Coordinates are OpenDRIVE's (right-handed).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bridge.town.roads import KERB_HEIGHT_M, Road

if TYPE_CHECKING:
    from bridge.town.streets import Crosswalk

LotKind = Literal["building", "yard", "park"]
ThingKind = Literal["tree", "lamp", "sign", "bin", "bench", "bollard", "postbox", "planter", "parked"]

BUILDING_DEPTH_M = 11.0
CROSSING_CLEARANCE_M = 9.0
PARKING_SLOT_M = 6.1
PARKED_SHAPES = ("compact", "sedan", "sedan", "estate", "estate", "suv", "van")
# Where a stretch of frontage is a park: (road id, side, from s, to s).
PARKS = ((1, 1, 26.0, 84.0), (5, -1, 158.0, 222.0), (3, -1, 0.0, 42.0))
# Half sizes (along, across) in metres of what a car can run into.
_SOLID_HALF_M: dict[ThingKind, tuple[float, float]] = {
    "tree": (0.18, 0.18),
    "lamp": (0.11, 0.11),
    "sign": (0.05, 0.05),
    "bin": (0.24, 0.24),
    "bench": (0.85, 0.25),
    "bollard": (0.08, 0.08),
    "postbox": (0.25, 0.25),
    "planter": (0.7, 0.35),
    "parked": (2.2, 0.9),
}


@dataclass(frozen=True)
class Lot:
    """A stretch of frontage from `s0_m` to `s1_m` of a road, beside the sidewalk of one side (+1 left, -1 right)."""

    road_id: int
    side: int
    s0_m: float
    s1_m: float
    kind: LotKind
    floors: int
    style: int
    seed: int


@dataclass(frozen=True)
class Thing:
    """Something small that stands at a place; `variant` chooses among its kind, `heading_rad` is where it looks."""

    kind: ThingKind
    x_m: float
    y_m: float
    z_m: float
    heading_rad: float
    variant: int = 0
    scale: float = 1.0


@dataclass(frozen=True)
class Plan:
    """All lots and things of a town, and the seed they came from."""

    seed: int
    roads: tuple[Road, ...]
    lots: tuple[Lot, ...]
    things: tuple[Thing, ...]


def plan_scenery(roads: Sequence[Road], crosswalks: Sequence[Crosswalk], seed: int) -> Plan:
    """Return the plan of a seed: equal seeds give equal plans."""
    rng = np.random.default_rng(seed)
    lots: list[Lot] = []
    things: list[Thing] = []
    for road in roads:
        crossings = [c.s_m for c in crosswalks if c.road_id == road.road_id]
        for side in (1, -1):
            lots += _lots(road, side, rng)
            things += _kerb_things(road, side, crossings, rng)
            things += _parked_cars(road, side, crossings, rng)
    return Plan(seed, tuple(roads), tuple(lots), tuple(things))


def frontage_scale(road: Road, side: int) -> float:
    """Return metres along the frontage of a side per metre along the road's reference line (single-segment roads)."""
    return 1.0 - road.segments[0].curvature_per_m * side * road.profile.frontage_m(side)


def _lots(road: Road, side: int, rng: np.random.Generator) -> list[Lot]:
    """Tile one side's frontage with lots of 10 to 17 m; now and then a yard between two buildings."""
    lots: list[Lot] = []
    scale = frontage_scale(road, side)
    parks = [(a, b) for road_id, park_side, a, b in PARKS if (road_id, park_side) == (road.road_id, side)]
    edges = [0.0, *(edge for park in parks for edge in park), road.length_m]
    for a, b in itertools.pairwise(edges):
        if b - a < 1.0:
            continue
        if (a, b) in parks:
            lots.append(Lot(road.road_id, side, a, b, "park", 0, 0, int(rng.integers(1 << 30))))
            continue
        widths: list[tuple[float, LotKind]] = []
        while sum(width for width, _ in widths) < (b - a) * scale - 5.0:
            widths.append((rng.uniform(10.0, 17.0), "building"))
            if road.segments[0].curvature_per_m == 0.0 and rng.random() < 0.14:
                widths.append((rng.uniform(4.0, 7.0), "yard"))
        if widths[-1][1] == "yard":
            widths.pop()
        total = sum(width for width, _ in widths)
        s = a
        for width, kind in widths:
            s1 = s + width / total * (b - a)
            floors = int(rng.choice([1, 2, 2, 3, 3, 4]))
            lots.append(
                Lot(road.road_id, side, s, s1, kind, floors, int(rng.integers(0, 8)), int(rng.integers(1 << 30)))
            )
            s = s1
    return lots


def _thing(road: Road, kind: ThingKind, s_m: float, t_m: float, facing: float, **extra: float) -> Thing:
    """Place something at (s, t); `facing` is its heading against the road's (0 = along s)."""
    x, y, heading = road.point(s_m, t_m)
    raised = abs(t_m) > road.profile.kerb_m(1 if t_m > 0 else -1)
    z = KERB_HEIGHT_M if raised else 0.0
    return Thing(kind, x, y, z, heading + facing, int(extra.get("variant", 0)), extra.get("scale", 1.0))


def _kerb_things(road: Road, side: int, crossings: Sequence[float], rng: np.random.Generator) -> list[Thing]:
    """Trees, lamps, signs and street furniture of one sidewalk."""
    things: list[Thing] = []
    kerb = road.profile.kerb_m(side)
    away_from_road = 0.5 * math.pi * side
    along = 0.0 if side < 0 else math.pi

    def is_clear(s: float, clearance_m: float) -> bool:
        return all(abs(s - middle) > clearance_m for middle in crossings)

    def scatter(kind: ThingKind, first: float, step: float, t: float, facing: float, variants: int) -> None:
        for s in np.arange(first, road.length_m - 2.0, step):
            at = float(s) + rng.normal(0.0, 0.35)
            variant, scale = int(rng.integers(variants)), float(rng.uniform(0.85, 1.15))
            if is_clear(at, 4.5):
                things.append(_thing(road, kind, at, side * t, facing, variant=variant, scale=scale))

    for s in np.arange(5.0, road.length_m - 3.0, 11.5):
        at = float(s) + rng.normal(0.0, 0.5)
        if is_clear(at, CROSSING_CLEARANCE_M) and rng.random() < 0.86:
            things.append(
                _thing(
                    road,
                    "tree",
                    at,
                    side * (kerb + 0.95),
                    rng.uniform(0.0, 2 * math.pi),
                    variant=int(rng.integers(6)),
                    scale=float(rng.uniform(0.8, 1.15)),
                )
            )
    things += [
        _thing(road, "lamp", float(s), side * (kerb + 0.5), away_from_road)
        for s in np.arange(10.5 if side > 0 else 22.0, road.length_m, 23.0)
        if is_clear(float(s), 4.0)
    ]
    for index, s in enumerate(np.arange(16.0, road.length_m - 6.0, 46.0)):
        things.append(_thing(road, "sign", float(s), side * (kerb + 0.5), along, variant=index % 3))
    scatter("bin", 14.0, 38.0, kerb + 2.9, away_from_road, 1)
    scatter("bench", 19.0, 37.0, kerb + 2.75, away_from_road, 1)
    scatter("planter", 31.0, 52.0, kerb + 2.9, away_from_road, 2)
    scatter("postbox", 45.0, 90.0, kerb + 0.8, away_from_road, 1)
    things += [
        _thing(road, "bollard", middle + beside, side * (kerb + 0.35), along)
        for middle in crossings
        for beside in (-3.4, 3.4)
    ]
    return things


def _parked_cars(road: Road, side: int, crossings: Sequence[float], rng: np.random.Generator) -> list[Thing]:
    """Cars in about half of the parking lane's slots, headed as their side's traffic."""
    lanes = road.profile.lanes(side)
    parking = next((index for index, lane in enumerate(lanes) if lane.kind == "parking"), None)
    if parking is None or road.segments[0].curvature_per_m != 0.0:
        return []
    t = road.profile.centre_of_m(side, parking)
    things: list[Thing] = []
    for s in np.arange(6.0, road.length_m - 6.0, PARKING_SLOT_M):
        at, wobble = float(s) + rng.normal(0.0, 0.2), rng.normal(0.0, 0.012)
        variant = int(rng.integers(1 << 16))
        if all(abs(at - middle) > CROSSING_CLEARANCE_M for middle in crossings) and rng.random() < 0.42:
            facing = (0.0 if side < 0 else math.pi) + wobble
            things.append(_thing(road, "parked", at, t + rng.normal(0.0, 0.06), facing, variant=variant))
    return things


def solid_boxes(plan: Plan) -> NDArray[np.float64]:
    """Return (N,5) boxes x, y, half_x, half_y, yaw of all solid things, in CARLA's world (y and yaw negated)."""
    rows: list[tuple[float, float, float, float, float]] = []
    for thing in plan.things:
        half_x, half_y = _SOLID_HALF_M[thing.kind]
        rows.append((thing.x_m, -thing.y_m, half_x, half_y, -thing.heading_rad))
    roads = {road.road_id: road for road in plan.roads}
    for lot in plan.lots:
        road = roads[lot.road_id]
        depth = BUILDING_DEPTH_M if lot.kind == "building" else 0.3
        straight = road.segments[0].curvature_per_m == 0.0
        pieces = 1 if straight else max(1, round((lot.s1_m - lot.s0_m) / 4.0))
        edges = np.linspace(lot.s0_m, lot.s1_m, pieces + 1)
        for a, b in itertools.pairwise(edges):
            t = lot.side * (road.profile.frontage_m(lot.side) + 0.5 * depth)
            x, y, heading = road.point(0.5 * (a + b), t)
            half_x = 0.5 * (b - a) * frontage_scale(road, lot.side)
            rows.append((x, -y, half_x, 0.5 * depth, -heading))
    boxes = np.array(rows, np.float64).reshape(-1, 5)
    boxes[:, 4] = (boxes[:, 4] + math.pi) % (2 * math.pi) - math.pi
    return boxes
