"""Triangle meshes under construction. Right-handed, z up, metres; faces are counter-clockwise seen from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridge.town.engine.materials import MATERIAL_IDS

Point = Sequence[float] | NDArray
FULL_TILE = ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0))


@dataclass(frozen=True)
class MeshArrays:
    """A finished mesh of V vertices and F triangles.

    position (V,3) f32 · uv (V,2) f32 · normal (V,3) f32, unit · colour (V,3) f32, linear, multiplies the texture ·
    triangle (F,3) i32 · material (F,) i32 · tag (F,) u8, CARLA's semantic tags.
    """

    position: NDArray[np.float32]
    uv: NDArray[np.float32]
    normal: NDArray[np.float32]
    colour: NDArray[np.float32]
    triangle: NDArray[np.int32]
    material: NDArray[np.int32]
    tag: NDArray[np.uint8]

    def moved(self, rotation: ArrayLike, translation: ArrayLike) -> MeshArrays:
        """Return the mesh turned (and scaled, or mirrored) by a 3x3 matrix, then shifted."""
        turn = np.asarray(rotation, np.float32)
        normal = self.normal @ turn.T
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        triangle = self.triangle[:, ::-1] if np.linalg.det(turn) < 0 else self.triangle
        position = self.position @ turn.T + np.asarray(translation, np.float32)
        return MeshArrays(position, self.uv, normal, self.colour, triangle, self.material, self.tag)


def join(meshes: Sequence[MeshArrays]) -> MeshArrays:
    """Return one mesh that holds all of them; raises ValueError when there is none."""
    starts = np.cumsum([0, *(len(mesh.position) for mesh in meshes[:-1])])
    return MeshArrays(
        np.concatenate([m.position for m in meshes]),
        np.concatenate([m.uv for m in meshes]),
        np.concatenate([m.normal for m in meshes]),
        np.concatenate([m.colour for m in meshes]),
        np.concatenate([m.triangle + start for m, start in zip(meshes, starts, strict=True)]).astype(np.int32),
        np.concatenate([m.material for m in meshes]),
        np.concatenate([m.tag for m in meshes]),
    )


def turn_about_z(angle_rad: float) -> NDArray[np.float64]:
    """Return the 3x3 rotation by an angle, counter-clockwise seen from above."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


class Mesh:
    """Collects quads, boxes and tubes; `build` gives the arrays."""

    def __init__(self) -> None:
        self._blocks: list[MeshArrays] = []
        self._quads: list[tuple[Point, Point, Point, Point]] = []
        self._quad_uvs: list[Sequence[Sequence[float]]] = []
        self._quad_looks: list[tuple[int, int, tuple[float, ...]]] = []

    def add(
        self,
        position: ArrayLike,
        triangle: ArrayLike,
        material: str,
        tag: int,
        *,
        uv: ArrayLike | None = None,
        normal: ArrayLike | None = None,
        colour: ArrayLike = (1.0, 1.0, 1.0),
    ) -> None:
        """Add an indexed patch; without normals they are smooth across the patch."""
        position = np.asarray(position, np.float32).reshape(-1, 3)
        triangle = np.asarray(triangle, np.int32).reshape(-1, 3)
        count = len(position)
        self._blocks.append(
            MeshArrays(
                position,
                np.zeros((count, 2), np.float32) if uv is None else np.asarray(uv, np.float32).reshape(-1, 2),
                _vertex_normals(position, triangle)
                if normal is None
                else np.broadcast_to(np.asarray(normal, np.float32), (count, 3)).copy(),
                np.broadcast_to(np.asarray(colour, np.float32), (count, 3)).copy(),
                triangle,
                np.full(len(triangle), MATERIAL_IDS[material], np.int32),
                np.full(len(triangle), tag, np.uint8),
            )
        )

    def quad(
        self,
        a: Point,
        b: Point,
        c: Point,
        d: Point,
        material: str,
        tag: int,
        *,
        uv: Sequence[Sequence[float]] = FULL_TILE,
        colour: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Add a flat face a b c d, counter-clockwise from outside; by default one whole texture tile, a at its foot."""
        self._quads.append((a, b, c, d))
        self._quad_uvs.append(uv)
        self._quad_looks.append((MATERIAL_IDS[material], tag, (colour[0], colour[1], colour[2])))

    def box(
        self,
        low: Point,
        high: Point,
        material: str,
        tag: int,
        *,
        colour: Sequence[float] = (1.0, 1.0, 1.0),
        tiles_per_m: float = 1.0,
        faces: str = "wt",
    ) -> None:
        """Add an axis-aligned box; `faces`: w walls (four sides), t top, b bottom (default: walls and top only)."""
        x0, y0, z0 = low
        x1, y1, z1 = high
        sides: list[tuple[Point, Point, Point, Point]] = []
        if "w" in faces:
            sides += [
                ((x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)),
                ((x1, y1, z0), (x0, y1, z0), (x0, y1, z1), (x1, y1, z1)),
                ((x1, y0, z0), (x1, y1, z0), (x1, y1, z1), (x1, y0, z1)),
                ((x0, y1, z0), (x0, y0, z0), (x0, y0, z1), (x0, y1, z1)),
            ]
        if "t" in faces:
            sides.append(((x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)))
        if "b" in faces:
            sides.append(((x0, y1, z0), (x1, y1, z0), (x1, y0, z0), (x0, y0, z0)))
        for face in sides:
            width = _distance(face[0], face[1]) * tiles_per_m
            height = _distance(face[0], face[3]) * tiles_per_m
            uv = ((0.0, height), (width, height), (width, 0.0), (0.0, 0.0))
            self.quad(*face, material, tag, uv=uv, colour=colour)

    def tube(
        self,
        foot: Point,
        head: Point,
        foot_radius_m: float,
        head_radius_m: float,
        sides: int,
        material: str,
        tag: int,
        *,
        colour: ArrayLike = (1.0, 1.0, 1.0),
        cap: bool = False,
    ) -> None:
        """Add a round (or, with a zero radius, conical) tube between two points."""
        foot_at, head_at = np.asarray(foot, float), np.asarray(head, float)
        axis = head_at - foot_at
        length = float(np.linalg.norm(axis))
        axis /= length
        ring = ring_around(axis, sides)
        position = np.concatenate([foot_at + foot_radius_m * ring, head_at + head_radius_m * ring])
        turn = np.linspace(0.0, 2.0, sides + 1)
        uv = np.stack([np.tile(turn, 2), np.repeat([0.0, length], sides + 1)], axis=1)
        i = np.arange(sides)
        triangle = np.concatenate(
            [np.stack([i, i + 1, i + sides + 2], 1), np.stack([i, i + sides + 2, i + sides + 1], 1)]
        )
        self.add(position, triangle, material, tag, uv=uv, normal=np.tile(ring, (2, 1)), colour=colour)
        if cap:
            self.disc(head_at, axis, head_radius_m, sides, material, tag, colour=colour)

    def disc(
        self,
        centre: Point,
        axis: Point,
        radius_m: float,
        sides: int,
        material: str,
        tag: int,
        *,
        colour: ArrayLike = (1.0, 1.0, 1.0),
    ) -> None:
        """Add a flat disc that looks along `axis`; the texture's middle is its centre."""
        unit = np.asarray(axis, float) / np.linalg.norm(np.asarray(axis, float))
        ring = ring_around(unit, sides)
        position = np.concatenate([np.asarray(centre, float)[None], np.asarray(centre, float) + radius_m * ring])
        turn = np.linspace(0.0, 2.0 * np.pi, sides + 1)
        uv = np.concatenate([[[0.5, 0.5]], 0.5 + 0.5 * np.stack([np.cos(turn), np.sin(turn)], 1)])
        i = np.arange(sides)
        self.add(position, np.stack([0 * i, i + 1, i + 2], 1), material, tag, uv=uv, normal=unit, colour=colour)

    def put(self, mesh: MeshArrays) -> None:
        """Add a finished mesh as it is."""
        self._blocks.append(mesh)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added yet."""
        return not self._blocks and not self._quads

    def build(self) -> MeshArrays:
        """Return everything added so far as one mesh."""
        blocks = list(self._blocks)
        if self._quads:
            blocks.append(self._quad_block())
        return join(blocks)

    def _quad_block(self) -> MeshArrays:
        corner = np.array(self._quads, np.float32)
        count = len(corner)
        normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        normal += np.cross(corner[:, 2] - corner[:, 0], corner[:, 3] - corner[:, 0])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        first = 4 * np.arange(count, dtype=np.int32)
        triangle = np.stack([first, first + 1, first + 2, first, first + 2, first + 3], 1).reshape(-1, 3)
        return MeshArrays(
            corner.reshape(-1, 3),
            np.array(self._quad_uvs, np.float32).reshape(-1, 2),
            np.repeat(normal, 4, axis=0).astype(np.float32),
            np.repeat(np.array([look[2] for look in self._quad_looks], np.float32), 4, axis=0),
            triangle,
            np.repeat(np.array([look[0] for look in self._quad_looks], np.int32), 2),
            np.repeat(np.array([look[1] for look in self._quad_looks], np.uint8), 2),
        )


def ring_around(axis: NDArray, sides: int) -> NDArray[np.float64]:
    """Return (sides + 1, 3) unit vectors around a unit axis, the last equal to the first."""
    helper = (1.0, 0.0, 0.0) if abs(axis[0]) < 0.9 else (0.0, 1.0, 0.0)
    across = np.cross(axis, helper)
    across /= np.linalg.norm(across)
    third = np.cross(axis, across)
    turn = np.linspace(0.0, 2.0 * np.pi, sides + 1)
    return np.cos(turn)[:, None] * across + np.sin(turn)[:, None] * third


def smooth_normals(mesh: MeshArrays, crease_deg: float) -> MeshArrays:
    """Return the mesh with normals averaged over vertices at one place whose faces meet at less than the crease."""
    key = np.round(mesh.position * 200.0).astype(np.int64)
    _, place = np.unique(key, axis=0, return_inverse=True)
    order = np.argsort(place.ravel(), kind="stable")
    bounds = np.flatnonzero(np.diff(place.ravel()[order])) + 1
    normal = mesh.normal.copy()
    least = np.cos(np.radians(crease_deg))
    for group in np.split(order, bounds):
        here = mesh.normal[group]
        mean = (here @ here.T > least).astype(np.float32) @ here
        normal[group] = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)
    return MeshArrays(mesh.position, mesh.uv, normal, mesh.colour, mesh.triangle, mesh.material, mesh.tag)


def _vertex_normals(position: NDArray, triangle: NDArray) -> NDArray[np.float32]:
    normal = np.zeros_like(position)
    a, b, c = (position[triangle[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    for k in range(3):
        np.add.at(normal, triangle[:, k], face)
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)


def _distance(a: Point, b: Point) -> float:
    return float(((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2) ** 0.5)
