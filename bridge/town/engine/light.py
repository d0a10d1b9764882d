"""Baked light of the static town: how much open sky each vertex and patch of ground sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine.kernels_light import (
    accumulate_visibility,
    box_blur,
    raster_from_light,
    stamp_contacts,
)
from bridge.town.engine.kernels_raster import transform_vertices
from bridge.town.engine.layout import (
    EMPTY_LIGHT_DEPTH,
    GRID_AMBIENT,
    GRID_MACRO,
    TRI_FLAGS,
    V_AMBIENT,
    V_NX,
    V_NZ,
)
from bridge.town.engine.materials import FOLIAGE
from bridge.town.engine.packing import PackedMesh
from bridge.town.engine.textures import value_noise

AMBIENT_MAP_PX = 1024
AMBIENT_DIRECTIONS = 32
GRID_PER_M = 2.0
LIMIT_M = 400.0  # chunks that reach further (the far land) cast no shadow and get no baked light


@dataclass
class BakedLight:
    """What the shader needs of the static light.

    ground_grid (rows,columns,4) f32 by `engine.layout` · grid_origin (2,) f32, metres, of its first value.
    """

    ground_grid: NDArray[np.float32]
    grid_origin: NDArray[np.float32]


def light_axes(direction: NDArray) -> NDArray[np.float64]:
    """Return (3,3) rows: two axes across a unit direction, the first of them level, and the direction itself."""
    helper = (0.0, 0.0, 1.0) if abs(direction[2]) < 0.9999 else (1.0, 0.0, 0.0)
    across = np.cross(direction, helper)
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(direction, across), direction])


def caster_chunks(mesh: PackedMesh) -> NDArray[np.int32]:
    """Return the chunks that cast shadows: not the far land, nor the far versions of trees, which are there twice."""
    reach = (mesh.chunk_high - mesh.chunk_low).max(1)
    return np.flatnonzero((reach < LIMIT_M) & (mesh.chunk_near_m == 0)).astype(np.int32)


def light_matrix(direction: NDArray, points: NDArray, size_px: int) -> NDArray[np.float32]:
    """Return the (3,4) matrix that looks from a direction at all points: x, y in texels of a square map, z metres."""
    axes = light_axes(direction)
    seen = points @ axes.T
    low, high = seen.min(0), seen.max(0)
    matrix = np.zeros((3, 4))
    matrix[:, :3] = axes
    for row in range(2):
        scale = (size_px - 2) / (high[row] - low[row])
        matrix[row, :3] *= scale
        matrix[row, 3] = 1.0 - low[row] * scale
    return matrix.astype(np.float32)


def bake_light(mesh: PackedMesh, textures: NDArray[np.uint8], contacts: NDArray[np.float32], seed: int) -> BakedLight:
    """Bake the static town's light; writes the ambient column of `mesh.vertex_shading`."""
    baker = _Baker(mesh, textures)
    origin = baker.corners.min(0)[:2].astype(np.float32)
    columns, rows = ((baker.corners.max(0)[:2] - origin) * GRID_PER_M).astype(int) + 2
    x, y = np.meshgrid(np.arange(columns) / GRID_PER_M + origin[0], np.arange(rows) / GRID_PER_M + origin[1])
    ground = np.stack([x, y, np.full(x.shape, 0.2)], -1).reshape(-1, 3).astype(np.float32)
    grid = np.ones((rows, columns, 4), np.float32)
    grid[..., GRID_AMBIENT] = baker.bake_ambient(ground).reshape(rows, columns)
    scratch = np.empty((rows, columns), np.float32)
    box_blur(grid, GRID_AMBIENT, 1, scratch)
    per_m = np.float32(GRID_PER_M)
    stamp_contacts(contacts, grid, origin[0], origin[1], per_m, GRID_AMBIENT)
    grid[..., GRID_MACRO] = _macro_variation(rows, columns, seed)
    return BakedLight(grid, origin)


def plain_light(origin_m: tuple[float, float], shape: tuple[int, int], seed: int) -> BakedLight:
    """Return the light of flat ground (rows, columns at GRID_PER_M) on which nothing stands."""
    grid = np.ones((*shape, 4), np.float32)
    grid[..., GRID_MACRO] = _macro_variation(*shape, seed)
    return BakedLight(grid, np.array(origin_m, np.float32))


def _macro_variation(rows: int, columns: int, seed: int) -> NDArray:
    """Return slow changes of the ground's brightness, so that its textures do not look tiled."""
    fine, coarse = value_noise(1024, 77 + seed, 7, 4, 0.6), value_noise(1024, 78 + seed, 7, 12, 0.6)
    y, x = np.arange(rows)[:, None], np.arange(columns)[None]
    return np.clip(0.62 + 0.42 * fine[(y * 2) % 1024, x % 1024] + 0.34 * coarse[y % 1024, (x // 2) % 1024], 0.6, 1.3)


class _Baker:
    """Draws the static town from any direction and asks what its points see."""

    def __init__(self, mesh: PackedMesh, textures: NDArray[np.uint8]) -> None:
        self._mesh = mesh
        self._textures = textures
        reach = (mesh.chunk_high - mesh.chunk_low).max(1)
        self._casters = caster_chunks(mesh)
        self._near = np.flatnonzero(reach < LIMIT_M).astype(np.int32)
        low, high = mesh.chunk_low[self._casters].min(0), mesh.chunk_high[self._casters].max(0)
        self.corners = np.array(
            [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
        )
        self._vertex_light = np.empty_like(mesh.vertex_position)

    def depth_from(self, light_from_world: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
        """Return the (size, size) depth map of the town from a direction."""
        mesh = self._mesh
        depth = np.full((size_px, size_px), EMPTY_LIGHT_DEPTH, np.float32)
        matrices = np.ascontiguousarray(np.broadcast_to(light_from_world, (int(mesh.chunk_object.max()) + 1, 3, 4)))
        transform_vertices(
            mesh.vertex_position,
            self._casters,
            mesh.chunk_vertex0,
            mesh.chunk_vertex1,
            mesh.chunk_object,
            matrices,
            self._vertex_light,
        )
        raster_from_light(
            self._casters,
            mesh.chunk_triangle0,
            mesh.chunk_triangle1,
            mesh.triangle_vertex,
            mesh.triangle_info,
            mesh.vertex_shading,
            self._vertex_light,
            self._textures,
            depth,
        )
        return depth

    def bake_ambient(self, ground: NDArray[np.float32]) -> NDArray[np.float32]:
        """Write every vertex's share of open sky; return that of points on the ground."""
        mesh = self._mesh
        vertex = np.concatenate([np.arange(mesh.chunk_vertex0[c], mesh.chunk_vertex1[c]) for c in self._near])
        is_leaf = np.zeros(len(mesh.vertex_position), np.bool_)
        is_leaf[mesh.triangle_vertex[(mesh.triangle_info[:, TRI_FLAGS] & FOLIAGE) != 0].ravel()] = True
        position = np.concatenate([mesh.vertex_position[vertex], ground])
        upward = np.zeros_like(ground)
        upward[:, 2] = 1.0
        normal = np.concatenate([mesh.vertex_shading[vertex, V_NX : V_NZ + 1], upward])
        foliage = np.concatenate([is_leaf[vertex], np.zeros(len(ground), np.bool_)])
        seen, weight = np.zeros(len(position), np.float32), np.zeros(len(position), np.float32)
        for direction in _sky_directions(AMBIENT_DIRECTIONS):
            matrix = light_matrix(direction, self.corners, AMBIENT_MAP_PX)
            depth = self.depth_from(matrix, AMBIENT_MAP_PX)
            toward = direction.astype(np.float32)
            accumulate_visibility(position, normal, foliage, matrix, depth, toward, np.float32(0.35), seen, weight)
        share = np.where(weight > 0, seen / np.maximum(weight, 1e-6), 0.5)
        count = len(vertex)
        on_ground = (mesh.vertex_shading[vertex, V_NZ] > 0.9) & (mesh.vertex_position[vertex, 2] < 0.3)
        ambient = np.clip(0.12 + 0.88 * share[:count] * 1.25, 0, 1)
        mesh.vertex_shading[vertex, V_AMBIENT] = np.where(on_ground, 1.0, ambient)
        return np.clip(0.12 + 0.88 * share[count:] * 1.15, 0, 1).astype(np.float32)


def _sky_directions(count: int) -> NDArray[np.float64]:
    """Return unit vectors spread over the upper half sphere, denser toward the horizon than by area."""
    z = 0.06 + 0.94 * (np.arange(count) + 0.5) / count
    turn = (np.arange(count) + 0.5) * 2.39996
    flat = np.sqrt(1 - z**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], 1)
