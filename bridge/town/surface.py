"""The ground as a grid that answers at once: how far from the kerb, on which road, how high.

Distances between grid points are interpolated: exact beside straight kerbs, to the centimetre round corners.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridge.town.junctions import Junction
from bridge.town.roads import KERB_HEIGHT_M, Road, Segment

CELL_M = 0.5
REACH_M = 30.0
"""Farther from any kerb than this the distance is no longer measured."""
_CORNER_REACH_M = 5.0
_OVERRUN_M = 0.75


@dataclass(frozen=True)
class Surface:
    """Signed distance to the nearest kerb, positive on the carriageway, and the nearest road's number at grid points.

    `inside_m` (rows, columns) f32 metres, at least -REACH_M · `road_index` (rows, columns) i16 into the roads that it
    was made of, -1 far from all · `origin_m` (x, y) of the first point, in OpenDRIVE's frame · `raised` (rows, columns)
    bool: where a kerb's height is, beside the carriageways; None: everywhere.
    """

    inside_m: NDArray[np.float32]
    road_index: NDArray[np.int16]
    origin_m: tuple[float, float]
    raised: NDArray[np.bool_] | None = None

    def distance_inside_m(self, x_m: ArrayLike, y_m: ArrayLike) -> NDArray[np.float64]:
        """Return metres from the nearest kerb at points of OpenDRIVE's frame, positive on the road."""
        rows, columns = self.inside_m.shape
        u = np.clip((np.asarray(x_m, np.float64) - self.origin_m[0]) / CELL_M, 0.0, columns - 1.001)
        v = np.clip((np.asarray(y_m, np.float64) - self.origin_m[1]) / CELL_M, 0.0, rows - 1.001)
        column, row = u.astype(np.int64), v.astype(np.int64)
        du, dv = u - column, v - row
        grid = self.inside_m
        low = grid[row, column] * (1.0 - du) + grid[row, column + 1] * du
        high = grid[row + 1, column] * (1.0 - du) + grid[row + 1, column + 1] * du
        return low * (1.0 - dv) + high * dv

    def height_m(self, x_m: ArrayLike, y_m: ArrayLike) -> NDArray[np.float64]:
        """Return the ground's z: 0 on the carriageway, the kerb's height elsewhere, or where it is raised."""
        height = np.where(self.distance_inside_m(x_m, y_m) >= 0.0, 0.0, KERB_HEIGHT_M)
        if self.raised is None:
            return height
        rows, columns = self.raised.shape
        column = (
            np.rint((np.asarray(x_m, np.float64) - self.origin_m[0]) / CELL_M).clip(0, columns - 1).astype(np.int64)
        )
        row = np.rint((np.asarray(y_m, np.float64) - self.origin_m[1]) / CELL_M).clip(0, rows - 1).astype(np.int64)
        return np.where(self.raised[row, column], height, 0.0)

    def road_at(self, x_m: float, y_m: float) -> int:
        """Return the index of the nearest road, -1 far from all."""
        rows, columns = self.road_index.shape
        column, row = round((x_m - self.origin_m[0]) / CELL_M), round((y_m - self.origin_m[1]) / CELL_M)
        if not (0 <= row < rows and 0 <= column < columns):
            return -1
        return int(self.road_index[row, column])


def measure_surface(roads: Sequence[Road], junctions: Iterable[Junction]) -> Surface:
    """Return the surface of roads and of the junctions between them."""
    ends = np.array([segment.end()[:2] for road in roads for segment in road.segments])
    low = np.floor(ends.min(0) - REACH_M - 20.0)
    columns, rows = (np.ceil(ends.max(0) + REACH_M + 20.0 - low) / CELL_M).astype(int) + 2
    surface = Surface(
        np.full((rows, columns), -REACH_M, np.float32),
        np.full((rows, columns), -1, np.int16),
        (float(low[0]), float(low[1])),
    )
    for index, road in enumerate(roads):
        for segment in road.segments:
            _lay(surface, segment, road.profile.kerb_m(1), road.profile.kerb_m(-1), index)
    for junction in junctions:
        _lay_junction(surface, junction, roads)
    surface.inside_m.setflags(write=False)
    surface.road_index.setflags(write=False)
    return surface


def _lay_junction(surface: Surface, junction: Junction, roads: Sequence[Road]) -> None:
    numbers = {road.road_id: index for index, road in enumerate(roads)}
    for arm in junction.arms:
        inward = arm.heading_rad + math.pi
        x = junction.x_m + arm.setback_m * math.cos(arm.heading_rad)
        y = junction.y_m + arm.setback_m * math.sin(arm.heading_rad)
        # a little past the middle, so that no seam is left between opposite arms
        strip = Segment(x, y, inward, arm.setback_m)
        _lay(surface, strip, arm.kerb_m, arm.kerb_m, numbers[arm.road.road_id])
    for corner in junction.corners:
        for segment in corner.segments:
            _lay(surface, segment, 0.0, _CORNER_REACH_M, None)


def _lay(surface: Surface, segment: Segment, left_m: float, right_m: float, index: int | None) -> None:
    """Let a strip from `right_m` right to `left_m` left of a segment be road, where nothing nearer says otherwise."""
    reach = REACH_M + max(left_m, right_m)
    line_x, line_y, _ = segment.point(np.linspace(0.0, segment.length_m, max(2, int(segment.length_m / 8.0))))
    rows, columns = surface.inside_m.shape
    first_column = max(0, int((line_x.min() - reach - surface.origin_m[0]) / CELL_M))
    last_column = min(columns, int((line_x.max() + reach - surface.origin_m[0]) / CELL_M) + 1)
    first_row = max(0, int((line_y.min() - reach - surface.origin_m[1]) / CELL_M))
    last_row = min(rows, int((line_y.max() + reach - surface.origin_m[1]) / CELL_M) + 1)
    x, y = np.meshgrid(
        surface.origin_m[0] + CELL_M * np.arange(first_column, last_column),
        surface.origin_m[1] + CELL_M * np.arange(first_row, last_row),
    )
    s, t = segment.project(x, y)
    inside = np.minimum(left_m - t, t + right_m)
    beside = (s >= -_OVERRUN_M) & (s <= segment.length_m + _OVERRUN_M) & (inside > -REACH_M)
    if index is None:  # a corner's kerb tells only of the junction's edge
        beside &= t >= -_CORNER_REACH_M
        inside = np.minimum(-t, _CORNER_REACH_M)
    here = np.s_[first_row:last_row, first_column:last_column]
    better = beside & (inside > surface.inside_m[here])
    surface.inside_m[here][better] = inside[better]
    if index is not None:
        surface.road_index[here][better] = index
