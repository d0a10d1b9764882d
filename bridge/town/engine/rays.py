"""Rays through the drawn town: what lidars, radars and ray queries meet is what cameras see."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine.catalogue import build_shape, shape_key
from bridge.town.engine.frames import street_from_body
from bridge.town.engine.kernels_rays import BINS, STACK_ROWS, build_tree, cast_on_bodies, cast_on_static
from bridge.town.engine.layout import TRI_TAG
from bridge.town.engine.packing import PackedMesh, pack_part
from bridge.town.engine.shapes import Motion
from bridge.town.engine.switches import is_hidden
from bridge.town.pose import Pose
from bridge.town.views import Body, RayHits

LOG = logging.getLogger(__name__)
FLIP_Y = np.array([1.0, -1.0, 1.0], np.float32)
"""CARLA's world to the street frame and back."""


@dataclass(frozen=True)
class Tree:
    """Triangles with the boxes around them, as `kernels_rays` says."""

    node_box: NDArray[np.float32]
    node_link: NDArray[np.int32]
    corner_edges: NDArray[np.float32]
    info: NDArray[np.int32]
    order: NDArray[np.int32]
    """(F,) which of the triangles that the tree was grown over each of its own is."""


def grow_tree(position: NDArray[np.float32], triangle: NDArray[np.int32], info: NDArray[np.int32]) -> Tree:
    """Return the tree over triangles (F,3) i32 of vertices (V,3) f32; `info` (F,4) i32 as `layout` says."""
    corners = position[triangle]
    low, high = corners.min(1), corners.max(1)
    order = np.arange(len(triangle), dtype=np.int32)
    node_box = np.empty((2 * len(triangle), 6), np.float32)
    node_link = np.empty((2 * len(triangle), 2), np.int32)
    scratch = np.empty((STACK_ROWS, 4), np.int32), np.empty(BINS, np.int32), np.empty((2 * BINS, 6), np.float32)
    count = build_tree(low, high, order, node_box, node_link, *scratch)
    corners = corners[order]
    edges = [corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]]
    return Tree(
        node_box[:count].copy(),
        node_link[:count].copy(),
        np.ascontiguousarray(np.concatenate(edges, 1), np.float32),
        np.ascontiguousarray(info[order]),
        order,
    )


def _static_tree(mesh: PackedMesh) -> tuple[Tree, NDArray[np.int32]]:
    """Return the tree of what is drawn from nearby, and the thing of each of its triangles.

    Things with a near and a far version count once.
    """
    near = np.flatnonzero(mesh.chunk_near_m == 0.0)
    rows = [np.arange(mesh.chunk_triangle0[chunk], mesh.chunk_triangle1[chunk]) for chunk in near]
    chosen = np.concatenate(rows)
    tree = grow_tree(mesh.vertex_position, mesh.triangle_vertex[chosen], mesh.triangle_info[chosen])
    return tree, mesh.triangle_thing[chosen][tree.order]


def _without(tree: Tree, things: NDArray[np.int32], hidden: frozenset[int]) -> Tree:
    """Return a tree whose triangles of hidden things have no edges: no ray meets them."""
    edges = tree.corner_edges.copy()
    edges[is_hidden(things, hidden), 3:] = 0.0
    return replace(tree, corner_edges=edges)


class RayCaster:
    """Meets rays with the static town and its bodies; any thread may ask, one is served at a time.

    Leaves and railings are solid. The tree over the static town is built by `prepare`, or for the first ray.
    """

    def __init__(self, static: PackedMesh) -> None:
        self._mesh = static
        self._lock = threading.Lock()
        self._static: Tree | None = None
        self._things = np.empty(0, np.int32)
        self._shown: tuple[frozenset[int], Tree] | None = None
        self._bodies = Tree(
            np.empty((0, 6), np.float32),
            np.empty((0, 2), np.int32),
            np.empty((0, 9), np.float32),
            np.empty((0, 4), np.int32),
            np.empty(0, np.int32),
        )
        self._roots: dict[str, list[int]] = {}
        self._stack = np.empty((STACK_ROWS, 1), np.int32)

    def prepare(self) -> None:
        """Build the tree and compile (or load) both kernels, so that the first lidar's first tick is a short one."""
        car = Body(0, "vehicle.tesla.model3", Pose(), Pose())
        self.cast(np.array([0.0, 0.0, 1.0]), np.array([[1.0, 0.0, 0.0]]), 1.0, (car,))

    def cast(
        self,
        origins_m: NDArray[np.floating],
        directions: NDArray[np.floating],
        reach_m: float,
        bodies: Sequence[Body],
        hidden: frozenset[int] = frozenset(),
    ) -> RayHits:
        """Return what each ray meets first within `reach_m`; see `views.Painter.cast`."""
        with self._lock:
            origin = np.ascontiguousarray(np.broadcast_to(origins_m, directions.shape) * FLIP_Y, np.float32)
            direction = np.ascontiguousarray(directions * FLIP_Y, np.float32)
            count, tree = len(direction), self._static_without(hidden)
            distance = np.empty(count, np.float32)
            triangle, part = np.empty(count, np.int32), np.empty(count, np.int32)
            hits = (self._stack, distance, triangle, part)
            arrays = (tree.node_box, tree.node_link, tree.corner_edges, tree.info)
            cast_on_static(origin, direction, np.float32(reach_m), *arrays, *hits)
            matrices, actors = np.empty((0, 3, 4)), np.empty(0, np.int32)
            if bodies:
                spheres, parts_of, roots, matrices, actors = self._place(bodies)
                part_from_world = _inverse(matrices).astype(np.float32)
                moving = self._bodies
                arrays = (moving.node_box, moving.node_link, moving.corner_edges, moving.info)
                cast_on_bodies(origin, direction, spheres, parts_of, roots, part_from_world, *arrays, *hits)
            return self._describe(direction, distance, triangle, part, matrices, actors)

    def _static_without(self, hidden: frozenset[int]) -> Tree:
        """Return the static town's tree without hidden things; grown for the first ray, cut when others are hidden."""
        if self._static is None:
            start = time.perf_counter()
            self._static, self._things = _static_tree(self._mesh)
            count = len(self._static.corner_edges)
            LOG.info("%d triangles are ready for rays: %.1f s", count, time.perf_counter() - start)
        if not hidden:
            self._shown = None
            return self._static
        if self._shown is None or self._shown[0] != hidden:
            self._shown = hidden, _without(self._static, self._things, hidden)
        return self._shown[1]

    def _describe(
        self,
        direction: NDArray[np.float32],
        distance: NDArray[np.float32],
        triangle: NDArray[np.int32],
        part: NDArray[np.int32],
        matrices: NDArray[np.float64],
        actors: NDArray[np.int32],
    ) -> RayHits:
        assert self._static is not None
        actor, tag = np.zeros(len(part), np.int32), np.zeros(len(part), np.uint8)
        normal = np.zeros((len(part), 3), np.float32)
        on_static, on_body = (triangle >= 0) & (part < 0), part >= 0
        for chosen, tree in ((on_static, self._static), (on_body, self._bodies)):
            edges = tree.corner_edges[triangle[chosen]]
            normal[chosen] = np.cross(edges[:, 3:6], edges[:, 6:9])
            tag[chosen] = tree.info[triangle[chosen], TRI_TAG]
        if on_body.any():
            turn = matrices[part[on_body], :, :3]
            normal[on_body] = np.einsum("nij,nj->ni", turn, normal[on_body])
            actor[on_body] = actors[part[on_body]]
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        normal *= np.where((normal * direction).sum(1, keepdims=True) > 0.0, -1.0, 1.0)
        distance[triangle < 0] = np.inf
        return RayHits(distance, actor, tag, (normal * FLIP_Y).astype(np.float32))

    def _place(self, bodies: Sequence[Body]) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
        """Return the bodies' spheres and part ranges, and each part's tree, matrix and actor."""
        spheres, parts_of = np.empty((len(bodies), 4), np.float32), np.empty((len(bodies), 2), np.int32)
        roots: list[int] = []
        matrices, actors = [], []
        for row, body in enumerate(bodies):
            key = shape_key(body.blueprint_id)
            shape = build_shape(key)
            if key not in self._roots:
                self._roots[key] = [self._add(pack_part(part, 0)) for part in shape.parts]
            world = street_from_body(body.pose)
            placed = world[:3, :3] @ shape.part_poses(
                Motion(-math.radians(body.steer_deg), body.wheel_turn_rad, body.stride_m)
            )
            placed[:, :, 3] += world[:3, 3]
            half = shape.half_extents_m
            middle = world[:3, :3] @ np.array([0.0, 0.0, half[2]]) + world[:3, 3]
            spheres[row] = (*middle, 1.15 * math.hypot(*half) + 0.2)
            parts_of[row] = len(roots), len(roots) + len(shape.parts)
            roots += self._roots[key]
            matrices.append(placed)
            actors += [body.actor_id] * len(shape.parts)
        return spheres, parts_of, np.array(roots, np.int32), np.concatenate(matrices), np.array(actors, np.int32)

    def _add(self, part: PackedMesh) -> int:
        """Add a part's tree to those of the bodies and return its root."""
        tree, known = grow_tree(part.vertex_position, part.triangle_vertex, part.triangle_info), self._bodies
        root, first = len(known.node_box), len(known.corner_edges)
        is_leaf = tree.node_link[:, 1] > 0
        tree.node_link[:, 0] += np.where(is_leaf, first, root).astype(np.int32)
        self._bodies = Tree(
            np.concatenate([known.node_box, tree.node_box]),
            np.concatenate([known.node_link, tree.node_link]),
            np.concatenate([known.corner_edges, tree.corner_edges]),
            np.concatenate([known.info, tree.info]),
            np.concatenate([known.order, tree.order]),
        )
        return root


def _inverse(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverses of rigid (P,3,4) matrices."""
    turned = matrices[:, :, :3].transpose(0, 2, 1)
    return np.concatenate([turned, -(turned @ matrices[:, :, 3:])], 2)
