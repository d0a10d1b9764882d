"""Rays against triangles: a tree of boxes built once over a mesh, and the closest hit of each ray.

A tree is stored depth first: a node's left child follows it. `node_link` (nodes,2) i32 holds a leaf's first triangle
and their number, or the right child and 0. Triangles are stored in the tree's order as a corner and two edges, (F,9).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from bridge.town.engine.layout import KERNEL_OPTIONS, TRI_FLAGS
from bridge.town.engine.materials import DECAL

f4 = np.float32
BINS = 16
LEAF_TRIANGLES = 4
STACK_ROWS = 192
DEEPEST_SPLIT = 64
"""Below this depth nodes are halved, whatever that costs the rays: the stacks have an end."""
DECAL_BIAS = np.float32(0.999)
SMALLEST = np.float32(1e-9)
STATIC = -1
"""The part of a hit on the static town."""


@njit(**KERNEL_OPTIONS)
def build_tree(low, high, order, node_box, node_link, stack, bin_count, bin_box):
    """Build a tree over boxes low, high (F,3) f32 by binned surface areas; return its number of nodes.

    `order` (F,) i32 comes in as 0..F-1 and leaves as the triangles' order; `stack` (STACK_ROWS,4) i32, `bin_count`
    (BINS,) i32 and `bin_box` (2 * BINS, 6) f32 are scratch.
    """
    nodes = 0
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = 0, len(order), -1, 0
    top = 1
    while top > 0:
        top -= 1
        first, last, parent, depth = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
        node = nodes
        nodes += 1
        if parent >= 0:
            node_link[parent, 0] = node
        axis, start, extent = _measure(low, high, order, first, last, node_box[node])
        if last - first <= LEAF_TRIANGLES:
            node_link[node, 0], node_link[node, 1] = first, last - first
            continue
        middle = first
        if extent > f4(1e-6) and depth < DEEPEST_SPLIT:
            middle = _split(low, high, order, first, last, axis, start, extent, bin_count, bin_box)
        if middle in (first, last):
            middle = (first + last) // 2
        node_link[node, 1] = 0
        stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = middle, last, node, depth + 1
        stack[top + 1, 0], stack[top + 1, 1], stack[top + 1, 2], stack[top + 1, 3] = first, middle, -1, depth + 1
        top += 2
    return nodes


@njit(**KERNEL_OPTIONS)
def _measure(low, high, order, first, last, box):
    """Write the box around some triangles; return the axis along which their middles (doubled) spread most."""
    for k in range(3):
        box[k], box[k + 3] = f4(1e30), f4(-1e30)
    best, start, extent = 0, f4(0.0), f4(-1.0)
    for k in range(3):
        near, far = f4(1e30), f4(-1e30)
        for i in range(first, last):
            triangle = order[i]
            a, b = low[triangle, k], high[triangle, k]
            box[k], box[k + 3] = min(box[k], a), max(box[k + 3], b)
            near, far = min(near, a + b), max(far, a + b)
        if far - near > extent:
            best, start, extent = k, near, far - near
    return best, start, extent


@njit(**KERNEL_OPTIONS)
def _area(box):
    x, y, z = box[3] - box[0], box[4] - box[1], box[5] - box[2]
    return x * y + y * z + z * x


@njit(**KERNEL_OPTIONS)
def _split(low, high, order, first, last, axis, start, extent, bin_count, bin_box):
    """Sort triangles into the cheaper two halves and return where the second begins."""
    scale = f4(BINS) * f4(0.9999) / extent
    for j in range(BINS):
        bin_count[j] = 0
        for k in range(3):
            bin_box[j, k], bin_box[j, k + 3] = f4(1e30), f4(-1e30)
    for i in range(first, last):
        triangle = order[i]
        j = np.int32((low[triangle, axis] + high[triangle, axis] - start) * scale)
        bin_count[j] += 1
        for k in range(3):
            bin_box[j, k] = min(bin_box[j, k], low[triangle, k])
            bin_box[j, k + 3] = max(bin_box[j, k + 3], high[triangle, k])
    # the boxes of all bins from j on
    for j in range(BINS - 1, -1, -1):
        for k in range(3):
            near, far = bin_box[j, k], bin_box[j, k + 3]
            if j < BINS - 1:
                near, far = min(near, bin_box[BINS + j + 1, k]), max(far, bin_box[BINS + j + 1, k + 3])
            bin_box[BINS + j, k], bin_box[BINS + j, k + 3] = near, far
    best, cheapest, count = 0, f4(1e38), 0
    running = bin_box[0]
    for j in range(1, BINS):
        count += bin_count[j - 1]
        if 0 < count < last - first:
            cost = _area(running) * f4(count) + _area(bin_box[BINS + j]) * f4(last - first - count)
            if cost < cheapest:
                best, cheapest = j, cost
        for k in range(3):
            running[k], running[k + 3] = min(running[k], bin_box[j, k]), max(running[k + 3], bin_box[j, k + 3])
    i, j = first, last - 1
    while i <= j:
        triangle = order[i]
        if np.int32((low[triangle, axis] + high[triangle, axis] - start) * scale) < best:
            i += 1
        else:
            order[i], order[j] = order[j], triangle
            j -= 1
    return i


@njit(forceinline=True, **KERNEL_OPTIONS)
def _enter(box, ox, oy, oz, ix, iy, iz, reach):
    """Return where a ray enters a box, or more than `reach` if it misses it."""
    a, b = (box[0] - ox) * ix, (box[3] - ox) * ix
    near, far = min(a, b), max(a, b)
    a, b = (box[1] - oy) * iy, (box[4] - oy) * iy
    near, far = max(near, min(a, b)), min(far, max(a, b))
    a, b = (box[2] - oz) * iz, (box[5] - oz) * iz
    near, far = max(near, min(a, b)), min(far, max(a, b))
    return max(near, f4(0.0)) if far >= max(near, f4(0.0)) and near < reach else f4(2.0) * reach + f4(1.0)


@njit(forceinline=True, **KERNEL_OPTIONS)
def _inverse(d):
    return f4(1.0) / (d if abs(d) > SMALLEST else SMALLEST)


@njit(**KERNEL_OPTIONS)
def _closest(root, node_box, node_link, corner_edges, flags, ox, oy, oz, dx, dy, dz, reach, stack):
    """Return distance and number of the first triangle a ray meets before `reach`, or `reach` and -1."""
    ix, iy, iz = _inverse(dx), _inverse(dy), _inverse(dz)
    best, best_key, best_triangle = reach, reach, -1
    stack[0, 0] = root
    top = 1
    while top > 0:
        top -= 1
        node = stack[top, 0]
        if _enter(node_box[node], ox, oy, oz, ix, iy, iz, best_key) > best_key:
            continue
        while node_link[node, 1] == 0:
            left, right = node + 1, node_link[node, 0]
            t_left = _enter(node_box[left], ox, oy, oz, ix, iy, iz, best_key)
            t_right = _enter(node_box[right], ox, oy, oz, ix, iy, iz, best_key)
            if t_left > t_right:
                left, right, t_left, t_right = right, left, t_right, t_left
            if t_left > best_key:
                node = -1
                break
            if t_right <= best_key:
                stack[top, 0] = right
                top += 1
            node = left
        if node < 0:
            continue
        for i in range(node_link[node, 0], node_link[node, 0] + node_link[node, 1]):
            t = _meet(corner_edges[i], ox, oy, oz, dx, dy, dz)
            key = t * DECAL_BIAS if flags[i] & DECAL else t
            if key < best_key:
                best, best_key, best_triangle = t, key, i
    return best, best_triangle


@njit(forceinline=True, **KERNEL_OPTIONS)
def _meet(triangle, ox, oy, oz, dx, dy, dz):
    """Return where a ray meets a triangle, from either side, or 1e30 (Moeller and Trumbore, 1997)."""
    ex, ey, ez = triangle[3], triangle[4], triangle[5]
    gx, gy, gz = triangle[6], triangle[7], triangle[8]
    px, py, pz = dy * gz - dz * gy, dz * gx - dx * gz, dx * gy - dy * gx
    determinant = ex * px + ey * py + ez * pz
    if abs(determinant) < f4(1e-12):
        return f4(1e30)
    inverse = f4(1.0) / determinant
    sx, sy, sz = ox - triangle[0], oy - triangle[1], oz - triangle[2]
    u = (sx * px + sy * py + sz * pz) * inverse
    qx, qy, qz = sy * ez - sz * ey, sz * ex - sx * ez, sx * ey - sy * ex
    v = (dx * qx + dy * qy + dz * qz) * inverse
    t = (gx * qx + gy * qy + gz * qz) * inverse
    if u < f4(-1e-6) or v < f4(-1e-6) or u + v > f4(1.000001) or t < f4(1e-4):
        return f4(1e30)
    return t


@njit(**KERNEL_OPTIONS)
def cast_on_static(origin, direction, reach, node_box, node_link, corner_edges, info, stack, distance, triangle, part):
    """Write distance (N,) f32, triangle (N,) i32 and part (STATIC) of the first triangle that each ray meets.

    origin, direction (N,3) f32, unit directions; a ray that meets nothing gets `reach` and triangle -1.
    """
    flags = info[:, TRI_FLAGS]
    for ray in range(len(origin)):
        o, d = origin[ray], direction[ray]
        t, hit = _closest(0, node_box, node_link, corner_edges, flags, o[0], o[1], o[2], d[0], d[1], d[2], reach, stack)
        distance[ray], triangle[ray], part[ray] = t, hit, STATIC


@njit(**KERNEL_OPTIONS)
def cast_on_bodies(
    origin,
    direction,
    spheres,
    parts_of,
    part_root,
    part_from_world,
    node_box,
    node_link,
    corner_edges,
    info,
    stack,
    distance,
    triangle,
    part,
):
    """Improve the hits of `cast_on_static` by bodies: spheres (B,4) f32 around them, their parts' range (B,2) i32.

    part_root (P,) i32: the tree of each part; part_from_world (P,3,4) f32: rigid matrices.
    """
    flags = info[:, TRI_FLAGS]
    for ray in range(len(origin)):
        o, d = origin[ray], direction[ray]
        for body in range(len(spheres)):
            sphere = spheres[body]
            x, y, z = sphere[0] - o[0], sphere[1] - o[1], sphere[2] - o[2]
            along = x * d[0] + y * d[1] + z * d[2]
            aside = x * x + y * y + z * z - along * along
            if aside > sphere[3] * sphere[3] or along < -sphere[3] or along - sphere[3] > distance[ray]:
                continue
            for p in range(parts_of[body, 0], parts_of[body, 1]):
                m = part_from_world[p]
                t, hit = _closest(
                    part_root[p],
                    node_box,
                    node_link,
                    corner_edges,
                    flags,
                    m[0, 0] * o[0] + m[0, 1] * o[1] + m[0, 2] * o[2] + m[0, 3],
                    m[1, 0] * o[0] + m[1, 1] * o[1] + m[1, 2] * o[2] + m[1, 3],
                    m[2, 0] * o[0] + m[2, 1] * o[1] + m[2, 2] * o[2] + m[2, 3],
                    m[0, 0] * d[0] + m[0, 1] * d[1] + m[0, 2] * d[2],
                    m[1, 0] * d[0] + m[1, 1] * d[1] + m[1, 2] * d[2],
                    m[2, 0] * d[0] + m[2, 1] * d[1] + m[2, 2] * d[2],
                    distance[ray],
                    stack,
                )
                if hit >= 0:
                    distance[ray], triangle[ray], part[ray] = t, hit, p
