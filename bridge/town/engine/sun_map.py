"""Where the sun reaches in the static town: depth maps from the sun, drawn where they are needed.

The fine map is a torus of tiles: the light's plane wraps around its edges, so that the town may have any size, and
driving on draws a few tiles a time. A coarse map of the whole town answers for what is farther away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine import layout
from bridge.town.engine.culling import chunk_corners
from bridge.town.engine.kernels_light import box_blur, ground_sunlit, place_tile, raster_from_light
from bridge.town.engine.kernels_raster import transform_vertices
from bridge.town.engine.light import GRID_PER_M, BakedLight, caster_chunks, light_axes, light_matrix
from bridge.town.engine.packing import PackedMesh

TEXELS_PER_M = 7.0
MAP_PX = 4096
TILE_PX = 256
SUN_TILE_PX = 16  # least and largest depth are kept for squares of this size
APRON_PX = 2
REACH_M = 150.0
TOWER_M = 40.0  # how high things stand whose upper parts are lit exactly as well
COARSE_PX = 1024
AHEAD_TILES = 2  # drawn a frame beyond what it needs, so that the next frames find them
_SLOTS = MAP_PX // TILE_PX
_NOWHERE = np.iinfo(np.int32).min

InBands = Callable[[int, Callable[[int, int], None]], None]


class SunMap:
    """Depth maps of a town's static mesh from the sun, for one direction at a time.

    depth (MAP_PX,MAP_PX) f32, bounds (MAP_PX/16,MAP_PX/16,2) f32 · coarse (COARSE_PX,COARSE_PX) f32.
    """

    def __init__(self, mesh: PackedMesh, textures: NDArray[np.uint8], light: BakedLight) -> None:
        self._mesh, self._textures, self._light = mesh, textures, light
        self._casters = caster_chunks(mesh)
        self._boxes = chunk_corners(mesh, self._casters)
        self.depth = np.full((MAP_PX, MAP_PX), layout.EMPTY_LIGHT_DEPTH, np.float32)
        self.bounds = np.empty((MAP_PX // SUN_TILE_PX, MAP_PX // SUN_TILE_PX, 2), np.float32)
        self.coarse = np.empty((COARSE_PX, COARSE_PX), np.float32)
        self._owner = np.full((_SLOTS, _SLOTS, 2), _NOWHERE, np.int32)
        self._axes = np.eye(3)
        self._coarse_from_world = np.zeros((3, 4), np.float32)
        self._span = np.empty((0, 4))

    def show(self, triangle_vertex: NDArray[np.int32]) -> None:
        """Let other triangles (F,3) of the mesh cast shadows; the next `face` draws them."""
        self._mesh = replace(self._mesh, triangle_vertex=triangle_vertex)

    def face(self, direction: NDArray[np.float64]) -> None:
        """Turn to a new sun (unit vector toward it): forget the tiles, draw the coarse map, light the ground."""
        self._axes = light_axes(direction)
        self._owner[:] = _NOWHERE
        seen = self._boxes @ self._axes[:2].T * TEXELS_PER_M
        self._span = np.concatenate([seen.min(1), seen.max(1)], 1)
        self._coarse_from_world = light_matrix(direction, self._boxes.reshape(-1, 3), COARSE_PX)
        self._draw(self._casters, self._coarse_from_world, self.coarse)
        grid, origin, per_m = self._light.ground_grid, self._light.grid_origin, np.float32(GRID_PER_M)
        ground_sunlit(grid, origin[0], origin[1], per_m, self._coarse_from_world, self.coarse, np.float32(0.6))
        scratch = np.empty(grid.shape[:2], np.float32)
        for radius in (8, 6):
            box_blur(grid, layout.GRID_SUNLIT, radius, scratch)

    def cover(self, eye: NDArray[np.float64], params: NDArray[np.float32], in_bands: InBands) -> None:
        """Draw the tiles around a camera that are missing, and write where they are into the frame's parameters."""
        u, v = (self._axes[:2] @ eye * TEXELS_PER_M).tolist()
        steep = float(self._axes[2, 2])
        half_u = REACH_M * TEXELS_PER_M
        half_v = min(half_u, (REACH_M * steep + TOWER_M * math.sqrt(1.0 - steep * steep)) * TEXELS_PER_M)
        wanted = self._missing((u, v), (half_u, half_v), 3.0)
        if len(wanted) < AHEAD_TILES:
            soon = [tile for tile in self._missing((u, v), (half_u, half_v), 3.0 + TILE_PX) if tile not in wanted]
            wanted += soon[: AHEAD_TILES - len(wanted)]
        if wanted:
            in_bands(len(wanted), lambda first, last: self._draw_tiles(wanted[first:last]))
            for column, row in wanted:
                self._owner[row % _SLOTS, column % _SLOTS] = (column, row)
        sun_from_world = np.zeros((3, 4))
        sun_from_world[:, :3] = self._axes
        sun_from_world[:2] *= TEXELS_PER_M
        params[layout.P_STATIC_SUN : layout.P_STATIC_SUN + 12] = sun_from_world.ravel()
        params[layout.P_COARSE_SUN : layout.P_COARSE_SUN + 12] = self._coarse_from_world.ravel()
        params[layout.P_SUN_CENTRE : layout.P_SUN_CENTRE + 2] = u, v
        params[layout.P_SUN_HALF : layout.P_SUN_HALF + 2] = half_u, half_v

    def _missing(self, centre: tuple[float, float], half: tuple[float, float], margin: float) -> list[tuple[int, int]]:
        """Return column and row of the tiles that a rectangle touches and that are not there."""
        first = [math.floor((c - h - margin) / TILE_PX) for c, h in zip(centre, half, strict=True)]
        last = [math.floor((c + h + margin) / TILE_PX) for c, h in zip(centre, half, strict=True)]
        columns, rows = np.meshgrid(np.arange(first[0], last[0] + 1), np.arange(first[1], last[1] + 1))
        owner = self._owner[rows % _SLOTS, columns % _SLOTS]
        absent = (owner[..., 0] != columns) | (owner[..., 1] != rows)
        return list(zip(columns[absent].tolist(), rows[absent].tolist(), strict=True))

    def _draw_tiles(self, tiles: list[tuple[int, int]]) -> None:
        side = TILE_PX + 2 * APRON_PX
        scratch = np.empty((side, side), np.float32)
        for column, row in tiles:
            u0, v0 = column * TILE_PX - APRON_PX, row * TILE_PX - APRON_PX
            matrix = np.zeros((3, 4))
            matrix[:, :3] = self._axes
            matrix[:2] *= TEXELS_PER_M
            matrix[:2, 3] = -u0, -v0
            span = self._span
            inside = (span[:, 0] < u0 + side) & (span[:, 2] > u0) & (span[:, 1] < v0 + side) & (span[:, 3] > v0)
            self._draw(self._casters[inside], matrix.astype(np.float32), scratch)
            at = (row % _SLOTS * TILE_PX, column % _SLOTS * TILE_PX)
            place_tile(scratch, APRON_PX, SUN_TILE_PX, self.depth, self.bounds, *at)

    def _draw(self, chunks: NDArray[np.int32], matrix: NDArray[np.float32], depth: NDArray[np.float32]) -> None:
        mesh = self._mesh
        depth.fill(layout.EMPTY_LIGHT_DEPTH)
        matrices = matrix[None]
        vertex_light = np.empty_like(mesh.vertex_position)
        transform_vertices(
            mesh.vertex_position,
            chunks,
            mesh.chunk_vertex0,
            mesh.chunk_vertex1,
            mesh.chunk_object,
            matrices,
            vertex_light,
        )
        raster_from_light(
            chunks,
            mesh.chunk_triangle0,
            mesh.chunk_triangle1,
            mesh.triangle_vertex,
            mesh.triangle_info,
            mesh.vertex_shading,
            vertex_light,
            self._textures,
            depth,
        )
