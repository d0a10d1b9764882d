"""The shader: sample buffer to colours. One shading per pixel; at edges one per distinct triangle, then averaged.

Light is linear; textures hold its square root. Ambient light comes from baked vertex and ground values, the sun through
two depth maps (static town, moving things), reflections from a blurred sky over a street canyon.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from bridge.town.engine.kernels_plane import S_PLANE_COUNT, S_SLANT, hit_plane, set_plane
from bridge.town.engine.kernels_raster import FULL_TEXELS, floor_i32
from bridge.town.engine.layout import (
    KERNEL_OPTIONS,
    LOOK_BLUE,
    LOOK_GREEN,
    LOOK_LAMPS,
    LOOK_RED,
    P_CENTRE_X,
    P_CENTRE_Y,
    P_EYE,
    P_FOCAL_X,
    P_FOCAL_Y,
    P_FOG,
    P_GRID_PER_M,
    P_GRID_X,
    P_GRID_Y,
    P_MOVING_SUN,
    P_STATIC_SUN,
    P_SUN,
    P_SUN_LIGHT,
    P_WORLD_FROM_CAMERA,
    SKY_LOWEST_Z,
    SKY_REACH,
    SKY_SAMPLE,
    TRI_FLAGS,
    TRI_MATERIAL,
    TRI_OBJECT,
    V_NX,
    V_NY,
    V_NZ,
    V_RED,
    V_U,
)
from bridge.town.engine.materials import FOLIAGE, GLOSSY, LAMP, PAINTED
from bridge.town.engine.textures import SIZE_PX

f4 = np.float32
index = np.uintp
ZERO, ONE, HALF, QUARTER = np.float32(0), np.float32(1), np.float32(0.5), np.float32(0.25)
INVERSE_255 = np.float32(1.0 / 255.0)
# A triangle prepared for shading: slots of `surface`, after those of `kernels_plane`; three floats per attribute.
S_UV = S_PLANE_COUNT
S_COLOUR = S_UV + 6
S_AMBIENT = S_COLOUR + 9
S_NORMAL = S_AMBIENT + 3
S_COUNT = S_NORMAL + 9
TILE_SHIFT = 4  # the static sun map's bounds are kept per 16x16 texels
FOG_PER_M = np.float32(0.0021)


def _tone_table() -> np.ndarray:
    """Return display values 0..1 of a filmic curve, indexed by 2047 * sqrt(light / 14.4)."""
    x = (np.arange(2048) / 2047.0 * 4.0) ** 2 * 0.9
    curve = (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14)
    return (np.clip(curve, 0, 1) ** 0.4545).astype(np.float32)


TONE = _tone_table()


@njit(forceinline=True, **KERNEL_OPTIONS)
def _tone(light):
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
def _texture(textures, material, u, v, texels_per_px):
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
def _sky(sky, dx, dy, dz):
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
def _sunlight(x, y, z, bias, params, static_depth, static_bounds, moving_depth):
    """Return the share of the sun that reaches a point; a coarse min/max grid decides most points without a tap."""
    u, v, d = _to_light(params, P_STATIC_SUN, x, y, z)
    d += bias
    lit = ONE
    column, row = int(u) >> TILE_SHIFT, int(v) >> TILE_SHIFT
    if column >= 0 and row >= 0 and column < static_bounds.shape[1] and row < static_bounds.shape[0]:
        i, j = index(row), index(column)
        if d < static_bounds[i, j, 0]:
            lit = ZERO
        elif d < static_bounds[i, j, 1]:
            lit = (
                _lit_share(static_depth, u - f4(0.7), v - f4(0.5), d)
                + _lit_share(static_depth, u + f4(0.5), v - f4(0.7), d)
                + _lit_share(static_depth, u - f4(0.5), v + f4(0.7), d)
                + _lit_share(static_depth, u + f4(0.7), v + f4(0.5), d)
            ) * QUARTER
    if lit > ZERO:
        u, v, d = _to_light(params, P_MOVING_SUN, x, y, z)
        lit = min(lit, _lit_share(moving_depth, u, v, d + bias))
    return lit


@njit(forceinline=True, **KERNEL_OPTIONS)
def _ground(grid, params, x, y):
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


@njit(forceinline=True, **KERNEL_OPTIONS)
def _world_direction(params, dx, dy):
    """Return the camera ray (dx, dy, 1) in the world, not normalised."""
    m = P_WORLD_FROM_CAMERA
    return (
        params[m] * dx + params[m + 1] * dy + params[m + 2],
        params[m + 4] * dx + params[m + 5] * dy + params[m + 6],
        params[m + 8] * dx + params[m + 9] * dy + params[m + 10],
    )


@njit(forceinline=True, **KERNEL_OPTIONS)
def _reflect(r, g, b, gloss, ambient, lit, view, normal, params, environment):
    """Mix the mirrored surroundings into a colour by Fresnel's law, and add the sun's highlight."""
    vx, vy, vz = view
    wx, wy, wz = normal
    twice = f4(2) * (vx * wx + vy * wy + vz * wz)
    rx, ry, rz = vx - twice * wx, vy - twice * wy, vz - twice * wz
    grazing = ONE - min(ONE, abs(twice) * HALF)
    squared = grazing * grazing
    fresnel = f4(0.04) + f4(0.96) * squared * squared * grazing
    share = (fresnel * f4(0.86) + f4(0.14)) * gloss if gloss > HALF else fresnel * gloss * f4(1.2)
    er, eg, eb = _sky(environment, rx, ry, rz)
    seen = share * (f4(0.4) + f4(0.6) * ambient)
    keep = ONE - share
    r, g, b = r * keep + er * seen, g * keep + eg * seen, b * keep + eb * seen
    shine = max(ZERO, rx * params[P_SUN] + ry * params[P_SUN + 1] + rz * params[P_SUN + 2])
    shine *= shine
    shine *= shine
    shine *= shine
    shine *= shine
    shine *= shine
    shine = shine * shine * f4(1.5) * gloss * lit
    return (
        r + shine * params[P_SUN_LIGHT],
        g + shine * params[P_SUN_LIGHT + 1],
        b + shine * params[P_SUN_LIGHT + 2],
    )


@njit(forceinline=True, **KERNEL_OPTIONS)
def _fog(r, g, b, distance, view, params):
    """Blend into the haze, brighter toward the sun; the exponential is its series, which is near enough."""
    vx, vy, vz = view
    x = distance * FOG_PER_M
    thick = ONE - ONE / (ONE + x + HALF * x * x + f4(1 / 6) * x * x * x)
    thick = thick * thick * f4(0.35) + thick * f4(0.65)
    glow = max(ZERO, vx * params[P_SUN] + vy * params[P_SUN + 1] + vz * params[P_SUN + 2])
    glow = glow * glow * glow
    glow = glow * glow
    clear = ONE - thick
    return (
        r * clear + (params[P_FOG] + glow * f4(0.45)) * thick,
        g * clear + (params[P_FOG + 1] + glow * f4(0.36)) * thick,
        b * clear + (params[P_FOG + 2] + glow * f4(0.2)) * thick,
    )


@njit(forceinline=True, **KERNEL_OPTIONS)
def _ambient(wz, ambient, contact, sunlit):
    """Return sky light from above, and light from the sunny ground from below."""
    up = wz * HALF + HALF
    bounce = (ONE - up) * (f4(0.35) + sunlit)
    a = ambient * contact
    near = sunlit * contact
    return (
        (f4(0.56) * up + f4(0.30) * bounce) * a + f4(0.10) * near,
        (f4(0.65) * up + f4(0.29) * bounce) * a + f4(0.095) * near,
        (f4(0.80) * up + f4(0.27) * bounce) * a + f4(0.085) * near,
    )


@njit(forceinline=True, **KERNEL_OPTIONS)
def _set_attribute(surface, slot, a0, a1, a2):
    """Keep an attribute's value at corner 0 and its differences to corners 1 and 2."""
    surface[slot], surface[slot + 1], surface[slot + 2] = a0, a1 - a0, a2 - a0


@njit(forceinline=True, **KERNEL_OPTIONS)
def _turned(object_matrix, o, row, vertex_shading, i):
    """Return one component of a vertex's normal in the world."""
    return (
        object_matrix[o, row, 0] * vertex_shading[i, V_NX]
        + object_matrix[o, row, 1] * vertex_shading[i, V_NY]
        + object_matrix[o, row, 2] * vertex_shading[i, V_NZ]
    )


@njit(forceinline=True, **KERNEL_OPTIONS)
def _set_up(triangle, triangle_vertex, triangle_info, vertex_camera, vertex_shading, object_matrix, surface):
    """Prepare a triangle for shading: its plane and all attributes, normals turned into the world."""
    t = index(triangle)
    set_plane(triangle_vertex, vertex_camera, t, surface)
    i0, i1, i2 = index(triangle_vertex[t, 0]), index(triangle_vertex[t, 1]), index(triangle_vertex[t, 2])
    for k in range(2):
        _set_attribute(
            surface, S_UV + 3 * k, vertex_shading[i0, V_U + k], vertex_shading[i1, V_U + k], vertex_shading[i2, V_U + k]
        )
    for k in range(4):  # red, green, blue and ambient lie side by side
        _set_attribute(
            surface,
            S_COLOUR + 3 * k,
            vertex_shading[i0, V_RED + k],
            vertex_shading[i1, V_RED + k],
            vertex_shading[i2, V_RED + k],
        )
    o = index(triangle_info[t, TRI_OBJECT])
    for k in range(3):
        n0 = _turned(object_matrix, o, k, vertex_shading, i0)
        n1 = _turned(object_matrix, o, k, vertex_shading, i1)
        n2 = _turned(object_matrix, o, k, vertex_shading, i2)
        _set_attribute(surface, S_NORMAL + 3 * k, n0, n1, n2)


@njit(forceinline=True, **KERNEL_OPTIONS)
def _blend(surface, slot, l1, l2):
    return surface[slot] + surface[slot + 1] * l1 + surface[slot + 2] * l2


@njit(forceinline=True, **KERNEL_OPTIONS)
def _shade(
    triangle, dx, dy, surface, triangle_info, texel_density, object_look, params, textures, environment, static_depth,
    static_bounds, moving_depth, grid,
):  # fmt: skip
    """Return the light that a triangle (as `_set_up` prepared it) sends along the camera ray (dx, dy, 1)."""
    t = index(triangle)
    z, l1, l2 = hit_plane(surface, dx, dy)
    l1, l2 = min(f4(1.05), max(f4(-0.05), l1)), min(f4(1.05), max(f4(-0.05), l2))
    flags, o = triangle_info[t, TRI_FLAGS], index(triangle_info[t, TRI_OBJECT])
    vx, vy, vz = _world_direction(params, dx, dy)
    x, y, height = params[P_EYE] + vx * z, params[P_EYE + 1] + vy * z, params[P_EYE + 2] + vz * z
    scale = ONE / math.sqrt(dx * dx + dy * dy + ONE)
    distance = z / scale
    vx, vy, vz = vx * scale, vy * scale, vz * scale
    # Texture level: the footprint along the surface, with half of the stretch of grazing views.
    slant = surface[S_SLANT] * scale / z
    texels_per_px = texel_density[t] * z / params[P_FOCAL_X] / math.sqrt(max(slant, f4(0.04)))
    u, v = _blend(surface, S_UV, l1, l2), _blend(surface, S_UV + 3, l1, l2)
    r, g, b, gloss = _texture(textures, index(triangle_info[t, TRI_MATERIAL]), u, v, texels_per_px)
    r = r * r * _blend(surface, S_COLOUR, l1, l2)
    g = g * g * _blend(surface, S_COLOUR + 3, l1, l2)
    b = b * b * _blend(surface, S_COLOUR + 6, l1, l2)
    if flags & PAINTED:
        r, g, b = r * object_look[o, LOOK_RED], g * object_look[o, LOOK_GREEN], b * object_look[o, LOOK_BLUE]
    ambient = _blend(surface, S_AMBIENT, l1, l2)
    wx = _blend(surface, S_NORMAL, l1, l2)
    wy = _blend(surface, S_NORMAL + 3, l1, l2)
    wz = _blend(surface, S_NORMAL + 6, l1, l2)
    scale = ONE / math.sqrt(wx * wx + wy * wy + wz * wz + f4(1e-12))
    wx, wy, wz = wx * scale, wy * scale, wz * scale

    is_foliage = (flags & FOLIAGE) != 0
    toward_sun = wx * params[P_SUN] + wy * params[P_SUN + 1] + wz * params[P_SUN + 2]
    if is_foliage:
        toward_sun = f4(0.18) + f4(0.55) * max(toward_sun, ZERO)
    lit = ZERO
    if toward_sun > ZERO:
        lift = f4(0.13)
        lit = _sunlight(
            x + wx * lift, y + wy * lift, height + wz * lift, QUARTER if is_foliage else f4(0.07), params,
            static_depth, static_bounds, moving_depth,
        )  # fmt: skip
    ground_ambient, contact, sunlit, macro = _ground(grid, params, x, y)
    is_static = o == index(0)
    if not is_static or (wz > f4(0.9) and height < f4(0.3)):
        ambient *= ground_ambient
        if is_static:
            r, g, b = r * macro, g * macro, b * macro
    if is_static or wz < f4(-0.2):
        contact += (ONE - contact) * min(ONE, max(ZERO, (height - f4(0.1)) * f4(1.2)))
    else:
        contact = ONE
    ambient_r, ambient_g, ambient_b = _ambient(wz, ambient, contact, sunlit)
    sun = max(toward_sun, ZERO) * lit
    out_r = r * (ambient_r + params[P_SUN_LIGHT] * sun)
    out_g = g * (ambient_g + params[P_SUN_LIGHT + 1] * sun)
    out_b = b * (ambient_b + params[P_SUN_LIGHT + 2] * sun)
    view = (vx, vy, vz)
    if is_foliage and lit > ZERO:
        through = max(ZERO, vx * params[P_SUN] + vy * params[P_SUN + 1] + vz * params[P_SUN + 2])
        through = (through * through * f4(0.35) + f4(0.05)) * lit
        out_r += r * through * params[P_SUN_LIGHT] * f4(1.1)
        out_g += g * through * params[P_SUN_LIGHT + 1] * f4(1.15)
        out_b += b * through * params[P_SUN_LIGHT + 2] * HALF
    if flags & GLOSSY and gloss > f4(0.01):
        out_r, out_g, out_b = _reflect(
            out_r, out_g, out_b, gloss, ambient, lit, view, (wx, wy, wz), params, environment
        )
    if flags & LAMP:
        glow = object_look[o, LOOK_LAMPS]
        out_r, out_g, out_b = out_r + r * glow, out_g + g * glow, out_b + b * glow
    return _fog(out_r, out_g, out_b, distance, view, params)


@njit(**KERNEL_OPTIONS)
def shade_rows(
    row0, row1, sample, triangle_vertex, triangle_info, texel_density, vertex_camera, vertex_shading, object_matrix,
    object_look, params, textures, sky, environment, static_depth, static_bounds, moving_depth, grid, surface, bgra,
):  # fmt: skip
    """Write rows row0..row1 of `bgra` (H,W,4) u8 from the (2H,2W) sample buffer.

    `surface` (S_COUNT,) f32 is scratch.
    """
    width = bgra.shape[1]
    # Neighbouring pixels mostly show the same triangle: what depends on it alone is kept from pixel to pixel.
    prepared = np.int32(SKY_SAMPLE)
    for y in range(row0, row1):
        for x in range(width):
            red, green, blue = ZERO, ZERO, ZERO
            a, b = sample[2 * y, 2 * x], sample[2 * y, 2 * x + 1]
            c, d = sample[2 * y + 1, 2 * x], sample[2 * y + 1, 2 * x + 1]
            is_whole = a == b and a == c and a == d
            for k in range(1 if is_whole else 4):
                t = sample[2 * y + (k >> 1), 2 * x + (k & 1)]
                share = 1
                if not is_whole:
                    if (k > 0 and t == a) or (k > 1 and t == b) or (k > 2 and t == c):
                        continue
                    for j in range(k + 1, 4):
                        if sample[2 * y + (j >> 1), 2 * x + (j & 1)] == t:
                            share += 1
                dx = f4(x) + (HALF if is_whole else QUARTER + HALF * f4(k & 1)) - params[P_CENTRE_X]
                dy = f4(y) + (HALF if is_whole else QUARTER + HALF * f4(k >> 1)) - params[P_CENTRE_Y]
                dx, dy = dx / params[P_FOCAL_X], dy / params[P_FOCAL_Y]
                if t >= 0:
                    if t != prepared:
                        _set_up(
                            t, triangle_vertex, triangle_info, vertex_camera, vertex_shading, object_matrix, surface
                        )
                        prepared = t
                    r, g, bl = _shade(
                        t, dx, dy, surface, triangle_info, texel_density, object_look, params, textures, environment,
                        static_depth, static_bounds, moving_depth, grid,
                    )  # fmt: skip
                else:
                    vx, vy, vz = _world_direction(params, dx, dy)
                    scale = ONE / math.sqrt(vx * vx + vy * vy + vz * vz)
                    r, g, bl = _sky(sky, vx * scale, vy * scale, vz * scale)
                weight = ONE if is_whole else QUARTER * f4(share)
                red, green, blue = red + _tone(r) * weight, green + _tone(g) * weight, blue + _tone(bl) * weight
            bgra[y, x, 0] = np.uint8(blue * f4(255) + HALF)
            bgra[y, x, 1] = np.uint8(green * f4(255) + HALF)
            bgra[y, x, 2] = np.uint8(red * f4(255) + HALF)
            bgra[y, x, 3] = 255
