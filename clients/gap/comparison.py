"""Two sets compared: each measure with its floor among real drives, its ceiling, and how sure it is.

The floor is the same measure between halves of the real set, split by sequence: what two real drives differ by. The
interval is the basic bootstrap's (Davison and Hinkley 1997, 5.2): the measure over sets drawn again, with replacement,
from the parts of both, mirrored at the value, because a distance of drawn sets is larger than that of the sets.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bridge.protocol.errors import UsageError
from clients.gap.label_maps import MapSequence
from clients.gap.measures import MEASURES, Measure, Sample
from clients.gap.nonsense import nonsense
from clients.gap.statistics import Counts, count, total

PART_FRAMES: Final = 25  # a part is drawn or left out as a whole: neighbouring frames show the same street
MIN_SEQUENCES: Final = 3  # fewer are cut into parts for the bootstrap and the floor, which makes both too kind
NUM_DRAWS: Final = 100
MAX_SPLITS: Final = 12
INTERVAL: Final = (5.0, 95.0)


@dataclass(frozen=True)
class MapSet:
    """What was counted on one side: the parts of its sequences, and all together."""

    name: str
    num_sequences: int
    parts: tuple[Counts, ...]  # of PART_FRAMES frames at most
    sequence_of_part: tuple[int, ...]
    whole: Counts

    def units(self) -> list[Counts]:
        """What is drawn again or split: sequences if there are enough, else parts of them."""
        if self.num_sequences < MIN_SEQUENCES:
            return list(self.parts)
        return [
            total([part for part, owner in zip(self.parts, self.sequence_of_part, strict=True) if owner == sequence])
            for sequence in range(self.num_sequences)
        ]


@dataclass(frozen=True)
class Result:
    """A measure's value, its floor (mean and largest of the splits of the real set), its interval, and its ceiling.

    The ceiling is the value of what nobody takes for real; NaN where nothing is known to be that bad.
    """

    measure: Measure[Any]
    value: float
    floor: float
    floor_max: float
    low: float
    high: float
    ceiling: float = float("nan")

    @property
    def times_floor(self) -> float:
        """How many times the floor the value is; infinite where real drives do not differ at all, NaN if unknown."""
        if self.floor > 0:
            return self.value / self.floor
        return float("inf") if self.value > 0 and self.floor == 0 else float("nan")


def count_set(
    name: str,
    sequences: Sequence[MapSequence],
    num_workers: int,
    progress: Callable[[int], None] = lambda done: None,
    interval_s: float = 0.0,
) -> MapSet:
    """Read and count all label maps of a set, in several processes; `progress` is told how many are done.

    Changes are those between frames `interval_s` apart, or consecutive ones where these are further apart.
    """
    jobs = [
        (sequence, start, min(start + PART_FRAMES, sequence.num_frames), interval_s)
        for sequence in sequences
        for start in range(0, sequence.num_frames, PART_FRAMES)
    ]
    parts: list[Counts] = []
    context = multiprocessing.get_context("spawn")
    if num_workers <= 1 or len(jobs) == 1:
        for part in itertools.starmap(count_part, jobs):
            parts.append(part)
            progress(part.num_frames)
    else:
        with concurrent.futures.ProcessPoolExecutor(num_workers, mp_context=context) as pool:
            for part in pool.map(count_part, *zip(*jobs, strict=True)):
                parts.append(part)
                progress(part.num_frames)
    owners = tuple(
        index for index, sequence in enumerate(sequences) for _ in range(0, sequence.num_frames, PART_FRAMES)
    )
    return MapSet(name, len(sequences), tuple(parts), owners, total(parts))


def count_part(sequence: MapSequence, start: int, end: int, interval_s: float = 0.0) -> Counts:
    """Count frames `start` to `end` of a sequence, with their changes over `interval_s`."""
    step = max(1, round(interval_s * sequence.rate_hz))
    before = sequence.read(start - 1) if start and step == 1 else None
    counted = []
    for index in range(start, end):
        label_map = sequence.read(index)
        if step > 1:  # one pair in each interval
            before = sequence.read(index - step) if index and index % step == 0 else None
        counted.append(count(label_map, before, step / sequence.rate_hz if sequence.rate_hz else 0.0))
        before = label_map
    return total(counted)


def compare(synthetic: MapSet, real: MapSet, seed: int = 0) -> list[Result]:
    """Return every measure between two sets; raises UsageError if the real one cannot be split."""
    units = [mapset.units() for mapset in (synthetic, real)]
    if len(units[1]) < 2:
        raise UsageError(
            f"{real.name} has too few label maps to tell how far real drives are apart",
            f"Give at least {2 * PART_FRAMES} frames",
        )
    return compare_units(MEASURES, units[0], units[1], total, ceiling=[nonsense()], seed=seed)


def compare_units(
    measures: Sequence[Measure[Sample]],
    synthetic: Sequence[Sample],
    real: Sequence[Sample],
    join: Callable[[Sequence[Sample]], Sample],
    ceiling: Sequence[Sample] = (),
    seed: int = 0,
) -> list[Result]:
    """Return every measure between two sets, given in the units that are drawn again or split (two real ones at least).

    `join` puts units together; `ceiling` are units that nobody takes for real, if there are any.
    """
    rng = np.random.default_rng(seed)
    halves = [(join(one), join(other)) for one, other in _splits(real, rng)]
    wholes = join(synthetic), join(real)
    draws = [[join(_drawn(side, rng)) for side in (synthetic, real)] for _ in range(NUM_DRAWS)]
    worst = join(ceiling) if ceiling else None
    results = []
    for measure in measures:
        floors = _known([measure.distance(one, other) for one, other in halves])
        drawn = _known([measure.distance(ours, theirs) for ours, theirs in draws])
        value = measure.distance(*wholes)
        upper, lower = np.percentile(drawn, INTERVAL) if drawn else (float("nan"),) * 2
        results.append(
            Result(
                measure,
                value,
                float(np.mean(floors)) if floors else float("nan"),
                max(floors, default=float("nan")),
                float(np.maximum(0.0, 2 * value - float(lower))),
                float(np.maximum(0.0, 2 * value - float(upper))),
                float("nan") if worst is None else measure.distance(worst, wholes[1]),
            )
        )
    return results


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if not np.isnan(value)]


def _drawn(units: Sequence[Sample], rng: np.random.Generator) -> list[Sample]:
    return [units[index] for index in rng.integers(0, len(units), len(units))]


def _splits(units: Sequence[Sample], rng: np.random.Generator) -> list[tuple[list[Sample], list[Sample]]]:
    """Ways to halve a set: all of a few, or some at random."""
    indices = range(len(units))
    half = len(units) // 2
    ways = list(itertools.combinations(indices, half)) if len(units) <= 6 else []
    if len(units) % 2 == 0:
        ways = ways[: len(ways) // 2]  # the others are the same, the other way round
    while len(units) > 6 and len(ways) < MAX_SPLITS:
        ways.append(tuple(sorted(rng.permutation(len(units))[:half].tolist())))
    return [([units[i] for i in way], [units[i] for i in indices if i not in way]) for way in ways[:MAX_SPLITS]]
