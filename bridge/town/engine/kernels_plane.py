"""Where a camera ray meets a triangle: its plane, set up once and asked for many pixels."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from bridge.town.engine.layout import KERNEL_OPTIONS

f4 = np.float32
index = np.uintp
ZERO, ONE = np.float32(0), np.float32(1)

# Slots of `surface`: 1/z is a scalar product with the ray, and so are, times z, the weights of corners 1 and 2, each
# less a constant; `S_SLANT` times 1/z over the ray's length is the cosine between ray and normal.
S_INVERSE_Z, S_CORNER_1, S_CORNER_2, S_SLANT = 0, 3, 7, 11
S_PLANE_COUNT = 12


@njit(forceinline=True, **KERNEL_OPTIONS)
def set_plane(triangle_vertex, vertex_camera, t, surface):
    """Prepare triangle `t` for `hit_plane`."""
    i0, i1, i2 = index(triangle_vertex[t, 0]), index(triangle_vertex[t, 1]), index(triangle_vertex[t, 2])
    ax, ay, az = vertex_camera[i0, 0], vertex_camera[i0, 1], vertex_camera[i0, 2]
    ux, uy, uz = vertex_camera[i1, 0] - ax, vertex_camera[i1, 1] - ay, vertex_camera[i1, 2] - az
    vx, vy, vz = vertex_camera[i2, 0] - ax, vertex_camera[i2, 1] - ay, vertex_camera[i2, 2] - az
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    offset = ax * nx + ay * ny + az * nz
    per_offset = ONE / offset if offset != ZERO else ZERO
    surface[0], surface[1], surface[2] = nx * per_offset, ny * per_offset, nz * per_offset
    inverse = ONE / (nx * nx + ny * ny + nz * nz)
    m1x, m1y, m1z = (vy * nz - vz * ny) * inverse, (vz * nx - vx * nz) * inverse, (vx * ny - vy * nx) * inverse
    m2x, m2y, m2z = (ny * uz - nz * uy) * inverse, (nz * ux - nx * uz) * inverse, (nx * uy - ny * ux) * inverse
    surface[3], surface[4], surface[5], surface[6] = m1x, m1y, m1z, ax * m1x + ay * m1y + az * m1z
    surface[7], surface[8], surface[9], surface[10] = m2x, m2y, m2z, ax * m2x + ay * m2y + az * m2z
    surface[11] = abs(offset) * math.sqrt(inverse)


@njit(forceinline=True, **KERNEL_OPTIONS)
def hit_plane(surface, dx, dy):
    """Return the depth z where the ray (dx, dy, 1) meets the plane, 1/z, and the weights of corners 1 and 2 there.

    A ray along the plane gives an infinite depth.
    """
    w = surface[0] * dx + surface[1] * dy + surface[2]
    z = ONE / w
    l1 = z * (surface[3] * dx + surface[4] * dy + surface[5]) - surface[6]
    l2 = z * (surface[7] * dx + surface[8] * dy + surface[9]) - surface[10]
    return z, w, l1, l2
