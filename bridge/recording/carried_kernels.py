"""Depth after the depth before it: most pixels have that of the surface that was carried over to their place. Compiled.

A pixel is asked first whether it has the depth of the surface that was moved to its place, off it by as much as the
pixel was before, and only then whether it has that of one around it, or begins a new one. Where a fit lies between two
steps of depth says on which side an error is, and how likely. The answer to the first question, which is most of what
has to be said, is foreseen in three contexts that are mixed as their logits, by weights that learn which of them to
believe (Mahoney 2005, "Adaptive weighing of context models for lossless data compression").

As in `bridge.recording.depth_kernels`, from which the rest comes, the decoder repeats every calculation: additions,
multiplications and divisions in the order that is written here. Numba's cache looks at this file alone: who changes
those functions raises `REVISION`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from bridge.recording.carrying_kernels import HISTORY, STILL
from bridge.recording.depth_kernels import (
    AGES,
    CODE,
    DECODES,
    DEPTH,
    LIMITS,
    LOW,
    MAX_STEPS,
    MAX_TRIED,
    NUM,
    NUM_AGES,
    NUMBER_CONTEXTS,
    OPTIONS,
    POSITION,
    RANGE,
    SATED,
    WV,
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
    _predict,
    _shift_low,
    code_bit,
    code_number,
)

REVISION: Final = 2
ROW_LIMIT: Final = 8000
REST: Final = 0.75  # steps: a pixel that was off by more is off by as much again, one by less was only rounded
NUM_NEAR: Final = 9  # how the fits beside and above were
PLACES: Final = 24  # eighths of a step, by what the pixel was before: nothing else, less, more
FOLDED: Final = 12  # the same without a side

EXACT: Final = 0
EXACT_BY_HISTORY: Final = EXACT + 32 * NUM_NEAR * NUM_AGES * FOLDED
EXACT_AROUND: Final = EXACT_BY_HISTORY + 256 * FOLDED * 4
NEAR: Final = EXACT_AROUND + 32 * NUM_AGES * FOLDED * 16
OTHER: Final = NEAR + 32 * 4 * NUM_NEAR
OTHER_EXACT: Final = OTHER + 16 * (MAX_TRIED + 1)
SIGN: Final = OTHER_EXACT + NUM_AGES * FOLDED
ERROR: Final = SIGN + NUM_AGES * PLACES
NEW_SIGN: Final = ERROR + 4 * NUM_NEAR * NUMBER_CONTEXTS
NEW: Final = NEW_SIGN + 2
NUM_CARRIED_CONTEXTS: Final = NEW + NUMBER_CONTEXTS
NUM_MIXED: Final = 3
FIRST_WEIGHT: Final = 26214  # of 65536: three that agree are believed a little more than each
MIX_RATE: Final = 6
FAR: Final = (168_000, 503_000, 1_510_000)  # 10, 30, 90 m in steps: depth is rounded more coarsely farther away
# Odds of 4096 and their logits times 256. No entry is near enough to a half for two libraries to round it differently.
SQUASHED: Final = np.clip(np.rint(4096.0 / (1.0 + np.exp(np.arange(-2047, 2048) / -256.0))), 1, 4095).astype(np.int64)
LOGITS: Final = np.array(
    [-2047, *np.rint(256.0 * np.log(np.arange(1, 4096) / np.arange(4095, 0, -1.0))).clip(-2047, 2047)], np.int64
)
# Around a pixel: whose surfaces are tried where that of its own place does not fit, the ones that are known before, the
# ones that were moved there after.
TRIED_Y: Final = np.array([0, -1, -1, 0, 1, 0, -1, 1, 1, -1, 0, -1, -1, -2, -2, -2, 0, -1, -1, -2, -2, -3], np.int64)
TRIED_X: Final = np.array([-1, 0, -1, 1, 0, -1, 1, 1, -1, 1, -2, 2, -2, 0, -1, 1, -3, 3, -3, 2, -2, 0], np.int64)
TRIED_IS_MOVED: Final = np.array([0] * 3 + [1] * 6 + [0] * 13, np.bool_)


@njit(forceinline=True, **OPTIONS)
def _learn(odds, context, bit):
    """Let a context's two odds, a quick and a slow one, adapt to a bit as those of `code_bit` do."""
    if bit == 0:
        odds[context, 0] += (65536 - 32 - odds[context, 0]) >> 4
        odds[context, 1] += (65536 - 32 - odds[context, 1]) >> 7
    else:
        odds[context, 0] -= (odds[context, 0] - 32) >> 4
        odds[context, 1] -= (odds[context, 1] - 32) >> 7


@njit(**OPTIONS)
def _code_mixed(state, buffer, odds, weights, first, second, third, bit):
    """Code a bit in three contexts at once; `weights` (NUM_MIXED,) i64 of 65536 learn whom to believe."""
    one = LOGITS[(odds[first, 0] + odds[first, 1]) >> 5]
    two = LOGITS[(odds[second, 0] + odds[second, 1]) >> 5]
    three = LOGITS[(odds[third, 0] + odds[third, 1]) >> 5]
    mixed = (one * weights[0] + two * weights[1] + three * weights[2]) >> 16
    chance = SQUASHED[min(2047, max(-2047, mixed)) + 2047]
    width = state[RANGE]
    bound = (width >> 12) * chance
    if state[DECODES]:
        bit = 0 if state[CODE] < bound else 1
    surprise = ((0 if bit else 4096) - chance) * MIX_RATE
    weights[0] += (one * surprise + 32768) >> 16
    weights[1] += (two * surprise + 32768) >> 16
    weights[2] += (three * surprise + 32768) >> 16
    _learn(odds, first, bit)
    _learn(odds, second, bit)
    _learn(odds, third, bit)
    if bit == 0:
        width = bound
    else:
        if state[DECODES]:
            state[CODE] -= bound
        else:
            state[LOW] += bound
        width -= bound
    while width < 1 << 24:
        width <<= 8
        if state[DECODES]:
            state[CODE] <<= 8
            if state[POSITION] < buffer.size:
                state[CODE] |= buffer[state[POSITION]]
            state[POSITION] += 1
        else:
            _shift_low(state, buffer)
    state[RANGE] = width
    return bit


@njit(forceinline=True, **OPTIONS)
def _predict_at(surface, x, y, rest):
    """Return the steps that a surface has at a pixel that was off it by `rest`, and the place in a step (PLACES)."""
    q = surface[C] + surface[A] * (x - surface[X0]) + surface[B] * (y - surface[Y0])
    if not q * MAX_STEPS > surface[DEPTH]:  # beyond the horizon, or not a number
        return MAX_STEPS, 4
    depth = surface[DEPTH] / q + 0.5
    as_before = depth + rest
    if rest > STILL / 2:
        as_before -= STILL
        depth = as_before
    elif abs(rest) > REST:
        depth = as_before
    depth = max(depth, 0.0)
    steps = int(depth)
    hint = int(max(as_before, 0.0)) - steps
    return steps, int((depth - steps) * 8.0) + (0 if hint == 0 else 8 if hint < 0 else 16)


@njit(forceinline=True, **OPTIONS)
def _folded(place):
    """Return a place in a step without its side: how far it is from where rounding changes (FOLDED)."""
    eighth = place & 7
    return min(eighth, 7 - eighth) + 4 * (place >> 3)


@njit(**OPTIONS)
def _code_error(state, buffer, odds, age, near, place, error):
    """Code by how many steps, not 0, a surface's fit is wrong."""
    sign = code_bit(state, buffer, odds, SIGN + age * PLACES + place, 1 if error < 0 else 0)
    context = ERROR + (min(age, 3) * NUM_NEAR + near) * NUMBER_CONTEXTS
    size = code_number(state, buffer, odds, context, abs(error) - 1) + 1
    return -size if sign else size


@njit(**OPTIONS)
def _code_stranger(state, buffer, odds, predicted, value, last_sign):
    """Code a pixel that no surface explains, from what the likeliest one had said; return its value and the sign."""
    sign = code_bit(state, buffer, odds, NEW_SIGN + last_sign, 1 if value < predicted else 0)
    size = code_number(state, buffer, odds, NEW, abs(value - predicted))
    return predicted - size if sign else predicted + size, sign


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
    """Return the surface near a pixel, or moved near it, that has its depth (-1: none), and what `_predict_at` says."""
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
        predicted, place_in_step = _predict_at(surfaces[surface], x, y, 0.0)
        fits = abs(steps - predicted) <= _limit(surfaces[surface], y)
        beside = (surface == above) + 2 * (surface == left) + 4 * min(int(surfaces[surface, NUM]), 3)
        if code_bit(state, buffer, odds, OTHER + num_tried * 16 + beside, 1 if fits else 0):
            return surface, predicted, place_in_step
        if num_tried == MAX_TRIED:
            break
    return -1, 0, 0


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
def _code_exact(state, buffer, odds, weights, surface, pattern, near, age, place, inexact):
    """Code whether a pixel's depth is not exactly what its likeliest surface says."""
    history, far = int(surface[HISTORY]), surface[DEPTH]
    octave = 0 if far < FAR[0] else 1 if far < FAR[1] else 2 if far < FAR[2] else 3
    folded = _folded(place)
    inexact = _code_mixed(
        state, buffer, odds, weights[age],
        EXACT + ((pattern * NUM_NEAR + near) * NUM_AGES + age) * FOLDED + folded,
        EXACT_BY_HISTORY + (history * FOLDED + folded) * 4 + octave,
        EXACT_AROUND + ((pattern * NUM_AGES + age) * FOLDED + folded) * 16 + (history & 3) * 4 + (near & 3),
        inexact,
    )  # fmt: skip
    surface[HISTORY] = ((history << 1) | inexact) & 255
    return inexact


@njit(forceinline=True, **OPTIONS)
def _code_member(
    state, buffer, odds, weights, surfaces, owner, moved, first, rest, pattern, near, x, y, value, tried
):  # fmt: skip
    """Code a pixel at or near which there are surfaces; return the one it belongs to (-1: none), its value and error.

    `first` is the likeliest one, `rest` what the pixel was off it, `pattern` how those around lie, `near` 0..8 what the
    fits beside and above were.
    """
    found = first
    predicted, place = _predict_at(surfaces[first], x, y, rest)
    age = AGES[min(int(surfaces[first, NUM]), AGES.size - 1)]
    inexact = 0 if value == predicted else 1
    if not _code_exact(state, buffer, odds, weights, surfaces[first], pattern, near, age, place, inexact):
        return found, predicted, 0
    fits = abs(value - predicted) <= _limit(surfaces[first], y)
    context = NEAR + (pattern * 4 + min(age, 3)) * NUM_NEAR + near
    if not code_bit(state, buffer, odds, context, 1 if fits else 0):
        found, predicted, place = _try_others(
            state, buffer, odds, surfaces, owner, moved, first, x, y, value, tried
        )  # fmt: skip
        if found < 0:
            return found, value, 0
        age = AGES[min(int(surfaces[found, NUM]), AGES.size - 1)]
        inexact = 0 if value == predicted else 1
        if not code_bit(state, buffer, odds, OTHER_EXACT + age * FOLDED + _folded(place), inexact):
            return found, predicted, 0
    error = _code_error(state, buffer, odds, age, near, place, value - predicted)
    return found, predicted + error, error


@njit(**OPTIONS)
def code_steps_after(
    state, buffer, odds, moved_odds, weights, steps, surfaces, num_surfaces, owner, moved, rest, errors, tried
):  # fmt: skip
    """Encode or decode as `code_steps`, after `carry_over` left surfaces, `moved` and `rest`; returns their number.

    `odds` (NUM_CARRIED_CONTEXTS,2) u16 are for pixels to which nothing was moved, `moved_odds`, as many, for the
    others; both and `weights` (NUM_AGES,NUM_MIXED) i64 go on from picture to picture. Where there is none before,
    `moved` is -1 everywhere.
    """
    height, width = steps.shape
    last_sign = 0
    for y in range(height):
        row, row_above = errors[y & 1], errors[1 - (y & 1)]
        for x in range(width):
            found, value, error, first = -1, steps[y, x], 0, moved[y, x]
            near = row[x] + 3 * row_above[x + 1]
            if first >= 0:
                found, value, error = _code_member(
                    state, buffer, moved_odds, weights, surfaces, owner, moved, first, rest[y, x],
                    _around_moved(owner, moved, x, y), near, x, y, value, tried,
                )  # fmt: skip
            else:
                first, pattern = _around(owner, x, y)
                if first >= 0:
                    found, value, error = _code_member(
                        state, buffer, odds, weights, surfaces, owner, moved, first, 0.0,
                        pattern, near, x, y, value, tried,
                    )  # fmt: skip
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
