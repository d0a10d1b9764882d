"""Meshes to the flat arrays that the kernels read: chunks of triangles whose vertices lie together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine.layout import VERTEX_COLUMNS
from bridge.town.engine.materials import material_flags
from bridge.town.engine.mesh import MeshArrays, join
from bridge.town.engine.textures import SIZE_PX
from bridge.town.environment import FIXED

CELL_M = 20.0
FOREVER_M = 1.0e9


@dataclass(frozen=True)
class Piece:
    """A static mesh, the distances between which it is drawn, and the thing (see `environment`) that it belongs to.

    With an `anchor_m` (x, y) it is kept whole in the chunk of that place, so that its near and far versions swap at
    the same distance; without, its triangles go to the chunks they lie in. `thing` is one number, or (F,) of them.
    """

    mesh: MeshArrays
    near_m: float = 0.0
    far_m: float = FOREVER_M
    anchor_m: tuple[float, float] | None = None
    thing: int | NDArray[np.int32] = FIXED


@dataclass
class PackedMesh:
    """V vertices, F triangles in C chunks, laid out as `engine.layout` says.

    vertex_position (V,3) f32 · vertex_shading (V,12) f32 · triangle_vertex (F,3) i32 · triangle_info (F,4) i32 ·
    triangle_thing (F,) i32: what of the static town it belongs to (see `environment`), not read by the kernels ·
    texel_density (F,) f32, texels per metre · chunk_* (C,): first and last+1 triangle and vertex, object, drawing
    distances · chunk_low, chunk_high (C,3) f32: bounding box in the object's frame · chunk_anchor (C,2) f32.
    """

    vertex_position: NDArray[np.float32]
    vertex_shading: NDArray[np.float32]
    triangle_vertex: NDArray[np.int32]
    triangle_info: NDArray[np.int32]
    triangle_thing: NDArray[np.int32]
    texel_density: NDArray[np.float32]
    chunk_triangle0: NDArray[np.int32]
    chunk_triangle1: NDArray[np.int32]
    chunk_vertex0: NDArray[np.int32]
    chunk_vertex1: NDArray[np.int32]
    chunk_object: NDArray[np.int32]
    chunk_near_m: NDArray[np.float32]
    chunk_far_m: NDArray[np.float32]
    chunk_low: NDArray[np.float32]
    chunk_high: NDArray[np.float32]
    chunk_anchor: NDArray[np.float32]


class MeshStore:
    """A packed mesh that grows: its arrays have room to spare, so that adding a body copies that body only."""

    def __init__(self, start: PackedMesh, *, spare: float = 0.25) -> None:
        """Begin with the arrays of `start`, each longer by the share `spare`."""
        self._used = _sizes(start)
        self.mesh = _resized(start, {axis: int(count * (1 + spare)) + 64 for axis, count in self._used.items()})

    def append(self, addition: PackedMesh) -> NDArray[np.int32]:
        """Add chunks; return their numbers."""
        wanted = {axis: self._used[axis] + count for axis, count in _sizes(addition).items()}
        if any(wanted[axis] > room for axis, room in _sizes(self.mesh).items()):
            self.mesh = _resized(self.mesh, {axis: int(count * 1.5) + 64 for axis, count in wanted.items()})
        for item in fields(PackedMesh):
            axis = item.name.split("_")[0]
            shift = np.int32(self._used[_POINTS_AT[item.name]]) if item.name in _POINTS_AT else 0
            getattr(self.mesh, item.name)[self._used[axis] : wanted[axis]] = getattr(addition, item.name) + shift
        first = self._used["chunk"]
        self._used = wanted
        return np.arange(first, wanted["chunk"], dtype=np.int32)


# Arrays of numbers that point into other arrays.
_POINTS_AT = {
    "triangle_vertex": "vertex",
    "chunk_triangle0": "triangle",
    "chunk_triangle1": "triangle",
    "chunk_vertex0": "vertex",
    "chunk_vertex1": "vertex",
}


def _sizes(mesh: PackedMesh) -> dict[str, int]:
    """Return how many rows arrays have, by the first word of their names."""
    triangles = len(mesh.triangle_vertex)
    return {
        "vertex": len(mesh.vertex_position),
        "triangle": triangles,
        "texel": triangles,
        "chunk": len(mesh.chunk_object),
    }


def _resized(mesh: PackedMesh, rows: dict[str, int]) -> PackedMesh:
    """Return a mesh with arrays of the given lengths that begin as this one's do."""
    grown = {}
    for item in fields(PackedMesh):
        old = getattr(mesh, item.name)
        new = np.zeros((rows[item.name.split("_")[0]], *old.shape[1:]), old.dtype)
        new[: len(old)] = old
        grown[item.name] = new
    return PackedMesh(**grown)


def pack_static(pieces: Sequence[Piece], *, object_id: int = 0) -> PackedMesh:
    """Return static pieces as chunks of CELL_M squares, one set per pair of drawing distances."""
    spans = sorted({(piece.near_m, piece.far_m) for piece in pieces})
    keys = []
    for piece in pieces:
        centre = piece.mesh.position[piece.mesh.triangle].mean(1)[:, :2]
        if piece.anchor_m is not None:
            centre = np.broadcast_to(np.asarray(piece.anchor_m, np.float32), centre.shape)
        cell = np.floor(centre / CELL_M).astype(np.int64) + 5000
        keys.append(spans.index((piece.near_m, piece.far_m)) * 10**8 + cell[:, 0] * 10**4 + cell[:, 1])
    key = np.concatenate(keys)
    whole = join([piece.mesh for piece in pieces])
    order = np.argsort(key, kind="stable")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(key[order])) + 1, [len(order)]])
    span_of_chunk = key[order][starts[:-1]] // 10**8
    packed = _pack(whole, order, starts, object_id)
    things = [np.broadcast_to(np.asarray(piece.thing, np.int32), len(piece.mesh.triangle)) for piece in pieces]
    packed.triangle_thing = np.concatenate(things)[order]
    packed.chunk_near_m[:] = [spans[k][0] for k in span_of_chunk]
    packed.chunk_far_m[:] = [spans[k][1] for k in span_of_chunk]
    cell = key[order][starts[:-1]] % 10**8
    packed.chunk_anchor[:, 0] = (cell // 10**4 - 5000 + 0.5) * CELL_M
    packed.chunk_anchor[:, 1] = (cell % 10**4 - 5000 + 0.5) * CELL_M
    return packed


def pack_part(mesh: MeshArrays, object_id: int) -> PackedMesh:
    """Return one rigid part as one chunk."""
    count = len(mesh.triangle)
    return _pack(mesh, np.arange(count), np.array([0, count]), object_id)


def _pack(mesh: MeshArrays, order: NDArray, starts: NDArray, object_id: int) -> PackedMesh:
    chunks = len(starts) - 1
    triangle_vertex = np.empty((len(order), 3), np.int32)
    kept, ends, total = [], [0], 0
    for first, last in itertools.pairwise(starts):
        used, local = np.unique(mesh.triangle[order[first:last]], return_inverse=True)
        triangle_vertex[first:last] = local.reshape(-1, 3) + total
        kept.append(used)
        total += len(used)
        ends.append(total)
    vertex = np.concatenate(kept)
    position = np.ascontiguousarray(mesh.position[vertex], np.float32)
    shading = np.zeros((total, VERTEX_COLUMNS), np.float32)
    shading[:, 0:2], shading[:, 2:5], shading[:, 5:8] = mesh.uv[vertex], mesh.normal[vertex], mesh.colour[vertex]
    shading[:, 8] = 1.0
    material = mesh.material[order]
    info = np.stack([material, material_flags()[material], np.full(len(order), object_id), mesh.tag[order]], 1)
    bounds = list(itertools.pairwise(ends))
    return PackedMesh(
        vertex_position=position,
        vertex_shading=shading,
        triangle_vertex=triangle_vertex,
        triangle_info=np.ascontiguousarray(info, np.int32),
        triangle_thing=np.full(len(order), FIXED, np.int32),
        texel_density=_texel_density(position, shading, triangle_vertex),
        chunk_triangle0=starts[:-1].astype(np.int32),
        chunk_triangle1=starts[1:].astype(np.int32),
        chunk_vertex0=np.array(ends[:-1], np.int32),
        chunk_vertex1=np.array(ends[1:], np.int32),
        chunk_object=np.full(chunks, object_id, np.int32),
        chunk_near_m=np.zeros(chunks, np.float32),
        chunk_far_m=np.full(chunks, FOREVER_M, np.float32),
        chunk_low=np.array([position[a:b].min(0) for a, b in bounds], np.float32),
        chunk_high=np.array([position[a:b].max(0) for a, b in bounds], np.float32),
        chunk_anchor=np.zeros((chunks, 2), np.float32),
    )


def _texel_density(position: NDArray, shading: NDArray, triangle: NDArray) -> NDArray[np.float32]:
    """Return texels per metre of every triangle: the square root of texture area over surface area."""
    a, b, c = (position[triangle[:, k]] for k in range(3))
    surface = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    u, v, w = (shading[triangle[:, k], 0:2] for k in range(3))
    e1, e2 = v - u, w - u
    image = np.abs(e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0])
    return (np.sqrt(image / np.maximum(surface, 1e-9)) * SIZE_PX).astype(np.float32)
