"""How far two sets of label maps are apart, one function a measure; every one is 0 for equal sets.

Sources: Jensen-Shannon divergence: Lin 1991. Spatial class priors: Zou et al. 2018 (CBST). Wasserstein distance between
size distributions: as scipy.stats.wasserstein_distance. Isoperimetric quotient 4 pi A / P^2: Polsby and Popper 1991.
Corners of a border: Douglas and Peucker 1973.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from clients.gap.statistics import NAMES, THINGS, Counts

VOCABULARY_SHARE: Final = 1e-4  # of all pixels: what is rarer is not part of a set's vocabulary
_SAME_INTERVAL: Final = 1.5


Sample = TypeVar("Sample")  # what was counted: of label maps `Counts`


@dataclass(frozen=True)
class Measure(Generic[Sample]):
    """A measure by name; `about` says what it asks, `unit` what its number is."""

    name: str
    group: str
    unit: str
    about: str
    distance: Callable[[Sample, Sample], float]


def shannon_bits(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the Jensen-Shannon divergence of two histograms in bits, 0 to 1; NaN if one is empty."""
    if not (first.sum() > 0 and second.sum() > 0):
        return float("nan")
    p, q = first.ravel() / first.sum(), second.ravel() / second.sum()
    middle = (p + q) / 2

    def against_middle(histogram: NDArray[np.float64]) -> float:
        there = histogram > 0
        return float((histogram[there] * np.log2(histogram[there] / middle[there])).sum())

    return max(0.0, (against_middle(p) + against_middle(q)) / 2)


def wasserstein(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the Wasserstein-1 distance of two samples of one number; NaN if one is empty."""
    if not (first.size and second.size):
        return float("nan")
    places = np.sort(np.concatenate([first, second]))
    shares = [np.searchsorted(np.sort(sample), places[:-1], side="right") / sample.size for sample in (first, second)]
    return float((np.abs(shares[0] - shares[1]) * np.diff(places)).sum())


def class_log_ratios(first: Counts, second: Counts) -> dict[str, float]:
    """Return log2 of how much more of each class the first set shows; infinite for what only one has."""
    shares = [counts.pixels / max(counts.pixels.sum(), 1.0) for counts in (first, second)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.log2(shares[0] / shares[1])
    return {name: float(ratio) for name, ratio in zip(NAMES, ratios, strict=True) if not np.isnan(ratio)}


def priors(counts: Counts) -> NDArray[np.float64]:
    """Return how likely each class is in each place, (24,32,11); 0 where nothing is labelled."""
    return counts.grid / np.maximum(counts.grid.sum(2, keepdims=True), 1.0)


def _spatial(first: Counts, second: Counts) -> float:
    return float(np.abs(priors(first) - priors(second)).sum(2).mean())


def _mean_of(column: int) -> Callable[[Counts, Counts], float]:
    def distance(first: Counts, second: Counts) -> float:
        ours, theirs = (c.horizons[:, column][~np.isnan(c.horizons[:, column])] for c in (first, second))
        return abs(float(ours.mean() - theirs.mean())) if ours.size and theirs.size else float("nan")

    return distance


def _log_ratio(number: Callable[[Counts], float]) -> Callable[[Counts, Counts], float]:
    def distance(first: Counts, second: Counts) -> float:
        ours, theirs = number(first), number(second)
        return abs(float(np.log2(ours / theirs))) if ours > 0 and theirs > 0 else float("nan")

    return distance


def objects_per_frame(counts: Counts) -> dict[str, float]:
    """Return how many objects of each thing class a frame shows, on average."""
    return {name: counts.object_areas[thing].size / counts.num_frames for thing, name in THINGS.items()}


def _density(first: Counts, second: Counts) -> float:
    ours, theirs = objects_per_frame(first), objects_per_frame(second)
    floor = 0.05  # an object every twenty frames: what is rarer than that is not told apart from none
    return float(np.mean([abs(np.log2(max(ours[n], floor) / max(theirs[n], floor))) for n in ours]))


def _sizes(first: Counts, second: Counts) -> float:
    distances = [wasserstein(*(np.log2(c.object_areas[thing]) for c in (first, second))) for thing in THINGS]
    known = [distance for distance in distances if not np.isnan(distance)]
    return float(np.mean(known)) if known else float("nan")


def _per_second(column: int, floor: float) -> Callable[[Counts, Counts], float]:
    """Octaves of a change between frames, less than a floor being as good as none.

    NaN where the frames of the two sets are not about as far apart in time.
    """

    def distance(first: Counts, second: Counts) -> float:
        (ours_s, ours), (theirs_s, theirs) = (counts.changes[2:] for counts in (first, second))
        if not (ours and theirs) or not 1 / _SAME_INTERVAL < (ours_s / ours) / (theirs_s / theirs) < _SAME_INTERVAL:
            return float("nan")
        rates = [max(float(counts.changes[column] / counts.changes[2]), floor) for counts in (first, second)]
        return abs(float(np.log2(rates[0] / rates[1])))

    return distance


def vocabulary(first: Counts, second: Counts) -> tuple[list[str], list[str]]:
    """Return the classes that only the first set shows, and those that only the second shows."""
    ours, theirs = (c.pixels / max(c.pixels.sum(), 1.0) >= VOCABULARY_SHARE for c in (first, second))
    names = np.array(NAMES)
    return names[ours & ~theirs].tolist(), names[theirs & ~ours].tolist()


def _vocabulary(first: Counts, second: Counts) -> float:
    return float(sum(map(len, vocabulary(first, second))))


def _ratio(numerator: int, denominator: int) -> Callable[[Counts], float]:
    def number(counts: Counts) -> float:
        sums = counts.outlines.sum(0)
        return float(sums[numerator] / sums[denominator]) if sums[denominator] else 0.0

    return number


MEASURES: Final[tuple[Measure[Counts], ...]] = (
    Measure("class frequency", "classes", "bits", "how much of each class a picture shows (Jensen-Shannon)",
            lambda a, b: shannon_bits(a.pixels, b.pixels)),
    Measure("vocabulary", "classes", "classes", "classes that one set shows and the other never does", _vocabulary),
    Measure("spatial prior", "viewpoint", "of 2", "where in the picture each class is, in 24x32 places (L1)", _spatial),
    Measure("top of the road", "viewpoint", "heights", "row at which the road ends: the horizon", _mean_of(0)),
    Measure("bottom of the sky", "viewpoint", "heights", "lowest row of sky", _mean_of(1)),
    Measure("vanishing column", "viewpoint", "widths", "column in which the road ends", _mean_of(2)),
    Measure("object density", "objects", "octaves", "how many poles, signs, cars, people a frame shows", _density),
    Measure("object sizes", "objects", "octaves", "how large they are in the picture (Wasserstein-1)", _sizes),
    Measure("border density", "shapes", "octaves", "how much border there is in a picture",
            _log_ratio(lambda c: c.boundary_px / c.inside_px)),
    Measure("border directions", "shapes", "bits", "where borders run to, in eight directions (Jensen-Shannon)",
            lambda a, b: shannon_bits(a.orientations, b.orientations)),
    Measure("polygonality", "shapes", "octaves", "corners a pixel of outline: drawn by hand, or by an engine",
            _log_ratio(_ratio(0, 1))),
    Measure("compactness", "shapes", "octaves", "how round shapes are (4 pi A / P^2)", _log_ratio(_ratio(3, 2))),
    Measure("outline to area", "shapes", "octaves", "how ragged or thin shapes are", _log_ratio(_ratio(1, 2))),
    Measure("thin structures", "shapes", "octaves", "what share of a picture is poles, bars and the like",
            _log_ratio(lambda c: c.thin_px / c.inside_px)),
    Measure("neighbours", "composition", "bits", "which classes touch (Jensen-Shannon)",
            lambda a, b: shannon_bits(a.touching, b.touching)),
    Measure("seen together", "composition", "bits", "which classes one picture shows (Jensen-Shannon)",
            lambda a, b: shannon_bits(a.together, b.together)),
    Measure("change", "time", "octaves", "what share of the picture changes class in a second", _per_second(0, 0.001)),
    Measure("births and deaths", "time", "octaves", "how many objects come and go in a second", _per_second(1, 0.05)),
)  # fmt: skip
