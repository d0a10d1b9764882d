"""Which chunks a camera may see, and in which order they are drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine.camera import Camera
from bridge.town.engine.layout import NEAR_M, SAMPLES_PER_AXIS
from bridge.town.engine.packing import PackedMesh

# Chunks nearer than this are drawn first; farther ones only where those left a gap.
OCCLUDER_REACH_M = 45.0


def chunk_corners(mesh: PackedMesh, chunks: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the (N,8,3) corners of chunks' bounding boxes in their objects' frames."""
    low, high = mesh.chunk_low[chunks].astype(np.float64), mesh.chunk_high[chunks].astype(np.float64)
    pick = np.array([[(k >> axis) & 1 for axis in range(3)] for k in range(8)], bool)
    return np.where(pick[None], high[:, None], low[:, None])


def find_visible(
    mesh: PackedMesh, chunks: NDArray[np.int32], corners: NDArray[np.float64], camera: Camera
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Pick the chunks that are in the view and at their drawing distance.

    `corners` (N,8,3): their bounding boxes in the camera's frame (x right, y down, z forward). Return near chunks, far
    chunks (both nearest first), and for the far ones the sample rectangle (x0, y0, x1, y1) that holds their box and
    1/z of its nearest corner.
    """
    x, y, z = corners[..., 0] * camera.focal_px, corners[..., 1] * camera.focal_px, corners[..., 2]
    outside = (z < NEAR_M).all(1)
    outside |= (x > z * camera.centre_x).all(1) | (x < -z * camera.centre_x).all(1)
    outside |= (y > z * camera.centre_y).all(1) | (y < -z * camera.centre_y).all(1)
    anchor = mesh.chunk_anchor[chunks]
    distance = np.hypot(anchor[:, 0] - camera.eye[0], anchor[:, 1] - camera.eye[1])
    outside |= (distance < mesh.chunk_near_m[chunks]) | (distance >= mesh.chunk_far_m[chunks])
    visible = np.flatnonzero(~outside)
    nearest = z[visible].min(1)
    order = np.argsort(nearest, kind="stable")
    visible = visible[order]
    first_far = int(np.searchsorted(nearest[order], OCCLUDER_REACH_M))
    rectangle, nearest_w = _sample_rectangles(corners[visible[first_far:]], camera)
    return chunks[visible[:first_far]], chunks[visible[first_far:]], rectangle, nearest_w


def _sample_rectangles(corners: NDArray[np.float64], camera: Camera) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the (N,4) sample rectangles that hold boxes before the camera, and 1/z of their nearest corners."""
    w = 1.0 / np.maximum(corners[..., 2], NEAR_M)
    x = corners[..., 0] * w * camera.focal_px + camera.centre_x
    y = corners[..., 1] * w * camera.focal_px + camera.centre_y
    n = SAMPLES_PER_AXIS
    width, height = n * 2 * camera.centre_x, n * 2 * camera.centre_y
    edges = (
        np.clip(n * x.min(1) - 1, 0, width),
        np.clip(n * y.min(1) - 1, 0, height),
        np.clip(n * x.max(1) + 2, 0, width),
        np.clip(n * y.max(1) + 2, 0, height),
    )
    # Decals win by a thousandth, so boxes count as that much nearer.
    return np.ascontiguousarray(np.stack(edges, 1), np.int32), (1.0011 * w.max(1)).astype(np.float32)
