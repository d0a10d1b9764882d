"""Depth as what it is of: a few thousand flat surfaces. Compiled.

Where a camera looks at a plane, one over the depth is a linear function of the pixel's place. Each pixel either
belongs to a surface that a pixel near it belongs to, and then the surface's fit to all its pixels so far says its depth
to a step or so; or it begins a new surface. Which one it is, and by how much the fit is wrong, goes through a range
coder, in contexts of how the pixels around it were. Nothing but depth itself is needed to undo it.

The decoder repeats every calculation of the encoder: only additions, multiplications and divisions, which IEEE 754
defines to the last bit, and the compiler may not reorder (no fast-math here).

The range coder codes bits at the price of their surprise. The same functions encode and decode, so that both sides
always ask the same questions: `code_bit` takes the bit and returns it, or ignores what it is given and returns the one
that it reads. Its arithmetic is that of LZMA's coder (32 bits of range, carries resolved byte by byte), with two
adapting odds a context, a quick and a slow one, averaged. It is in this file because Numba's cache looks at this file
alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Without Numba's runtime (_nrt) kernels allocate nothing and count no references to rows of arrays, which cost a fifth.
OPTIONS: Final = {"cache": True, "nogil": True, "error_model": "numpy", "boundscheck": False, "_nrt": False}
# Slots of a coder's state (8,) i64.
DECODES, LOW, RANGE, HELD_BYTE, NUM_HELD, POSITION, CODE, OVERFLOWS = range(8)
NUM_SLOTS: Final = 8
EVEN_ODDS: Final = 32768  # of 65536, that a bit is 0
_MARGIN: Final = 32
_QUICK: Final = 4
_SLOW: Final = 7
_MAX_BITS: Final = 25  # of a number; depth has 24
NUMBER_CONTEXTS: Final = 32 + 4 * (_MAX_BITS + 1)


def new_encoder() -> NDArray[np.int64]:
    """Return the state of a coder that encodes."""
    state = np.zeros(NUM_SLOTS, np.int64)
    state[RANGE], state[NUM_HELD] = 0xFFFFFFFF, 1
    return state


def new_decoder(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the state of a coder that decodes (N,) u8 bytes."""
    state = np.zeros(NUM_SLOTS, np.int64)
    state[DECODES], state[RANGE], state[POSITION] = 1, 0xFFFFFFFF, 5
    state[CODE] = int.from_bytes(data[1:5].tobytes().ljust(4, b"\0"), "big")
    return state


def finish(state: NDArray[np.int64], buffer: NDArray[np.uint8]) -> bytes | None:
    """Return what an encoder has written to its buffer; None if that was too small."""
    for _ in range(5):
        _shift_low(state, buffer)
    return None if state[OVERFLOWS] else buffer[: state[POSITION]].tobytes()


@njit(**OPTIONS)
def _shift_low(state, buffer):
    """Move the top byte of `LOW` out; bytes that a carry may still change are held back."""
    low = state[LOW]
    if low < 0xFF000000 or low > 0xFFFFFFFF:
        byte = state[HELD_BYTE]
        for _ in range(state[NUM_HELD]):
            if state[POSITION] < buffer.size:
                buffer[state[POSITION]] = (byte + (low >> 32)) & 0xFF
                state[POSITION] += 1
            else:
                state[OVERFLOWS] = 1
            byte = 0xFF
        state[NUM_HELD] = 0
        state[HELD_BYTE] = (low >> 24) & 0xFF
    state[NUM_HELD] += 1
    state[LOW] = (low & 0x00FFFFFF) << 8


@njit(forceinline=True, **OPTIONS)
def code_bit(state, buffer, odds, context, bit):
    """Code a bit in a context; `odds` (contexts,2) i64 adapt to it."""
    quick, slow = odds[context, 0], odds[context, 1]
    width = state[RANGE]
    bound = (width >> 16) * ((quick + slow) >> 1)
    if state[DECODES]:
        bit = 0 if state[CODE] < bound else 1
    if bit == 0:
        width = bound
        odds[context, 0] = quick + ((65536 - _MARGIN - quick) >> _QUICK)
        odds[context, 1] = slow + ((65536 - _MARGIN - slow) >> _SLOW)
    else:
        if state[DECODES]:
            state[CODE] -= bound
        else:
            state[LOW] += bound
        width -= bound
        odds[context, 0] = quick - ((quick - _MARGIN) >> _QUICK)
        odds[context, 1] = slow - ((slow - _MARGIN) >> _SLOW)
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


@njit(**OPTIONS)
def code_number(state, buffer, odds, context, number):
    """Code a number of 0..2^25 - 2: how many bits number + 1 has, then those bits; uses `NUMBER_CONTEXTS` contexts."""
    num_bits = 0
    if not state[DECODES]:
        rest = number + 1
        while rest > 1:
            num_bits += 1
            rest >>= 1
    found = 0
    while found < _MAX_BITS and code_bit(state, buffer, odds, context + found, 1 if found < num_bits else 0):
        found += 1
    value = 1
    for place in range(found - 1, -1, -1):
        bit = code_bit(
            state, buffer, odds, context + 32 + found * 4 + min(found - 1 - place, 3), ((number + 1) >> place) & 1
        )
        value = (value << 1) | bit
    return value - 1


# -- surfaces -----------------------------------------------------------------------------------------------------

MAX_STEPS: Final = (1 << 24) - 1
# A surface, in a row of f64: where it began, its depth there, its pixels' number and weighted sums (u, v from where it
# began; q one over depth, 1 where it began), the number at which it is fitted again, the slopes that it is expected to
# have (those of the surface beside it), and the fit q = A u + B v + C.
X0, Y0, DEPTH, NUM, W, WU, WV, WUU, WUV, WVV, WQ, WUQ, WVQ, NEXT, SLOPE_U, SLOPE_V, A, B, C = range(19)
NUM_COLUMNS: Final = 19
EXPECTATION: Final = 1e-7  # the weight of the expected slopes: a step's error over a slope's, squared
SATED: Final = 1024  # pixels after which every eighth is enough for a fit
# How many steps a fit to 1, 2, ... pixels may be wrong by where it still holds.
LIMITS: Final = np.array([0, 8000, 800, 24, 24, 128, 128, 128, 128, 16], np.int64)
AGES: Final = np.array([0, 0, 1, 2, 2, *[3] * 4, *[4] * 24, *[5] * 224, 6], np.int64)
NUM_AGES: Final = 7
# Around a pixel, nearest first: whose surfaces are tried where that of the first guess does not fit.
AROUND_Y: Final = np.array([0, -1, -1, -1, 0, -1, -1, -2, -2, -2, 0, -1, -1, -2, -2, -3], np.int64)
AROUND_X: Final = np.array([-1, 0, -1, 1, -2, 2, -2, 0, -1, 1, -3, 3, -3, 2, -2, 0], np.int64)
MAX_TRIED: Final = 8

EXACT: Final = 0
NEAR: Final = EXACT + 32 * 9 * NUM_AGES
OTHER: Final = NEAR + 32 * 4
OTHER_EXACT: Final = OTHER + 16 * (MAX_TRIED + 1)
SIGN: Final = OTHER_EXACT + NUM_AGES
ERROR: Final = SIGN + NUM_AGES
NEW_SIGN: Final = ERROR + 4 * NUMBER_CONTEXTS
NEW: Final = NEW_SIGN + 2
NUM_CONTEXTS: Final = NEW + NUMBER_CONTEXTS


@njit(**OPTIONS)
def _fit(surface):
    """Solve the weighted least squares for A, B and C."""
    m11, m12, m22 = surface[WUU] + EXPECTATION, surface[WUV], surface[WVV] + EXPECTATION
    r1, r2 = surface[WUQ] + EXPECTATION * surface[SLOPE_U], surface[WVQ] + EXPECTATION * surface[SLOPE_V]
    f, g = surface[WU] / surface[W], surface[WV] / surface[W]
    m11 -= f * surface[WU]
    m12 -= f * surface[WV]
    m22 -= g * surface[WV]
    r1 -= f * surface[WQ]
    r2 -= g * surface[WQ]
    h = m12 / m11
    surface[B] = (r2 - h * r1) / (m22 - h * m12)
    surface[A] = (r1 - m12 * surface[B]) / m11
    surface[C] = (surface[WQ] - surface[WU] * surface[A] - surface[WV] * surface[B]) / surface[W]


@njit(forceinline=True, **OPTIONS)
def _add(surface, x, y, steps):
    """Add a pixel to a surface; a step is worth more of q the nearer the surface, so far pixels weigh more."""
    far = max(1, steps) / surface[DEPTH]
    q = 1.0 / far
    w = far * far
    w = w * w
    u, v = x - surface[X0], y - surface[Y0]
    wu, wv = w * u, w * v
    surface[NUM] += 1
    surface[W] += w
    surface[WU] += wu
    surface[WV] += wv
    surface[WUU] += wu * u
    surface[WUV] += wu * v
    surface[WVV] += wv * v
    surface[WQ] += w * q
    surface[WUQ] += wu * q
    surface[WVQ] += wv * q
    if surface[NUM] >= surface[NEXT]:
        surface[NEXT] = surface[NUM] + 1 + surface[NUM] // 16
        _fit(surface)


@njit(**OPTIONS)
def _begin(surfaces, new, x, y, steps, beside):
    """Begin a surface at a pixel; it is expected to slope like the one beside it (-1: like none)."""
    surface = surfaces[new]
    surface[:] = 0.0
    surface[X0], surface[Y0], surface[DEPTH] = x, y, max(1, steps)
    if beside >= 0:
        other = surfaces[beside]
        q = other[C] + other[A] * (x - other[X0]) + other[B] * (y - other[Y0])
        if q > 1e-9:
            surface[SLOPE_U], surface[SLOPE_V] = other[A] / q, other[B] / q
    _add(surface, x, y, steps)


@njit(forceinline=True, **OPTIONS)
def _predict(surface, x, y):
    """Return the steps that a surface has at a pixel."""
    q = surface[C] + surface[A] * (x - surface[X0]) + surface[B] * (y - surface[Y0])
    if not q * MAX_STEPS > surface[DEPTH]:  # beyond the horizon, or not a number
        return MAX_STEPS
    return int(surface[DEPTH] / q + 0.5)


@njit(**OPTIONS)
def _try_others(state, buffer, odds, surfaces, owner, first, x, y, steps, tried):
    """Return the surface near a pixel that has its depth, and that depth; -1 if there is none among those tried."""
    left, above = owner[y, x - 1] if x else -1, owner[y - 1, x] if y else -1
    tried[0] = first
    num_tried = 1
    for place in range(AROUND_Y.size):
        from_y, from_x = y + AROUND_Y[place], x + AROUND_X[place]
        if from_y < 0 or from_x < 0 or from_x >= owner.shape[1]:
            continue
        surface = owner[from_y, from_x]
        known = surface < 0
        for index in range(num_tried):
            known = known or tried[index] == surface
        if known:
            continue
        tried[num_tried] = surface
        num_tried += 1
        predicted = _predict(surfaces[surface], x, y)
        num = int(surfaces[surface, NUM])
        fits = abs(steps - predicted) <= LIMITS[min(num, 9)]
        context = OTHER + num_tried * 16 + (surface == above) + 2 * (surface == left) + 4 * min(num, 3)
        if code_bit(state, buffer, odds, context, 1 if fits else 0):
            return surface, predicted
        if num_tried == MAX_TRIED:
            break
    return -1, 0


@njit(**OPTIONS)
def _code_error(state, buffer, odds, age, error):
    """Code by how many steps, not 0, a surface's fit is wrong."""
    sign = code_bit(state, buffer, odds, SIGN + age, 1 if error < 0 else 0)
    size = code_number(state, buffer, odds, ERROR + min(age, 3) * NUMBER_CONTEXTS, abs(error) - 1) + 1
    return -size if sign else size


@njit(forceinline=True, **OPTIONS)
def _around(owner, x, y):
    """Return the surface that a pixel probably belongs to (-1: none), and how those around it lie, 0..31."""
    left = owner[y, x - 1] if x else -1
    above = owner[y - 1, x] if y else -1
    corner = owner[y - 1, x - 1] if x and y else -1
    right = owner[y - 1, x + 1] if y and x + 1 < owner.shape[1] else -1
    before = owner[y, x - 2] if x > 1 else -1
    first = above if (corner == left and above >= 0) or left < 0 else left
    pattern = (left == above) + 2 * (above == right) + 4 * (corner == left) + 8 * (corner == above)
    return first, pattern + 16 * (before == left)


@njit(forceinline=True, **OPTIONS)
def _code_member(state, buffer, odds, surfaces, owner, first, pattern, errors, x, y, value, tried):
    """Code a pixel near which there are surfaces; return the one that it belongs to (-1: none), its value and error.

    `first` is the likeliest one, `pattern` how those around lie, `errors` 0..8 what the fits beside and above were.
    """
    found, predicted = first, _predict(surfaces[first], x, y)
    num = int(surfaces[first, NUM])
    age = AGES[min(num, AGES.size - 1)]
    exact = value == predicted
    if code_bit(state, buffer, odds, EXACT + (pattern * 9 + errors) * NUM_AGES + age, 0 if exact else 1) == 0:
        return found, predicted, 0
    fits = abs(value - predicted) <= LIMITS[min(num, 9)]
    if not code_bit(state, buffer, odds, NEAR + pattern * 4 + min(age, 3), 1 if fits else 0):
        found, predicted = _try_others(state, buffer, odds, surfaces, owner, first, x, y, value, tried)
        if found < 0:
            return found, value, 0
        age = AGES[min(int(surfaces[found, NUM]), AGES.size - 1)]
        exact = value == predicted
        if code_bit(state, buffer, odds, OTHER_EXACT + age, 0 if exact else 1) == 0:
            return found, predicted, 0
    error = _code_error(state, buffer, odds, age, value - predicted)
    return found, predicted + error, error


@njit(**OPTIONS)
def _code_stranger(state, buffer, odds, predicted, value, last_sign):
    """Code a pixel that no surface explains, from what the likeliest one had said; return its value and the sign."""
    sign = code_bit(state, buffer, odds, NEW_SIGN + last_sign, 1 if value < predicted else 0)
    size = code_number(state, buffer, odds, NEW, abs(value - predicted))
    return predicted - size if sign else predicted + size, sign


@njit(**OPTIONS)
def code_steps(state, buffer, odds, steps, surfaces, owner, errors, tried):
    """Encode the (H,W) i32 `steps`, or decode them into it; returns the number of surfaces.

    The rest is scratch: `odds` (NUM_CONTEXTS,2) i64 even, `surfaces` (N,NUM_COLUMNS) f64 (where N are too few, other
    pixels stay without one), `owner` (H,W) i32 all -1, `errors` (2,W+1) i64 all 0: 0..2 of this row and the one above,
    the first left of the picture, `tried` (MAX_TRIED+1,) i64.
    """
    height, width = steps.shape
    num_surfaces, last_sign = 0, 0
    for y in range(height):
        row, row_above = errors[y & 1], errors[1 - (y & 1)]
        for x in range(width):
            first, pattern = _around(owner, x, y)
            found, value, error = -1, steps[y, x], 0
            if first >= 0:
                beside = row[x] + 3 * row_above[x + 1]
                found, value, error = _code_member(
                    state, buffer, odds, surfaces, owner, first, pattern, beside, x, y, value, tried
                )
            if found >= 0:
                row[x + 1] = min(abs(error), 2)
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
