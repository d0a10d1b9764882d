"""The shader: sample buffer to colours. One shading per pixel; at edges one per distinct triangle, then averaged.

Light is linear; textures hold its square root. Ambient light comes from baked vertex and ground values, the sun through
two depth maps (static town, moving things), reflections from a blurred sky over a street canyon.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from bridge.town.engine.kernels_lookup import ground, sky_light, sunlight, texture, tone
from bridge.town.engine.kernels_plane import S_PLANE_COUNT, S_SLANT, hit_plane, set_plane
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
    P_FOG,
    P_SUN,
    P_SUN_LIGHT,
    P_WORLD_FROM_CAMERA,
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

f4 = np.float32
index = np.uintp
ZERO, ONE, HALF, QUARTER = np.float32(0), np.float32(1), np.float32(0.5), np.float32(0.25)
# A triangle prepared for shading: slots of `surface`, after those of `kernels_plane`; three floats per attribute.
S_UV = S_PLANE_COUNT
S_COLOUR = S_UV + 6
S_AMBIENT = S_COLOUR + 9
S_NORMAL = S_AMBIENT + 3
S_COUNT = S_NORMAL + 9
FOG_PER_M = np.float32(0.0021)


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
    er, eg, eb = sky_light(environment, rx, ry, rz)
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
def _albedo(t, l1, l2, z, slant, inverse_focal, surface, triangle_info, texel_density, object_look, textures):
    """Return a surface's colour and gloss; `slant` is the cosine between ray and normal.

    The texture's level follows the footprint along the surface, with half of the stretch of grazing views.
    """
    texels_per_px = texel_density[t] * z * inverse_focal / math.sqrt(max(slant, f4(0.04)))
    u, v = _blend(surface, S_UV, l1, l2), _blend(surface, S_UV + 3, l1, l2)
    r, g, b, gloss = texture(textures, index(triangle_info[t, TRI_MATERIAL]), u, v, texels_per_px)
    r = r * r * _blend(surface, S_COLOUR, l1, l2)
    g = g * g * _blend(surface, S_COLOUR + 3, l1, l2)
    b = b * b * _blend(surface, S_COLOUR + 6, l1, l2)
    if triangle_info[t, TRI_FLAGS] & PAINTED:
        o = index(triangle_info[t, TRI_OBJECT])
        r, g, b = r * object_look[o, LOOK_RED], g * object_look[o, LOOK_GREEN], b * object_look[o, LOOK_BLUE]
    return r, g, b, gloss


@njit(forceinline=True, **KERNEL_OPTIONS)
def _glow_through(r, g, b, view, lit, params):
    """Return the sunlight that comes through leaves seen against the sun."""
    vx, vy, vz = view
    through = max(ZERO, vx * params[P_SUN] + vy * params[P_SUN + 1] + vz * params[P_SUN + 2])
    through = (through * through * f4(0.35) + f4(0.05)) * lit
    return (
        r * through * params[P_SUN_LIGHT] * f4(1.1),
        g * through * params[P_SUN_LIGHT + 1] * f4(1.15),
        b * through * params[P_SUN_LIGHT + 2] * HALF,
    )


@njit(forceinline=True, **KERNEL_OPTIONS)
def _shade(
    triangle, dx, dy, inverse_focal, surface, triangle_info, texel_density, object_look, params, textures, environment,
    static_depth, static_bounds, moving_depth, grid,
):  # fmt: skip
    """Return the light that a triangle (as `_set_up` prepared it) sends along the camera ray (dx, dy, 1)."""
    t = index(triangle)
    z, inverse_z, l1, l2 = hit_plane(surface, dx, dy)
    l1, l2 = min(f4(1.05), max(f4(-0.05), l1)), min(f4(1.05), max(f4(-0.05), l2))
    flags, o = triangle_info[t, TRI_FLAGS], index(triangle_info[t, TRI_OBJECT])
    vx, vy, vz = _world_direction(params, dx, dy)
    x, y, height = params[P_EYE] + vx * z, params[P_EYE + 1] + vy * z, params[P_EYE + 2] + vz * z
    length = math.sqrt(dx * dx + dy * dy + ONE)
    scale = ONE / length
    distance = z * length
    vx, vy, vz = vx * scale, vy * scale, vz * scale
    slant = surface[S_SLANT] * scale * inverse_z
    r, g, b, gloss = _albedo(
        t, l1, l2, z, slant, inverse_focal, surface, triangle_info, texel_density, object_look, textures
    )
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
        lit = sunlight(
            x + wx * lift, y + wy * lift, height + wz * lift, QUARTER if is_foliage else f4(0.07), params,
            static_depth, static_bounds, moving_depth,
        )  # fmt: skip
    ground_ambient, contact, sunlit, macro = ground(grid, params, x, y)
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
        more_r, more_g, more_b = _glow_through(r, g, b, view, lit, params)
        out_r, out_g, out_b = out_r + more_r, out_g + more_g, out_b + more_b
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
    inverse_focal = ONE / params[P_FOCAL_X]
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
                dx, dy = dx * inverse_focal, dy * inverse_focal
                if t >= 0:
                    if t != prepared:
                        _set_up(
                            t, triangle_vertex, triangle_info, vertex_camera, vertex_shading, object_matrix, surface
                        )
                        prepared = t
                    r, g, bl = _shade(
                        t, dx, dy, inverse_focal, surface, triangle_info, texel_density, object_look, params, textures,
                        environment, static_depth, static_bounds, moving_depth, grid,
                    )  # fmt: skip
                else:
                    vx, vy, vz = _world_direction(params, dx, dy)
                    scale = ONE / math.sqrt(vx * vx + vy * vy + vz * vz)
                    r, g, bl = sky_light(sky, vx * scale, vy * scale, vz * scale)
                weight = ONE if is_whole else QUARTER * f4(share)
                red, green, blue = red + tone(r) * weight, green + tone(g) * weight, blue + tone(bl) * weight
            bgra[y, x, 0] = np.uint8(blue * f4(255) + HALF)
            bgra[y, x, 1] = np.uint8(green * f4(255) + HALF)
            bgra[y, x, 2] = np.uint8(red * f4(255) + HALF)
            bgra[y, x, 3] = 255
