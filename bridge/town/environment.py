"""The static town's things as clients switch them: numbers, CARLA's map layers, and the boxes around them.

Every triangle that the engine draws carries the number of the thing it belongs to, so that what a client switches off
vanishes from all planes and from what rays meet. Numbers are the same for equal plans.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntFlag

import numpy as np

from bridge.town.footprints import Footprint
from bridge.town.kerbside import Thing, ThingKind
from bridge.town.lots import (
    BUILDING_DEPTH_M,
    BUILDING_TAG,
    FENCE_TAG,
    LOT_DEPTHS_M,
    WALL_TAG,
    WORKS_HEIGHT_M,
    Area,
    Lot,
    LotKind,
    lot_boxes,
    villa_house,
    works_hall,
)
from bridge.town.plots import Backdrop

POLE_TAG, VEGETATION_TAG, CAR_TAG, STATIC_TAG = 6, 9, 14, 20
FIXED, LAND, DECALS = 0, -1, -2
"""Numbers of triangles that belong to no thing: those that always show, the ground layer's, the decals layer's."""
_HOUSE, _FRONT, _GREEN, _LOT_PARTS = 0, 1, 2, 3
_BACKDROP_FLOOR_M = 3.15
_BACKDROP_TREE_M = 7.0


class Layer(IntFlag):
    """CARLA's map layers."""

    BUILDINGS = 0x1
    DECALS = 0x2
    FOLIAGE = 0x4
    GROUND = 0x8
    PARKED_VEHICLES = 0x10
    PARTICLES = 0x20
    PROPS = 0x40
    STREET_LIGHTS = 0x80
    WALLS = 0x100


ALL_LAYERS = 0xFFFF
# Half sizes (along, across) and height in metres of what a car can run into, its semantic tag and its layer.
THING_KINDS: dict[ThingKind, tuple[float, float, float, int, Layer]] = {
    "tree": (0.18, 0.18, 7.0, VEGETATION_TAG, Layer.FOLIAGE),
    "lamp": (0.11, 0.11, 8.0, POLE_TAG, Layer.STREET_LIGHTS),
    "bin": (0.24, 0.24, 1.0, STATIC_TAG, Layer.PROPS),
    "bench": (0.25, 0.85, 0.95, STATIC_TAG, Layer.PROPS),
    "bollard": (0.08, 0.08, 0.95, POLE_TAG, Layer.PROPS),
    "postbox": (0.25, 0.25, 1.55, STATIC_TAG, Layer.PROPS),
    "planter": (0.35, 0.7, 0.9, STATIC_TAG, Layer.PROPS),
    "shelter": (0.65, 1.95, 2.4, STATIC_TAG, Layer.PROPS),
    "parked": (2.2, 0.9, 1.5, CAR_TAG, Layer.PARKED_VEHICLES),
}
_PART_LAYERS = (Layer.BUILDINGS, Layer.WALLS, Layer.FOLIAGE)
_PART_OF_TAG = {BUILDING_TAG: _HOUSE, STATIC_TAG: _HOUSE, VEGETATION_TAG: _GREEN}
_PART_OF_TAG |= dict.fromkeys((WALL_TAG, FENCE_TAG, POLE_TAG), _FRONT)
# Which parts a kind of lot has: number, tag, height in metres.
_PARTS: dict[LotKind, tuple[tuple[int, int, float], ...]] = {
    "building": ((_HOUSE, BUILDING_TAG, 0.0),),
    "yard": ((_FRONT, WALL_TAG, 2.0), (_GREEN, VEGETATION_TAG, 2.5)),
    "park": ((_FRONT, FENCE_TAG, 1.75), (_GREEN, VEGETATION_TAG, 7.0)),
    "villa": ((_HOUSE, BUILDING_TAG, 0.0), (_FRONT, FENCE_TAG, 1.0), (_GREEN, VEGETATION_TAG, 2.2)),
    "works": ((_HOUSE, BUILDING_TAG, WORKS_HEIGHT_M), (_FRONT, FENCE_TAG, 2.0)),
}
_NAMES = {3: "Building", 4: "Wall", 5: "Fence", 6: "Pole", 9: "Tree", 14: "ParkedCar", 20: "Furniture"}


@dataclass(frozen=True)
class EnvironmentThing:
    """Something of the static town that can be switched off; `place` lies in CARLA's world."""

    number: int
    tag: int
    layer: Layer
    place: Footprint
    height_m: float

    @property
    def name(self) -> str:
        """A name of its own."""
        return f"{_NAMES[self.tag]}_{self.number}"


@dataclass(frozen=True)
class Numbering:
    """The numbers of a plan's things, from 1: the kerbside's, the parts of the lots, the backdrops."""

    num_things: int
    num_lots: int

    def of_thing(self, index: int) -> int:
        """Return the number of a thing at the kerb."""
        return 1 + index

    def of_lot(self, index: int, tag: int) -> int:
        """Return the number of what has a semantic tag on a lot; what lies on the ground belongs to the land."""
        part = _PART_OF_TAG.get(tag)
        return LAND if part is None else 1 + self.num_things + _LOT_PARTS * index + part

    def of_lot_triangles(self, index: int, tags: np.ndarray) -> np.ndarray:
        """Return (F,) i32 numbers for the tags (F,) u8 of a lot's triangles."""
        table = np.array([self.of_lot(index, tag) for tag in range(256)], np.int32)
        return table[tags]

    def of_backdrop(self, index: int) -> int:
        """Return the number of something behind the houses."""
        return 1 + self.num_things + _LOT_PARTS * self.num_lots + index


def environment_things(
    things: Sequence[Thing], lots: Sequence[Lot], backdrops: Sequence[Backdrop]
) -> tuple[EnvironmentThing, ...]:
    """Return everything of a plan that can be switched, in the order of the numbers."""
    numbers = Numbering(len(things), len(lots))
    found: list[EnvironmentThing] = []
    for index, thing in enumerate(things):
        half_x, half_y, height, tag, layer = THING_KINDS[thing.kind]
        place = Footprint(thing.x_m, -thing.y_m, half_x, half_y, -thing.heading_rad)
        found.append(EnvironmentThing(numbers.of_thing(index), tag, layer, _turned(place), height))
    for index, lot in enumerate(lots):
        for part, tag, height in _PARTS[lot.kind]:
            number = numbers.of_lot(index, tag)
            place = _around(list(lot_boxes(lot, _area_of(lot, part))))
            found.append(EnvironmentThing(number, tag, _PART_LAYERS[part], place, height or lot.eaves_m))
    for index, backdrop in enumerate(backdrops):
        tag, part, height = BUILDING_TAG, _HOUSE, backdrop.floors * _BACKDROP_FLOOR_M
        if not backdrop.floors:
            tag, part, height = VEGETATION_TAG, _GREEN, _BACKDROP_TREE_M
        place = _around([backdrop.place])
        found.append(EnvironmentThing(numbers.of_backdrop(index), tag, _PART_LAYERS[part], place, height))
    return tuple(found)


def hidden_numbers(things: Sequence[EnvironmentThing], disabled: Collection[int], unloaded: int) -> frozenset[int]:
    """Return the numbers of what does not show: what is disabled, and all of the unloaded layers (CARLA's bits)."""
    hidden = set(disabled)
    if unloaded:
        hidden |= {thing.number for thing in things if thing.layer & unloaded}
        hidden |= {number for number, layer in ((LAND, Layer.GROUND), (DECALS, Layer.DECALS)) if layer & unloaded}
    return frozenset(hidden)


def _area_of(lot: Lot, part: int) -> Area:
    """Return where a part of a lot stands, in the lot's coordinates."""
    width = lot.width_m
    if part == _FRONT:
        return 0.0, width, 0.05, 0.4
    if part == _GREEN:
        return 0.0, width, 0.4, LOT_DEPTHS_M[lot.kind]
    if lot.kind == "villa":
        return villa_house(lot)
    if lot.kind == "works":
        return works_hall(lot)
    return 0.0, width, 0.0, BUILDING_DEPTH_M


def _around(boxes: Sequence[Footprint]) -> Footprint:
    """Return the box around boxes of OpenDRIVE's frame, turned as the middle one of them, in CARLA's world."""
    yaw = boxes[len(boxes) // 2].yaw_rad
    cos, sin = math.cos(yaw), math.sin(yaw)
    corners = np.array([corner for box in boxes for corner in box.corners()])
    along, across = corners @ np.array([cos, sin]), corners @ np.array([-sin, cos])
    u, v = 0.5 * float(along.min() + along.max()), 0.5 * float(across.min() + across.max())
    half_x, half_y = 0.5 * float(np.ptp(along)), 0.5 * float(np.ptp(across))
    return _turned(Footprint(u * cos - v * sin, -(u * sin + v * cos), half_x, half_y, -yaw))


def _turned(place: Footprint) -> Footprint:
    """Return a box whose yaw lies between -pi and pi."""
    return place._replace(yaw_rad=(place.yaw_rad + math.pi) % (2.0 * math.pi) - math.pi)
