"""The kinds of props that clients can put into the street: their sizes and CARLA's tags of them."""

from __future__ import annotations

from typing import NamedTuple

STATIC_TAG, DYNAMIC_TAG = 20, 21
PREFIX = "static.prop."


class PropKind(NamedTuple):
    """A kind of prop: CARLA's word for its size, half sizes in metres (along, across, up), CARLA's tag."""

    size: str
    half_extents_m: tuple[float, float, float]
    tag: int


PROPS: dict[str, PropKind] = {
    "advertisement": PropKind("medium", (0.12, 0.75, 1.2), STATIC_TAG),
    "barrel": PropKind("small", (0.3, 0.3, 0.45), DYNAMIC_TAG),
    "bench01": PropKind("medium", (0.33, 0.85, 0.47), STATIC_TAG),
    "bikeparking": PropKind("medium", (0.35, 0.9, 0.4), STATIC_TAG),
    "bin": PropKind("small", (0.27, 0.27, 0.51), STATIC_TAG),
    "box01": PropKind("small", (0.3, 0.3, 0.3), DYNAMIC_TAG),
    "box02": PropKind("small", (0.25, 0.4, 0.2), DYNAMIC_TAG),
    "box03": PropKind("tiny", (0.2, 0.2, 0.15), DYNAMIC_TAG),
    "busstop": PropKind("big", (0.8, 2.0, 1.3), STATIC_TAG),
    "constructioncone": PropKind("small", (0.2, 0.2, 0.375), DYNAMIC_TAG),
    "container": PropKind("big", (0.6, 0.95, 0.68), STATIC_TAG),
    "garbage01": PropKind("tiny", (0.3, 0.28, 0.25), DYNAMIC_TAG),
    "glasscontainer": PropKind("medium", (0.6, 0.6, 0.8), STATIC_TAG),
    "haybale": PropKind("medium", (0.4, 0.6, 0.35), DYNAMIC_TAG),
    "ironplank": PropKind("medium", (1.0, 1.5, 0.02), STATIC_TAG),
    "mailbox": PropKind("medium", (0.28, 0.28, 0.78), STATIC_TAG),
    "plantpot01": PropKind("medium", (0.66, 0.95, 0.55), STATIC_TAG),
    "plasticchair": PropKind("small", (0.25, 0.25, 0.42), DYNAMIC_TAG),
    "streetbarrier": PropKind("medium", (0.3, 1.2, 0.52), STATIC_TAG),
    "table": PropKind("small", (0.4, 0.6, 0.37), DYNAMIC_TAG),
    "trafficcone01": PropKind("small", (0.2, 0.2, 0.375), DYNAMIC_TAG),
    "trafficcone02": PropKind("small", (0.2, 0.2, 0.5), DYNAMIC_TAG),
    "trafficwarning": PropKind("big", (0.5, 0.9, 1.25), STATIC_TAG),
    "trashcan01": PropKind("small", (0.3, 0.28, 0.55), DYNAMIC_TAG),
    "vendingmachine": PropKind("medium", (0.4, 0.5, 0.95), STATIC_TAG),
    "warningconstruction": PropKind("small", (0.25, 0.3, 0.55), DYNAMIC_TAG),
}
"""Kinds by the last part of the blueprint's id, as in "static.prop.barrel"; all of them are drawn by the engine."""


def prop_kind(blueprint_id: str) -> PropKind:
    """Return the kind of a prop's blueprint; raises KeyError for one that does not exist."""
    return PROPS[blueprint_id.removeprefix(PREFIX)]
