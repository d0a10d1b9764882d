"""The world of a client's OpenDRIVE text: its roads on a flat meadow, with nothing built along them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bridge.town.opendrive_reader import OpenDriveRefused, Piece, read_opendrive
from bridge.town.plan import Plan, solids_of
from bridge.town.pose import Pose
from bridge.town.roads import Road
from bridge.town.signals import carla_pose
from bridge.town.streets import SPAWN_HEIGHT_M, StreetNetwork
from bridge.town.surface import CELL_M, Surface, measure_surface

NAME = "OpenDriveMap"
"""CARLA's name for such a world."""
MOST_SPAWN_POINTS = 400
SPAWN_SPACING_M = 14.0
_CLEAR_OF_END_M = 3.0
_NARROWEST_M = 2.0

__all__ = ["NAME", "OpenDriveRefused", "build_client_world", "sidewalks_of"]


def build_client_world(text: str) -> StreetNetwork:
    """Return the network of a client's OpenDRIVE text; raises OpenDriveRefused for one that is not understood."""
    pieces = read_opendrive(text)
    roads = tuple(piece.road for piece in pieces)
    surface = _with_sidewalks(measure_surface(roads, ()), roads)
    spawn_points = _spawn_points(pieces)
    if not spawn_points:
        raise OpenDriveRefused("The OpenDRIVE text has no driving lane that is long and wide enough for a vehicle")
    plan = Plan(0, (), (), ())
    solids = solids_of(plan)
    return StreetNetwork(
        name=NAME,
        seed=0,
        roads=roads,
        junctions=(),
        opendrive=text,
        spawn_points=spawn_points,
        traffic_lights=(),
        signs=(),
        crosswalks=(),
        lamps=(),
        plan=plan,
        surface=surface,
        static_boxes=solids.boxes,
        static_tags=solids.tags,
        static_heights_m=solids.heights_m,
        static_numbers=solids.numbers,
        environment=(),
        mark_starts_m=tuple(piece.from_s_m for piece in pieces),
    )


def sidewalks_of(road: Road) -> list[tuple[int, float, float]]:
    """Return side, inner and outer distance from the reference line of each sidewalk of a piece."""
    found: list[tuple[int, float, float]] = []
    for side in (1, -1):
        outer = 0.0
        for lane in road.profile.lanes(side):
            outer += lane.width_m
            if lane.kind == "sidewalk" and lane.width_m > 0.05:
                found.append((side, outer - lane.width_m, outer))
    return found


def _with_sidewalks(surface: Surface, roads: Sequence[Road]) -> Surface:
    """Return the surface with the sidewalks raised; where roads run, too, they are level."""
    raised = np.zeros(surface.inside_m.shape, np.bool_)
    for road in roads:
        for side, inner, outer in sidewalks_of(road):
            for segment in road.segments:
                x0, y0, _ = segment.point(0.0)
                reach = segment.length_m + outer + 1.0
                rows, columns = (
                    slice(max(0, int((at - reach - low) / CELL_M)), int((at + reach - low) / CELL_M) + 2)
                    for at, low in ((float(y0), surface.origin_m[1]), (float(x0), surface.origin_m[0]))
                )
                here = raised[rows, columns]
                x = surface.origin_m[0] + CELL_M * (columns.start + np.arange(here.shape[1]))
                y = surface.origin_m[1] + CELL_M * (rows.start + np.arange(here.shape[0]))
                s, t = segment.project(*np.meshgrid(x, y))
                beside = (s >= -0.1) & (s <= segment.length_m + 0.1)
                here |= beside & (side * t >= inner) & (side * t <= outer)
    raised.setflags(write=False)
    return Surface(surface.inside_m, surface.road_index, surface.origin_m, raised)


def _spawn_points(pieces: Sequence[Piece]) -> tuple[Pose, ...]:
    """Return driving lanes' middles at even distances, in driving direction, outside junctions."""
    poses: list[Pose] = []
    next_s = _CLEAR_OF_END_M
    for piece in pieces:
        road = piece.road
        if piece.from_s_m < _CLEAR_OF_END_M:
            next_s = _CLEAR_OF_END_M
        while next_s < piece.from_s_m + road.length_m - 0.5:
            if not piece.is_inside and next_s >= piece.from_s_m:
                poses += _lane_middles(road, next_s - piece.from_s_m)
            next_s += SPAWN_SPACING_M
    step = max(1, math.ceil(len(poses) / MOST_SPAWN_POINTS))
    return tuple(poses[::step])


def _lane_middles(road: Road, s_m: float) -> list[Pose]:
    poses: list[Pose] = []
    for side in (-1, 1):
        for index, lane in enumerate(road.profile.lanes(side)):
            if lane.kind == "driving" and lane.width_m >= _NARROWEST_M:
                x, y, heading = road.point(s_m, road.profile.centre_of_m(side, index))
                poses.append(carla_pose(x, y, heading if side < 0 else heading + math.pi, SPAWN_HEIGHT_M))
    return poses


def on_carriageway(surface: Surface, x_m: NDArray, y_m: NDArray) -> NDArray[np.bool_]:
    """Tell which points of OpenDRIVE's frame lie on a carriageway."""
    return surface.distance_inside_m(x_m, y_m) > 0.05
