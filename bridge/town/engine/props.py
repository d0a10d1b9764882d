"""The shapes of props that clients put into the street: cones, barriers, bins, boxes, street furniture.

A prop's frame: x forward, y left, z up, origin on the ground below its middle; props that have a front face +x.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from bridge.town.engine import furniture
from bridge.town.engine.mesh import Mesh, MeshArrays
from bridge.town.engine.shapes import Shape, standing
from bridge.town.engine.tags import DYNAMIC, STATIC
from bridge.town.prop_kinds import DYNAMIC_TAG, PREFIX, prop_kind

_ORANGE, _WHITE, _RED = (0.85, 0.16, 0.02), (0.85, 0.85, 0.83), (0.62, 0.03, 0.03)
_GREEN, _CARDBOARD, _YELLOW = (0.04, 0.14, 0.06), (0.46, 0.30, 0.16), (0.8, 0.5, 0.04)
CONTACT_STRENGTH = 0.7


def _cone(height_m: float) -> MeshArrays:
    mesh = Mesh()
    mesh.box((-0.2, -0.2, 0.0), (0.2, 0.2, 0.04), "cloth", DYNAMIC, colour=(0.03, 0.03, 0.03))
    edges = (0.04, 0.4 * height_m, 0.6 * height_m, height_m)
    for low, high, colour in zip(edges, edges[1:], (_ORANGE, _WHITE, _ORANGE), strict=False):
        wide, narrow = (0.15 - 0.12 * (z - 0.04) / (height_m - 0.04) for z in (low, high))
        mesh.tube((0, 0, low), (0, 0, high), wide, narrow, 12, "cloth", DYNAMIC, colour=colour, cap=high == height_m)
    return mesh.build()


def _barrier() -> MeshArrays:
    mesh = Mesh()
    for y in (-0.95, 0.95):
        mesh.box((-0.3, y - 0.05, 0.0), (0.3, y + 0.05, 0.06), "dark", STATIC)
        mesh.box((-0.03, y - 0.03, 0.06), (0.03, y + 0.03, 1.04), "metal", STATIC)
    for k in range(6):
        y = -1.2 + 0.4 * k
        for z in (0.35, 0.78):
            colour = _RED if k % 2 else _WHITE
            mesh.box((-0.05, y, z), (0.05, y + 0.4, z + 0.24), "cloth", STATIC, colour=colour, faces="wtb")
    return mesh.build()


def _barrel() -> MeshArrays:
    mesh = Mesh()
    for k, colour in enumerate((_ORANGE, _WHITE, _ORANGE, _WHITE, _ORANGE)):
        low, high = 0.18 * k, 0.18 * (k + 1)
        mesh.tube((0, 0, low), (0, 0, high), 0.3 - 0.012 * k, 0.288 - 0.012 * k, 14, "cloth", DYNAMIC, colour=colour,
                  cap=k == 4)  # fmt: skip
    return mesh.build()


def _box(half_x: float, half_y: float, height_m: float) -> MeshArrays:
    mesh = Mesh()
    mesh.box((-half_x, -half_y, 0.0), (half_x, half_y, height_m), "cloth", DYNAMIC, colour=_CARDBOARD)
    tape = height_m + 0.002
    mesh.box((-half_x, -0.03, height_m), (half_x, 0.03, tape), "cloth", DYNAMIC, colour=(0.6, 0.48, 0.3))
    return mesh.build()


def _board(half_y: float, bottom_m: float, top_m: float, *, on_legs: bool) -> MeshArrays:
    mesh = Mesh()
    mesh.box((-0.06, -half_y, bottom_m), (0.06, half_y, top_m), "metal", STATIC, faces="wtb")
    for x in (-0.065, 0.06):
        mesh.box((x, -half_y + 0.06, bottom_m + 0.06), (x + 0.005, half_y - 0.06, top_m - 0.06), "cloth", STATIC,
                 colour=_ORANGE if on_legs else (0.2, 0.34, 0.5))  # fmt: skip
    for y in (-0.7 * half_y, 0.7 * half_y):
        mesh.box((-0.05, y - 0.04, 0.0), (0.05, y + 0.04, bottom_m), "metal", STATIC)
        if on_legs:
            mesh.box((-0.5, y - 0.04, 0.0), (0.5, y + 0.04, 0.08), "dark", STATIC)
        else:
            mesh.box((-0.12, y - 0.06, 0.0), (0.12, y + 0.06, 0.04), "metal", STATIC)
    return mesh.build()


def _bus_stop() -> MeshArrays:
    mesh = Mesh()
    mesh.box((-0.8, -2.0, 2.48), (0.8, 2.0, 2.6), "metal", STATIC, faces="wtb")
    for y in (-1.92, 1.92):
        for x in (-0.72, 0.6):
            mesh.box((x, y - 0.05, 0.0), (x + 0.1, y + 0.05, 2.48), "metal", STATIC)
    mesh.box((-0.7, -1.87, 0.25), (-0.66, 1.87, 2.3), "glass", STATIC, faces="wtb")
    mesh.box((-0.6, -1.2, 0.42), (-0.2, 1.2, 0.48), "wood", STATIC, faces="wtb")
    for y in (-1.0, 1.0):
        mesh.box((-0.45, y - 0.04, 0.0), (-0.35, y + 0.04, 0.42), "metal", STATIC)
    return mesh.build()


def _container(half_x: float, half_y: float, height_m: float, colour: tuple[float, float, float]) -> MeshArrays:
    mesh = Mesh()
    body = height_m - 0.12
    mesh.box((-half_x + 0.06, -half_y + 0.06, 0.12), (half_x - 0.06, half_y - 0.06, body), "cloth", STATIC,
             colour=colour, faces="wb")  # fmt: skip
    mesh.box((-half_x, -half_y, body), (half_x, half_y, height_m), "dark", STATIC, faces="wtb")
    for x in (-0.7 * half_x, 0.7 * half_x):
        for y in (-0.7 * half_y, 0.7 * half_y):
            mesh.box((x - 0.06, y - 0.06, 0.0), (x + 0.06, y + 0.06, 0.12), "dark", STATIC)
    return mesh.build()


def _bag() -> MeshArrays:
    mesh = Mesh()
    for z0, z1, r0, r1 in ((0.0, 0.16, 0.24, 0.28), (0.16, 0.34, 0.28, 0.16), (0.34, 0.5, 0.16, 0.05)):
        mesh.tube((0, 0, z0), (0, 0, z1), r0, r1, 9, "cloth", DYNAMIC, colour=(0.015, 0.015, 0.02), cap=z1 == 0.5)
    return mesh.build()


def _legged(
    half_x: float, half_y: float, seat_m: float, back_m: float, colour: tuple[float, float, float]
) -> MeshArrays:
    """A table, or with `back_m` above the seat a chair."""
    mesh = Mesh()
    mesh.box((-half_x, -half_y, seat_m - 0.04), (half_x, half_y, seat_m), "cloth", DYNAMIC, colour=colour, faces="wtb")
    for x in (-half_x + 0.04, half_x - 0.04):
        for y in (-half_y + 0.04, half_y - 0.04):
            mesh.box((x - 0.02, y - 0.02, 0.0), (x + 0.02, y + 0.02, seat_m - 0.04), "metal", DYNAMIC)
    if back_m > seat_m:
        low, high = (-half_x, -half_y, seat_m), (-half_x + 0.04, half_y, back_m)
        mesh.box(low, high, "cloth", DYNAMIC, colour=colour, faces="wtb")
    return mesh.build()


def _bike_parking() -> MeshArrays:
    mesh = Mesh()
    for y in (-0.85, 0.0, 0.85):
        arch = [(0.3 * math.cos(a), y, 0.45 + 0.3 * math.sin(a)) for a in np.linspace(math.pi, 0.0, 7)]
        path = [(-0.3, y, 0.0), *arch, (0.3, y, 0.0)]
        for first, second in itertools.pairwise(path):
            mesh.tube(first, second, 0.03, 0.03, 6, "metal", STATIC)
    return mesh.build()


def _bale() -> MeshArrays:
    mesh = Mesh()
    mesh.box((-0.4, -0.6, 0.0), (0.4, 0.6, 0.7), "dirt", DYNAMIC, colour=(1.9, 1.7, 0.9), tiles_per_m=0.8)
    return mesh.build()


def _plank() -> MeshArrays:
    mesh = Mesh()
    mesh.box((-1.0, -1.5, 0.0), (1.0, 1.5, 0.04), "metal", STATIC, faces="wt")
    return mesh.build()


def _vending_machine() -> MeshArrays:
    mesh = Mesh()
    mesh.box((-0.4, -0.5, 0.0), (0.38, 0.5, 1.9), "cloth", STATIC, colour=_RED)
    mesh.box((0.38, -0.42, 0.6), (0.4, 0.2, 1.75), "glass", STATIC, faces="wtb")
    mesh.box((0.38, -0.42, 0.2), (0.4, 0.2, 0.42), "dark", STATIC, faces="wtb")
    return mesh.build()


def _warning() -> MeshArrays:
    mesh = Mesh()
    half, z = 0.3, 0.55
    for x, order in ((0.02, 1), (-0.02, -1)):
        corners = [(x, half, z), (x, 0.0, z + 0.5), (x, -half, z)]
        mesh.add(corners[::order], [[0, 2, 1]], "cloth", DYNAMIC, colour=_YELLOW)
    for y in (-0.2, 0.2):
        mesh.tube((0, y, 0), (0, 0.5 * y, z), 0.02, 0.02, 5, "metal", DYNAMIC)
        mesh.box((-0.25, y - 0.02, 0.0), (0.25, y + 0.02, 0.03), "dark", DYNAMIC)
    return mesh.build()


def _turned(mesh: MeshArrays) -> MeshArrays:
    """Furniture faces -x; props face +x."""
    return mesh.moved(np.diag([-1.0, -1.0, 1.0]), (0.0, 0.0, 0.0))


_BUILDERS: dict[str, Callable[[], MeshArrays]] = {
    "advertisement": lambda: _board(0.75, 0.5, 2.4, on_legs=False),
    "barrel": _barrel,
    "bench01": lambda: _turned(furniture.bench()),
    "bikeparking": _bike_parking,
    "bin": furniture.bin_,
    "box01": lambda: _box(0.3, 0.3, 0.6),
    "box02": lambda: _box(0.25, 0.4, 0.4),
    "box03": lambda: _box(0.2, 0.2, 0.3),
    "busstop": _bus_stop,
    "constructioncone": lambda: _cone(0.75),
    "container": lambda: _container(0.6, 0.95, 1.36, _GREEN),
    "garbage01": _bag,
    "glasscontainer": lambda: _container(0.6, 0.6, 1.6, (0.55, 0.56, 0.5)),
    "haybale": _bale,
    "ironplank": _plank,
    "mailbox": furniture.post_box,
    "plantpot01": lambda: furniture.planter(0),
    "plasticchair": lambda: _legged(0.25, 0.25, 0.44, 0.84, _WHITE),
    "streetbarrier": _barrier,
    "table": lambda: _legged(0.4, 0.6, 0.74, 0.0, (0.35, 0.22, 0.12)),
    "trafficcone01": lambda: _cone(0.75),
    "trafficcone02": lambda: _cone(1.0),
    "trafficwarning": lambda: _board(0.9, 0.9, 2.5, on_legs=True),
    "trashcan01": lambda: _container(0.3, 0.28, 1.1, (0.03, 0.06, 0.05)),
    "vendingmachine": _vending_machine,
    "warningconstruction": _warning,
}


def build_prop(name: str) -> Shape:
    """Return the shape of a prop by the last part of its blueprint's id; raises KeyError for an unknown one."""
    mesh, kind = _BUILDERS[name](), prop_kind(PREFIX + name)
    tag = DYNAMIC if kind.tag == DYNAMIC_TAG else STATIC
    mesh.tag[mesh.tag != tag] = tag
    half = kind.half_extents_m
    return Shape((mesh,), lambda _motion: standing([[0.0, 0.0, 0.0]]), half, half[:2], CONTACT_STRENGTH)
