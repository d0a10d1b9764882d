"""The character of a town's parts: which kind of houses stands where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

DistrictKind = Literal["centre", "terrace", "villas", "works", "park", "woods"]

_INNER_M = ((-158.0, 83.0), (-158.0, -83.0), (155.0, 83.0), (155.0, -83.0))
_CENTRE_M = ((-3.0, 60.0), (-3.0, -60.0), (-70.0, 0.0), (70.0, 0.0))
_OUTER_M = (
    (-285.0, 90.0),
    (-285.0, -90.0),
    (285.0, 90.0),
    (285.0, -90.0),
    (-190.0, 225.0),
    (-60.0, 225.0),
    (70.0, 225.0),
    (200.0, 225.0),
    (-190.0, -225.0),
    (-60.0, -225.0),
    (70.0, -225.0),
    (200.0, -225.0),
)
_INNER_KINDS: tuple[DistrictKind, ...] = ("terrace", "villas", "terrace", "villas")
_OUTER_KINDS: tuple[DistrictKind, ...] = (
    *("villas", "villas", "villas", "terrace", "terrace", "terrace"),
    *("woods", "woods", "works", "works", "park", "park"),
)


@dataclass(frozen=True)
class Districts:
    """Places, each the middle of a district (x, y in metres, OpenDRIVE's frame), and their kinds."""

    middles_m: tuple[tuple[float, float], ...]
    kinds: tuple[DistrictKind, ...]

    def at(self, x_m: float, y_m: float) -> DistrictKind:
        """Return the kind of the district in which a point lies."""
        distance = [(x_m - x) ** 2 + (y_m - y) ** 2 for x, y in self.middles_m]
        return self.kinds[distance.index(min(distance))]


def draw_districts(rng: np.random.Generator) -> Districts:
    """Return a town's districts: a centre along the avenue, houses around it, works, parks and woods outside."""
    inner = [_INNER_KINDS[k] for k in rng.permutation(len(_INNER_KINDS))]
    outer = [_OUTER_KINDS[k] for k in rng.permutation(len(_OUTER_KINDS))]
    centre: list[DistrictKind] = ["centre"] * len(_CENTRE_M)
    return Districts((*_INNER_M, *_CENTRE_M, *_OUTER_M), (*inner, *centre, *outer))
