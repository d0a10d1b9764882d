"""Label maps by their neighbourhoods: regions whose edges go on. Compiled.

A pixel has the label of the one beside or above it, rarely another. Which one it is goes through the range coder of
`bridge.recording.depth_kernels`, in contexts of which labels around it are the same.
Numba's cache looks at this file alone: who changes that coder raises `REVISION`.
"""

from __future__ import annotations

from typing import Final

from numba import njit

from bridge.recording.depth_kernels import DECODES, OPTIONS, code_bit

REVISION: Final = 1
NUM_LABELS: Final = 256
FIRST: Final = 0
SECOND: Final = FIRST + 256
LITERAL: Final = SECOND + 3 * 256
NUM_LABEL_CONTEXTS: Final = LITERAL + NUM_LABELS


@njit(forceinline=True, **OPTIONS)
def _at(labels, y, x):
    """Return the label of a pixel; 0 outside of the picture."""
    return labels[y, x] if y >= 0 and 0 <= x < labels.shape[1] else 0


@njit(**OPTIONS)
def code_labels(state, buffer, odds, labels):
    """Encode the (H,W) i32 `labels`, 0..255, or decode them into it; `odds` (NUM_LABEL_CONTEXTS,2) i64 are even."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            value = labels[y, x]
            left, above = _at(labels, y, x - 1), _at(labels, y - 1, x)
            corner, right = _at(labels, y - 1, x - 1), _at(labels, y - 1, x + 1)
            pattern = (left == above) + 2 * (above == right) + 4 * (corner == left) + 8 * (corner == above)
            pattern += 16 * (_at(labels, y, x - 2) == left) + 32 * (_at(labels, y - 2, x) == above)
            pattern += 64 * (_at(labels, y - 1, x + 2) == right) + 128 * (_at(labels, y - 1, x - 2) == corner)
            first = above if corner == left else left
            second = left if first == above else above
            third = right if right not in (first, second) else corner
            found = first
            context = FIRST + pattern
            if code_bit(state, buffer, odds, context, 0 if value == first else 1):
                is_found = False
                for place in range(3):
                    other = second if place == 0 else third if place == 1 else corner
                    known = other == first or (place > 0 and other == second) or (place > 1 and other == third)
                    if not known and not is_found:
                        bit = code_bit(state, buffer, odds, SECOND + place * 256 + pattern, 0 if value == other else 1)
                        is_found = bit == 0
                        found = other
                if not is_found:
                    node = 1
                    for place in range(7, -1, -1):
                        node = 2 * node + code_bit(state, buffer, odds, LITERAL + node, (value >> place) & 1)
                    found = node - NUM_LABELS
            if state[DECODES]:
                labels[y, x] = found
