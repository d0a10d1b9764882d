"""Things of the static town that are switched off: their triangles shrink to points, so that no kernel draws them.

While everything shows, the kernels read the baked arrays as they are: switching costs nothing until it is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine.layout import GRID_AMBIENT
from bridge.town.engine.light import GRID_PER_M, BakedLight
from bridge.town.engine.packing import PackedMesh
from bridge.town.environment import EnvironmentThing, Numbering
from bridge.town.kerbside import Thing

OPEN_AMBIENT = 0.9
"""How much of the sky the ground sees where something stood: its baked darkness goes with it."""
_AROUND_M = 1.5


class Switches:
    """Which triangles of a baked mesh show; and the ground's baked light under what does not."""

    def __init__(self, mesh: PackedMesh, light: BakedLight, things: Sequence[EnvironmentThing]) -> None:
        self._mesh, self._light = mesh, light
        self._things = things
        self._baked_ambient: NDArray[np.float32] | None = None

    def show_all_but(self, hidden: frozenset[int]) -> NDArray[np.int32]:
        """Return (F,3) vertices of the static triangles, those of hidden things all in one point; light the ground."""
        self._light_ground(hidden)
        if not hidden:
            return self._mesh.triangle_vertex
        shown = self._mesh.triangle_vertex.copy()
        gone = is_hidden(self._mesh.triangle_thing, hidden)
        shown[gone] = shown[gone, :1]
        return shown

    def _light_ground(self, hidden: frozenset[int]) -> None:
        grid = self._light.ground_grid
        if self._baked_ambient is None:
            if not hidden:
                return
            self._baked_ambient = grid[..., GRID_AMBIENT].copy()
        grid[..., GRID_AMBIENT] = self._baked_ambient
        for thing in self._things:
            if thing.number in hidden:
                self._brighten(thing)

    def _brighten(self, thing: EnvironmentThing) -> None:
        """Let the ground of a thing see the sky."""
        grid, origin = self._light.ground_grid, self._light.grid_origin
        box = thing.place._replace(y_m=-thing.place.y_m, yaw_rad=-thing.place.yaw_rad)
        half_x, half_y = box.half_x_m + _AROUND_M, box.half_y_m + _AROUND_M
        corners = (np.array(box._replace(half_x_m=half_x, half_y_m=half_y).corners()) - origin) * GRID_PER_M
        columns, rows = (
            np.arange(max(0, int(corners[:, k].min())), min(grid.shape[1 - k], int(corners[:, k].max()) + 2))
            for k in (0, 1)
        )
        if not len(columns) or not len(rows):
            return
        dx = origin[0] + columns / GRID_PER_M - box.x_m
        dy = (origin[1] + rows / GRID_PER_M - box.y_m)[:, None]
        cos, sin = np.cos(box.yaw_rad), np.sin(box.yaw_rad)
        covered = (np.abs(dx * cos + dy * sin) < half_x) & (np.abs(dy * cos - dx * sin) < half_y)
        ambient = grid[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, GRID_AMBIENT]
        np.copyto(ambient, np.maximum(ambient, np.float32(OPEN_AMBIENT)), where=covered)


def is_hidden(triangle_thing: NDArray[np.int32], hidden: frozenset[int]) -> NDArray[np.bool_]:
    """Return which triangles (F,) belong to hidden things."""
    return np.isin(triangle_thing, np.fromiter(hidden, np.int32, len(hidden)))


def dark_lamps(things: Sequence[Thing], hidden: frozenset[int]) -> NDArray[np.bool_]:
    """Return (N,) which street lamps are hidden, in the order of the network's lamps; `things` are the plan's."""
    numbers = Numbering(len(things), 0)
    lamps = [numbers.of_thing(index) for index, thing in enumerate(things) if thing.kind == "lamp"]
    return np.array([number in hidden for number in lamps], np.bool_)
