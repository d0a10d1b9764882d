"""What is behind an object that was removed: guessed from the same row of the picture.

On level ground all that lies in one row of the picture below the horizon is about equally far away, and houses stand
behind the cars of the same rows. So each run of pixels that do not stand still takes label, depth and flow from its
own row: from the static pixel at that end of the run which is clearly farther away (that is what the object stood
before), else half of the run from each end. A row without any static pixel takes those of the next row below that has
one, or else above.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

CLEARLY_FARTHER: Final = 1.25


def fill_behind(
    hole: NDArray[np.uint8], static: NDArray[np.uint8], depth_m: NDArray[np.float32] | None, planes: Sequence[NDArray]
) -> None:
    """Give the pixels of a hole what is behind them, in all planes, in place.

    `hole` and `static` (H,W) u8, 0 or 1: what is to be filled, and what it may be filled with (nothing of the hole) ·
    `depth_m` (H,W) f32, before it is filled · `planes` (H,W) or (H,W,N), contiguous. Nothing static, nothing filled.
    """
    height, width = hole.shape
    donors = np.flatnonzero(static.any(1))
    if not donors.size:
        return
    into, source = _sources(hole, static, depth_m)
    for plane in planes:
        flat = plane.reshape(height * width, -1)
        flat[into] = flat[source]
    bare = np.flatnonzero(hole.any(1) & ~static.any(1))
    below = donors[np.minimum(np.searchsorted(donors, bare), donors.size - 1)]
    for row, donor in zip(bare.tolist(), below.tolist(), strict=True):
        columns = hole[row] != 0
        for plane in planes:
            plane[row, columns] = plane[donor, columns]


def _sources(
    hole: NDArray[np.uint8], static: NDArray[np.uint8], depth_m: NDArray[np.float32] | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Flat indices of the hole's pixels, in rows with something static, and of the pixels that stand for them."""
    height, width = hole.shape
    # A static column at either side, so that no run goes on in the next row; +1 begins a run, -1 ends it.
    framed = np.ones((height, width + 2), np.int8)
    framed[:, 1:-1] = static
    edges = np.flatnonzero(np.diff(framed.ravel()))
    begins, ends = edges[0::2] + 1, edges[1::2] + 1
    rows = begins // (width + 2)
    first, past = begins - rows * (width + 2) - 1, ends - rows * (width + 2) - 1
    has_source = (first > 0) | (past < width)
    rows, first, past = rows[has_source], first[has_source], past[has_source]
    lengths = past - first
    from_left = _num_from_left(rows, first, past, width, depth_m)
    # The pixels of all runs, one after the other.
    run = np.repeat(np.arange(rows.size), lengths)
    place = np.arange(run.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    into = (rows * width + first)[run] + place
    source_column = np.where(place < from_left[run], first[run] - 1, past[run])
    wanted = hole.ravel()[into] != 0
    return into[wanted], (rows[run] * width + source_column)[wanted]


def _num_from_left(
    rows: NDArray[np.intp],
    first: NDArray[np.intp],
    past: NDArray[np.intp],
    width: int,
    depth_m: NDArray[np.float32] | None,
) -> NDArray[np.intp]:
    """How many pixels of each run take what is at its left end."""
    lengths = past - first
    from_left = (lengths + 1) // 2
    if depth_m is not None:
        left_m = depth_m[rows, np.maximum(first - 1, 0)]
        right_m = depth_m[rows, np.minimum(past, width - 1)]
        from_left = np.where(left_m > CLEARLY_FARTHER * right_m, lengths, from_left)
        from_left = np.where(right_m > CLEARLY_FARTHER * left_m, 0, from_left)
    return np.where(first == 0, 0, np.where(past == width, lengths, from_left))
