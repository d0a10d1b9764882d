"""The shader: sample buffer to colours. One shading per pixel; at edges one per distinct triangle, then averaged.

Light is linear; textures hold its square root. Ambient light comes from baked vertex and ground values, the sun through
depth maps (static town, moving things), lamps from lists per square of ground, reflections from a blurred sky over a
street canyon.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from bridge.town.engine.kernels_lamps import lamplight, window_light
from bridge.town.engine.kernels_lookup import ground, sky_light, sunlight, texture, tone
from bridge.town.engine.kernels_plane import S_PLANE_COUNT, S_SLANT, hit_plane, set_plane
from bridge.town.engine.layout import (
    GLARE_PX,
    KERNEL_OPTIONS,
    LOOK_BLUE,
    LOOK_GREEN,
    LOOK_LAMPS,
    LOOK_RED,
    P_AMBIENT,
    P_BOUNCE,
    P_BOUNCE_BASE,
    P_BOUNCE_SUNLIT,
    P_CENTRE_X,
    P_CENTRE_Y,
    P_DARK,
    P_EYE,
    P_FOCAL_X,
    P_FOG,
    P_FOG_FROM_M,
    P_FOG_GLOW,
    P_FOG_PER_HEIGHT_M,
    P_FOG_PER_M,
    P_NEAR_BOUNCE,
    P_PUDDLES,
    P_SUN,
    P_SUN_LIGHT,
    P_WET,
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
from bridge.town.engine.materials import FOLIAGE, GLOSSY, LAMP, LAMP_KIND_SHIFT, PAINTED, SHOP, WINDOWS

f4 = np.float32
index = np.uintp
ZERO, ONE, HALF, QUARTER = np.float32(0), np.float32(1), np.float32(0.5), np.float32(0.25)
# A triangle prepared for shading: slots of `surface`, after those of `kernels_plane`; three floats per attribute.
S_UV = S_PLANE_COUNT
S_COLOUR = S_UV + 6
S_AMBIENT = S_COLOUR + 9
S_NORMAL = S_AMBIENT + 3
S_COUNT = S_NORMAL + 9
GLARE_FROM = np.float32(1.1)


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
def _mirrored(view, normal):
    """Return the direction in which a view ray is mirrored, and twice the cosine between ray and normal."""
    vx, vy, vz = view
    wx, wy, wz = normal
    twice = f4(2) * (vx * wx + vy * wy + vz * wz)
    return (vx - twice * wx, vy - twice * wy, vz - twice * wz), twice


@njit(forceinline=True, **KERNEL_OPTIONS)
def _reflect(r, g, b, gloss, ambient, lit, mirror, twice, params, environment):
    """Mix the mirrored surroundings into a colour by Fresnel's law, and add the sun's highlight."""
    rx, ry, rz = mirror
    grazing = ONE - min(ONE, abs(twice) * HALF)
    squared = grazing * grazing
    fresnel = f4(0.04) + f4(0.96) * squared * squared * grazing
    share = (fresnel * f4(0.86) + f4(0.14)) * gloss if gloss > HALF else fresnel * gloss * f4(1.2)
    er, eg, eb = sky_light(environment, rx, ry, rz)
    seen = share * (f4(0.4) + f4(0.6) * ambient)
    keep = ONE - share
    r, g, b = r * keep + er * seen, g * keep + eg * seen, b * keep + eb * seen
    if lit > ZERO:
        shine = max(ZERO, rx * params[P_SUN] + ry * params[P_SUN + 1] + rz * params[P_SUN + 2])
        shine *= shine
        shine *= shine
        shine *= shine
        shine *= shine
        shine *= shine
        shine = shine * shine * f4(1.5) * gloss * lit
        r, g, b = (
            r + shine * params[P_SUN_LIGHT],
            g + shine * params[P_SUN_LIGHT + 1],
            b + shine * params[P_SUN_LIGHT + 2],
        )
    return r, g, b


@njit(forceinline=True, **KERNEL_OPTIONS)
def _fog(r, g, b, distance, height, view, params):
    """Blend into the haze, brighter toward the sun; the exponential is its series, which is near enough."""
    vx, vy, vz = view
    above = max(ZERO, HALF * (height + params[P_EYE + 2])) * params[P_FOG_PER_HEIGHT_M]
    thin = ONE / (ONE + above + HALF * above * above)
    x = max(ZERO, distance - params[P_FOG_FROM_M]) * params[P_FOG_PER_M] * thin
    thick = ONE - ONE / (ONE + x + HALF * x * x + f4(1 / 6) * x * x * x)
    thick = thick * thick * f4(0.35) + thick * f4(0.65)
    glow = max(ZERO, vx * params[P_SUN] + vy * params[P_SUN + 1] + vz * params[P_SUN + 2])
    glow = glow * glow * glow
    glow = glow * glow
    clear = ONE - thick
    return (
        r * clear + (params[P_FOG] + glow * params[P_FOG_GLOW]) * thick,
        g * clear + (params[P_FOG + 1] + glow * params[P_FOG_GLOW + 1]) * thick,
        b * clear + (params[P_FOG + 2] + glow * params[P_FOG_GLOW + 2]) * thick,
    )


@njit(forceinline=True, **KERNEL_OPTIONS)
def _ambient(wz, ambient, contact, sunlit, params):
    """Return sky light from above, and light from the sunny ground from below."""
    up = wz * HALF + HALF
    sunlit = sunlit * params[P_BOUNCE_SUNLIT]
    bounce = (ONE - up) * (params[P_BOUNCE_BASE] + sunlit)
    a = ambient * contact
    near = sunlit * contact
    return (
        (params[P_AMBIENT] * up + params[P_BOUNCE] * bounce) * a + params[P_NEAR_BOUNCE] * near,
        (params[P_AMBIENT + 1] * up + params[P_BOUNCE + 1] * bounce) * a + params[P_NEAR_BOUNCE + 1] * near,
        (params[P_AMBIENT + 2] * up + params[P_BOUNCE + 2] * bounce) * a + params[P_NEAR_BOUNCE + 2] * near,
    )


@njit(forceinline=True, **KERNEL_OPTIONS)
def puddle(macro, deposits):
    """Return how much of a puddle covers the ground, 0..1, from the ground's slow variation."""
    return min(ONE, max(ZERO, (deposits * f4(0.62) + f4(0.55) - macro) * f4(7.0)))


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
def _from_rooms(t, l1, l2, flags, r, g, b, surface, triangle_vertex, params):
    """Return the light of the room behind a window's glass, whose texture has the colour r, g, b."""
    is_shop = (flags & SHOP) != 0
    per_tile = ONE if is_shop else f4(2)
    bay = np.int32(math.floor(_blend(surface, S_UV, l1, l2) * per_tile))
    floor = np.int32(math.floor(_blend(surface, S_UV + 3, l1, l2) * per_tile))
    share = f4(0.85) if is_shop else f4(0.38)
    brightness = f4(0.3) * r + f4(0.6) * g + f4(0.1) * b
    er, eg, eb = window_light(triangle_vertex[t, 0], bay, floor, is_shop, share * params[P_DARK], brightness)
    return er * params[P_DARK], eg * params[P_DARK], eb * params[P_DARK]


@njit(forceinline=True, **KERNEL_OPTIONS)
def _shade(
    triangle, dx, dy, inverse_focal, surface, triangle_vertex, triangle_info, texel_density, object_look, params,
    textures, environment, sun_depth, sun_bounds, coarse_depth, moving_depth, grid, lights, light_cells,
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
    view = (vx * scale, vy * scale, vz * scale)
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
    if toward_sun > ZERO and params[P_SUN_LIGHT] > ZERO:
        lift = f4(0.13)
        bias = f4(0.07)
        if toward_sun < f4(0.6):  # the flatter the light, the longer a texel of the map
            bias += min(f4(2), f4(0.08) / (toward_sun + f4(0.02)) - f4(0.129))
        lit = sunlight(
            x + wx * lift, y + wy * lift, height + wz * lift, QUARTER if is_foliage else bias, params,
            sun_depth, sun_bounds, coarse_depth, moving_depth,
        )  # fmt: skip
    ground_ambient, contact, sunlit, macro = ground(grid, params, x, y)
    is_static = o == index(0)
    if not is_static or (wz > f4(0.9) and height < f4(0.3)):
        ambient *= ground_ambient
        if is_static:
            dark = macro
            if params[P_WET] > ZERO:
                dark *= ONE - params[P_WET] * (f4(0.32) + f4(0.28) * puddle(macro, params[P_PUDDLES]))
            r, g, b = r * dark, g * dark, b * dark
    if is_static or wz < f4(-0.2):
        contact += (ONE - contact) * min(ONE, max(ZERO, (height - f4(0.1)) * f4(1.2)))
    else:
        contact = ONE
    ambient_r, ambient_g, ambient_b = _ambient(wz, ambient, contact, sunlit, params)
    sun = max(toward_sun, ZERO) * lit
    out_r = r * (ambient_r + params[P_SUN_LIGHT] * sun)
    out_g = g * (ambient_g + params[P_SUN_LIGHT + 1] * sun)
    out_b = b * (ambient_b + params[P_SUN_LIGHT + 2] * sun)
    if is_foliage and lit > ZERO:
        more_r, more_g, more_b = _glow_through(r, g, b, view, lit, params)
        out_r, out_g, out_b = out_r + more_r, out_g + more_g, out_b + more_b
    mirror, twice = _mirrored(view, (wx, wy, wz))
    is_glossy = (flags & GLOSSY) != 0 and gloss > f4(0.01)
    if params[P_DARK] > ZERO:
        # Rough ground throws back light that grazes it.
        wrap = HALF if is_foliage else (f4(0.18) if wz > f4(0.9) else ZERO)
        lr, lg, lb, sr, sg, sb = lamplight(x, y, height, (wx, wy, wz), mirror, wrap, params, lights, light_cells)
        out_r, out_g, out_b = out_r + r * lr * contact, out_g + g * lg * contact, out_b + b * lb * contact
        if is_glossy:
            out_r, out_g, out_b = out_r + sr * gloss, out_g + sg * gloss, out_b + sb * gloss
    if is_glossy:
        out_r, out_g, out_b = _reflect(out_r, out_g, out_b, gloss, ambient, lit, mirror, twice, params, environment)
    if flags & WINDOWS and gloss > f4(0.45) and params[P_DARK] > ZERO:
        more_r, more_g, more_b = _from_rooms(t, l1, l2, flags, r, g, b, surface, triangle_vertex, params)
        out_r, out_g, out_b = out_r + more_r, out_g + more_g, out_b + more_b
    if flags & LAMP:
        glow = object_look[o, index(LOOK_LAMPS + (flags >> LAMP_KIND_SHIFT))]
        out_r, out_g, out_b = out_r + r * glow, out_g + g * glow, out_b + b * glow
    return _fog(out_r, out_g, out_b, distance, height, view, params)


@njit(forceinline=True, **KERNEL_OPTIONS)
def _keep_glare(r, g, b, weight, y, x, glare):
    """Add what is brighter than the display can show to the square of `glare` (h,w,3) that holds the pixel."""
    if r > GLARE_FROM or g > GLARE_FROM or b > GLARE_FROM:
        i, j = index(y // GLARE_PX), index(x // GLARE_PX)
        weight *= f4(1.0 / (GLARE_PX * GLARE_PX))
        glare[i, j, 0] += min(f4(30), max(ZERO, r - GLARE_FROM)) * weight
        glare[i, j, 1] += min(f4(30), max(ZERO, g - GLARE_FROM)) * weight
        glare[i, j, 2] += min(f4(30), max(ZERO, b - GLARE_FROM)) * weight


@njit(**KERNEL_OPTIONS)
def shade_rows(
    row0, row1, sample, triangle_vertex, triangle_info, texel_density, vertex_camera, vertex_shading, object_matrix,
    object_look, params, textures, sky, environment, sun_depth, sun_bounds, coarse_depth, moving_depth, grid, lights,
    light_cells, surface, glare, bgra,
):  # fmt: skip
    """Write rows row0..row1 of `bgra` (H,W,4) u8 from the (2H,2W) sample buffer, and at night of `glare` (h,w,3) f32.

    `surface` (S_COUNT,) f32 is scratch. Ranges of rows begin at multiples of GLARE_PX.
    """
    keeps_glare = params[P_DARK] > ZERO
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
                        t, dx, dy, inverse_focal, surface, triangle_vertex, triangle_info, texel_density, object_look,
                        params, textures, environment, sun_depth, sun_bounds, coarse_depth, moving_depth, grid, lights,
                        light_cells,
                    )  # fmt: skip
                else:
                    vx, vy, vz = _world_direction(params, dx, dy)
                    scale = ONE / math.sqrt(vx * vx + vy * vy + vz * vz)
                    r, g, bl = sky_light(sky, vx * scale, vy * scale, vz * scale)
                weight = ONE if is_whole else QUARTER * f4(share)
                if keeps_glare:
                    _keep_glare(r, g, bl, weight, y, x, glare)
                red, green, blue = red + tone(r) * weight, green + tone(g) * weight, blue + tone(bl) * weight
            bgra[y, x, 0] = np.uint8(blue * f4(255) + HALF)
            bgra[y, x, 1] = np.uint8(green * f4(255) + HALF)
            bgra[y, x, 2] = np.uint8(red * f4(255) + HALF)
            bgra[y, x, 3] = 255
