"""Roads, kerbs, sidewalks, paint and the ground between: lane profiles swept along their roads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bridge.town.engine import tags
from bridge.town.engine.mesh import Mesh
from bridge.town.plan import BUILDING_DEPTH_M, PARKING_SLOT_M, Lot
from bridge.town.roads import KERB_HEIGHT_M, Road
from bridge.town.streets import STOP_LINE_GAP_M, Crosswalk

KERB_WIDTH_M = 0.2
PAINT_HEIGHT_M = 0.004
FAR_GROUND_M = 1500.0


def pave_road(mesh: Mesh, road: Road) -> None:
    """Add a road's carriageway, kerbs and sidewalks."""
    left, right = road.profile.kerb_m(1), road.profile.kerb_m(-1)
    whole = (0.0, road.length_m)
    sweep(mesh, road, whole, ((-right, 0.0), (0.0, 0.0)), "asphalt", tags.ROAD, tile_m=5.0)
    sweep(mesh, road, whole, ((0.0, 0.0), (left, 0.0)), "asphalt", tags.ROAD, tile_m=5.0)
    for side in (1, -1):
        kerb, frontage = road.profile.kerb_m(side), road.profile.frontage_m(side)
        face = ((kerb, 0.0), (kerb, KERB_HEIGHT_M))
        top = ((kerb, KERB_HEIGHT_M), (kerb + KERB_WIDTH_M, KERB_HEIGHT_M))
        walk = ((kerb + KERB_WIDTH_M, KERB_HEIGHT_M), (frontage + 0.3, KERB_HEIGHT_M))
        for line, material, tile_m in ((face, "kerb", 1.0), (top, "kerb", 1.0), (walk, "paving", 2.4)):
            sweep(mesh, road, whole, _mirrored(line, side), material, tags.SIDEWALK, tile_m=tile_m)


def paint_road(mesh: Mesh, road: Road, crosswalks: Sequence[Crosswalk]) -> None:
    """Add a road's lines, parking bays, zebra crossings and stop lines."""
    crossings = [c for c in crosswalks if c.road_id == road.road_id]
    gaps = [(c.s_m - 6.0, c.s_m + 6.0) for c in crossings]
    for s in np.arange(1.0, road.length_m - 2.0, 6.0):
        if not any(a < s + 3.0 and s < b for a, b in gaps):
            _stripe(mesh, road, (float(s), float(s) + 3.0), (-0.06, 0.06))
    for side in (1, -1):
        inner = sum(lane.width_m for lane in road.profile.lanes(side) if lane.kind == "driving")
        kerb = road.profile.kerb_m(side)
        for a, b in _between(0.0, road.length_m, [(c.s_m - 8.0, c.s_m + 8.0) for c in crossings]):
            _stripe(mesh, road, (a, b), (side * inner - 0.05, side * inner + 0.05))
        straight = all(segment.curvature_per_m == 0.0 for segment in road.segments)
        for s in np.arange(3.0, road.length_m - 3.0, PARKING_SLOT_M) if straight else ():
            if all(abs(s - c.s_m) > 7.0 for c in crossings):
                _stripe(mesh, road, (float(s) - 0.05, float(s) + 0.05), tuple(sorted((side * inner, side * kerb))))
    for crosswalk in crossings:
        _zebra(mesh, road, crosswalk)


def _zebra(mesh: Mesh, road: Road, crosswalk: Crosswalk) -> None:
    half = 0.5 * crosswalk.width_m
    left, right = road.profile.kerb_m(1), road.profile.kerb_m(-1)
    for t in np.arange(-right + 0.45, left - 0.6, 1.1):
        _stripe(mesh, road, (crosswalk.s_m - half, crosswalk.s_m + half), (float(t), float(t) + 0.55))
    for side in (1, -1):
        inner = sum(lane.width_m for lane in road.profile.lanes(side) if lane.kind == "driving")
        stop = crosswalk.s_m + side * (half + STOP_LINE_GAP_M - 1.0)
        _stripe(mesh, road, (stop - 0.2, stop + 0.2), tuple(sorted((side * 0.15, side * inner))))


def wear_road(mesh: Mesh, road: Road, rng: np.random.Generator) -> None:
    """Add tarmac patches and manhole covers, tagged road."""
    inner = 3.5
    for s in np.arange(8.0, road.length_m - 8.0, 17.0):
        at, t = float(s) + rng.uniform(-5.0, 5.0), float(rng.uniform(-inner, inner))
        if rng.random() < 0.5:
            length, width = rng.uniform(1.2, 5.0), rng.uniform(0.7, 1.6)
            area = ((at, at + length), (t - width / 2, t + width / 2))
            _stripe(mesh, road, *area, material="patch", tag=tags.ROAD, height_m=0.002)
        else:
            area = ((at, at + 0.7), (t - 0.35, t + 0.35))
            _stripe(mesh, road, *area, material="cover", tag=tags.ROAD, height_m=0.003)


def lay_lot(mesh: Mesh, road: Road, lot: Lot) -> None:
    """Add the ground of a yard (paved) or a park (grass)."""
    frontage = road.profile.frontage_m(lot.side)
    depth = BUILDING_DEPTH_M + (16.0 if lot.kind == "park" else 2.0)
    line = ((frontage + 0.3, KERB_HEIGHT_M), (frontage + depth, KERB_HEIGHT_M))
    material, tag, tile_m = ("grass", tags.TERRAIN, 5.0) if lot.kind == "park" else ("paving", tags.GROUND, 3.0)
    sweep(mesh, road, (lot.s0_m, lot.s1_m), _mirrored(line, lot.side), material, tag, tile_m=tile_m)


def far_ground(mesh: Mesh) -> None:
    """Add the land around the town and inside its blocks."""
    far, tiles = FAR_GROUND_M, FAR_GROUND_M / 5.0
    uv = ((-tiles, -tiles), (tiles, -tiles), (tiles, tiles), (-tiles, tiles))
    z = -0.1
    mesh.quad((-far, -far, z), (far, -far, z), (far, far, z), (-far, far, z), "grass", tags.TERRAIN, uv=uv)


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
    s = _stations(road, *along_m)
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


def _stripe(
    mesh: Mesh,
    road: Road,
    along_m: tuple[float, float],
    across_m: tuple[float, ...],
    *,
    material: str = "mark",
    tag: int = tags.ROAD_LINE,
    height_m: float = PAINT_HEIGHT_M,
) -> None:
    line = ((across_m[0], height_m), (across_m[1], height_m))
    tile_m = 0.7 if material == "cover" else 2.0
    sweep(mesh, road, along_m, line, material, tag, tile_m=tile_m)


def _stations(road: Road, s0: float, s1: float) -> np.ndarray:
    """Return distances from s0 to s1: every 10 m where the road is straight, every 2.5 m where it bends."""
    bends = any(segment.curvature_per_m != 0.0 for segment in road.segments)
    return np.linspace(s0, s1, max(1, round((s1 - s0) / (2.5 if bends else 10.0))) + 1)


def _between(start: float, end: float, gaps: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the stretches of start..end that no gap covers."""
    stretches: list[tuple[float, float]] = []
    for a, b in sorted(gaps):
        if a > start:
            stretches.append((start, a))
        start = max(start, b)
    if end > start:
        stretches.append((start, end))
    return stretches
