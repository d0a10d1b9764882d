"""Which chunks a camera may see, and in which order they are drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine.layout import NEAR_M, SAMPLES_PER_AXIS
from bridge.town.engine.packing import PackedMesh

# Chunks nearer than this are drawn first; farther ones only where those left a gap.
OCCLUDER_REACH_M = 45.0


def chunk_corners(mesh: PackedMesh, chunks: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the (N,8,3) corners of chunks' bounding boxes in their objects' frames."""
    low, high = mesh.chunk_low[chunks].astype(np.float64), mesh.chunk_high[chunks].astype(np.float64)
    pick = np.array([[(k >> axis) & 1 for axis in range(3)] for k in range(8)], bool)
    return np.where(pick[None], high[:, None], low[:, None])


def sort_visible(
    mesh: PackedMesh,
    chunks: NDArray[np.int32],
    corners: NDArray[np.float64],
    eye: NDArray[np.float64],
    focal_px: float,
    centre_x: float,
    centre_y: float,
) -> NDArray[np.int64]:
    """Return indices into `chunks` of those in the view and at their drawing distance, nearest first.

    `corners` (N,8,3): bounding boxes in the camera's frame (x right, y down, z forward).
    """
    x, y, z = corners[..., 0] * focal_px, corners[..., 1] * focal_px, corners[..., 2]
    outside = (z < NEAR_M).all(1)
    outside |= (x > z * centre_x).all(1) | (x < -z * centre_x).all(1)
    outside |= (y > z * centre_y).all(1) | (y < -z * centre_y).all(1)
    distance = np.hypot(mesh.chunk_anchor[chunks, 0] - eye[0], mesh.chunk_anchor[chunks, 1] - eye[1])
    outside |= (distance < mesh.chunk_near_m[chunks]) | (distance >= mesh.chunk_far_m[chunks])
    visible = np.flatnonzero(~outside)
    return visible[np.argsort(z[visible].min(1), kind="stable")]


def split_by_distance(
    chunks: NDArray[np.int32],
    corners: NDArray[np.float64],
    visible: NDArray[np.int64],
    focal_px: float,
    centre_x: float,
    centre_y: float,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Split sorted chunks into near and far ones.

    Return near chunks, far chunks, and for the far ones the sample rectangle (x0, y0, x1, y1) that holds their box and
    1/z of the nearest corner.
    """
    nearest = corners[visible][..., 2].min(1)
    first_far = int(np.searchsorted(nearest, OCCLUDER_REACH_M))
    far = visible[first_far:]
    box = corners[far]
    w = 1.0 / np.maximum(box[..., 2], NEAR_M)
    x, y = box[..., 0] * w * focal_px + centre_x, box[..., 1] * w * focal_px + centre_y
    n = SAMPLES_PER_AXIS
    width, height = n * 2 * centre_x, n * 2 * centre_y
    edges = (
        np.clip(n * x.min(1) - 1, 0, width),
        np.clip(n * y.min(1) - 1, 0, height),
        np.clip(n * x.max(1) + 2, 0, width),
        np.clip(n * y.max(1) + 2, 0, height),
    )
    rectangle = np.ascontiguousarray(np.stack(edges, 1), np.int32)
    return chunks[visible[:first_far]], chunks[far], rectangle, w.max(1).astype(np.float32)
