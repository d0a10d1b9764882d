"""Roads, junctions, kerbs, sidewalks and the ground between: lane profiles swept along their roads."""

from __future__ import annotations

import numpy as np

from bridge.town.engine import tags
from bridge.town.engine.mesh import Mesh
from bridge.town.junctions import Junction
from bridge.town.lots import LOT_DEPTHS_M, Lot, LotKind
from bridge.town.roads import KERB_HEIGHT_M, Road
from bridge.town.street_graph import KERB_RADIUS_M
from bridge.town.surface import CELL_M, Surface

KERB_WIDTH_M = 0.2
FAR_GROUND_M = 1500.0
LAND_DEPTH_M = 0.02
"""The land lies so far below the sidewalks, that overlap it."""
LAND_CELL_M = 2.5
_ASPHALT_TILE_M = 5.0
_LOT_GROUND: dict[LotKind, tuple[str, int, float]] = {
    "yard": ("paving", tags.GROUND, 3.0),
    "park": ("grass", tags.TERRAIN, 5.0),
    "villa": ("grass", tags.TERRAIN, 5.0),
    "works": ("asphalt", tags.GROUND, 5.0),
}


def pave_road(mesh: Mesh, road: Road) -> None:
    """Add a road's carriageway, kerbs and sidewalks."""
    left, right = road.profile.kerb_m(1), road.profile.kerb_m(-1)
    whole = (0.0, road.length_m)
    sweep(mesh, road, whole, ((-right, 0.0), (0.0, 0.0)), "asphalt", tags.ROAD, tile_m=_ASPHALT_TILE_M)
    sweep(mesh, road, whole, ((0.0, 0.0), (left, 0.0)), "asphalt", tags.ROAD, tile_m=_ASPHALT_TILE_M)
    for side in (1, -1):
        pave_sidewalk(mesh, road, side)


def pave_sidewalk(mesh: Mesh, road: Road, side: int) -> None:
    """Add one kerb and the sidewalk behind it."""
    whole = (0.0, road.length_m)
    kerb, frontage = road.profile.kerb_m(side), road.profile.frontage_m(side)
    face = ((kerb, 0.0), (kerb, KERB_HEIGHT_M))
    top = ((kerb, KERB_HEIGHT_M), (kerb + KERB_WIDTH_M, KERB_HEIGHT_M))
    walk = ((kerb + KERB_WIDTH_M, KERB_HEIGHT_M), (frontage + 0.3, KERB_HEIGHT_M))
    for line, material, tile_m in ((face, "kerb", 1.0), (top, "kerb", 1.0), (walk, "paving", 2.4)):
        sweep(mesh, road, whole, _mirrored(line, side), material, tags.SIDEWALK, tile_m=tile_m)


def pave_junction(mesh: Mesh, junction: Junction) -> None:
    """Add a junction's carriageway, the kerbs and sidewalks round it, and paving up to the houses at its corners."""
    ring: list[tuple[float, float]] = []
    for corner in reversed(junction.corners):
        pave_sidewalk(mesh, corner, 1)
        if not corner.is_straight:
            beyond = corner.profile.frontage_m(1) + 0.2
            height = KERB_HEIGHT_M - 0.5 * LAND_DEPTH_M
            line = ((beyond, height), (KERB_RADIUS_M - 0.1, height))
            sweep(mesh, corner, (0.0, corner.length_m), line, "paving", tags.SIDEWALK, tile_m=2.4)
        x, y, _ = corner.sample(stations(corner, 0.0, corner.length_m), 0.0)
        ring += zip(x.tolist(), y.tolist(), strict=True)
    # corners run clockwise round the junction
    ring.reverse()
    position = np.array([(junction.x_m, junction.y_m, 0.0), *((x, y, 0.0) for x, y in ring)])
    first = np.arange(1, len(ring) + 1)
    triangle = np.stack([np.zeros_like(first), first, np.roll(first, -1)], 1)
    uv = position[:, :2] / _ASPHALT_TILE_M
    mesh.add(position, triangle, "asphalt", tags.ROAD, uv=uv, normal=(0.0, 0.0, 1.0))


def lay_lot(mesh: Mesh, lot: Lot) -> None:
    """Add a lot's ground: paved yards, lawns of parks and villas, tarmac before halls."""
    frontage = lot.road.profile.frontage_m(lot.side)
    line = ((frontage + 0.3, KERB_HEIGHT_M), (frontage + LOT_DEPTHS_M[lot.kind], KERB_HEIGHT_M))
    material, tag, tile_m = _LOT_GROUND[lot.kind]
    sweep(mesh, lot.road, (lot.s0_m, lot.s1_m), _mirrored(line, lot.side), material, tag, tile_m=tile_m)


def far_ground(mesh: Mesh, surface: Surface) -> None:
    """Add the land around the town: a frame round the grid of its streets."""
    low_x, low_y = surface.origin_m
    rows, columns = (CELL_M * count for count in surface.inside_m.shape)
    high_x, high_y = low_x + LAND_CELL_M * (columns // LAND_CELL_M), low_y + LAND_CELL_M * (rows // LAND_CELL_M)
    far = FAR_GROUND_M
    for box in (
        (-far, -far, far, low_y),
        (-far, high_y, far, far),
        (-far, low_y, low_x, high_y),
        (high_x, low_y, far, high_y),
    ):
        _grass(mesh, box)


def near_ground(mesh: Mesh, surface: Surface) -> None:
    """Add the land inside the town: rows of grass wherever there is no street; sidewalks and lots lie over it."""
    step = round(LAND_CELL_M / CELL_M)
    inside = surface.inside_m[::step, ::step]
    corners = np.maximum.reduce([inside[:-1, :-1], inside[1:, :-1], inside[:-1, 1:], inside[1:, 1:]])
    is_land = corners < -0.05
    for row, line in enumerate(is_land):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]])))
        y = surface.origin_m[1] + row * LAND_CELL_M
        for start, stop in edges.reshape(-1, 2):
            for first in range(start, stop, 8):
                x0 = surface.origin_m[0] + first * LAND_CELL_M
                x1 = surface.origin_m[0] + min(first + 8, stop) * LAND_CELL_M
                _grass(mesh, (x0, y, x1, y + LAND_CELL_M))


def _grass(mesh: Mesh, box: tuple[float, float, float, float]) -> None:
    x0, y0, x1, y1 = box
    z = KERB_HEIGHT_M - LAND_DEPTH_M
    corners = ((x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z))
    uv = [(x / 5.0, y / 5.0) for x, y, _ in corners]
    mesh.quad(*corners, "grass", tags.TERRAIN, uv=uv)


def sweep(
    mesh: Mesh,
    road: Road,
    along_m: tuple[float, float],
    line: tuple[tuple[float, float], tuple[float, float]],
    material: str,
    tag: int,
    *,
    tile_m: float,
) -> None:
    """Sweep a line of the cross-section, (t, z) to (t, z), along a road; its upper side is to the left of the line.

    Texture coordinates are metres along and across, divided by `tile_m`.
    """
    s = stations(road, *along_m)
    (t0, z0), (t1, z1) = line
    across = float(np.hypot(t1 - t0, z1 - z0))
    vertical = abs(t1 - t0) < 1e-6
    v0, v1 = (across, 0.0) if vertical else (t0, t1)
    position = np.empty((len(s), 2, 3))
    for k, (t, z) in enumerate(((t0, z0), (t1, z1))):
        x, y, _ = road.sample(s, t)
        position[:, k, 0], position[:, k, 1], position[:, k, 2] = x, y, z
    uv = np.stack([np.stack([s, np.full(len(s), v)], 1) for v in (v0, v1)], 1) / tile_m
    i = 2 * np.arange(len(s) - 1)
    triangle = np.concatenate([np.stack([i, i + 2, i + 3], 1), np.stack([i, i + 3, i + 1], 1)])
    normal = None
    if not vertical:
        normal = (0.0, 0.0, 1.0)
    mesh.add(position, triangle, material, tag, uv=uv, normal=normal)


def _mirrored(
    line: tuple[tuple[float, float], tuple[float, float]], side: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Turn a line given outward from the reference line into one of the given side that keeps its upper side."""
    if side > 0:
        return line
    (t0, z0), (t1, z1) = line
    return ((-t1, z1), (-t0, z0))


def stations(road: Road, s0: float, s1: float) -> np.ndarray:
    """Return distances from s0 to s1: every 10 m where the road is straight, every 2.5 m where it bends."""
    bends = any(segment.curvature_per_m != 0.0 for segment in road.segments)
    return np.linspace(s0, s1, max(1, round((s1 - s0) / (2.5 if bends else 10.0))) + 1)
