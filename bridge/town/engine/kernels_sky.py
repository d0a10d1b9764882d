"""Kernels that paint the sky: gradient, sun, clouds and fog of every direction of a stereographic map."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from bridge.town.engine.layout import KERNEL_OPTIONS, SKY_LOWEST_Z, SKY_REACH

f4 = np.float32
index = np.uintp
ZERO, ONE = np.float32(0), np.float32(1)

CLOUD_UNITS = 8192.0

# Parameters of a sky (SKY_PARAMS,) f32: unit vector toward the sun, then colours and numbers as `Daylight` has them.
K_SUN, K_ZENITH, K_HORIZON, K_DUSK, K_CLOUD, K_FOG = 0, 3, 6, 9, 12, 15
K_GLARE, K_CLOUD_BIAS, K_OVERCAST, K_FOG_DEPTH, K_SUN_DISC = 18, 19, 20, 21, 22
SKY_PARAMS = 23


@njit(forceinline=True, **KERNEL_OPTIONS)
def direction_of(row, column, size):
    """Return the unit direction of a texel of a stereographic map with `size` texels a side."""
    px = (f4(column) + f4(0.5)) / f4(size) * f4(2 * SKY_REACH) - f4(SKY_REACH)
    py = (f4(row) + f4(0.5)) / f4(size) * f4(2 * SKY_REACH) - f4(SKY_REACH)
    squared = px * px + py * py
    scale = f4(2) / (ONE + squared)
    return px * scale, py * scale, max((ONE - squared) / (ONE + squared), f4(SKY_LOWEST_Z))


@njit(forceinline=True, **KERNEL_OPTIONS)
def _mixed(low, high, share):
    return low + (high - low) * share


@njit(forceinline=True, **KERNEL_OPTIONS)
def sky_colour(dx, dy, dz, thickness, inside, k):
    """Return the light of one direction; `thickness`, `inside`: the cloud layer's noise there and along its depth."""
    up = min(ONE, max(ZERO, dz))
    haze = f4(math.exp(-up * f4(3.8)))
    r = _mixed(k[K_ZENITH], k[K_HORIZON], haze)
    g = _mixed(k[K_ZENITH + 1], k[K_HORIZON + 1], haze)
    b = _mixed(k[K_ZENITH + 2], k[K_HORIZON + 2], haze)
    toward = min(ONE, max(ZERO, dx * k[K_SUN] + dy * k[K_SUN + 1] + dz * k[K_SUN + 2]))
    t2 = toward * toward
    t4 = t2 * t2
    t8 = t4 * t4
    glare = k[K_GLARE]
    disc = ZERO
    near = ZERO
    if toward > f4(0.93):
        log = f4(math.log(toward))
        near = f4(math.exp(log * f4(200)))
        disc = f4(30) * f4(math.exp(log * f4(3000))) * k[K_SUN_DISC]
    r += glare * (t8 * f4(0.225) + near * f4(2.5)) + disc
    g += glare * (t8 * f4(0.18) + near * f4(2.3)) + disc * f4(0.85)
    b += glare * (t8 * f4(0.108) + near * f4(1.8)) + disc * f4(0.6)
    # The evening's glow lies along the horizon, wider than high.
    band = f4(math.exp(-up * f4(7.0))) * (f4(0.12) + f4(0.88) * t4) + f4(0.35) * t8 * f4(math.exp(-up * f4(2.5)))
    r, g, b = r + k[K_DUSK] * band, g + k[K_DUSK + 1] * band, b + k[K_DUSK + 2] * band
    cover = min(ONE, max(ZERO, thickness * f4(4.2) + k[K_CLOUD_BIAS])) * min(ONE, up * f4(6))
    if cover > ZERO:
        dense = min(ONE, max(ZERO, inside * f4(4.2) + k[K_CLOUD_BIAS]))
        shade = ONE - f4(0.42) * dense
        if k[K_OVERCAST] > ZERO:
            # A closed layer is told apart only by how thick it is.
            shade = _mixed(shade, f4(0.74) + f4(0.62) * (f4(0.30) - inside), k[K_OVERCAST])
        rim = t4 * t2 * f4(0.8) * glare
        share = f4(0.85) * cover * (ONE + f4(0.12) * (cover - ONE))
        r = _mixed(r, k[K_CLOUD] * shade + rim + k[K_DUSK] * band * f4(0.7), share)
        g = _mixed(g, k[K_CLOUD + 1] * shade + rim + k[K_DUSK + 1] * band * f4(0.7), share)
        b = _mixed(b, k[K_CLOUD + 2] * shade + rim + k[K_DUSK + 2] * band * f4(0.7), share)
    if k[K_FOG_DEPTH] > ZERO:
        veil = ONE - f4(math.exp(-k[K_FOG_DEPTH] / (max(dz, ZERO) + f4(0.04))))
        r, g, b = _mixed(r, k[K_FOG], veil), _mixed(g, k[K_FOG + 1], veil), _mixed(b, k[K_FOG + 2], veil)
    return r, g, b


@njit(**KERNEL_OPTIONS)
def paint_sky_rows(row0, row1, clouds, k, sky):
    """Write rows of `sky` (N,N,3) f32; `clouds` (N,N,2) i16: the layer's thickness and its inside."""
    size = sky.shape[0]
    per_unit = f4(1.0 / CLOUD_UNITS)
    for y in range(row0, row1):
        for x in range(size):
            dx, dy, dz = direction_of(y, x, size)
            r, g, b = sky_colour(dx, dy, dz, f4(clouds[y, x, 0]) * per_unit, f4(clouds[y, x, 1]) * per_unit, k)
            i, j = index(y), index(x)
            sky[i, j, 0], sky[i, j, 1], sky[i, j, 2] = r, g, b


@njit(**KERNEL_OPTIONS)
def shrink_sky(sky, small):
    """Average blocks of `sky` (N,N,3) into `small` (n,n,3), where n divides N."""
    step = sky.shape[0] // small.shape[0]
    scale = ONE / f4(step * step)
    for y in range(small.shape[0]):
        for x in range(small.shape[1]):
            r, g, b = ZERO, ZERO, ZERO
            for i in range(y * step, y * step + step):
                for j in range(x * step, x * step + step):
                    r, g, b = r + min(sky[i, j, 0], f4(6)), g + min(sky[i, j, 1], f4(6)), b + min(sky[i, j, 2], f4(6))
            small[y, x, 0], small[y, x, 1], small[y, x, 2] = r * scale, g * scale, b * scale


@njit(**KERNEL_OPTIONS)
def put_canyon(above, houses, ground, houses_light, ground_light, environment):
    """Put houses and ground under the sky of `environment` (n,n,3).

    `above`, `ground` (n,n) f32: how much of each direction is sky, and ground; `houses` (n,n,3) f32: their colours.
    """
    for y in range(environment.shape[0]):
        for x in range(environment.shape[1]):
            for c in range(3):
                light = _mixed(houses[y, x, c] * houses_light[c], environment[y, x, c], above[y, x])
                environment[y, x, c] = _mixed(light, ground_light[c], ground[y, x])
