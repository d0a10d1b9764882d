"""The label pass: sample buffer to semantic tags, actor ids, depth and optical flow.

A pixel belongs to the triangle that covers most of its four samples (ties: upper left first); depth and flow are
that triangle's, taken where the ray through the pixel's centre meets its plane. So all label planes speak of the same
surface at the same place, and of the same samples whose colours make up the RGB picture.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from bridge.town.engine.kernels_plane import S_CORNER_1, S_CORNER_2, hit_plane, set_plane
from bridge.town.engine.layout import (
    FAR_DEPTH_M,
    KERNEL_OPTIONS,
    NEAR_M,
    P_CENTRE_X,
    P_CENTRE_Y,
    P_FOCAL_X,
    P_FOCAL_Y,
    SKY_SAMPLE,
    TRI_OBJECT,
    TRI_TAG,
    V_NX,
    V_NY,
    V_NZ,
)
from bridge.town.engine.tags import SKY

f4 = np.float32
index = np.uintp
ONE, HALF, QUARTER = np.float32(1), np.float32(0.5), np.float32(0.25)
TOLERANCE = np.float32(1e-3)
PAST_EDGE, PAST_EDGE_M = np.float32(0.125), np.float32(0.1)
"""A pixel's centre may lie past the edge of its surface and still be taken for a place on it: on the static town, which
mostly goes on there, as far as the depth changes by this share, on a body so many metres."""
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
def _goes_on(z, dx, dy, sample, x, y, t, triangle_vertex, vertex_camera, other):
    """Whether a surface goes on beyond its triangle: another one of the pixel's lies in the same plane there."""
    for k in range(4):
        neighbour = sample[2 * y + (k >> 1), 2 * x + (k & 1)]
        if neighbour != t and neighbour >= 0:
            set_plane(triangle_vertex, vertex_camera, index(neighbour), other)
            there, _, _, _ = hit_plane(other, dx, dy)
            if abs(there - z) < f4(0.01) * abs(z):
                return True
    return False


@njit(forceinline=True, **KERNEL_OPTIONS)
def _past_edge_m(surface, l1, l2):
    """Return how far beyond the farthest of a triangle's edges the point of its plane with these weights lies."""
    m1x, m1y, m1z = surface[S_CORNER_1], surface[S_CORNER_1 + 1], surface[S_CORNER_1 + 2]
    m2x, m2y, m2z = surface[S_CORNER_2], surface[S_CORNER_2 + 1], surface[S_CORNER_2 + 2]
    # a weight's gradient is one over the height above the edge where it is zero
    past_1 = -l1 / math.sqrt(m1x * m1x + m1y * m1y + m1z * m1z)
    past_2 = -l2 / math.sqrt(m2x * m2x + m2y * m2y + m2z * m2z)
    mx, my, mz = m1x + m2x, m1y + m2y, m1z + m2z
    return max(past_1, past_2, (l1 + l2 - ONE) / math.sqrt(mx * mx + my * my + mz * mz))


@njit(forceinline=True, **KERNEL_OPTIONS)
def _ends_before(surface, z, near, l1, l2, is_body):
    """Whether a triangle ends before the pixel's centre, where its plane has depth z; `near`: its own sample's."""
    if is_body:
        return _past_edge_m(surface, l1, l2) > PAST_EDGE_M
    return abs(z - near) > PAST_EDGE * near


@njit(forceinline=True, **KERNEL_OPTIONS)
def _hit(surface, params, sample, x, y, t, first_sample, triangle_vertex, triangle_info, vertex_camera, other):
    """Return depth, corner weights and image point of a pixel's surface, whose plane is set up.

    At the centre, unless the surface ends before it: then at the triangle's own first sample. `other`
    (S_PLANE_COUNT,) f32 is scratch.
    """
    px, py = f4(x) + HALF, f4(y) + HALF
    dx, dy = (px - params[P_CENTRE_X]) / params[P_FOCAL_X], (py - params[P_CENTRE_Y]) / params[P_FOCAL_Y]
    z, _, l1, l2 = hit_plane(surface, dx, dy)
    is_hit = z >= NEAR and z <= FAR
    if not is_hit or l1 < -TOLERANCE or l2 < -TOLERANCE or l1 + l2 > ONE + TOLERANCE:
        sx, sy = f4(x) + QUARTER + HALF * f4(first_sample & 1), f4(y) + QUARTER + HALF * f4(first_sample >> 1)
        ex, ey = (sx - params[P_CENTRE_X]) / params[P_FOCAL_X], (sy - params[P_CENTRE_Y]) / params[P_FOCAL_Y]
        near, _, n1, n2 = hit_plane(surface, ex, ey)
        # Seen at a flat angle a surface runs far within a pixel: whether it does is asked only where it matters.
        if not is_hit or (
            _ends_before(surface, z, near, l1, l2, triangle_info[index(t), TRI_OBJECT] != 0)
            and not _goes_on(z, dx, dy, sample, x, y, t, triangle_vertex, vertex_camera, other)
        ):
            z, l1, l2, px, py = near, n1, n2, sx, sy
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
def depth_rows(row0, row1, sample, triangle_vertex, triangle_info, vertex_camera, params, surface, other, depth_m):
    """Write rows of `depth_m` (H,W) f32: distance along the optical axis, sky FAR_DEPTH_M.

    `surface` and `other` (S_PLANE_COUNT,) f32 are scratch.
    """
    prepared = np.int32(SKY_SAMPLE)
    for y in range(row0, row1):
        for x in range(depth_m.shape[1]):
            t, first = _owner(sample, x, y)
            if t < 0:
                depth_m[y, x] = FAR
            else:
                if t != prepared:
                    set_plane(triangle_vertex, vertex_camera, index(t), surface)
                    prepared = t
                depth_m[y, x] = _hit(
                    surface, params, sample, x, y, t, first, triangle_vertex, triangle_info, vertex_camera, other
                )[0]


@njit(**KERNEL_OPTIONS)
def flow_rows(
    row0, row1, sample, triangle_vertex, triangle_info, vertex_camera, vertex_position, params, previous_camera,
    surface, other, flow_px,
):  # fmt: skip
    """Write rows of `flow_px` (H,W,2) f32: from the previous frame to this, x right, y down.

    `previous_camera` (O+1,3,4) f32: the previous camera from each object in its previous pose; the last matrix turns
    this camera's directions into the previous camera's (for the sky). `surface` and `other` (S_PLANE_COUNT,) f32 are
    scratch.
    """
    prepared = np.int32(SKY_SAMPLE)
    for y in range(row0, row1):
        for x in range(flow_px.shape[1]):
            t, first = _owner(sample, x, y)
            if t < 0:
                px, py = f4(x) + HALF, f4(y) + HALF
                ox, oy = (px - params[P_CENTRE_X]) / params[P_FOCAL_X], (py - params[P_CENTRE_Y]) / params[P_FOCAL_Y]
                oz = f4(1)
                o = index(previous_camera.shape[0] - 1)
            else:
                if t != prepared:
                    set_plane(triangle_vertex, vertex_camera, index(t), surface)
                    prepared = t
                _, l1, l2, px, py = _hit(
                    surface, params, sample, x, y, t, first, triangle_vertex, triangle_info, vertex_camera, other
                )
                l0 = f4(1) - l1 - l2
                corner = triangle_vertex
                i0, i1, i2 = index(corner[index(t), 0]), index(corner[index(t), 1]), index(corner[index(t), 2])
                p = vertex_position
                ox = p[i0, 0] * l0 + p[i1, 0] * l1 + p[i2, 0] * l2
                oy = p[i0, 1] * l0 + p[i1, 1] * l1 + p[i2, 1] * l2
                oz = p[i0, 2] * l0 + p[i1, 2] * l1 + p[i2, 2] * l2
                o = index(triangle_info[index(t), TRI_OBJECT])
            m = previous_camera
            cx = m[o, 0, 0] * ox + m[o, 0, 1] * oy + m[o, 0, 2] * oz + m[o, 0, 3]
            cy = m[o, 1, 0] * ox + m[o, 1, 1] * oy + m[o, 1, 2] * oz + m[o, 1, 3]
            cz = max(NEAR, m[o, 2, 0] * ox + m[o, 2, 1] * oy + m[o, 2, 2] * oz + m[o, 2, 3])
            flow_px[y, x, 0] = px - (cx / cz * params[P_FOCAL_X] + params[P_CENTRE_X])
            flow_px[y, x, 1] = py - (cy / cz * params[P_FOCAL_Y] + params[P_CENTRE_Y])


@njit(**KERNEL_OPTIONS)
def normal_rows(
    row0, row1, sample, triangle_vertex, triangle_info, vertex_camera, vertex_shading, object_matrix, params, surface,
    other, normals,
):  # fmt: skip
    """Write rows of `normals` (H,W,3) f32: unit normals of surfaces in CARLA's world (y right), the sky's zero.

    `surface` and `other` (S_PLANE_COUNT,) f32 are scratch.
    """
    prepared = np.int32(SKY_SAMPLE)
    for y in range(row0, row1):
        for x in range(normals.shape[1]):
            t, first = _owner(sample, x, y)
            nx, ny, nz = f4(0), f4(0), f4(0)
            if t >= 0:
                if t != prepared:
                    set_plane(triangle_vertex, vertex_camera, index(t), surface)
                    prepared = t
                _, l1, l2, _, _ = _hit(
                    surface, params, sample, x, y, t, first, triangle_vertex, triangle_info, vertex_camera, other
                )
                l1, l2 = min(f4(1), max(f4(0), l1)), min(f4(1), max(f4(0), l2))
                l0 = max(f4(0), f4(1) - l1 - l2)
                corner, n = triangle_vertex, vertex_shading
                i0, i1, i2 = index(corner[index(t), 0]), index(corner[index(t), 1]), index(corner[index(t), 2])
                ox = n[i0, V_NX] * l0 + n[i1, V_NX] * l1 + n[i2, V_NX] * l2
                oy = n[i0, V_NY] * l0 + n[i1, V_NY] * l1 + n[i2, V_NY] * l2
                oz = n[i0, V_NZ] * l0 + n[i1, V_NZ] * l1 + n[i2, V_NZ] * l2
                m, o = object_matrix, index(triangle_info[index(t), TRI_OBJECT])
                nx = m[o, 0, 0] * ox + m[o, 0, 1] * oy + m[o, 0, 2] * oz
                ny = -(m[o, 1, 0] * ox + m[o, 1, 1] * oy + m[o, 1, 2] * oz)
                nz = m[o, 2, 0] * ox + m[o, 2, 1] * oy + m[o, 2, 2] * oz
                scale = f4(1) / math.sqrt(nx * nx + ny * ny + nz * nz + f4(1e-20))
                nx, ny, nz = nx * scale, ny * scale, nz * scale
            normals[y, x, 0], normals[y, x, 1], normals[y, x, 2] = nx, ny, nz
