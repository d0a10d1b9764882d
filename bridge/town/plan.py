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
from bridge.town.environment import THING_KINDS, Numbering
from bridge.town.junctions import Junction
from bridge.town.kerbside import Thing, place_things
from bridge.town.lots import Lot, lot_boxes, lot_solids
from bridge.town.plots import Backdrop, lay_out_lots
from bridge.town.roads import Road
from bridge.town.signals import Crosswalk
from bridge.town.surface import Surface

Box = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class Solids:
    """All that stands still and is solid: boxes (N,5) x, y, half_x, half_y (m), yaw (rad) in CARLA's world; tags (N,);
    heights (N,) in metres above the ground; numbers (N,) of the things they belong to (see `environment`)."""

    boxes: NDArray[np.float64]
    tags: NDArray[np.uint8]
    heights_m: NDArray[np.float64]
    numbers: NDArray[np.int32]


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
    numbering = Numbering(len(plan.things), len(plan.lots))
    rows: list[Box] = []
    tags: list[int] = []
    heights: list[float] = []
    numbers: list[int] = []
    for index, thing in enumerate(plan.things):
        half_x, half_y, height, tag, _layer = THING_KINDS[thing.kind]
        rows.append((thing.x_m, -thing.y_m, half_x, half_y, -thing.heading_rad))
        tags.append(tag)
        heights.append(height)
        numbers.append(numbering.of_thing(index))
    for index, lot in enumerate(plan.lots):
        for solid in lot_solids(lot):
            for box in lot_boxes(lot, solid.area):
                rows.append((box.x_m, -box.y_m, box.half_x_m, box.half_y_m, -box.yaw_rad))
                tags.append(solid.tag)
                heights.append(solid.height_m)
                numbers.append(numbering.of_lot(index, solid.tag))
    boxes = np.array(rows, np.float64).reshape(-1, 5)
    boxes[:, 4] = (boxes[:, 4] + math.pi) % (2 * math.pi) - math.pi
    return Solids(boxes, np.array(tags, np.uint8), np.array(heights, np.float64), np.array(numbers, np.int32))
