"""The planes that say what is seen and where: labels, depth, flow and normals of a rasterised view.

All take the samples that the painter left in the buffers, and belong to the same surfaces as its picture.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine.bodies import Staged
from bridge.town.engine.camera import Buffers, Camera
from bridge.town.engine.frames import camera_axes
from bridge.town.engine.kernels_labels import depth_rows, flow_rows, label_rows, normal_rows
from bridge.town.engine.kernels_plane import S_PLANE_COUNT
from bridge.town.engine.packing import PackedMesh
from bridge.town.engine.sky import InBands
from bridge.town.pose import Pose

Vertices: TypeAlias = NDArray[np.float32]  # (N,3) metres in the camera's axes, of the mesh's vertices


def label(mesh: PackedMesh, staged: Staged, buffers: Buffers, in_bands: InBands) -> None:
    """Fill `buffers.semantic` and `buffers.instance`."""

    def band(first: int, last: int) -> None:
        label_rows(first, last, buffers.sample, mesh.triangle_info, staged.actor, buffers.semantic, buffers.instance)

    in_bands(len(buffers.semantic), band)


def measure_depth(
    mesh: PackedMesh, vertex_camera: Vertices, params: NDArray[np.float32], buffers: Buffers, in_bands: InBands
) -> None:
    """Fill `buffers.depth_m` with metres along the optical axis."""

    def band(first: int, last: int) -> None:
        depth_rows(
            first,
            last,
            buffers.sample,
            mesh.triangle_vertex,
            mesh.triangle_info,
            vertex_camera,
            params,
            np.empty(S_PLANE_COUNT, np.float32),
            np.empty(S_PLANE_COUNT, np.float32),
            buffers.depth_m,
        )

    in_bands(len(buffers.depth_m), band)


def measure_flow(
    mesh: PackedMesh,
    vertex_camera: Vertices,
    camera: Camera,
    previous_pose: Pose,
    staged: Staged,
    params: NDArray[np.float32],
    buffers: Buffers,
    in_bands: InBands,
) -> None:
    """Fill `buffers.flow_px`, as `views.Planes` has it; `previous_pose` is the camera's at the frame before."""
    eye, axes = camera_axes(previous_pose)
    previous_camera = np.zeros((len(staged.actor) + 1, 3, 4), np.float32)
    previous_camera[:-1, :, :3] = axes @ staged.previous_from_object[:, :, :3]
    previous_camera[:-1, :, 3] = (staged.previous_from_object[:, :, 3] - eye) @ axes.T
    previous_camera[-1, :, :3] = axes @ camera.axes.T

    def band(first: int, last: int) -> None:
        flow_rows(
            first,
            last,
            buffers.sample,
            mesh.triangle_vertex,
            mesh.triangle_info,
            vertex_camera,
            mesh.vertex_position,
            params,
            previous_camera,
            np.empty(S_PLANE_COUNT, np.float32),
            np.empty(S_PLANE_COUNT, np.float32),
            buffers.flow_px,
        )

    in_bands(len(buffers.flow_px), band)


def measure_normals(
    mesh: PackedMesh,
    vertex_camera: Vertices,
    staged: Staged,
    params: NDArray[np.float32],
    buffers: Buffers,
    in_bands: InBands,
) -> None:
    """Fill `buffers.normals` with the surfaces' directions, in the world."""
    matrices = staged.world_from_object.astype(np.float32)

    def band(first: int, last: int) -> None:
        normal_rows(
            first,
            last,
            buffers.sample,
            mesh.triangle_vertex,
            mesh.triangle_info,
            vertex_camera,
            mesh.vertex_shading,
            matrices,
            params,
            np.empty(S_PLANE_COUNT, np.float32),
            np.empty(S_PLANE_COUNT, np.float32),
            buffers.normals,
        )

    in_bands(len(buffers.normals), band)
