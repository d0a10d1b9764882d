"""What weather and night add to a finished picture: mirrors on wet ground, falling rain, glare of lamps.

They work on display values (B, G, R, A bytes), whose squares stand for light.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from bridge.town.engine.kernels_lookup import ground, sky_light, tone
from bridge.town.engine.kernels_plane import hit_plane, set_plane
from bridge.town.engine.kernels_shade import puddle
from bridge.town.engine.layout import (
    GLARE_PX,
    KERNEL_OPTIONS,
    P_CENTRE_X,
    P_CENTRE_Y,
    P_EYE,
    P_FOCAL_X,
    P_FOCAL_Y,
    P_PUDDLES,
    P_WET,
    P_WORLD_FROM_CAMERA,
    SKY_SAMPLE,
    TRI_OBJECT,
)

f4 = np.float32
index = np.uintp
ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)
FIRST_STEP_M, STEP_GROWTH, STEPS = np.float32(0.25), np.float32(1.28), 26
INVERSE_255 = np.float32(1.0 / 255.0)
GROUND_TOP_M = np.float32(0.3)


@njit(forceinline=True, **KERNEL_OPTIONS)
def _light_of(bgra, y, x):
    """Return the light of a pixel (b, g, r); white ones may be far brighter than the display."""
    b = f4(bgra[y, x, 0]) * INVERSE_255
    g = f4(bgra[y, x, 1]) * INVERSE_255
    r = f4(bgra[y, x, 2]) * INVERSE_255
    boost = ONE
    brightest = max(r, max(g, b))
    if brightest > f4(0.97):
        boost = ONE + (brightest - f4(0.97)) * f4(90)
    return b * b * boost, g * g * boost, r * r * boost


@njit(forceinline=True, **KERNEL_OPTIONS)
def _trace(px, py, pz, rx, ry, rz, params, inverse_z):
    """Follow a mirrored ray from a point through the picture; return hit (2 surface, 1 sky, 0 none), x, y, distance."""
    height, width = inverse_z.shape
    distance, step = FIRST_STEP_M, FIRST_STEP_M
    found, at_x, at_y = 0, ZERO, ZERO
    for _ in range(STEPS):
        x, y, z = px + rx * distance, py + ry * distance, pz + rz * distance
        if z < f4(0.1):
            return 0, at_x, at_y, distance
        w = ONE / z
        column = f4(2) * (x * w * params[P_FOCAL_X] + params[P_CENTRE_X])
        row = f4(2) * (y * w * params[P_FOCAL_Y] + params[P_CENTRE_Y])
        if column < ZERO or row < ZERO or column >= f4(width) or row >= f4(height):
            return 0, at_x, at_y, distance
        scene = inverse_z[index(np.int32(row)), index(np.int32(column))]
        at_x, at_y = column, row
        found = 1 if scene == ZERO else 0
        if scene > w * f4(1.001) and z - ONE / scene < step + f4(0.6):
            return 2, at_x, at_y, distance
        step *= STEP_GROWTH
        distance += step
    return found, at_x, at_y, distance


@njit(**KERNEL_OPTIONS)
def mirror_rows(
    row0, row1, sample, inverse_z, triangle_vertex, triangle_info, vertex_camera, params, environment, grid, surface,
    picture, bgra,
):  # fmt: skip
    """Lay the mirrored `picture` (H,W,4) u8 on the wet ground in rows of `bgra`; `surface` (S_PLANE_COUNT,) is scratch.

    A ray that leaves the picture meets the soft surroundings that glass mirrors, too.
    """
    m = P_WORLD_FROM_CAMERA
    ux, uy, uz = params[m + 8], params[m + 9], params[m + 10]
    prepared = np.int32(SKY_SAMPLE)
    is_ground = False
    for y in range(row0, row1):
        for x in range(bgra.shape[1]):
            t = sample[2 * y + 1, 2 * x]
            if t < 0:
                continue
            if t != prepared:
                set_plane(triangle_vertex, vertex_camera, index(t), surface)
                nx, ny, nz = surface[0], surface[1], surface[2]
                length = math.sqrt(nx * nx + ny * ny + nz * nz)
                is_ground = triangle_info[index(t), TRI_OBJECT] == 0 and abs(nx * ux + ny * uy + nz * uz) > f4(
                    0.93
                ) * f4(length)
                prepared = t
            if not is_ground:
                continue
            dx = (f4(x) + HALF - params[P_CENTRE_X]) / params[P_FOCAL_X]
            dy = (f4(y) + HALF - params[P_CENTRE_Y]) / params[P_FOCAL_Y]
            z, _, _, _ = hit_plane(surface, dx, dy)
            height = params[P_EYE + 2] + z * (ux * dx + uy * dy + uz)
            if z < ZERO or z > f4(300) or height > GROUND_TOP_M:
                continue
            scale = ONE / math.sqrt(dx * dx + dy * dy + ONE)
            vx, vy, vz = dx * scale, dy * scale, scale
            world_x = params[P_EYE] + z * (params[m] * dx + params[m + 1] * dy + params[m + 2])
            world_y = params[P_EYE + 1] + z * (params[m + 4] * dx + params[m + 5] * dy + params[m + 6])
            _, _, _, macro = ground(grid, params, world_x, world_y)
            pool = puddle(macro, params[P_PUDDLES])
            cosine = vx * ux + vy * uy + vz * uz
            grazing = ONE - min(ONE, abs(cosine))
            fresnel = f4(0.03) + f4(0.97) * grazing * grazing * grazing * grazing * grazing
            share = params[P_WET] * fresnel * (f4(0.42) + f4(0.5) * pool)
            if share < f4(0.012):
                continue
            rx, ry, rz = vx - f4(2) * cosine * ux, vy - f4(2) * cosine * uy, vz - f4(2) * cosine * uz
            hit, at_x, at_y, far = _trace(z * dx, z * dy, z, rx, ry, rz, params, inverse_z)
            if hit > 0:
                # Rough ground draws its mirror out along the line of sight, the more the farther the mirrored thing.
                spread = (ONE - f4(0.85) * pool) * f4(0.045) * params[P_FOCAL_Y] * far / (far + z)
                column = index(min(bgra.shape[1] - 1, np.int32(at_x * HALF)))
                b, g, r = ZERO, ZERO, ZERO
                for k in range(-2, 3):
                    row = np.int32(at_y * HALF + spread * f4(np.int32(k)) * HALF)
                    row = max(0, min(bgra.shape[0] - 1, row))
                    more_b, more_g, more_r = _light_of(picture, index(row), column)
                    b, g, r = b + more_b, g + more_g, r + more_r
                b, g, r = b * f4(0.2), g * f4(0.2), r * f4(0.2)
            else:
                world_rx = params[m] * rx + params[m + 1] * ry + params[m + 2] * rz
                world_ry = params[m + 4] * rx + params[m + 5] * ry + params[m + 6] * rz
                world_rz = params[m + 8] * rx + params[m + 9] * ry + params[m + 10] * rz
                r, g, b = sky_light(environment, world_rx, world_ry, world_rz)
                r, g, b = tone(r), tone(g), tone(b)
                r, g, b = r * r, g * g, b * b
            own_b, own_g, own_r = _light_of(picture, index(y), index(x))
            keep = ONE - share
            bgra[y, x, 0] = np.uint8(min(ONE, math.sqrt(own_b * keep + b * share)) * f4(255) + HALF)
            bgra[y, x, 1] = np.uint8(min(ONE, math.sqrt(own_g * keep + g * share)) * f4(255) + HALF)
            bgra[y, x, 2] = np.uint8(min(ONE, math.sqrt(own_r * keep + r * share)) * f4(255) + HALF)


@njit(**KERNEL_OPTIONS)
def draw_streaks(streaks, level, bgra):
    """Draw drops that fall past the lens: rows of `streaks` (N,5) f32 are x, y, length, slant, opacity."""
    height, width = bgra.shape[0], bgra.shape[1]
    for n in range(len(streaks)):
        x, y, length, slant, opacity = (
            streaks[n, 0], streaks[n, 1], streaks[n, 2], streaks[n, 3], streaks[n, 4],
        )  # fmt: skip
        count = int(length)
        for k in range(count):
            row = int(y) + k
            at = x + slant * f4(k)
            column = int(at)
            if row < 0 or row >= height or column < 0 or column >= width - 1:
                continue
            part = at - f4(column)
            fade = f4(k) / f4(count)
            alpha = opacity * f4(4) * fade * (ONE - fade)
            for side in range(2):
                share = alpha * (part if side else ONE - part)
                for c in range(3):
                    value = f4(bgra[row, column + side, c])
                    bgra[row, column + side, c] = np.uint8(value + (level - value) * share)


@njit(**KERNEL_OPTIONS)
def spread_glare(glare, radius, scratch):
    """Blur `glare` (h,w,3) f32 in place with three box filters along each axis; `scratch` (max(h,w),) f32."""
    height, width = glare.shape[0], glare.shape[1]
    scale = ONE / f4(2 * radius + 1)
    for c in range(3):
        for _ in range(3):
            for y in range(height):
                total = ZERO
                for k in range(min(width, radius)):
                    total += glare[y, k, c]
                for x in range(width):
                    if x + radius < width:
                        total += glare[y, x + radius, c]
                    if x - radius - 1 >= 0:
                        total -= glare[y, x - radius - 1, c]
                    scratch[x] = max(ZERO, total * scale)
                for x in range(width):
                    glare[y, x, c] = scratch[x]
            for x in range(width):
                total = ZERO
                for k in range(min(height, radius)):
                    total += glare[k, x, c]
                for y in range(height):
                    if y + radius < height:
                        total += glare[y + radius, x, c]
                    if y - radius - 1 >= 0:
                        total -= glare[y - radius - 1, x, c]
                    scratch[y] = max(ZERO, total * scale)
                for y in range(height):
                    glare[y, x, c] = scratch[y]


@njit(**KERNEL_OPTIONS)
def add_glare_rows(row0, row1, glare, bgra):
    """Let `glare` (h,w,3) f32, red first, shine over rows of `bgra`."""
    height, width = glare.shape[0], glare.shape[1]
    per_px = f4(1.0 / GLARE_PX)
    for y in range(row0, row1):
        gy = min(f4(height - 1.001), max(ZERO, (f4(y) + HALF) * per_px - HALF))
        i = np.int32(gy)
        fy = gy - f4(i)
        i0, i1 = index(i), index(min(i + 1, height - 1))
        for x in range(bgra.shape[1]):
            gx = min(f4(width - 1.001), max(ZERO, (f4(x) + HALF) * per_px - HALF))
            j = np.int32(gx)
            fx = gx - f4(j)
            j0, j1 = index(j), index(min(j + 1, width - 1))
            wa, wb, wc, wd = (ONE - fx) * (ONE - fy), fx * (ONE - fy), (ONE - fx) * fy, fx * fy
            for c in range(3):
                shine = glare[i0, j0, c] * wa + glare[i0, j1, c] * wb + glare[i1, j0, c] * wc + glare[i1, j1, c] * wd
                if shine > f4(0.002):
                    dark = f4(255) - f4(bgra[y, x, 2 - c])
                    bgra[y, x, 2 - c] = np.uint8(f4(255) - dark / (ONE + shine) + f4(0.49))
