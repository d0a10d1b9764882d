"""Where pedestrians may walk: the sidewalks and the zebra crossings, as the file that clients load for their AI."""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import dataclass

import numpy as np

from bridge.carla_wire.navmesh import Area, Point, Quad, encode_navmesh
from bridge.town.client_world import on_carriageway, sidewalks_of
from bridge.town.roads import KERB_HEIGHT_M, Road
from bridge.town.signals import Crosswalk
from bridge.town.streets import StreetNetwork

PIECE_M, BENT_PIECE_M = 8.0, 3.0
KERB_GAP_M = 0.4
"""Pedestrians keep so far from the kerb, and from the houses."""
WELD_M = 0.01
RAMP_M = 0.4
"""A crossing goes down from the sidewalk over twice this length."""


@dataclass(frozen=True)
class NavigationFile:
    """The pedestrians' navigation mesh; clients keep files for ever by their name, so the name holds a digest."""

    name: str
    data: bytes


def build_navigation(network: StreetNetwork) -> NavigationFile:
    """Return the navigation mesh of a network; without a name where nobody can walk."""
    quads: list[Quad] = []
    if network.mark_starts_m is not None:
        return _named(network.name, _client_sidewalks(network))
    for road in network.roads:
        crossings = [crosswalk for crosswalk in network.crosswalks if crosswalk.road_id == road.road_id]
        stations = _stations(road, crossings)
        for side in (-1, 1):
            quads += _sidewalk(road, side, stations)
        for crosswalk in crossings:
            quads += _crossing(road, crosswalk)
    for junction in network.junctions:
        for corner in junction.corners:
            quads += _sidewalk(corner, 1, _stations(corner, []))
    return _named(network.name, quads)


def _named(town: str, quads: list[Quad]) -> NavigationFile:
    if not quads:
        return NavigationFile("", b"")
    data = encode_navmesh(_welded(quads))
    digest = hashlib.sha256(data).hexdigest()[:12]
    return NavigationFile(f"Carla/Maps/Nav/{town}_{digest}.bin", data)


def _client_sidewalks(network: StreetNetwork) -> list[Quad]:
    """Return the sidewalks of a client's world but where carriageways cross them."""
    quads: list[Quad] = []
    for road in network.roads:
        for side, inner, outer in sidewalks_of(road):
            if outer - inner < 3.0 * KERB_GAP_M:
                continue
            near, far = (_Line(side * t, KERB_HEIGHT_M) for t in (inner + KERB_GAP_M, outer - KERB_GAP_M))
            spans = list(itertools.pairwise(_stations(road, [])))
            middles = np.array([0.5 * (start + stop) for start, stop in spans])
            x, y, _ = road.sample(middles, side * 0.5 * (inner + outer))
            is_road = on_carriageway(network.surface, x, y)
            quads += [_strip(road, spans[k], near, far, Area.SIDEWALK) for k in np.flatnonzero(~is_road).tolist()]
    return quads


def _welded(quads: list[Quad]) -> list[Quad]:
    """Return the quads with corners that all but coincide made one: roads that meet compute theirs apart."""
    kept: dict[tuple[int, int, int], Point] = {}

    def weld(point: Point) -> Point:
        cell = (round(point[0] / WELD_M), round(point[1] / WELD_M), round(point[2] / WELD_M))
        for near in itertools.product((0, -1, 1), repeat=3):
            found = kept.get((cell[0] + near[0], cell[1] + near[1], cell[2] + near[2]))
            if found is not None and math.dist(found, point) < WELD_M:
                return found
        kept[cell] = point
        return point

    return [Quad((weld(a), weld(b), weld(c), weld(d)), quad.area) for quad in quads for a, b, c, d in (quad.corners,)]


def _ends(crosswalk: Crosswalk) -> tuple[float, float]:
    return crosswalk.s_m - 0.5 * crosswalk.width_m, crosswalk.s_m + 0.5 * crosswalk.width_m


def _stations(road: Road, crossings: list[Crosswalk]) -> list[float]:
    """Return where the road's sidewalks are cut: at even distances, and where a crossing begins and ends."""
    fixed = sorted({0.0, road.length_m, *(end for crosswalk in crossings for end in _ends(crosswalk))})
    stations = [0.0]
    piece_m = PIECE_M if road.is_straight else BENT_PIECE_M
    for start, stop in itertools.pairwise(fixed):
        pieces = max(1, math.ceil((stop - start) / piece_m))
        stations += [start + (stop - start) * k / pieces for k in range(1, pieces + 1)]
    return stations


@dataclass(frozen=True)
class _Line:
    """A line along a road, `t_m` to the left of its reference line and `z_m` high."""

    t_m: float
    z_m: float

    def at(self, road: Road, s_m: float) -> Point:
        """Return the line's point at a distance along the road, in CARLA's world."""
        x_m, y_m, _heading = road.point(s_m, self.t_m)
        return (x_m, -y_m, self.z_m)


def _strip(road: Road, span_m: tuple[float, float], near: _Line, far: _Line, area: Area) -> Quad:
    """Return the quad between two lines along a stretch of road."""
    start, stop = span_m
    return Quad((near.at(road, start), near.at(road, stop), far.at(road, stop), far.at(road, start)), area)


def _sidewalk(road: Road, side: int, stations: list[float]) -> list[Quad]:
    near = _Line(side * (road.profile.kerb_m(side) + KERB_GAP_M), KERB_HEIGHT_M)
    far = _Line(side * (road.profile.frontage_m(side) - KERB_GAP_M), KERB_HEIGHT_M)
    return [_strip(road, span, near, far, Area.SIDEWALK) for span in itertools.pairwise(stations)]


def _crossing(road: Road, crosswalk: Crosswalk) -> list[Quad]:
    """Return a crossing from sidewalk to sidewalk: down a ramp, across the carriageway, up a ramp."""
    left, right = road.profile.kerb_m(1), road.profile.kerb_m(-1)
    lines = [
        _Line(left + KERB_GAP_M, KERB_HEIGHT_M),
        _Line(left - RAMP_M, 0.0),
        _Line(-(right - RAMP_M), 0.0),
        _Line(-(right + KERB_GAP_M), KERB_HEIGHT_M),
    ]
    return [_strip(road, _ends(crosswalk), near, far, Area.CROSSWALK) for near, far in itertools.pairwise(lines)]
