"""Kernels that look from the light: orthographic depth maps, visibility against them, smoothing and contact shadows.

Light space: x, y in texels, z in metres toward the light; a map keeps the largest z.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from bridge.town.engine.kernels_raster import floor_i32
from bridge.town.engine.layout import GRID_CONTACT, GRID_SUNLIT, KERNEL_OPTIONS, TRI_FLAGS, TRI_MATERIAL, V_U, V_V
from bridge.town.engine.materials import ALPHA_TEST, DECAL
from bridge.town.engine.textures import SIZE_PX

f4 = np.float32


@njit(forceinline=True, **KERNEL_OPTIONS)
def _is_covered(textures, material, vertex_shading, i0, i1, i2, l1, l2):
    """Whether a masked texture covers the point with barycentric weights l1, l2."""
    u0, v0 = vertex_shading[i0, V_U], vertex_shading[i0, V_V]
    u = u0 + (vertex_shading[i1, V_U] - u0) * l1 + (vertex_shading[i2, V_U] - u0) * l2
    v = v0 + (vertex_shading[i1, V_V] - v0) * l1 + (vertex_shading[i2, V_V] - v0) * l2
    x, y = floor_i32(u * f4(SIZE_PX)) & (SIZE_PX - 1), floor_i32(v * f4(SIZE_PX)) & (SIZE_PX - 1)
    return textures[material, y * SIZE_PX + x, 3] > 127


@njit(**KERNEL_OPTIONS)
def raster_from_light(
    chunks, chunk_triangle0, chunk_triangle1, triangle_vertex, triangle_info, vertex_shading, vertex_light, textures,
    depth,
):  # fmt: skip
    """Draw the chosen chunks, both sides, into an orthographic depth map (largest z wins); decals cast nothing."""
    height, width = depth.shape
    for q in range(len(chunks)):
        chunk = chunks[q]
        for t in range(chunk_triangle0[chunk], chunk_triangle1[chunk]):
            flags = triangle_info[t, TRI_FLAGS]
            if flags & DECAL:
                continue
            is_masked = (flags & ALPHA_TEST) != 0
            material = triangle_info[t, TRI_MATERIAL]
            i0, i1, i2 = triangle_vertex[t, 0], triangle_vertex[t, 1], triangle_vertex[t, 2]
            x0, y0, z0 = vertex_light[i0, 0], vertex_light[i0, 1], vertex_light[i0, 2]
            x1, y1, z1 = vertex_light[i1, 0], vertex_light[i1, 1], vertex_light[i1, 2]
            x2, y2, z2 = vertex_light[i2, 0], vertex_light[i2, 1], vertex_light[i2, 2]
            area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
            left, right = min(x0, min(x1, x2)), max(x0, max(x1, x2))
            top, foot = min(y0, min(y1, y2)), max(y0, max(y1, y2))
            if area == f4(0) or right < f4(0) or left > f4(width) or foot < f4(0) or top > f4(height):
                continue
            g1x, g1y, g2x, g2y = (y2 - y0) / area, -(x2 - x0) / area, -(y1 - y0) / area, (x1 - x0) / area
            row0, row1 = max(0, floor_i32(top + f4(0.5))), min(height - 1, floor_i32(foot - f4(0.5)))
            column0, column1 = max(0, floor_i32(left + f4(0.5))), min(width - 1, floor_i32(right - f4(0.5)))
            for y in range(row0, row1 + 1):
                dy = f4(y) + f4(0.5) - y0
                for x in range(column0, column1 + 1):
                    dx = f4(x) + f4(0.5) - x0
                    l1, l2 = g1x * dx + g1y * dy, g2x * dx + g2y * dy
                    if l1 < f4(0) or l2 < f4(0) or l1 + l2 > f4(1):
                        continue
                    z = z0 + (z1 - z0) * l1 + (z2 - z0) * l2
                    if z > depth[y, x] and (
                        not is_masked or _is_covered(textures, material, vertex_shading, i0, i1, i2, l1, l2)
                    ):
                        depth[y, x] = z


@njit(**KERNEL_OPTIONS)
def accumulate_visibility(position, normal, is_foliage, light_from_world, depth, direction, bias, seen, weight):
    """Add each point's cosine to `weight`, and to `seen` where the depth map leaves it open toward `direction`."""
    height, width = depth.shape
    m = light_from_world
    for i in range(len(position)):
        nx, ny, nz = normal[i, 0], normal[i, 1], normal[i, 2]
        cosine = nx * direction[0] + ny * direction[1] + nz * direction[2]
        if is_foliage[i]:
            cosine = f4(0.35) + f4(0.65) * max(cosine, f4(0.0))
        if cosine <= f4(0):
            continue
        x, y, z = position[i, 0] + nx * f4(0.12), position[i, 1] + ny * f4(0.12), position[i, 2] + nz * f4(0.12)
        u = int(m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3])
        v = int(m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3])
        d = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
        weight[i] += cosine
        if u < 0 or v < 0 or u >= width or v >= height or d + bias >= depth[v, u]:
            seen[i] += cosine


@njit(**KERNEL_OPTIONS)
def place_tile(tile, apron, square, depth, bounds, row0, column0):
    """Copy a tile without its apron into a depth map at (row0, column0), and write the least and largest z of its
    squares, two texels of the neighbours included.
    """
    size = tile.shape[0] - 2 * apron
    for y in range(size):
        for x in range(size):
            depth[row0 + y, column0 + x] = tile[y + apron, x + apron]
    for i in range(size // square):
        for j in range(size // square):
            low, high = f4(1e9), f4(-1e9)
            for y in range(i * square, (i + 1) * square + 2 * apron):
                for x in range(j * square, (j + 1) * square + 2 * apron):
                    low, high = min(low, tile[y, x]), max(high, tile[y, x])
            at_row, at_column = row0 // square + i, column0 // square + j
            bounds[at_row, at_column, 0], bounds[at_row, at_column, 1] = low, high


@njit(**KERNEL_OPTIONS)
def ground_sunlit(grid, origin_x, origin_y, per_m, light_from_world, depth, bias):
    """Write the sunlit channel of a ground grid: 1 where the depth map leaves the ground open to the light, else 0."""
    height, width = depth.shape
    m = light_from_world
    z = f4(0.3)
    for j in range(grid.shape[0]):
        y = f4(j) / per_m + origin_y
        for i in range(grid.shape[1]):
            x = f4(i) / per_m + origin_x
            u = int(m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3])
            v = int(m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3])
            d = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
            is_open = u < 0 or v < 0 or u >= width or v >= height or d + bias >= depth[v, u]
            grid[j, i, GRID_SUNLIT] = f4(1) if is_open else f4(0)


@njit(**KERNEL_OPTIONS)
def box_blur(grid, channel, radius, scratch):
    """Blur one channel of a grid in place, by sums that run along rows and columns."""
    height, width = grid.shape[0], grid.shape[1]
    for y in range(height):
        total = 0.0
        for k in range(min(width, radius)):
            total += grid[y, k, channel]
        for x in range(width):
            if x + radius < width:
                total += grid[y, x + radius, channel]
            if x - radius - 1 >= 0:
                total -= grid[y, x - radius - 1, channel]
            scratch[y, x] = f4(total / (min(width - 1, x + radius) - max(0, x - radius) + 1))
    for x in range(width):
        total = 0.0
        for k in range(min(height, radius)):
            total += scratch[k, x]
        for y in range(height):
            if y + radius < height:
                total += scratch[y + radius, x]
            if y - radius - 1 >= 0:
                total -= scratch[y - radius - 1, x]
            grid[y, x, channel] = f4(total / (min(height - 1, y + radius) - max(0, y - radius) + 1))


@njit(**KERNEL_OPTIONS)
def stamp_contacts(boxes, grid, origin_x, origin_y, per_m, channel):
    """Darken a grid channel under and around boxes that stand on the ground.

    `boxes` (N,7) f32: x, y, cos and sin of the heading, half length, half width, strength 0..1.
    """
    height, width = grid.shape[0], grid.shape[1]
    for n in range(len(boxes)):
        x, y, c, s = boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3]
        half_x, half_y, strength = boxes[n, 4], boxes[n, 5], boxes[n, 6]
        reach = int((max(half_x, half_y) + f4(1.5)) * per_m)
        column, row = int((x - origin_x) * per_m), int((y - origin_y) * per_m)
        for j in range(max(0, row - reach), min(height, row + reach + 1)):
            for i in range(max(0, column - reach), min(width, column + reach + 1)):
                dx, dy = f4(i) / per_m + origin_x - x, f4(j) / per_m + origin_y - y
                along, across = dx * c + dy * s, dy * c - dx * s
                out_x, out_y = max(abs(along) - half_x, f4(0)), max(abs(across) - half_y, f4(0))
                shade = f4(1) - strength * f4(math.exp(-(out_x * out_x + out_y * out_y) * f4(3.6)))
                grid[j, i, channel] = min(grid[j, i, channel], shade)


@njit(**KERNEL_OPTIONS)
def clear_contacts(boxes, grid, origin_x, origin_y, per_m):
    """Undo `stamp_contacts` of the same boxes on the contact channel."""
    height, width = grid.shape[0], grid.shape[1]
    for n in range(len(boxes)):
        reach = int((max(boxes[n, 4], boxes[n, 5]) + f4(1.5)) * per_m)
        column, row = int((boxes[n, 0] - origin_x) * per_m), int((boxes[n, 1] - origin_y) * per_m)
        for j in range(max(0, row - reach), min(height, row + reach + 1)):
            for i in range(max(0, column - reach), min(width, column + reach + 1)):
                grid[j, i, GRID_CONTACT] = f4(1)
