"""What the shader looks up: tone curve, textures, sky maps, sun maps and the ground grid."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from bridge.town.engine.kernels_raster import FULL_TEXELS, floor_i32
from bridge.town.engine.layout import (
    KERNEL_OPTIONS,
    P_COARSE_SUN,
    P_GRID_PER_M,
    P_GRID_X,
    P_GRID_Y,
    P_MOVING_SUN,
    P_STATIC_SUN,
    P_SUN_CENTRE,
    P_SUN_HALF,
    SKY_LOWEST_Z,
    SKY_REACH,
)
from bridge.town.engine.textures import SIZE_PX

f4 = np.float32
index = np.uintp
ZERO, ONE, HALF, QUARTER = np.float32(0), np.float32(1), np.float32(0.5), np.float32(0.25)
INVERSE_255 = np.float32(1.0 / 255.0)
TILE_SHIFT = 4  # the static sun map's bounds are kept per 16x16 texels


def _tone_table() -> np.ndarray:
    """Return display values 0..1 of a filmic curve, indexed by 2047 * sqrt(light / 14.4)."""
    x = (np.arange(2048) / 2047.0 * 4.0) ** 2 * 0.9
    curve = (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14)
    return (np.clip(curve, 0, 1) ** 0.4545).astype(np.float32)


TONE = _tone_table()


@njit(forceinline=True, **KERNEL_OPTIONS)
def tone(light):
    """Return the display value (0..1) of linear light."""
    i = int(math.sqrt(max(light, ZERO)) * f4(511.75))
    return TONE[index(min(i, 2047))]


@njit(forceinline=True, **KERNEL_OPTIONS)
def _texel(textures, material, u, v, level):
    """Return a bilinear sample r, g, b, a (0..1) of one mip level."""
    size = SIZE_PX >> level
    start = (4 * (FULL_TEXELS - (FULL_TEXELS >> (2 * level)))) // 3
    x, y = u * f4(size) - HALF, v * f4(size) - HALF
    column, row = floor_i32(x), floor_i32(y)
    fx, fy = x - f4(column), y - f4(row)
    x0, y0 = column & (size - 1), row & (size - 1)
    x1, y1 = (x0 + 1) & (size - 1), (y0 + 1) & (size - 1)
    a, b = index(start + y0 * size + x0), index(start + y0 * size + x1)
    c, d = index(start + y1 * size + x0), index(start + y1 * size + x1)
    gx, gy = (ONE - fx) * INVERSE_255, ONE - fy
    fx = fx * INVERSE_255
    wa, wb, wc, wd = gx * gy, fx * gy, gx * fy, fx * fy
    return (
        f4(textures[material, a, 0]) * wa
        + f4(textures[material, b, 0]) * wb
        + f4(textures[material, c, 0]) * wc
        + f4(textures[material, d, 0]) * wd,
        f4(textures[material, a, 1]) * wa
        + f4(textures[material, b, 1]) * wb
        + f4(textures[material, c, 1]) * wc
        + f4(textures[material, d, 1]) * wd,
        f4(textures[material, a, 2]) * wa
        + f4(textures[material, b, 2]) * wb
        + f4(textures[material, c, 2]) * wc
        + f4(textures[material, d, 2]) * wd,
        f4(textures[material, a, 3]) * wa
        + f4(textures[material, b, 3]) * wb
        + f4(textures[material, c, 3]) * wc
        + f4(textures[material, d, 3]) * wd,
    )


@njit(forceinline=True, **KERNEL_OPTIONS)
def texture(textures, material, u, v, texels_per_px):
    """Return a sample blended between the two nearest mip levels (only where neither clearly dominates)."""
    exact = min(f4(7.0), f4(math.log2(texels_per_px))) if texels_per_px > ONE else ZERO
    level = int(exact)
    part = exact - f4(level)
    if part >= f4(0.75):
        level += 1
        part = ZERO
    r, g, b, a = _texel(textures, material, u, v, level)
    if part > QUARTER and level < 7:
        part = (part - QUARTER) * f4(2.0)
        r2, g2, b2, a2 = _texel(textures, material, u, v, level + 1)
        r, g, b, a = r + (r2 - r) * part, g + (g2 - g) * part, b + (b2 - b) * part, a + (a2 - a) * part
    return r, g, b, a


@njit(forceinline=True, **KERNEL_OPTIONS)
def sky_light(sky, dx, dy, dz):
    """Return the light of a unit direction from a stereographic map (N,N,3)."""
    size = sky.shape[0]
    scale = f4(0.5 / SKY_REACH) / (ONE + max(dz, f4(SKY_LOWEST_Z)))
    limit = f4(size - 2)
    x = min(max((dx * scale + HALF) * f4(size) - HALF, ZERO), limit)
    y = min(max((dy * scale + HALF) * f4(size) - HALF, ZERO), limit)
    column, row = np.int32(x), np.int32(y)
    fx, fy = x - f4(column), y - f4(row)
    gx, gy = ONE - fx, ONE - fy
    x0, y0 = index(column), index(row)
    x1, y1 = x0 + index(1), y0 + index(1)
    wa, wb, wc, wd = gx * gy, fx * gy, gx * fy, fx * fy
    return (
        sky[y0, x0, 0] * wa + sky[y0, x1, 0] * wb + sky[y1, x0, 0] * wc + sky[y1, x1, 0] * wd,
        sky[y0, x0, 1] * wa + sky[y0, x1, 1] * wb + sky[y1, x0, 1] * wc + sky[y1, x1, 1] * wd,
        sky[y0, x0, 2] * wa + sky[y0, x1, 2] * wb + sky[y1, x0, 2] * wc + sky[y1, x1, 2] * wd,
    )


@njit(forceinline=True, **KERNEL_OPTIONS)
def _lit_share(depth, u, v, d):
    """Return how much of a bilinear footprint in a depth map from the light is lit; outside the map all of it."""
    height, width = depth.shape
    x, y = u - HALF, v - HALF
    column, row = floor_i32(x), floor_i32(y)
    share = ONE
    if column >= 0 and row >= 0 and column < width - 1 and row < height - 1:
        fx, fy = x - f4(column), y - f4(row)
        x0, y0 = index(column), index(row)
        x1, y1 = x0 + index(1), y0 + index(1)
        a = ONE if d >= depth[y0, x0] else ZERO
        b = ONE if d >= depth[y0, x1] else ZERO
        c = ONE if d >= depth[y1, x0] else ZERO
        e = ONE if d >= depth[y1, x1] else ZERO
        share = (a * (ONE - fx) + b * fx) * (ONE - fy) + (c * (ONE - fx) + e * fx) * fy
    return share


@njit(forceinline=True, **KERNEL_OPTIONS)
def _to_light(params, first, x, y, z):
    """Apply the 3x4 matrix that starts at params[first]."""
    return (
        params[first] * x + params[first + 1] * y + params[first + 2] * z + params[first + 3],
        params[first + 4] * x + params[first + 5] * y + params[first + 6] * z + params[first + 7],
        params[first + 8] * x + params[first + 9] * y + params[first + 10] * z + params[first + 11],
    )


@njit(forceinline=True, **KERNEL_OPTIONS)
def _lit_on_torus(depth, u, v, d):
    """Return how much of a bilinear footprint is lit, in a depth map whose edges meet."""
    wrap = depth.shape[0] - 1
    x, y = u - HALF, v - HALF
    column, row = floor_i32(x), floor_i32(y)
    fx, fy = x - f4(column), y - f4(row)
    x0, y0 = index(column & wrap), index(row & wrap)
    x1, y1 = index((column + 1) & wrap), index((row + 1) & wrap)
    a = ONE if d >= depth[y0, x0] else ZERO
    b = ONE if d >= depth[y0, x1] else ZERO
    c = ONE if d >= depth[y1, x0] else ZERO
    e = ONE if d >= depth[y1, x1] else ZERO
    return (a * (ONE - fx) + b * fx) * (ONE - fy) + (c * (ONE - fx) + e * fx) * fy


@njit(forceinline=True, **KERNEL_OPTIONS)
def sunlight(x, y, z, bias, params, sun_depth, sun_bounds, coarse_depth, moving_depth):
    """Return the share of the sun that reaches a point; a coarse min/max grid decides most points without a tap."""
    u, v, d = _to_light(params, P_STATIC_SUN, x, y, z)
    d += bias
    lit = ONE
    if (
        abs(u - params[P_SUN_CENTRE]) < params[P_SUN_HALF]
        and abs(v - params[P_SUN_CENTRE + 1]) < params[P_SUN_HALF + 1]
    ):
        wrap = sun_bounds.shape[0] - 1
        i, j = index((floor_i32(v) >> TILE_SHIFT) & wrap), index((floor_i32(u) >> TILE_SHIFT) & wrap)
        if d < sun_bounds[i, j, 0]:
            lit = ZERO
        elif d < sun_bounds[i, j, 1]:
            lit = (
                _lit_on_torus(sun_depth, u - f4(0.7), v - f4(0.5), d)
                + _lit_on_torus(sun_depth, u + f4(0.5), v - f4(0.7), d)
                + _lit_on_torus(sun_depth, u - f4(0.5), v + f4(0.7), d)
                + _lit_on_torus(sun_depth, u + f4(0.7), v + f4(0.5), d)
            ) * QUARTER
    else:
        u, v, d = _to_light(params, P_COARSE_SUN, x, y, z)
        lit = _lit_share(coarse_depth, u, v, d + f4(0.8) + bias)
    if lit > ZERO:
        u, v, d = _to_light(params, P_MOVING_SUN, x, y, z)
        lit = min(lit, _lit_share(moving_depth, u, v, d + bias))
    return lit


@njit(forceinline=True, **KERNEL_OPTIONS)
def ground(grid, params, x, y):
    """Return ambient, contact, sunlit and macro values of the ground grid under a point."""
    gx, gy = (x - params[P_GRID_X]) * params[P_GRID_PER_M], (y - params[P_GRID_Y]) * params[P_GRID_PER_M]
    column, row = np.int32(gx), np.int32(gy)
    ambient, contact, sunlit, macro = ONE, ONE, f4(0.4), ONE
    if gx >= ZERO and gy >= ZERO and column < grid.shape[1] - 1 and row < grid.shape[0] - 1:
        fx, fy = gx - f4(column), gy - f4(row)
        x0, y0 = index(column), index(row)
        x1, y1 = x0 + index(1), y0 + index(1)
        wa, wb, wc, wd = (ONE - fx) * (ONE - fy), fx * (ONE - fy), (ONE - fx) * fy, fx * fy
        ambient = grid[y0, x0, 0] * wa + grid[y0, x1, 0] * wb + grid[y1, x0, 0] * wc + grid[y1, x1, 0] * wd
        contact = grid[y0, x0, 1] * wa + grid[y0, x1, 1] * wb + grid[y1, x0, 1] * wc + grid[y1, x1, 1] * wd
        sunlit = grid[y0, x0, 2] * wa + grid[y0, x1, 2] * wb + grid[y1, x0, 2] * wc + grid[y1, x1, 2] * wd
        macro = grid[y0, x0, 3] * wa + grid[y0, x1, 3] * wb + grid[y1, x0, 3] * wc + grid[y1, x1, 3] * wd
    return ambient, contact, sunlit, macro
