"""The rasteriser: triangles to a buffer of 1/z and triangle ids, four samples per pixel, near chunks first.

Screen coordinates are in samples, x right and y down; the camera looks along +z. Triangles are filled row by row
between their edges; 1/z is linear on the screen. Decals win by a factor of 1.001 in 1/z.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from bridge.town.engine.layout import (
    KERNEL_OPTIONS,
    SKY_SAMPLE,
    TRI_FLAGS,
    TRI_MATERIAL,
    V_U,
    V_V,
)
from bridge.town.engine.materials import ALPHA_TEST, DECAL
from bridge.town.engine.textures import SIZE_PX

f4 = np.float32
index = np.uintp  # unsigned, so that no code is generated for negative indices
DECAL_BIAS = np.float32(1.001)
FULL_TEXELS = SIZE_PX * SIZE_PX


@njit(forceinline=True, **KERNEL_OPTIONS)
def floor_i32(x):
    """Round down to int32; math.floor would be a call through a pointer."""
    i = np.int32(x)
    return i - np.int32(x < f4(i))


@njit(**KERNEL_OPTIONS)
def transform_vertices(position, chunks, chunk_vertex0, chunk_vertex1, chunk_object, matrices, out):
    """Write matrices[object] @ position for the vertices of the chosen chunks; `matrices` (O,3,4)."""
    for q in range(len(chunks)):
        chunk = chunks[q]
        m = matrices[chunk_object[chunk]]
        a00, a01, a02, a03 = m[0, 0], m[0, 1], m[0, 2], m[0, 3]
        a10, a11, a12, a13 = m[1, 0], m[1, 1], m[1, 2], m[1, 3]
        a20, a21, a22, a23 = m[2, 0], m[2, 1], m[2, 2], m[2, 3]
        for i in range(chunk_vertex0[chunk], chunk_vertex1[chunk]):
            x, y, z = position[i, 0], position[i, 1], position[i, 2]
            out[i, 0] = a00 * x + a01 * y + a02 * z + a03
            out[i, 1] = a10 * x + a11 * y + a12 * z + a13
            out[i, 2] = a20 * x + a21 * y + a22 * z + a23


@njit(forceinline=True, **KERNEL_OPTIONS)
def _gradients(x0, y0, x1, y1, x2, y2, inverse_area):
    """Screen gradients of the barycentric weights of corners 1 and 2."""
    return (
        (y2 - y0) * inverse_area,
        -(x2 - x0) * inverse_area,
        -(y1 - y0) * inverse_area,
        (x1 - x0) * inverse_area,
    )


@njit(forceinline=True, **KERNEL_OPTIONS)
def _clip_span(left, right, slope, offset):
    """Cut a row's span to where slope * x + offset >= 0."""
    if slope > 0:
        left = max(left, -offset / slope)
    elif slope < 0:
        right = min(right, -offset / slope)
    elif offset < 0:
        right = left - f4(2)
    return left, right


@njit(forceinline=True, **KERNEL_OPTIONS)
def _row_span(py, x0, y0, g1x, g1y, g2x, g2y, left, right):
    """Return the first and last column of a row whose centres lie inside the triangle (empty: first > last)."""
    b1 = g1y * (py - y0) - g1x * x0
    b2 = g2y * (py - y0) - g2x * x0
    left, right = _clip_span(left, right, g1x, b1)
    left, right = _clip_span(left, right, g2x, b2)
    left, right = _clip_span(left, right, -g1x - g2x, f4(1.0) - b1 - b2)
    return floor_i32(left + f4(0.499999)), floor_i32(right - f4(0.5))


@njit(forceinline=True, **KERNEL_OPTIONS)
def _row_bounds(y0, y1, y2, num_rows):
    """Return the first and last row whose centres a triangle may cover."""
    top, foot = min(y0, min(y1, y2)), max(y0, max(y1, y2))
    first = max(0, floor_i32(max(top, f4(-4)) + f4(0.5)))
    last = min(num_rows - 1, floor_i32(min(foot, f4(num_rows + 4)) - f4(0.5)))
    return first, last


@njit(forceinline=True, **KERNEL_OPTIONS)
def _fill_opaque(x0, y0, w0, x1, y1, w1, x2, y2, w2, triangle, bias, inverse_z, sample, column0, column1):
    """Fill one front-facing triangle; w is 1/z at the corners."""
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if area < 0.0:
        left, right = max(min(x0, min(x1, x2)), f4(column0)), min(max(x0, max(x1, x2)), f4(column1))
        row0, row1 = _row_bounds(y0, y1, y2, inverse_z.shape[0])
        g1x, g1y, g2x, g2y = _gradients(x0, y0, x1, y1, x2, y2, f4(1.0) / area)
        w_x = ((w1 - w0) * g1x + (w2 - w0) * g2x) * bias
        w_y = ((w1 - w0) * g1y + (w2 - w0) * g2y) * bias
        for row in range(row0, row1 + 1):
            py = f4(row) + f4(0.5)
            first, last = _row_span(py, x0, y0, g1x, g1y, g2x, g2y, left, right)
            first, last = max(column0, first), min(column1 - 1, last)
            w_row = w0 * bias + w_y * (py - y0) + w_x * (f4(0.5) - x0)
            y = index(row)
            for column in range(first, last + 1):
                w = w_row + w_x * f4(np.int32(column))
                x = index(column)
                if w > inverse_z[y, x]:
                    inverse_z[y, x] = w
                    sample[y, x] = triangle


@njit(forceinline=True, **KERNEL_OPTIONS)
def _fill_masked(
    x0, y0, w0, u0, v0, x1, y1, w1, u1, v1, x2, y2, w2, u2, v2, triangle, is_decal, textures, material,
    level, inverse_z, sample, column0, column1,
):  # fmt: skip
    """Fill one triangle where its texture covers; both sides show unless it is a decal. u, v are divided by z."""
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if area < 0.0 or (area > 0.0 and not is_decal):
        left, right = max(min(x0, min(x1, x2)), f4(column0)), min(max(x0, max(x1, x2)), f4(column1))
        row0, row1 = _row_bounds(y0, y1, y2, inverse_z.shape[0])
        bias = DECAL_BIAS if is_decal else f4(1.0)
        g1x, g1y, g2x, g2y = _gradients(x0, y0, x1, y1, x2, y2, f4(1.0) / area)
        w_x, w_y = (w1 - w0) * g1x + (w2 - w0) * g2x, (w1 - w0) * g1y + (w2 - w0) * g2y
        u_x, u_y = (u1 - u0) * g1x + (u2 - u0) * g2x, (u1 - u0) * g1y + (u2 - u0) * g2y
        v_x, v_y = (v1 - v0) * g1x + (v2 - v0) * g2x, (v1 - v0) * g1y + (v2 - v0) * g2y
        size = SIZE_PX >> level
        level_start = (4 * (FULL_TEXELS - (FULL_TEXELS >> (2 * level)))) // 3
        for row in range(row0, row1 + 1):
            py = f4(row) + f4(0.5)
            first, last = _row_span(py, x0, y0, g1x, g1y, g2x, g2y, left, right)
            first, last = max(column0, first), min(column1 - 1, last)
            dy, dx = py - y0, f4(0.5) - x0
            w_row, u_row, v_row = w0 + w_y * dy + w_x * dx, u0 + u_y * dy + u_x * dx, v0 + v_y * dy + v_x * dx
            y = index(row)
            for column in range(first, last + 1):
                at = f4(np.int32(column))
                w = w_row + w_x * at
                x = index(column)
                if w * bias > inverse_z[y, x]:
                    z = f4(1.0) / w
                    texel_x = floor_i32((u_row + u_x * at) * z * f4(size)) & (size - 1)
                    texel_y = floor_i32((v_row + v_x * at) * z * f4(size)) & (size - 1)
                    if textures[material, index(level_start + texel_y * size + texel_x), 3] > 127:
                        inverse_z[y, x] = w * bias
                        sample[y, x] = triangle


@njit(forceinline=True, **KERNEL_OPTIONS)
def _clip_near(triangle, triangle_vertex, vertex_camera, vertex_shading, focal, centre_x, centre_y, near, polygon):
    """Cut a triangle at the near plane (Sutherland-Hodgman); rows of `polygon`: x, y, 1/z, u/z, v/z. Return corners."""
    count = 0
    previous = index(triangle_vertex[triangle, 2])
    for k in range(3):
        current = index(triangle_vertex[triangle, k])
        z_a, z_b = vertex_camera[previous, 2], vertex_camera[current, 2]
        if (z_a < near) != (z_b < near):
            part = (near - z_a) / (z_b - z_a)
            w = f4(1.0) / near
            x = vertex_camera[previous, 0] + part * (vertex_camera[current, 0] - vertex_camera[previous, 0])
            y = vertex_camera[previous, 1] + part * (vertex_camera[current, 1] - vertex_camera[previous, 1])
            u = vertex_shading[previous, V_U] + part * (vertex_shading[current, V_U] - vertex_shading[previous, V_U])
            v = vertex_shading[previous, V_V] + part * (vertex_shading[current, V_V] - vertex_shading[previous, V_V])
            polygon[count, 0], polygon[count, 1] = x * w * focal + centre_x, y * w * focal + centre_y
            polygon[count, 2], polygon[count, 3], polygon[count, 4] = w, u * w, v * w
            count += 1
        if z_b >= near:
            w = f4(1.0) / z_b
            polygon[count, 0] = vertex_camera[current, 0] * w * focal + centre_x
            polygon[count, 1] = vertex_camera[current, 1] * w * focal + centre_y
            polygon[count, 2] = w
            polygon[count, 3] = vertex_shading[current, V_U] * w
            polygon[count, 4] = vertex_shading[current, V_V] * w
            count += 1
        previous = current
    return count


@njit(**KERNEL_OPTIONS)
def clear_samples(inverse_z, sample):
    """Empty the buffers: nothing but sky."""
    for y in range(inverse_z.shape[0]):
        for x in range(inverse_z.shape[1]):
            inverse_z[y, x] = 0.0
            sample[y, x] = SKY_SAMPLE


@njit(**KERNEL_OPTIONS)
def raster_chunks(
    chunks, chunk_triangle0, chunk_triangle1, triangle_vertex, triangle_info, texel_density, vertex_shading,
    vertex_camera, focal, centre_x, centre_y, near, textures, polygon, inverse_z, sample, column0, column1,
):  # fmt: skip
    """Draw the chosen chunks into columns column0..column1 of the sample buffers; `polygon` (4,5) f32 is scratch."""
    low, high = f4(column0), f4(column1)
    for q in range(len(chunks)):
        chunk = chunks[q]
        for number in range(chunk_triangle0[chunk], chunk_triangle1[chunk]):
            t = index(number)
            i0, i1, i2 = index(triangle_vertex[t, 0]), index(triangle_vertex[t, 1]), index(triangle_vertex[t, 2])
            z0, z1, z2 = vertex_camera[i0, 2], vertex_camera[i1, 2], vertex_camera[i2, 2]
            if z0 < near and z1 < near and z2 < near:
                continue
            flags = triangle_info[t, TRI_FLAGS]
            is_masked, is_decal = (flags & ALPHA_TEST) != 0, (flags & DECAL) != 0
            bias = DECAL_BIAS if is_decal else f4(1.0)
            material = index(triangle_info[t, TRI_MATERIAL])
            if z0 >= near and z1 >= near and z2 >= near:
                w0, w1, w2 = f4(1.0) / z0, f4(1.0) / z1, f4(1.0) / z2
                x0 = vertex_camera[i0, 0] * w0 * focal + centre_x
                x1 = vertex_camera[i1, 0] * w1 * focal + centre_x
                x2 = vertex_camera[i2, 0] * w2 * focal + centre_x
                if (x0 < low and x1 < low and x2 < low) or (x0 > high and x1 > high and x2 > high):
                    continue
                y0 = vertex_camera[i0, 1] * w0 * focal + centre_y
                y1 = vertex_camera[i1, 1] * w1 * focal + centre_y
                y2 = vertex_camera[i2, 1] * w2 * focal + centre_y
                if not is_masked:
                    _fill_opaque(
                        x0, y0, w0, x1, y1, w1, x2, y2, w2, np.int32(number), bias, inverse_z, sample, column0, column1
                    )
                    continue
                texels = texel_density[t] * z0 / focal * f4(2.0)
                level = min(6, int(math.log2(texels) + 0.5)) if texels > f4(1.0) else 0
                _fill_masked(
                    x0, y0, w0, vertex_shading[i0, V_U] * w0, vertex_shading[i0, V_V] * w0,
                    x1, y1, w1, vertex_shading[i1, V_U] * w1, vertex_shading[i1, V_V] * w1,
                    x2, y2, w2, vertex_shading[i2, V_U] * w2, vertex_shading[i2, V_V] * w2,
                    np.int32(number), is_decal, textures, material, level, inverse_z, sample, column0, column1,
                )  # fmt: skip
                continue
            corners = _clip_near(
                t, triangle_vertex, vertex_camera, vertex_shading, focal, centre_x, centre_y, near, polygon
            )
            for k in range(1, corners - 1):
                p, m = polygon, k + 1
                if is_masked:
                    _fill_masked(
                        p[0, 0], p[0, 1], p[0, 2], p[0, 3], p[0, 4], p[k, 0], p[k, 1], p[k, 2], p[k, 3], p[k, 4],
                        p[m, 0], p[m, 1], p[m, 2], p[m, 3], p[m, 4],
                        np.int32(number), is_decal, textures, material, 0, inverse_z, sample, column0, column1,
                    )  # fmt: skip
                else:
                    _fill_opaque(
                        p[0, 0], p[0, 1], p[0, 2], p[k, 0], p[k, 1], p[k, 2], p[m, 0], p[m, 1], p[m, 2],
                        np.int32(number), bias, inverse_z, sample, column0, column1,
                    )  # fmt: skip


@njit(**KERNEL_OPTIONS)
def find_uncovered(rectangle, nearest_w, inverse_z, is_uncovered):
    """Tell which boxes may still show: `rectangle` (N,4) i32 is x0, y0, x1, y1 in samples, `nearest_w` 1/z of the
    nearest corner. A box is covered when every sample of its rectangle already holds something nearer.
    """
    for n in range(len(rectangle)):
        is_uncovered[n] = False
        w = nearest_w[n]
        for y in range(rectangle[n, 1], rectangle[n, 3]):
            for x in range(rectangle[n, 0], rectangle[n, 2]):
                if inverse_z[y, x] < w:
                    is_uncovered[n] = True
                    break
            if is_uncovered[n]:
                break
