"""What stands along the kerbs: trees, lamps, benches and other furniture, and parked cars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bridge.town.districts import Districts
from bridge.town.profiles import LANE
from bridge.town.roads import KERB_HEIGHT_M, JunctionLink, Road
from bridge.town.signals import Crosswalk

ThingKind = Literal["tree", "lamp", "bin", "bench", "bollard", "postbox", "planter", "shelter", "parked"]

LAMP_ARM_M, LAMP_HEIGHT_M = 2.05, 7.84
CROSSING_CLEARANCE_M = 9.0
JUNCTION_CLEARANCE_M = 9.0
PARKING_SLOT_M = 6.1
SHELTER_AT_M = 25.0
_SHELTER_SHARE = 0.4
PARKED_SHAPES = ("compact", "sedan", "sedan", "estate", "estate", "suv", "van")
TIGHTEST_PARKING_RADIUS_M = 60.0
_TREE_SHARE = {"centre": 0.6, "terrace": 0.7, "villas": 0.85, "works": 0.35, "park": 0.9, "woods": 0.5}
_PARKED_SHARE = {"centre": 0.62, "terrace": 0.55, "villas": 0.3, "works": 0.35, "park": 0.3, "woods": 0.12}


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
class LampSite:
    """A street lamp's light: where its glass is, in CARLA's world, and the yaw in which its arm reaches out."""

    x_m: float
    y_m: float
    z_m: float
    yaw_deg: float


def lamp_site(lamp: Thing) -> LampSite:
    """Return where the light of a thing of kind "lamp" comes from."""
    out = lamp.heading_rad + math.pi
    x, y = lamp.x_m + LAMP_ARM_M * math.cos(out), lamp.y_m + LAMP_ARM_M * math.sin(out)
    return LampSite(x, -y, lamp.z_m + LAMP_HEIGHT_M, (180.0 - math.degrees(out)) % 360.0 - 180.0)


def place_things(
    roads: Sequence[Road], crosswalks: Sequence[Crosswalk], districts: Districts, rng: np.random.Generator
) -> list[Thing]:
    """Return everything small that stands along the roads."""
    things: list[Thing] = []
    for road in roads:
        crossings = [c.s_m for c in crosswalks if c.road_id == road.road_id]
        for side in (1, -1):
            verge = _Verge(road, side, crossings, districts, rng)
            things += [*verge.trees(), *verge.furniture(), *verge.parked_cars()]
    return things


class _Verge:
    """One sidewalk of a road and the parking lane before it."""

    def __init__(
        self, road: Road, side: int, crossings: Sequence[float], districts: Districts, rng: np.random.Generator
    ) -> None:
        self._road, self._side, self._crossings, self._rng = road, side, crossings, rng
        self._districts = districts
        self._kerb = road.profile.kerb_m(side)
        self._first = JUNCTION_CLEARANCE_M if isinstance(road.predecessor, JunctionLink) else 0.0
        self._last = road.length_m - (JUNCTION_CLEARANCE_M if isinstance(road.successor, JunctionLink) else 0.0)

    def _share(self, s: float, shares: dict[str, float]) -> float:
        x, y, _ = self._road.point(s, self._side * (self._kerb + 12.0))
        return shares[self._districts.at(x, y)]

    def _is_clear(self, s: float, clearance_m: float) -> bool:
        return self._first <= s <= self._last and all(abs(s - middle) > clearance_m for middle in self._crossings)

    def _thing(
        self, kind: ThingKind, s_m: float, t_m: float, facing: float, variant: int = 0, scale: float = 1.0
    ) -> Thing:
        """Place something at (s, t); `facing` is its heading against the road's (0 = along s)."""
        x, y, heading = self._road.point(s_m, self._side * t_m)
        z = KERB_HEIGHT_M if t_m > self._kerb else 0.0
        return Thing(kind, x, y, z, heading + facing, variant, scale)

    def trees(self) -> list[Thing]:
        """Return street trees at even distances, some left out."""
        rng, things = self._rng, []
        for s in np.arange(5.0, self._road.length_m - 2.0, 11.5):
            at = float(s) + rng.normal(0.0, 0.5)
            share, turn = self._share(at, _TREE_SHARE), rng.uniform(0.0, 2 * math.pi)
            variant, scale = int(rng.integers(6)), float(rng.uniform(0.8, 1.15))
            if self._is_clear(at, CROSSING_CLEARANCE_M) and rng.random() < share:
                things.append(self._thing("tree", at, self._kerb + 0.95, turn, variant, scale))
        return things

    def furniture(self) -> list[Thing]:
        """Return lamps, benches, bins and the like, and bollards beside the crossings."""
        kerb, toward_road = self._kerb, 0.5 * math.pi * self._side
        things = [
            self._thing("lamp", float(s), kerb + 0.5, toward_road)
            for s in np.arange(10.5 if self._side > 0 else 22.0, self._road.length_m, 23.0)
            if self._is_clear(float(s), 4.0)
        ]
        things += self._scattered("bin", 14.0, 38.0, kerb + 2.9, 1)
        things += self._scattered("bench", 19.0, 37.0, kerb + 2.75, 1)
        things += self._scattered("planter", 31.0, 52.0, kerb + 2.9, 2)
        things += self._shelters()
        things += self._scattered("postbox", 45.0, 90.0, kerb + 0.8, 1)
        things += [
            self._thing("bollard", middle + beside, kerb + 0.35, 0.0)
            for middle in self._crossings
            for beside in (-3.0, 3.0)
            if 0.5 < middle + beside < self._road.length_m - 0.5
        ]
        return things

    def _shelters(self) -> list[Thing]:
        """Return a bus shelter on some of the wider streets' longer pieces."""
        at = SHELTER_AT_M
        if self._road.profile is LANE or self._rng.random() > _SHELTER_SHARE or not self._is_clear(at, 8.0):
            return []
        return (
            [self._thing("shelter", at, self._kerb + 2.75, 0.5 * math.pi * self._side)] if at < self._last - 6.0 else []
        )

    def _scattered(self, kind: ThingKind, first: float, step: float, t: float, variants: int) -> list[Thing]:
        rng, things = self._rng, []
        for s in np.arange(first, self._road.length_m - 2.0, step):
            at = float(s) + rng.normal(0.0, 0.35)
            variant, scale = int(rng.integers(variants)), float(rng.uniform(0.85, 1.15))
            if self._is_clear(at, 4.5):
                things.append(self._thing(kind, at, t, 0.5 * math.pi * self._side, variant, scale))
        return things

    def parked_cars(self) -> list[Thing]:
        """Return cars in some of the parking lane's slots, headed as their side's traffic."""
        rng, road, things = self._rng, self._road, []
        lanes = road.profile.lanes(self._side)
        parking = next((index for index, lane in enumerate(lanes) if lane.kind == "parking"), None)
        if parking is None or abs(road.segments[0].curvature_per_m) > 1.0 / TIGHTEST_PARKING_RADIUS_M:
            return []
        t = abs(road.profile.centre_of_m(self._side, parking))
        for s in np.arange(4.0, road.length_m - 3.0, PARKING_SLOT_M):
            at, wobble = float(s) + rng.normal(0.0, 0.2), rng.normal(0.0, 0.012)
            variant, aside = int(rng.integers(1 << 16)), float(np.clip(rng.normal(0.08, 0.06), 0.0, 0.18))
            share = self._share(at, _PARKED_SHARE)
            if self._is_clear(at, CROSSING_CLEARANCE_M) and rng.random() < share:
                facing = (0.0 if self._side < 0 else math.pi) + wobble
                things.append(self._thing("parked", at, t + aside, facing, variant))
        return things
