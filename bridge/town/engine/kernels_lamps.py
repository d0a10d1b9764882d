"""Light that the town makes itself: street lamps and headlights on surfaces, rooms behind windows."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from bridge.town.engine.layout import (
    KERNEL_OPTIONS,
    L_BLUE,
    L_COS_OUTER,
    L_DX,
    L_DY,
    L_DZ,
    L_GREEN,
    L_PER_CONE,
    L_PER_REACH_SQUARED,
    L_RED,
    L_X,
    L_Y,
    L_Z,
    LIGHT_CELL_M,
    LIGHTS_PER_CELL,
    P_GRID_X,
    P_GRID_Y,
)

f4 = np.float32
index = np.uintp
ZERO, ONE = np.float32(0), np.float32(1)
PER_CELL = np.float32(1.0 / LIGHT_CELL_M)


@njit(**KERNEL_OPTIONS)
def sort_lights(circles, origin_x, origin_y, cells):
    """Write for every cell which lights reach it; `circles` (L,3) f32: middle and radius of what each light reaches."""
    rows, columns = cells.shape[0], cells.shape[1]
    for y in range(rows):
        for x in range(columns):
            cells[y, x, 0] = 0
    for n in range(len(circles)):
        x, y, r = circles[n, 0] - origin_x, circles[n, 1] - origin_y, circles[n, 2]
        column0, column1 = max(0, int((x - r) * PER_CELL)), min(columns - 1, int((x + r) * PER_CELL))
        row0, row1 = max(0, int((y - r) * PER_CELL)), min(rows - 1, int((y + r) * PER_CELL))
        for row in range(row0, row1 + 1):
            for column in range(column0, column1 + 1):
                count = cells[row, column, 0]
                if count < LIGHTS_PER_CELL:
                    cells[row, column, 1 + count] = n
                    cells[row, column, 0] = count + 1


@njit(forceinline=True, **KERNEL_OPTIONS)
def lamplight(x, y, z, normal, mirror, wrap, params, lights, cells):
    """Return the lamps' light on a surface (r, g, b) and their highlights in direction `mirror`, the reflected view.

    `wrap`: how far light reaches around the edge of the lit side, 0 for solid things.
    """
    wx, wy, wz = normal
    rx, ry, rz = mirror
    r, g, b = ZERO, ZERO, ZERO
    sr, sg, sb = ZERO, ZERO, ZERO
    gx, gy = (x - params[P_GRID_X]) * PER_CELL, (y - params[P_GRID_Y]) * PER_CELL
    if gx >= ZERO and gy >= ZERO and gx < f4(cells.shape[1]) and gy < f4(cells.shape[0]):
        row, column = index(np.int32(gy)), index(np.int32(gx))
        for k in range(cells[row, column, 0]):
            n = index(cells[row, column, index(1 + k)])
            lx, ly, lz = lights[n, L_X] - x, lights[n, L_Y] - y, lights[n, L_Z] - z
            squared = lx * lx + ly * ly + lz * lz
            fade = ONE - squared * lights[n, L_PER_REACH_SQUARED]
            if fade <= ZERO:
                continue
            per_distance = ONE / math.sqrt(squared + f4(0.04))
            lx, ly, lz = lx * per_distance, ly * per_distance, lz * per_distance
            along = -(lx * lights[n, L_DX] + ly * lights[n, L_DY] + lz * lights[n, L_DZ])
            cone = (along - lights[n, L_COS_OUTER]) * lights[n, L_PER_CONE]
            if cone <= ZERO:
                continue
            cone = min(ONE, cone)
            strength = cone * cone * fade * fade / (squared + f4(5.0))
            facing = (wx * lx + wy * ly + wz * lz + wrap) / (ONE + wrap)
            if facing > ZERO:
                lit = facing * strength
                r, g, b = r + lights[n, L_RED] * lit, g + lights[n, L_GREEN] * lit, b + lights[n, L_BLUE] * lit
            shine = rx * lx + ry * ly + rz * lz
            if shine > f4(0.97):
                shine = shine * shine
                shine = shine * shine
                shine = shine * shine
                shine = shine * shine
                shine = shine * shine
                shine = shine * shine
                shine = shine * shine
                shine = shine * shine * strength * f4(1.2)
                sr, sg, sb = (
                    sr + lights[n, L_RED] * shine,
                    sg + lights[n, L_GREEN] * shine,
                    sb + lights[n, L_BLUE] * shine,
                )
    return r, g, b, sr, sg, sb


@njit(forceinline=True, **KERNEL_OPTIONS)
def _scattered(a, b, c):
    """Return a number in 0..1 that looks random but depends on three integers alone."""
    h = (
        np.uint32(a) * np.uint32(0x9E3779B1)
        ^ np.uint32(b) * np.uint32(0x85EBCA77)
        ^ np.uint32(c) * np.uint32(0xC2B2AE3D)
    )
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    h = (h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39)
    h = h ^ (h >> np.uint32(15))
    return f4(np.int32(h & np.uint32(0xFFFF))) * f4(1.0 / 65535.0)


@njit(forceinline=True, **KERNEL_OPTIONS)
def window_light(seed, bay, floor, is_shop, share, brightness):
    """Return the light of the room behind a window: some are lit, warm or cool, most are dark.

    `seed` tells fronts apart; `share` 0..1 of the windows are lit; `brightness` 0..1 of the texture at this point (its
    curtains and goods).
    """
    if _scattered(seed, bay, floor) > share:
        return ZERO, ZERO, ZERO
    kind = _scattered(seed + 7, bay, floor)
    level = f4(0.35) + f4(0.75) * _scattered(seed + 13, bay, floor)
    if is_shop:
        level = f4(0.7) + f4(0.5) * kind
        tone = level * (f4(0.16) + f4(1.5) * brightness)
        return tone, tone * f4(0.85), tone * f4(0.62)
    tone = level * (f4(0.30) + f4(1.7) * brightness)
    if kind < f4(0.62):
        return tone, tone * f4(0.66), tone * f4(0.33)
    if kind < f4(0.9):
        return tone, tone * f4(0.84), tone * f4(0.6)
    return tone * f4(0.42), tone * f4(0.55), tone * f4(0.72)
