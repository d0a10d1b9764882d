"""What is painted and patched on the carriageway: lane lines, parking bays, zebras, stop lines, tarmac, covers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bridge.town.engine import tags
from bridge.town.engine.ground import sweep
from bridge.town.engine.mesh import Mesh
from bridge.town.junctions import Arm, Junction
from bridge.town.kerbside import PARKING_SLOT_M
from bridge.town.roads import JunctionLink, Mark, Road
from bridge.town.signals import STOP_LINE_M, Crosswalk, SignalSite

PAINT_HEIGHT_M = 0.004
_CLEAR_OF_ZEBRA_M = 6.0
_DASH_M = 3.0
_TEETH_M = 0.5
_ARROW_M = (8.6, 12.4)


def paint_road(mesh: Mesh, road: Road, crosswalks: Sequence[Crosswalk], sites: Sequence[SignalSite]) -> None:
    """Add a road's lines, parking bays, zebra crossings and stop lines."""
    crossings = [c for c in crosswalks if c.road_id == road.road_id]
    first, last = _ends(road)
    gaps = [(c.s_m - _CLEAR_OF_ZEBRA_M, c.s_m + _CLEAR_OF_ZEBRA_M) for c in crossings]
    stretches = _between(first, last, gaps)
    _line(mesh, road, stretches, 0.0, road.profile.centre_mark)
    for side in (1, -1):
        edge = 0.0
        for lane in road.profile.lanes(side):
            edge += lane.width_m
            if lane.kind == "driving":
                _line(mesh, road, stretches, side * edge, lane.mark)
            elif lane.kind == "parking":
                _bays(mesh, road, stretches, (side * (edge - lane.width_m), side * edge))
    for crosswalk in crossings:
        _zebra(mesh, road, crosswalk)
    for site in sites:
        if site.road_id == road.road_id and site.kind != "speed":
            _stop_line(mesh, road, site)


def _ends(road: Road) -> tuple[float, float]:
    """Return from where to where lines are painted: not past the stop lines of junctions."""
    first = STOP_LINE_M if isinstance(road.predecessor, JunctionLink) else 0.0
    last = road.length_m - (STOP_LINE_M if isinstance(road.successor, JunctionLink) else 0.0)
    return first, last


def _line(mesh: Mesh, road: Road, stretches: Sequence[tuple[float, float]], t: float, mark: Mark) -> None:
    """Paint one lane line along stretches of a road."""
    if mark == "solid solid":
        for aside in (-0.12, 0.12):
            _line(mesh, road, stretches, t + aside, "solid")
    elif mark == "solid":
        for stretch in stretches:
            _stripe(mesh, road, stretch, (t - 0.05, t + 0.05))
    elif mark == "broken":
        for a, b in stretches:
            for s in np.arange(a + 1.0, b - 1.5, 2.0 * _DASH_M):
                _stripe(mesh, road, (float(s), min(float(s) + _DASH_M, b)), (t - 0.06, t + 0.06))


def _bays(mesh: Mesh, road: Road, stretches: Sequence[tuple[float, float]], across_m: tuple[float, float]) -> None:
    """Paint the marks between parking bays."""
    for s in np.arange(1.0, road.length_m, PARKING_SLOT_M):
        if any(a + 2.5 < s < b - 2.5 for a, b in stretches):
            _stripe(mesh, road, (float(s) - 0.05, float(s) + 0.05), tuple(sorted(across_m)))


def _zebra(mesh: Mesh, road: Road, crosswalk: Crosswalk) -> None:
    half = 0.5 * crosswalk.width_m
    left, right = road.profile.kerb_m(1), road.profile.kerb_m(-1)
    for t in np.arange(-right + 0.45, left - 0.6, 1.1):
        _stripe(mesh, road, (crosswalk.s_m - half, crosswalk.s_m + half), (float(t), float(t) + 0.55))


def _stop_line(mesh: Mesh, road: Road, site: SignalSite) -> None:
    """Paint a bar where lights or a stop sign hold the traffic, a row of teeth before a yield sign."""
    side = 1 if site.lane_ids[0] > 0 else -1
    edges = sorted((side * 0.2, side * (2.0 * site.half_width_m - 0.1)))
    s = site.stop_s_m - side * 0.6
    if site.kind != "yield":
        _stripe(mesh, road, (s - 0.2, s + 0.2), (edges[0], edges[1]))
        return
    for a in np.arange(edges[0], edges[1] - _TEETH_M, 2.0 * _TEETH_M):
        _stripe(mesh, road, (s - 0.25, s + 0.25), (float(a), float(a) + _TEETH_M))


def paint_arrows(mesh: Mesh, junction: Junction) -> None:
    """Add arrows before a junction's lines where lanes lead to different places: inner ones left, outer ones right."""
    numbers = {arm.number for arm in junction.arms}
    for arm in junction.arms:
        if arm.num_lanes < 2 or arm.road.length_m < _ARROW_M[1] + 0.5:
            continue
        has_ahead = (arm.number + 2) % 4 in numbers
        for lane in range(arm.num_lanes):
            t = arm.road.profile.centre_of_m(arm.arriving_side, lane)
            _arrow(mesh, arm, t, branch=1.0 if lane == 0 else -1.0, has_ahead=has_ahead)


def _arrow(mesh: Mesh, arm: Arm, t: float, *, branch: float, has_ahead: bool) -> None:
    """Paint one arrow: a shaft, a head ahead, and a branch to the left (+1) or right (-1) with its head."""
    tip, tail = _ARROW_M
    sideways = -arm.arriving_side * branch  # t of the driver's left is that of the road's left only along s

    def place(corners: Sequence[tuple[float, float]]) -> None:
        """Add a convex patch of (metres before the junction, metres to the branch's side)."""
        s = np.array([arm.s_before_m(before) for before, _ in corners])
        x, y, _ = arm.road.sample(s, np.array([t + sideways * aside for _, aside in corners]))
        position = np.stack([x, y, np.full(len(corners), PAINT_HEIGHT_M)], 1)
        is_mirrored = (x[1] - x[0]) * (y[2] - y[0]) < (y[1] - y[0]) * (x[2] - x[0])
        fan = [(0, k + 1, k) if is_mirrored else (0, k, k + 1) for k in range(1, len(corners) - 1)]
        uv = np.array(corners) / 2.0
        mesh.add(position, fan, "mark", tags.ROAD_LINE, uv=uv, normal=(0.0, 0.0, 1.0))

    place(((tail, -0.08), (tip + 0.9, -0.08), (tip + 0.9, 0.08), (tail, 0.08)))
    if has_ahead:
        place(((tip + 1.0, -0.28), (tip, 0.0), (tip + 1.0, 0.28)))
    place(((tip + 2.1, 0.0), (tip + 1.5, 0.5), (tip + 1.3, 0.5), (tip + 1.9, 0.0)))
    place(((tip + 1.75, 0.45), (tip + 1.05, 0.45), (tip + 1.4, 1.0)))


def wear_road(mesh: Mesh, road: Road, rng: np.random.Generator) -> None:
    """Add tarmac patches and manhole covers, tagged road."""
    inner = 3.5
    for s in np.arange(8.0, road.length_m - 6.0, 17.0):
        at, t = float(s) + rng.uniform(-5.0, 5.0), float(rng.uniform(-inner, inner))
        if rng.random() < 0.5:
            length, width = rng.uniform(1.2, 5.0), rng.uniform(0.7, 1.6)
            area = ((at, at + length), (t - width / 2, t + width / 2))
            _stripe(mesh, road, *area, material="patch", tag=tags.ROAD, height_m=0.002)
        else:
            area = ((at, at + 0.7), (t - 0.35, t + 0.35))
            _stripe(mesh, road, *area, material="cover", tag=tags.ROAD, height_m=0.003)


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
