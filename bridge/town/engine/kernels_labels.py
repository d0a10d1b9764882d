"""The label pass: sample buffer to semantic tags, actor ids, depth and optical flow.

A pixel belongs to the triangle that covers most of its four samples (ties: upper left first); depth and flow are
that triangle's, taken where the ray through the pixel's centre meets its plane. So all label planes speak of the same
surface at the same place, and of the same samples whose colours make up the RGB picture.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from bridge.town.engine.kernels_shade import surface_point
from bridge.town.engine.layout import (
    FAR_DEPTH_M,
    KERNEL_OPTIONS,
    NEAR_M,
    P_CENTRE_X,
    P_CENTRE_Y,
    P_FOCAL_X,
    P_FOCAL_Y,
    TRI_OBJECT,
    TRI_TAG,
)
from bridge.town.engine.tags import SKY

f4 = np.float32
index = np.uintp
HALF, QUARTER = np.float32(0.5), np.float32(0.25)
FAR = np.float32(FAR_DEPTH_M)
NEAR = np.float32(NEAR_M)


@njit(forceinline=True, **KERNEL_OPTIONS)
def _owner(sample, x, y):
    """Return the triangle that a pixel belongs to and the number (0..3) of its first sample."""
    a, b = sample[2 * y, 2 * x], sample[2 * y, 2 * x + 1]
    c, d = sample[2 * y + 1, 2 * x], sample[2 * y + 1, 2 * x + 1]
    if a in (b, c, d):
        return a, 0
    if b in (c, d):
        return b, 1
    if c == d:
        return c, 2
    return a, 0


@njit(forceinline=True, **KERNEL_OPTIONS)
def _hit(triangle_vertex, vertex_camera, params, t, x, y, first_sample):
    """Return depth, corner weights and image point of a pixel's surface.

    The centre's ray, unless it misses the plane's visible part (at a horizon): then the triangle's own sample.
    """
    px, py = f4(x) + HALF, f4(y) + HALF
    dx, dy = (px - params[P_CENTRE_X]) / params[P_FOCAL_X], (py - params[P_CENTRE_Y]) / params[P_FOCAL_Y]
    z, l1, l2, _, _ = surface_point(triangle_vertex, vertex_camera, t, dx, dy)
    if z < NEAR or z > FAR:
        px, py = f4(x) + QUARTER + HALF * f4(first_sample & 1), f4(y) + QUARTER + HALF * f4(first_sample >> 1)
        dx, dy = (px - params[P_CENTRE_X]) / params[P_FOCAL_X], (py - params[P_CENTRE_Y]) / params[P_FOCAL_Y]
        z, l1, l2, _, _ = surface_point(triangle_vertex, vertex_camera, t, dx, dy)
    return min(FAR, z), l1, l2, px, py


@njit(**KERNEL_OPTIONS)
def label_rows(row0, row1, sample, triangle_info, object_actor, semantic, instance):
    """Write rows of `semantic` (H,W) u8 and `instance` (H,W) i32."""
    for y in range(row0, row1):
        for x in range(semantic.shape[1]):
            t, _ = _owner(sample, x, y)
            if t < 0:
                semantic[y, x], instance[y, x] = SKY, 0
            else:
                semantic[y, x] = triangle_info[index(t), TRI_TAG]
                instance[y, x] = object_actor[index(triangle_info[index(t), TRI_OBJECT])]


@njit(**KERNEL_OPTIONS)
def depth_rows(row0, row1, sample, triangle_vertex, vertex_camera, params, depth_m):
    """Write rows of `depth_m` (H,W) f32: distance along the optical axis, sky FAR_DEPTH_M."""
    for y in range(row0, row1):
        for x in range(depth_m.shape[1]):
            t, first = _owner(sample, x, y)
            if t < 0:
                depth_m[y, x] = FAR
            else:
                depth_m[y, x] = _hit(triangle_vertex, vertex_camera, params, index(t), x, y, first)[0]


@njit(**KERNEL_OPTIONS)
def flow_rows(
    row0, row1, sample, triangle_vertex, triangle_info, vertex_camera, vertex_position, params, previous_camera,
    flow_px,
):  # fmt: skip
    """Write rows of `flow_px` (H,W,2) f32: from the previous frame to this, x right, y down.

    `previous_camera` (O+1,3,4) f32: the previous camera from each object in its previous pose; the last matrix turns
    this camera's directions into the previous camera's (for the sky).
    """
    for y in range(row0, row1):
        for x in range(flow_px.shape[1]):
            t, first = _owner(sample, x, y)
            if t < 0:
                px, py = f4(x) + HALF, f4(y) + HALF
                ox, oy = (px - params[P_CENTRE_X]) / params[P_FOCAL_X], (py - params[P_CENTRE_Y]) / params[P_FOCAL_Y]
                oz = f4(1)
                m = previous_camera[-1]
            else:
                t = index(t)
                _, l1, l2, px, py = _hit(triangle_vertex, vertex_camera, params, t, x, y, first)
                l0 = f4(1) - l1 - l2
                i0, i1, i2 = index(triangle_vertex[t, 0]), index(triangle_vertex[t, 1]), index(triangle_vertex[t, 2])
                p = vertex_position
                ox = p[i0, 0] * l0 + p[i1, 0] * l1 + p[i2, 0] * l2
                oy = p[i0, 1] * l0 + p[i1, 1] * l1 + p[i2, 1] * l2
                oz = p[i0, 2] * l0 + p[i1, 2] * l1 + p[i2, 2] * l2
                m = previous_camera[index(triangle_info[t, TRI_OBJECT])]
            cx = m[0, 0] * ox + m[0, 1] * oy + m[0, 2] * oz + m[0, 3]
            cy = m[1, 0] * ox + m[1, 1] * oy + m[1, 2] * oz + m[1, 3]
            cz = max(NEAR, m[2, 0] * ox + m[2, 1] * oy + m[2, 2] * oz + m[2, 3])
            flow_px[y, x, 0] = px - (cx / cz * params[P_FOCAL_X] + params[P_CENTRE_X])
            flow_px[y, x, 1] = py - (cy / cz * params[P_FOCAL_Y] + params[P_CENTRE_Y])
