"""What is drawn of a client's OpenDRIVE world: carriageways, lane marks, sidewalks, and a meadow around them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bridge.town.client_world import on_carriageway, sidewalks_of
from bridge.town.engine import tags
from bridge.town.engine.ground import FAR_GROUND_M, sweep
from bridge.town.engine.mesh import Mesh
from bridge.town.engine.packing import Piece
from bridge.town.environment import LAND
from bridge.town.roads import KERB_HEIGHT_M, Mark, Road
from bridge.town.streets import StreetNetwork
from bridge.town.surface import CELL_M, Surface

MEADOW_M = -0.03
"""The meadow lies so far below the roads that nothing flickers through them."""
_MEADOW_CELL_M = 20.0
_SLAB_M = 2.0
_DASH_M = 3.0
_ASPHALT_TILE_M, _PAVING_TILE_M, _GRASS_TILE_M = 5.0, 2.4, 5.0


def client_pieces(network: StreetNetwork) -> list[Piece]:
    """Return everything of a client's world."""
    mesh, marks, far = Mesh(), Mesh(), Mesh()
    assert network.mark_starts_m is not None
    for road, start in zip(network.roads, network.mark_starts_m, strict=True):
        _pave(mesh, road)
        _lay_sidewalks(mesh, road, network.surface)
        _paint(marks, road, start)
    meadow = Mesh()
    _lay_meadow(meadow, far, network.surface)
    pieces = [Piece(mesh.build()), Piece(meadow.build(), thing=LAND)]
    pieces.append(Piece(far.build(), anchor_m=(0.0, 0.0), thing=LAND))
    return pieces if marks.is_empty else [*pieces, Piece(marks.build())]


def _pave(mesh: Mesh, road: Road) -> None:
    left, right = road.profile.kerb_m(1), road.profile.kerb_m(-1)
    if left + right > 0.05:
        line = ((-right, 0.0), (left, 0.0))
        sweep(mesh, road, (0.0, road.length_m), line, "asphalt", tags.ROAD, tile_m=_ASPHALT_TILE_M)


def _lay_sidewalks(mesh: Mesh, road: Road, surface: Surface) -> None:
    """Add sidewalks and the kerbs at both their edges, but where a carriageway crosses them."""
    h = KERB_HEIGHT_M
    for side, inner, outer in sidewalks_of(road):
        count = max(1, math.ceil(road.length_m / _SLAB_M))
        edges = np.linspace(0.0, road.length_m, count + 1)
        x, y, _ = road.sample(0.5 * (edges[:-1] + edges[1:]), side * 0.5 * (inner + outer))
        is_free = np.concatenate([[False], ~on_carriageway(surface, x, y), [False]])
        for first, last in np.flatnonzero(np.diff(is_free.astype(np.int8))).reshape(-1, 2).tolist():
            along = (float(edges[first]), float(edges[last]))
            low, high = sorted((side * inner, side * outer))
            top = ((low, h), (high, h))
            sweep(mesh, road, along, top, "paving", tags.SIDEWALK, tile_m=_PAVING_TILE_M)
            # faces look away from the sidewalk: their upper side is to the left of the line
            sweep(mesh, road, along, ((low, MEADOW_M), (low, h)), "kerb", tags.SIDEWALK, tile_m=1.0)
            sweep(mesh, road, along, ((high, h), (high, MEADOW_M)), "kerb", tags.SIDEWALK, tile_m=1.0)


def _paint(mesh: Mesh, road: Road, start_m: float) -> None:
    """Add the lane lines of a piece; `start_m`: where it begins along the client's road, so that dashes go on."""
    _line(mesh, road, start_m, 0.0, road.profile.centre_mark)
    for side in (1, -1):
        edge = 0.0
        for lane in road.profile.lanes(side):
            edge += lane.width_m
            if lane.kind != "sidewalk" and lane.width_m > 0.05:
                _line(mesh, road, start_m, side * edge, lane.mark)


def _line(mesh: Mesh, road: Road, start_m: float, t: float, mark: Mark) -> None:
    if mark == "solid solid":
        for aside in (-0.12, 0.12):
            _line(mesh, road, start_m, t + aside, "solid")
    elif mark == "solid":
        _stripe(mesh, road, (0.0, road.length_m), t)
    elif mark == "broken":
        for stretch in _dashes(start_m, road.length_m):
            _stripe(mesh, road, stretch, t)


def _dashes(start_m: float, length_m: float) -> Iterator[tuple[float, float]]:
    """Yield where a piece that begins at `start_m` of its road has dashes."""
    first = math.floor(start_m / (2.0 * _DASH_M))
    last = math.ceil((start_m + length_m) / (2.0 * _DASH_M))
    for k in range(first, last + 1):
        begin = 2.0 * _DASH_M * k - start_m
        a, b = max(0.0, begin), min(length_m, begin + _DASH_M)
        if b - a > 0.02:
            yield a, b


def _stripe(mesh: Mesh, road: Road, along: tuple[float, float], t: float) -> None:
    line = ((t - 0.06, 0.004), (t + 0.06, 0.004))
    sweep(mesh, road, along, line, "mark", tags.ROAD_LINE, tile_m=2.0)


def _lay_meadow(near: Mesh, far: Mesh, surface: Surface) -> None:
    """Add grass under and between the roads, and a frame of it to the horizon."""
    rows, columns = (CELL_M * count for count in surface.inside_m.shape)
    x0, y0 = surface.origin_m
    across, along = math.ceil(columns / _MEADOW_CELL_M), math.ceil(rows / _MEADOW_CELL_M)
    x1, y1 = x0 + across * _MEADOW_CELL_M, y0 + along * _MEADOW_CELL_M
    for row in range(along):
        for column in range(across):
            a, b = x0 + column * _MEADOW_CELL_M, y0 + row * _MEADOW_CELL_M
            _grass(near, (a, b, a + _MEADOW_CELL_M, b + _MEADOW_CELL_M))
    r = FAR_GROUND_M
    for box in (
        (x0 - r, y0 - r, x1 + r, y0),
        (x0 - r, y1, x1 + r, y1 + r),
        (x0 - r, y0, x0, y1),
        (x1, y0, x1 + r, y1),
    ):
        _grass(far, box)


def _grass(mesh: Mesh, box: tuple[float, float, float, float]) -> None:
    x0, y0, x1, y1 = box
    corners = ((x0, y0, MEADOW_M), (x1, y0, MEADOW_M), (x1, y1, MEADOW_M), (x0, y1, MEADOW_M))
    uv = [(x / _GRASS_TILE_M, y / _GRASS_TILE_M) for x, y, _ in corners]
    mesh.quad(*corners, "grass", tags.TERRAIN, uv=uv)
