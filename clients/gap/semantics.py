"""Whether pictures still show what their label maps say: scores of a segmentation network on them.

The network's score on real pictures stands beside: nobody's is 1, and what a picture lost is what it scores less.
Source: mean intersection over union and its pixel counts as in Cordts et al. 2016 (Cityscapes), section 4.1, in the
reading of cityscapesScripts: what truly is unlabelled counts nowhere, what is found to be unlabelled is missed, and a
class that neither side has is left out of the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.labels import UNKNOWN, lookup_table, palette
from clients.gap.comparison import INTERVAL, MIN_SEQUENCES, NUM_DRAWS, PART_FRAMES, Result
from clients.gap.label_maps import COMMON_SPACE
from clients.gap.labelled_pictures import LabelledSequence, spread
from clients.gap.measures import Measure
from clients.gap.statistics import NUM_CLASSES

MAX_SCORED: Final = 150  # pictures of a side, taken evenly
_SHOWN_PX: Final = 320
MISSED: Final = NUM_CLASSES  # the column of what is found to be unlabelled, or of no class of the common space

Counted = NDArray[np.int64]  # (11,12) pixels by true class and found class


class PictureLabeller(Protocol):
    """A segmentation network: `label_map` gives (H,W) u8 ids of `label_space` for a (H,W,3) u8 RGB picture."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def sha256(self) -> str:
        """Of its weights."""
        ...

    @property
    def licence(self) -> str:
        """Of its weights."""
        ...

    @property
    def label_space(self) -> str:
        """What its ids mean."""
        ...

    def label_map(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label a picture."""
        ...


@dataclass(frozen=True)
class Scored:
    """What a network made of one set of pictures: (11,12) counts of each unit that is drawn again, and an example.

    `example` is a picture (H,W,3) RGB, what was found in it and what its label map says, both in colours.
    """

    units: list[Counted]
    example: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
    num_pictures: int

    @property
    def whole(self) -> Counted:
        """The counts of all."""
        return np.sum(self.units, axis=0)


def confusion(true: NDArray[np.uint8], found: NDArray[np.uint8]) -> Counted:
    """Return how many pixels of each true class (11 rows) are found as which (12 columns, the last: as none)."""
    known = true < NUM_CLASSES
    codes = true[known].astype(np.int64) * (NUM_CLASSES + 1) + np.minimum(found[known], MISSED)
    return np.bincount(codes, minlength=NUM_CLASSES * (NUM_CLASSES + 1)).reshape(NUM_CLASSES, NUM_CLASSES + 1)


def class_ious(counted: Counted) -> NDArray[np.float64]:
    """Return the intersection over union of each class, (N,) of (N,M>=N) counts; NaN for what neither side has."""
    classes = len(counted)
    hit = np.diagonal(counted).astype(np.float64)
    union = counted.sum(1) + counted[:, :classes].sum(0) - hit
    return np.divide(hit, union, out=np.full(classes, np.nan), where=union > 0)


def mean_iou(counted: Counted) -> float:
    """Return the mean of `class_ious`; NaN if there is no class at all."""
    known = class_ious(counted)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else float("nan")


def accuracy(counted: Counted) -> float:
    """Return the share of labelled pixels that are found as what they are."""
    labelled = counted.sum()
    return float(np.diagonal(counted).sum() / labelled) if labelled else float("nan")


def class_accuracy(counted: Counted) -> float:
    """Return the mean over classes of the share of their pixels that are found."""
    true = counted.sum(1)
    return float((np.diagonal(counted)[true > 0] / true[true > 0]).mean()) if true.any() else float("nan")


SCORES: Final[dict[str, tuple[Callable[[Counted], float], str]]] = {
    "mIoU": (mean_iou, "of the mean intersection over union of classes"),
    "pixel accuracy": (accuracy, "of the share of pixels that are found as what they are"),
    "class accuracy": (class_accuracy, "of that share, each class weighing the same"),
}


def score(
    sequences: Sequence[LabelledSequence],
    network: PictureLabeller,
    progress: Callable[[int], None] = lambda done: None,
    change: Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.uint8]] = lambda rgb, ids: rgb,
) -> Scored:
    """Let a network label MAX_SCORED pictures; `change` sees each picture and its label map first."""
    table = _table(network.label_space)
    by_sequence: list[list[Counted]] = []
    example = None
    num_pictures = 0
    chosen = spread(sequences, MAX_SCORED)
    middle = sum(map(len, chosen)) // 2
    for sequence, indices in zip(sequences, chosen, strict=True):
        counts = []
        for index in indices:
            ids = sequence.label_map(index)
            rgb = change(sequence.picture(index), ids)
            found = table[network.label_map(np.array(rgb))]  # a recording's pictures may not be written to, torch warns
            found = np.asarray(cv2.resize(found, ids.shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
            counts.append(confusion(ids, found))
            if num_pictures == middle:
                example = _shown(rgb), _shown(_coloured(found)), _shown(_coloured(ids))
            num_pictures += 1
            progress(1)
        if counts:
            by_sequence.append(counts)
    assert example is not None, "a set of pictures is never empty"
    return Scored(_units(by_sequence), example, num_pictures)


def results(synthetic: Scored, real: Scored | None, worst: Scored | None, seed: int = 0) -> list[Result]:
    """Return what each score lacks of 1; the floor is what it lacks on real pictures, the ceiling on label colours."""
    rng = np.random.default_rng(seed)
    told = []
    for name, (function, about) in SCORES.items():
        lost = [1.0 - function(side.whole) if side else float("nan") for side in (synthetic, real, worst)]
        low, high = _interval(synthetic, function, rng)
        measure = Measure[object](f"{name} lost", "semantics", "of 1", f"what is missing {about}", _no_distance)
        told.append(Result(measure, lost[0], lost[1], lost[1], 1.0 - high, 1.0 - low, lost[2]))
    return told


def interval(scored: Scored, name: str = "mIoU", seed: int = 0) -> tuple[float, float]:
    """Return the bootstrap interval of a score of `SCORES`, over sequences or their parts; NaN for a single one."""
    return _interval(scored, SCORES[name][0], np.random.default_rng(seed))


def _interval(scored: Scored, function: Callable[[Counted], float], rng: np.random.Generator) -> tuple[float, float]:
    units = np.stack(scored.units)
    if len(units) < 2:
        return float("nan"), float("nan")
    drawn = [function(units[rng.integers(0, len(units), len(units))].sum(0)) for _ in range(NUM_DRAWS)]
    low, high = np.percentile(drawn, INTERVAL)
    return float(low), float(high)


def label_colours(rgb: NDArray[np.uint8], ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture that is nothing but its label map: what nobody takes for real."""
    return _coloured(ids)


def _no_distance(first: object, second: object) -> float:
    return float("nan")


def _units(by_sequence: list[list[Counted]]) -> list[Counted]:
    """Sequences if there are enough, else consecutive parts of them."""
    if len(by_sequence) >= MIN_SEQUENCES:
        return [np.sum(counts, axis=0) for counts in by_sequence]
    part = max(1, min(PART_FRAMES, sum(map(len, by_sequence)) // 8))
    return [
        np.sum(counts[start : start + part], axis=0)
        for counts in by_sequence
        for start in range(0, len(counts), part)
    ]  # fmt: skip


def _table(space: str) -> NDArray[np.uint8]:
    """From a network's ids to the common space; what is no class there is unlabelled."""
    table = lookup_table(space, COMMON_SPACE).copy()
    table[table == UNKNOWN] = MISSED
    return table


def _shown(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture as wide as the report shows it."""
    size_px = (_SHOWN_PX, max(1, round(rgb.shape[0] * _SHOWN_PX / rgb.shape[1])))
    return np.asarray(cv2.resize(rgb, size_px, interpolation=cv2.INTER_AREA), np.uint8)


def _coloured(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(palette(COMMON_SPACE), np.uint8)[ids]
