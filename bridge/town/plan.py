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
from bridge.town.plots import Backdrop, Lot, LotKind, lay_out_lots, lot_pieces
from bridge.town.roads import Road
from bridge.town.signals import Crosswalk
from bridge.town.surface import Surface

Box = tuple[float, float, float, float, float]

BUILDING_TAG, WALL_TAG, FENCE_TAG, POLE_TAG, SIGN_TAG, VEGETATION_TAG, CAR_TAG, STATIC_TAG = 3, 4, 5, 6, 8, 9, 14, 20
# Half sizes (along, across) in metres of what a car can run into, and its semantic tag.
_SOLID: dict[ThingKind, tuple[float, float, int]] = {
    "tree": (0.18, 0.18, VEGETATION_TAG),
    "lamp": (0.11, 0.11, POLE_TAG),
    "bin": (0.24, 0.24, STATIC_TAG),
    "bench": (0.25, 0.85, STATIC_TAG),
    "bollard": (0.08, 0.08, POLE_TAG),
    "postbox": (0.25, 0.25, STATIC_TAG),
    "planter": (0.35, 0.7, STATIC_TAG),
    "parked": (2.2, 0.9, CAR_TAG),
}
_LOT_TAGS: dict[LotKind, int] = {"building": BUILDING_TAG, "yard": WALL_TAG, "park": FENCE_TAG}


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


def solid_boxes(plan: Plan) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return (N,5) boxes x, y, half_x, half_y, yaw of all that is solid, in CARLA's world, and (N,) semantic tags."""
    rows: list[Box] = []
    tags: list[int] = []
    for thing in plan.things:
        half_x, half_y, tag = _SOLID[thing.kind]
        rows.append((thing.x_m, -thing.y_m, half_x, half_y, -thing.heading_rad))
        tags.append(tag)
    for lot in plan.lots:
        for piece in lot_pieces(lot):
            rows.append((piece.x_m, -piece.y_m, piece.half_x_m, piece.half_y_m, -piece.yaw_rad))
            tags.append(_LOT_TAGS[lot.kind])
    boxes = np.array(rows, np.float64).reshape(-1, 5)
    boxes[:, 4] = (boxes[:, 4] + math.pi) % (2 * math.pi) - math.pi
    return boxes, np.array(tags, np.uint8)
