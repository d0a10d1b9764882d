"""The ceiling of what label maps differ by: maps that nobody takes for a street.

Stripes of four classes drawn by lot, each frame anew, the road in the left third only: wrong in every measure. How far
a real set is from them says how large a measure can become, as its floor says how small.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clients.gap.statistics import ROAD, SKY, Counts, count, total

NUM_FRAMES: Final = 12
_SIZE_HW: Final = (360, 480)
_STRIPE_HW: Final = (4, 48)
_POLE, _CAR = 2, 8


@lru_cache(maxsize=1)
def nonsense() -> Counts:
    """Return what is counted on such maps, a second apart from each other; always the same."""
    maps = _maps()
    return total([count(now, before, 1.0) for before, now in zip([None, *maps], maps, strict=False)])


def _maps() -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    height_px, width_px = _STRIPE_HW
    rows, columns = _SIZE_HW[0] // height_px, _SIZE_HW[1] // width_px
    drawn = []
    for _ in range(NUM_FRAMES):
        classes = rng.choice(np.array([SKY, _POLE, _CAR], np.uint8), (rows, columns))
        left = classes[:, : columns // 3]
        left[rng.random(left.shape) < 0.25] = ROAD
        drawn.append(np.repeat(np.repeat(classes, height_px, 0), width_px, 1))
    return drawn
