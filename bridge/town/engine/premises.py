"""Premises set back from the street: villas in their gardens, halls behind their yards; in lot coordinates."""

from __future__ import annotations

import itertools

import numpy as np

from bridge.town.engine import furniture, tags
from bridge.town.engine.buildings import House, build_house
from bridge.town.engine.mesh import Mesh, MeshArrays
from bridge.town.engine.trees import clip_hedge, grow_bush
from bridge.town.lots import (
    LOT_DEPTHS_M,
    VILLA_DEPTH_M,
    WORKS_GATE_M,
    WORKS_HEIGHT_M,
    Lot,
    front_fence,
    villa_house,
    works_hall,
)

_FENCE_Y_M = 0.25
_PATH_M = 1.3
_PAINTS = ((0.32, 0.08, 0.06), (0.05, 0.16, 0.30), (0.08, 0.22, 0.12), (0.45, 0.36, 0.16), (0.30, 0.31, 0.33))


def build_villa(lot: Lot) -> MeshArrays:
    """Return a house with a front garden: fence and gates, paths to its doors, bushes, boards between neighbours."""
    rng = np.random.default_rng(lot.seed)
    mesh = Mesh()
    x0, x1, y0, _ = villa_house(lot)
    house = House(x1 - x0, VILLA_DEPTH_M, lot.floors, lot.style, opens=(True, True), is_home=True)
    mesh.put(build_house(house, lot.seed).moved(np.eye(3), (x0, y0, 0.0)))
    fence = int(rng.integers(4))
    stretches = front_fence(lot)
    for a, b in stretches:
        _garden_fence(mesh, a, b, fence)
    gates = [0.5 * (a + b) for (_, a), (b, _) in itertools.pairwise(stretches)]
    for middle in gates:
        z = 0.012
        left, right = middle - 0.5 * _PATH_M, middle + 0.5 * _PATH_M
        path = ((left, 0.2, z), (right, 0.2, z), (right, y0, z), (left, y0, z))
        mesh.quad(*path, "paving", tags.GROUND, uv=((0.0, y0 / 2.4), (0.5, y0 / 2.4), (0.5, 0.0), (0.0, 0.0)))
    for x in np.arange(x0 + 0.8, x1 - 0.5, 1.9):
        if rng.random() < 0.5 and all(abs(x - gate) > 1.2 for gate in gates):
            size = float(rng.uniform(0.7, 1.2))
            bush = grow_bush(int(rng.integers(3)), 1.1)
            mesh.put(bush.moved(np.eye(3) * size, (float(x), y0 - 0.7, 0.0)))
    depth = LOT_DEPTHS_M[lot.kind]
    for x in (0.02, lot.width_m - 0.08):
        mesh.box((x, 0.4, 0.0), (x + 0.06, y0, 0.9), "wood", tags.FENCE, tiles_per_m=0.8)
        mesh.box((x, y0, 0.0), (x + 0.06, depth, 1.8), "wood", tags.FENCE, tiles_per_m=0.8)
    mesh.put(clip_hedge(lot.width_m, 2.2, 0.9).moved(np.eye(3), (0.0, depth - 0.5, 0.0)))
    return mesh.build()


def _garden_fence(mesh: Mesh, a: float, b: float, kind: int) -> None:
    """Add a stretch of front fence: brick, hedge, pickets or iron."""
    if kind == 0:
        low, high = (a, _FENCE_Y_M - 0.12, 0.0), (b, _FENCE_Y_M + 0.12, 0.75)
        mesh.box(low, high, "wall0", tags.WALL, tiles_per_m=0.4)
        low, high = (a, _FENCE_Y_M - 0.16, 0.75), (b, _FENCE_Y_M + 0.16, 0.83)
        mesh.box(low, high, "stone", tags.WALL, tiles_per_m=0.4, faces="wtb")
    elif kind == 1:
        mesh.put(clip_hedge(b - a, 1.05, 0.5).moved(np.eye(3), (a, _FENCE_Y_M + 0.15, 0.0)))
    elif kind == 2:
        tiles = (b - a) / 1.2
        uv = ((0.0, 1.0), (tiles, 1.0), (tiles, 0.0), (0.0, 0.0))
        y = _FENCE_Y_M
        mesh.quad((a, y, 0.0), (b, y, 0.0), (b, y, 1.0), (a, y, 1.0), "pickets", tags.FENCE, uv=uv)
    else:
        mesh.put(furniture.railings(b - a).moved(np.diag((1.0, 1.0, 0.75)), (a, _FENCE_Y_M, 0.0)))


def build_works(lot: Lot) -> MeshArrays:
    """Return a hall of corrugated sheet with roller doors and an office, behind a fenced yard with containers."""
    rng = np.random.default_rng(lot.seed)
    mesh = Mesh()
    x0, x1, y0, y1 = works_hall(lot)
    sheet, paint = f"sheet{lot.style % 2}", _PAINTS[lot.style % len(_PAINTS)]
    _hall(mesh, (x0, x1, y0, y1), sheet, paint)
    office_m = 4.2
    front = y0 - 0.04
    pane = ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0))
    a, b = x0 + 0.4, x0 + 0.4 + office_m
    mesh.quad((a, front, 0.0), (b, front, 0.0), (b, front, 3.3), (a, front, 3.3), "office", tags.BUILDING, uv=pane)
    for x in np.arange(b + 1.0, x1 - 4.6, 5.4):
        door = ((x, front, 0.0), (x + 4.0, front, 0.0), (x + 4.0, front, 4.2), (x, front, 4.2))
        mesh.quad(*door, "roller", tags.BUILDING, uv=((0.0, 2.0), (2.0, 2.0), (2.0, 0.0), (0.0, 0.0)))
        for edge in (x - 0.12, x + 4.0):
            low, high = (edge, y0 - 0.15, 0.0), (edge + 0.12, y0, 4.3)
            mesh.box(low, high, "cloth", tags.BUILDING, colour=(0.6, 0.5, 0.08))
    for a, b in front_fence(lot):
        _mesh_fence(mesh, a, b)
    gate = 0.5 * lot.width_m
    for x in (gate - 0.5 * WORKS_GATE_M, gate + 0.5 * WORKS_GATE_M):
        mesh.tube((x, _FENCE_Y_M, 0.0), (x, _FENCE_Y_M, 2.2), 0.07, 0.07, 8, "metal", tags.POLE, cap=True)
    for x in (1.0, lot.width_m - 7.3):
        if rng.random() < 0.6 and abs(x + 3.0 - gate) > 0.5 * WORKS_GATE_M + 3.0:
            colour = _PAINTS[int(rng.integers(len(_PAINTS)))]
            low, high = (x, 1.3, 0.05), (x + 6.1, 3.7, 2.6)
            mesh.box(low, high, "sheet0", tags.STATIC, colour=[2.2 * c for c in colour], tiles_per_m=0.5)
    return mesh.build()


def _hall(mesh: Mesh, area: tuple[float, float, float, float], sheet: str, paint: tuple[float, ...]) -> None:
    """Add a hall's walls, a band in its colour under the eaves, and its low roof."""
    x0, x1, y0, y1 = area
    h, rise = WORKS_HEIGHT_M, 1.5
    mesh.box((x0, y0, 0.0), (x1, y1, h), sheet, tags.BUILDING, tiles_per_m=0.5, faces="w")
    mesh.box(
        (x0 - 0.06, y0 - 0.08, h - 1.3), (x1 + 0.06, y0, h - 0.3), "cloth", tags.BUILDING, colour=paint, faces="wtb"
    )
    ridge = 0.5 * (y0 + y1)
    across, along = (ridge - y0) / 3.0, (x1 - x0) / 3.0
    uv = ((0.0, across), (along, across), (along, 0.0), (0.0, 0.0))
    slope = ((x0 - 0.2, y0 - 0.3, h), (x1 + 0.2, y0 - 0.3, h), (x1 + 0.2, ridge, h + rise), (x0 - 0.2, ridge, h + rise))
    back = ((x1 + 0.2, y1 + 0.3, h), (x0 - 0.2, y1 + 0.3, h), (x0 - 0.2, ridge, h + rise), (x1 + 0.2, ridge, h + rise))
    for face in (slope, back):
        mesh.quad(*face, "roof", tags.BUILDING, uv=uv)
    for x, order in ((x0, (0, 2, 1)), (x1, (0, 1, 2))):
        gable = np.array([(x, y0, h), (x, y1, h), (x, ridge, h + rise)])
        mesh.add(gable, [order], sheet, tags.BUILDING, uv=((0.0, 0.0), (8.0, 0.0), (4.0, -0.75)))


def _mesh_fence(mesh: Mesh, a: float, b: float) -> None:
    tiles, y = (b - a) / 1.0, _FENCE_Y_M
    uv = ((0.0, 2.0), (tiles, 2.0), (tiles, 0.0), (0.0, 0.0))
    mesh.quad((a, y, 0.05), (b, y, 0.05), (b, y, 2.0), (a, y, 2.0), "wire_mesh", tags.FENCE, uv=uv)
    for x in np.linspace(a, b, max(2, round((b - a) / 3.0) + 1)).tolist():
        mesh.tube((x, y, 0.0), (x, y, 2.05), 0.035, 0.035, 6, "metal", tags.FENCE)
