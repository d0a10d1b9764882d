"""Label maps on the surfaces that their depth was coded by: a surface has one label, rarely another. Compiled.

A pixel has the label that what was moved to its place had in the picture before, or else that of its surface, or else
one beside it. Which one it is goes through the range coder of `bridge.recording.depth_kernels`, in contexts of which of
those around it are the same. Numba's cache looks at this file alone: who changes that coder raises `REVISION`.
"""

from __future__ import annotations

from typing import Final

from numba import njit

from bridge.recording.depth_kernels import DECODES, OPTIONS, code_bit

REVISION: Final = 1
NUM_LABELS: Final = 256
UNKNOWN: Final = -1
WAS, OF_SURFACE, BESIDE = range(3)  # where the first guess comes from
NUM_OTHERS: Final = 3
FIRST: Final = 0
OTHERS: Final = FIRST + 3 * 1024
LITERAL: Final = OTHERS + NUM_OTHERS * 3 * 32
NUM_SURFACE_LABEL_CONTEXTS: Final = LITERAL + NUM_LABELS


@njit(forceinline=True, **OPTIONS)
def _at(labels, y, x):
    """Return the label at a place; `UNKNOWN` outside of the picture."""
    return labels[y, x] if 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1] else UNKNOWN


@njit(forceinline=True, **OPTIONS)
def _first_guess(labels, owner, own, moved, moved_labels, x, y):
    """Return the likeliest label of a pixel whose surface has `own`, where that is from, and how those around are."""
    left, above, corner = _at(labels, y, x - 1), _at(labels, y - 1, x), _at(labels, y - 1, x - 1)
    surface = owner[y, x]
    was = moved_labels[y, x] if moved[y, x] == surface else UNKNOWN
    if was != UNKNOWN:
        guess, source = was, WAS
    elif own != UNKNOWN:
        guess, source = own, OF_SURFACE
    else:
        guess, source = above if corner == left and above != UNKNOWN else left, BESIDE
    pattern = (guess == left) + 2 * (guess == above) + 4 * (guess == corner) + 8 * (guess == _at(labels, y - 1, x + 1))
    pattern += 16 * (guess == own) + 32 * (guess == _at(moved_labels, y, x + 1))
    pattern += 64 * (guess == _at(moved_labels, y + 1, x))
    pattern += 128 * (x > 0 and owner[y, x - 1] == surface) + 256 * (y > 0 and owner[y - 1, x] == surface)
    return guess, source, pattern + 512 * (left == above)


@njit(**OPTIONS)
def _code_other(state, buffer, odds, labels, own, guess, source, pattern, x, y, value):
    """Code a label that is not the first guess: that of the surface, or beside, or above, or any."""
    one = own if own not in (UNKNOWN, guess) else _at(labels, y, x - 1)
    two, three = _at(labels, y - 1, x), _at(labels, y - 1, x + 1)
    for place in range(NUM_OTHERS):
        other = one if place == 0 else two if place == 1 else three
        known = other in (UNKNOWN, guess) or (place > 0 and other == one) or (place > 1 and other == two)
        if not known:
            context = OTHERS + (place * 3 + source) * 32 + (pattern & 31)
            if code_bit(state, buffer, odds, context, 0 if value == other else 1) == 0:
                return other
    node = 1
    for place in range(7, -1, -1):
        node = 2 * node + code_bit(state, buffer, odds, LITERAL + node, (value >> place) & 1)
    return node - NUM_LABELS


@njit(**OPTIONS)
def code_labels_on(state, buffer, odds, labels, owner, label_of, moved, moved_labels):
    """Encode the (H,W) i32 `labels`, 0..255, or decode them into it.

    `odds` (NUM_SURFACE_LABEL_CONTEXTS,2) u16 go on from picture to picture · `owner` (H,W) i32 each pixel's surface, -1
    without · `label_of` (N,) i32, scratch, all `UNKNOWN` · `moved`, `moved_labels` (H,W) i32 of `carry_over`.
    """
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            value, surface = labels[y, x], owner[y, x]
            own = label_of[surface] if surface >= 0 else UNKNOWN
            found, source, pattern = _first_guess(labels, owner, own, moved, moved_labels, x, y)
            if code_bit(state, buffer, odds, FIRST + source * 1024 + pattern, 0 if value == found else 1):
                found = _code_other(state, buffer, odds, labels, own, found, source, pattern, x, y, value)
            if state[DECODES]:
                labels[y, x] = found
            if surface >= 0:
                label_of[surface] = found
