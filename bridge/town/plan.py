"""What stands where along the streets: lots, trees, lamps, furniture and parked cars, as places without pictures.

The physics reads it for what is solid, the engine for what to draw. Coordinates are OpenDRIVE's (right-handed).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.town.districts import draw_districts
from bridge.town.junctions import Junction
from bridge.town.kerbside import Thing, ThingKind, place_things
from bridge.town.lots import Lot, lot_boxes, lot_solids
from bridge.town.plots import Backdrop, lay_out_lots
from bridge.town.roads import Road
from bridge.town.signals import Crosswalk
from bridge.town.surface import Surface

Box = tuple[float, float, float, float, float]

POLE_TAG, SIGN_TAG, VEGETATION_TAG, CAR_TAG, STATIC_TAG = 6, 8, 9, 14, 20
# Half sizes (along, across) and height in metres of what a car can run into, and its semantic tag.
_SOLID: dict[ThingKind, tuple[float, float, float, int]] = {
    "tree": (0.18, 0.18, 7.0, VEGETATION_TAG),
    "lamp": (0.11, 0.11, 8.0, POLE_TAG),
    "bin": (0.24, 0.24, 1.0, STATIC_TAG),
    "bench": (0.25, 0.85, 0.95, STATIC_TAG),
    "bollard": (0.08, 0.08, 0.95, POLE_TAG),
    "postbox": (0.25, 0.25, 1.55, STATIC_TAG),
    "planter": (0.35, 0.7, 0.9, STATIC_TAG),
    "shelter": (0.65, 1.95, 2.4, STATIC_TAG),
    "parked": (2.2, 0.9, 1.5, CAR_TAG),
}


@dataclass(frozen=True)
class Solids:
    """All that stands still and is solid: boxes (N,5) x, y, half_x, half_y (m), yaw (rad) in CARLA's world; tags (N,);
    heights (N,) in metres above the ground."""

    boxes: NDArray[np.float64]
    tags: NDArray[np.uint8]
    heights_m: NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """All lots and things of a town, what stands behind them, and the seed they came from."""

    seed: int
    lots: tuple[Lot, ...]
    backdrops: tuple[Backdrop, ...]
    things: tuple[Thing, ...]


def plan_scenery(
    roads: Sequence[Road],
    junctions: Sequence[Junction],
    crosswalks: Sequence[Crosswalk],
    surface: Surface,
    seed: int,
) -> Plan:
    """Return the plan of a seed: equal seeds give equal plans."""
    rng = np.random.default_rng((seed, 3))
    districts = draw_districts(rng)
    lots, backdrops = lay_out_lots(roads, junctions, surface, districts, rng)
    return Plan(seed, tuple(lots), tuple(backdrops), tuple(place_things(roads, crosswalks, districts, rng)))


def solids_of(plan: Plan) -> Solids:
    """Return what is solid of a plan."""
    rows: list[Box] = []
    tags: list[int] = []
    heights: list[float] = []
    for thing in plan.things:
        half_x, half_y, height, tag = _SOLID[thing.kind]
        rows.append((thing.x_m, -thing.y_m, half_x, half_y, -thing.heading_rad))
        tags.append(tag)
        heights.append(height)
    for lot in plan.lots:
        for solid in lot_solids(lot):
            for box in lot_boxes(lot, solid.area):
                rows.append((box.x_m, -box.y_m, box.half_x_m, box.half_y_m, -box.yaw_rad))
                tags.append(solid.tag)
                heights.append(solid.height_m)
    boxes = np.array(rows, np.float64).reshape(-1, 5)
    boxes[:, 4] = (boxes[:, 4] + math.pi) % (2 * math.pi) - math.pi
    return Solids(boxes, np.array(tags, np.uint8), np.array(heights, np.float64))
