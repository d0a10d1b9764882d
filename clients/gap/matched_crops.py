"""How real pictures look where they show the same: a kernel distance over crops that are matched by their label maps.

Two sets of streets differ in what stands where; a distance of whole pictures counts that too. Crops of one set beside
those crops of the other whose layout is nearest leave the look alone.

Source: the semantically aligned kernel distance (sKVD) of Richter, Al Haija and Koltun 2021 ("Enhancing Photorealism
Enhancement"): crops of an eighth of the picture, layouts of 16x16 labels, the nearest of the other set, pairs kept
where half of the layout agrees, the kernel distance of Binkowski et al. 2018 on what a network sees. Theirs is VGG-16;
here it is the network that the report names. The figures were not compared with their code: compare them with their
own floor, not with published ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from clients.gap.comparison import MIN_SEQUENCES, PART_FRAMES, Result, compare_units
from clients.gap.labelled_pictures import LabelledSequence, spread
from clients.gap.measures import Measure
from clients.gap.picture_measures import cubic_kernel, discrepancy
from clients.gap.picture_statistics import HEIGHT_PX, WIDTH_PX
from clients.gap.semantics import label_colours
from clients.gap.statistics import NUM_CLASSES
from renderer.picture_features import FeatureExtractor, fit_picture

MAX_PICTURES: Final = 150  # of a side, taken evenly
CROPS: Final = 3  # of each picture, at random places
LAYOUT_PX: Final = 16
AGREEMENT: Final = 0.5  # of a layout's labels, below which two crops show different things
MIN_PAIRS: Final = 12
_SIDE_SHARE: Final = 0.125**0.5  # of the picture's sides: an eighth of its area
_SEEN_HW: Final = (120, 160)  # what the network is shown of a crop


Rows = NDArray[np.int64]  # of crops, in all that were described: what is drawn again or split


@dataclass(frozen=True)
class Crops:
    """Crops, a row each: layouts (N,256) u8 labels, features (N,C) f32; and the units of consecutive rows."""

    layouts: NDArray[np.uint8]
    features: NDArray[np.float32]
    units: Sequence[Rows]


def agreement(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what share of the labels of each two layouts (N,256) and (M,256) agree, (N,M); unlabelled never does."""
    known = [(layouts[..., None] == np.arange(NUM_CLASSES)).reshape(len(layouts), -1) for layouts in (ours, theirs)]
    return known[0].astype(np.float32) @ known[1].astype(np.float32).T / ours.shape[1]


class _Pairing:
    """Every two crops compared once, so that sets drawn of them a hundred times cost nothing more."""

    def __init__(self, sides: Sequence[Crops]) -> None:
        layouts, features = (np.concatenate([getattr(s, name) for s in sides]) for name in ("layouts", "features"))
        self._agreed = agreement(layouts, layouts)
        self._kernel = cubic_kernel(features, features)

    def matched(self, ours: Rows, theirs: Rows) -> tuple[Rows, Rows]:
        """The crops that have a partner that shows the same, and that partner."""
        agreed = self._agreed[np.ix_(ours, theirs)]
        nearest = agreed.argmax(1)
        kept = agreed[np.arange(len(ours)), nearest] >= AGREEMENT
        return ours[kept], theirs[nearest[kept]]

    def distance(self, ours: Rows, theirs: Rows) -> float:
        """KID x1000 of matched crops; NaN for too few of them."""
        one, other = self.matched(ours, theirs)
        if len(one) < MIN_PAIRS:
            return float("nan")
        within, theirs_within, across = (
            self._kernel[np.ix_(a, b)] for a, b in ((one, one), (other, other), (one, other))
        )
        return 1000 * discrepancy(within, theirs_within, across, one, other)

    def unmatched(self, ours: Rows, theirs: Rows) -> float:
        """The share of crops without a partner."""
        return 1.0 - len(self.matched(ours, theirs)[0]) / len(ours)


def compare_crops(
    synthetic: Sequence[LabelledSequence],
    real: Sequence[LabelledSequence],
    extractor: FeatureExtractor,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Result]:
    """Return the measures of matched crops, beside those between halves of the real set and its label colours."""
    sides = [describe_crops(side, extractor, progress) for side in (synthetic, real)]
    sides.append(describe_crops(real, extractor, progress, label_colours))
    pairing = _Pairing(sides)
    about = "KID x1000 of crops whose layouts agree (sKVD): the look alone"
    measures = (
        Measure[Rows]("matched crops", "features", "", about, pairing.distance),
        Measure[Rows](
            "crops unmatched", "features", "share", "crops whose layout the other set lacks", pairing.unmatched
        ),
    )
    units, first = [], 0
    for side in sides:
        units.append([rows + first for rows in side.units])
        first += len(side.layouts)
    return compare_units(measures, units[0], units[1], np.concatenate, units[2])


def describe_crops(
    sequences: Sequence[LabelledSequence],
    extractor: FeatureExtractor,
    progress: Callable[[int], None] = lambda done: None,
    change: Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.uint8]] = lambda rgb, ids: rgb,
) -> Crops:
    """Return the crops of MAX_PICTURES pictures, in sequences if there are enough, else in consecutive parts."""
    layouts, features, lengths = [], [], []
    for sequence, indices in zip(sequences, spread(sequences, MAX_PICTURES), strict=True):
        for index in indices:
            ids = sequence.label_map(index)
            layout, seen = _cut(change(sequence.picture(index), ids), ids, len(layouts))
            layouts.append(layout)
            features.append(extractor.embed(seen))
            progress(1)
        lengths.append(len(indices))
    part = min(PART_FRAMES, max(3, len(layouts) // 4)) if len(lengths) < MIN_SEQUENCES else max(lengths)
    starts = np.cumsum([0, *lengths])
    units = [
        np.arange(first * CROPS, min(first + part, end) * CROPS)
        for start, end in itertools.pairwise(starts.tolist())
        for first in range(start, end, part)
    ]
    return Crops(np.concatenate(layouts), np.concatenate(features), units)


def _cut(
    rgb: NDArray[np.uint8], ids: NDArray[np.uint8], number: int
) -> tuple[NDArray[np.uint8], list[NDArray[np.uint8]]]:
    """CROPS crops of a picture: their layouts (CROPS,256), and what the network is shown of them."""
    rng = np.random.default_rng(number)
    fitted = fit_picture(rgb, WIDTH_PX, HEIGHT_PX)
    layout = _fitted_ids(ids)
    height_px, width_px = round(HEIGHT_PX * _SIDE_SHARE), round(WIDTH_PX * _SIDE_SHARE)
    layouts, seen = [], []
    for _ in range(CROPS):
        top, left = int(rng.integers(0, HEIGHT_PX - height_px + 1)), int(rng.integers(0, WIDTH_PX - width_px + 1))
        place = np.s_[top : top + height_px, left : left + width_px]
        layouts.append(cv2.resize(layout[place], (LAYOUT_PX, LAYOUT_PX), interpolation=cv2.INTER_NEAREST).ravel())
        seen.append(np.asarray(cv2.resize(fitted[place], _SEEN_HW[::-1], interpolation=cv2.INTER_LINEAR), np.uint8))
    return np.stack(layouts).astype(np.uint8), seen


def _fitted_ids(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A label map's middle in the shape of what is compared, as `fit_picture` cuts it; nearest neighbour."""
    height, width = ids.shape
    kept_height, kept_width = min(height, width * HEIGHT_PX // WIDTH_PX), min(width, height * WIDTH_PX // HEIGHT_PX)
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    middle = ids[top : top + kept_height, left : left + kept_width]
    return np.asarray(cv2.resize(middle, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_NEAREST), np.uint8)
