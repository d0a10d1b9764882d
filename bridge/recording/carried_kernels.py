"""Depth after the depth before it: surfaces are carried over by the motion of camera and bodies. Compiled.

What is flat stays flat: a surface's fit in the picture before and the motion since say where it is now and how it
slopes, and its pixels, moved likewise, say where it shows. So a pixel is asked first whether it has the depth of the
surface that was moved to its place, and only then whether it has that of one around it, or begins a new one.

As in `bridge.recording.depth_kernels`, from which the rest comes, the decoder repeats every calculation: additions,
multiplications and divisions in the order that is written here. Numba's cache looks at this file alone: who changes
those functions raises `REVISION`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from bridge.recording.depth_kernels import (
    AGES,
    DECODES,
    DEPTH,
    EXACT,
    LIMITS,
    MAX_STEPS,
    MAX_TRIED,
    NEAR,
    NEXT,
    NUM,
    NUM_AGES,
    OPTIONS,
    OTHER,
    OTHER_EXACT,
    SATED,
    SLOPE_U,
    SLOPE_V,
    WQ,
    WU,
    WUQ,
    WUU,
    WUV,
    WV,
    WVQ,
    WVV,
    X0,
    Y0,
    A,
    B,
    C,
    W,
    _add,
    _around,
    _begin,
    _code_error,
    _code_stranger,
    _predict,
    code_bit,
)

REVISION: Final = 1
MAX_AGE: Final = 400.0  # pixels that a carried surface counts for at most: what is known fades as poses err
MAX_WEIGHT: Final = 24.0
BEYOND: Final = 1e18
ROW_LIMIT: Final = 8000
# Around a pixel: whose surfaces are tried where that of its own place does not fit, the ones that are known before, the
# ones that were moved there after.
TRIED_Y: Final = np.array([0, -1, -1, 0, 1, 0, -1, 1, 1, -1, 0, -1, -1, -2, -2, -2, 0, -1, -1, -2, -2, -3], np.int64)
TRIED_X: Final = np.array([-1, 0, -1, 1, 0, -1, 1, 1, -1, 1, -2, 2, -2, 0, -1, 1, -3, 3, -3, 2, -2, 0], np.int64)
TRIED_IS_MOVED: Final = np.array([0] * 3 + [1] * 6 + [0] * 13, np.bool_)


@njit(**OPTIONS)
def _carry(old, new, m, focal, middle_x, middle_y):
    """Write into row `new` the surface of row `old` after the motion `m` (3,4); False if it is behind the camera."""
    new[:] = 0.0
    if old[DEPTH] >= MAX_STEPS:  # the sky goes along
        new[DEPTH], new[NUM], new[W], new[WQ], new[C] = MAX_STEPS, min(old[NUM], MAX_AGE), 1.0, 1.0, 1.0
        new[WUU] = new[WVV] = 1e6
        new[NEXT] = new[NUM] + 1
        return True
    mean_u, mean_v = old[WU] / old[W], old[WV] / old[W]
    x, y = old[X0] + mean_u, old[Y0] + mean_v
    q = old[C] + old[A] * mean_u + old[B] * mean_v
    if not q > 1e-6:
        return False
    # the plane n p = 1 in the camera's axes, p in steps
    a, b = old[A] * focal / old[DEPTH], old[B] * focal / old[DEPTH]
    c = (old[C] + old[A] * (middle_x - old[X0]) + old[B] * (middle_y - old[Y0])) / old[DEPTH]
    z = old[DEPTH] / q
    px, py = (x - middle_x) / focal * z, (y - middle_y) / focal * z
    moved_z = m[2, 0] * px + m[2, 1] * py + m[2, 2] * z + m[2, 3]
    na = m[0, 0] * a + m[0, 1] * b + m[0, 2] * c
    nb = m[1, 0] * a + m[1, 1] * b + m[1, 2] * c
    nc = m[2, 0] * a + m[2, 1] * b + m[2, 2] * c
    scale = 1.0 + na * m[0, 3] + nb * m[1, 3] + nc * m[2, 3]
    if not (moved_z > 1.0 and abs(scale) > 1e-9):
        return False
    moved_x = (m[0, 0] * px + m[0, 1] * py + m[0, 2] * z + m[0, 3]) / moved_z * focal + middle_x
    moved_y = (m[1, 0] * px + m[1, 1] * py + m[1, 2] * z + m[1, 3]) / moved_z * focal + middle_y
    new[X0], new[Y0], new[DEPTH] = moved_x, moved_y, moved_z
    new[A] = na / scale * moved_z / focal
    new[B] = nb / scale * moved_z / focal
    new[C] = (
        nc / scale + na / scale * (moved_x - middle_x) / focal + nb / scale * (moved_y - middle_y) / focal
    ) * moved_z
    fade = min(1.0, MAX_AGE / old[NUM])
    zoom = (z / moved_z) * (z / moved_z) * fade
    new[NUM] = min(old[NUM], MAX_AGE)
    new[NEXT] = new[NUM] + 1
    new[W] = min(old[W], MAX_WEIGHT)
    new[WUU] = (old[WUU] - mean_u * old[WU]) * zoom
    new[WUV] = (old[WUV] - mean_u * old[WV]) * zoom
    new[WVV] = (old[WVV] - mean_v * old[WV]) * zoom
    new[WQ] = new[W] * new[C]
    new[WUQ] = new[WUU] * new[A] + new[WUV] * new[B]
    new[WVQ] = new[WUV] * new[A] + new[WVV] * new[B]
    new[SLOPE_U], new[SLOPE_V] = new[A], new[B]
    return True


@njit(**OPTIONS)
def carry_over(
    steps, owner, instances, motion_of, motions, focal, middle_x, middle_y, old, new, numbers, moves, moved, nearest
):
    """Move the surfaces that show in a picture; return how many are left.

    The picture before: `steps` and `owner` (H,W) i32, `instances` (H,W) u16, `old` (N,NUM_COLUMNS) f64. `motions`
    (M,3,4) f64 from the camera's axes before to those now, in steps, `motion_of` (65536,) i16 of an instance. Written:
    `new` as `old`, `moved` (H,W) i32 the surface that was moved to a place, -1 for none. Scratch: `numbers`, `moves`
    (N,) i32, `nearest` (H,W) f64.
    """
    height, width = steps.shape
    for surface in range(numbers.size):
        numbers[surface] = -2
    num = 0
    for y in range(height):
        for x in range(width):
            moved[y, x] = -1
            nearest[y, x] = BEYOND
            surface = owner[y, x]
            if surface >= 0 and numbers[surface] == -2:
                motion = motion_of[instances[y, x]]
                numbers[surface] = -1
                if _carry(old[surface], new[num], motions[motion], focal, middle_x, middle_y):
                    numbers[surface] = num
                    moves[surface] = motion
                    num += 1
    for y in range(height):
        for x in range(width):
            surface = owner[y, x]
            if surface < 0 or numbers[surface] < 0:
                continue
            m = motions[moves[surface]]
            z = float(max(1, steps[y, x]))
            px, py = (x - middle_x) / focal * z, (y - middle_y) / focal * z
            far = 0.0 if steps[y, x] >= MAX_STEPS else 1.0
            moved_z = m[2, 0] * px + m[2, 1] * py + m[2, 2] * z + m[2, 3] * far
            if not moved_z > 1.0:
                continue
            at_x = (m[0, 0] * px + m[0, 1] * py + m[0, 2] * z + m[0, 3] * far) / moved_z * focal + middle_x + 0.5
            at_y = (m[1, 0] * px + m[1, 1] * py + m[1, 2] * z + m[1, 3] * far) / moved_z * focal + middle_y + 0.5
            if at_x >= 0.0 and at_y >= 0.0 and at_x < width and at_y < height:
                to_x, to_y = int(at_x), int(at_y)
                if moved_z < nearest[to_y, to_x]:
                    nearest[to_y, to_x] = moved_z
                    moved[to_y, to_x] = numbers[surface]
    _fill_gaps(moved, nearest)
    return num


@njit(**OPTIONS)
def _fill_gaps(moved, nearest):
    """Give places to which nothing was moved to the farthest surface beside them; wide gaps stay."""
    height, width = moved.shape
    for y in range(height):
        for x in range(width):
            if moved[y, x] >= 0:
                continue
            farthest = 0.0
            for place in range(4):
                from_y, from_x = y + (place == 0) - (place == 1), x + (place == 2) - (place == 3)
                if from_y < 0 or from_x < 0 or from_y >= height or from_x >= width:
                    continue
                if farthest < nearest[from_y, from_x] < BEYOND:
                    farthest = nearest[from_y, from_x]
                    moved[y, x] = moved[from_y, from_x]


@njit(forceinline=True, **OPTIONS)
def _limit(surface, y):
    """Return by how many steps a surface's fit may be wrong where it still holds.

    One row of pixels does not say how a surface goes on in the next one: that one says it, and begins no new one.
    """
    num = int(surface[NUM])
    if num >= 2 and surface[WVV] * surface[W] - surface[WV] * surface[WV] < 1e-3 * surface[W] * surface[W]:
        row = surface[Y0] + surface[WV] / surface[W]
        if abs(y - row) > 0.5:
            return ROW_LIMIT
    return LIMITS[min(num, 9)]


@njit(**OPTIONS)
def _try_others(state, buffer, odds, surfaces, owner, moved, first, x, y, steps, tried):
    """Return the surface near a pixel, or moved near it, that has its depth, and that depth; -1 if none of them has."""
    left, above = owner[y, x - 1] if x else -1, owner[y - 1, x] if y else -1
    tried[0] = first
    num_tried = 1
    for place in range(TRIED_Y.size):
        from_y, from_x = y + TRIED_Y[place], x + TRIED_X[place]
        if from_y < 0 or from_x < 0 or from_x >= owner.shape[1] or from_y >= owner.shape[0]:
            continue
        surface = moved[from_y, from_x] if TRIED_IS_MOVED[place] else owner[from_y, from_x]
        known = surface < 0
        for index in range(num_tried):
            known = known or tried[index] == surface
        if known:
            continue
        tried[num_tried] = surface
        num_tried += 1
        predicted = _predict(surfaces[surface], x, y)
        fits = abs(steps - predicted) <= _limit(surfaces[surface], y)
        beside = (surface == above) + 2 * (surface == left) + 4 * min(int(surfaces[surface, NUM]), 3)
        if code_bit(state, buffer, odds, OTHER + num_tried * 16 + beside, 1 if fits else 0):
            return surface, predicted
        if num_tried == MAX_TRIED:
            break
    return -1, 0


@njit(forceinline=True, **OPTIONS)
def _around_moved(owner, moved, x, y):
    """Return how those around lie whose surface is the one that was moved to a pixel, 0..31."""
    first = moved[y, x]
    left = owner[y, x - 1] if x else -1
    above = owner[y - 1, x] if y else -1
    corner = owner[y - 1, x + 1] if y and x + 1 < owner.shape[1] else -1
    right = moved[y, x + 1] if x + 1 < owner.shape[1] else -1
    below = moved[y + 1, x] if y + 1 < owner.shape[0] else -1
    pattern = (first == left) + 2 * (first == above) + 4 * (first == right) + 8 * (first == below)
    return pattern + 16 * (first == corner)


@njit(forceinline=True, **OPTIONS)
def _code_member(state, buffer, odds, surfaces, owner, moved, first, pattern, errors, x, y, value, tried):
    """Code a pixel at or near which there are surfaces; return the one it belongs to (-1: none), its value and error.

    `first` is the likeliest one, `pattern` how those around lie, `errors` 0..8 what the fits beside and above were.
    """
    found, predicted = first, _predict(surfaces[first], x, y)
    age = AGES[min(int(surfaces[first, NUM]), AGES.size - 1)]
    exact = value == predicted
    if code_bit(state, buffer, odds, EXACT + (pattern * 9 + errors) * NUM_AGES + age, 0 if exact else 1) == 0:
        return found, predicted, 0
    fits = abs(value - predicted) <= _limit(surfaces[first], y)
    if not code_bit(state, buffer, odds, NEAR + pattern * 4 + min(age, 3), 1 if fits else 0):
        found, predicted = _try_others(state, buffer, odds, surfaces, owner, moved, first, x, y, value, tried)
        if found < 0:
            return found, value, 0
        age = AGES[min(int(surfaces[found, NUM]), AGES.size - 1)]
        exact = value == predicted
        if code_bit(state, buffer, odds, OTHER_EXACT + age, 0 if exact else 1) == 0:
            return found, predicted, 0
    error = _code_error(state, buffer, odds, age, value - predicted)
    return found, predicted + error, error


@njit(**OPTIONS)
def code_steps_after(state, buffer, odds, moved_odds, steps, surfaces, num_surfaces, owner, moved, errors, tried):
    """Encode or decode as `code_steps`, after `carry_over` left `num_surfaces` and `moved`; returns their number.

    `odds` are for pixels to which nothing was moved, `moved_odds`, as many, for the others; both go on from picture to
    picture. Where there is none before, `moved` is -1 everywhere.
    """
    height, width = steps.shape
    last_sign = 0
    for y in range(height):
        row, row_above = errors[y & 1], errors[1 - (y & 1)]
        for x in range(width):
            found, value, error, pattern, first = -1, steps[y, x], 0, 0, moved[y, x]
            beside = row[x] + 3 * row_above[x + 1]
            if first >= 0:
                found, value, error = _code_member(
                    state, buffer, moved_odds, surfaces, owner, moved, first, _around_moved(owner, moved, x, y),
                    beside, x, y, value, tried,
                )  # fmt: skip
            else:
                first, pattern = _around(owner, x, y)
                if first >= 0:
                    found, value, error = _code_member(
                        state, buffer, odds, surfaces, owner, moved, first, pattern, beside, x, y, value, tried
                    )
            if found >= 0:
                row[x + 1] = 2 if moved[y, x] >= 0 and found != moved[y, x] else min(abs(error), 2)
                owner[y, x] = found
                if surfaces[found, NUM] < SATED or (x & 7) == 0:
                    _add(surfaces[found], x, y, value)
            else:
                predicted = _predict(surfaces[first], x, y) if first >= 0 else 0
                value, last_sign = _code_stranger(state, buffer, odds, predicted, value, last_sign)
                row[x + 1] = 2
                if num_surfaces < surfaces.shape[0]:
                    _begin(surfaces, num_surfaces, x, y, value, first)
                    owner[y, x] = num_surfaces
                    num_surfaces += 1
            if state[DECODES]:
                steps[y, x] = value
    return num_surfaces
