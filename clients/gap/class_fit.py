"""Which names the simulator's classes should have, so that its label maps are closer to those that people drew.

An annotator of street photos has fewer words than an engine has materials: a terrain may be what he called a tree or
what he called pavement, a wall a building or a fence. The table of label spaces takes one reading of each; here the
others are tried, one class at a time, and those kept that bring the measures of label maps closer to the real set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.edits.rules import Edits, Rule
from bridge.protocol.errors import OutputError
from bridge.protocol.labels import label_id
from clients.gap.comparison import MapSet, Result, count_set
from clients.gap.label_maps import COMMON_SPACE, MapSequence
from clients.gap.measures import vocabulary
from clients.gap.statistics import Counts
from clients.gap.verdict import times_apart

CLASSES_NAME: Final = "classes.yaml"
NUM_FRAMES: Final = 120  # of the synthetic set, taken evenly
# What a class may also be called, in the words of `bridge.protocol.labels.CLASSES`.
READINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "terrain": ("sidewalk", "road"),
    "ground": ("road", "vegetation"),
    "wall": ("fence",),
    "fence": ("wall", "vegetation"),
    "guard rail": ("wall", "road"),
    "static": ("building", "fence", "pole", "sidewalk"),
    "dynamic": ("car", "fence", "sidewalk"),
    "other": ("building", "fence", "pole", "vegetation"),
    "bridge": ("road", "fence"),
    "rail track": ("sidewalk", "vegetation"),
    "water": ("road", "vegetation"),
    "rider": ("pedestrian",),
    "motorcycle": ("car",),
    "traffic light": ("pole",),
}
_WORTH: Final = 0.99  # a renaming is kept if what is left of the distance is at most this


@dataclass(frozen=True)
class ClassFit:
    """Which classes to rename, and how far the label maps were and are from the real set.

    That is in floors, the geometric mean over the measures, where those that are nearer than real drives count as 1.
    """

    edits: Edits
    before: float
    after: float
    gains: tuple[tuple[str, float], ...]  # the distance with each renaming and those before it
    num_tried: int


def fit_classes(
    find: Callable[[Edits], Sequence[MapSequence]], space: str, real: MapSet, results: Sequence[Result]
) -> ClassFit:
    """Try other names for the classes of a label space, and keep those that come closer.

    `find` gives the synthetic label maps under edits; `results` are those of the whole set, for the measures' floors.
    """

    def counted(rules: Sequence[Rule]) -> Counts:
        return count_set("synthetic", _evenly(find(Edits(rules=tuple(rules)))), 1).whole

    ours = counted([])
    num_missing = _num_missing(ours, real.whole)
    before = best = _distance(ours, real.whole, results)
    kept: list[Rule] = []
    gains: list[tuple[str, float]] = []
    num_tried = 0
    for name, others in READINGS.items():
        for trial in [Rule(classes=(name,), to=other) for other in others if _differs(name, other, space)]:
            ours = counted([*(rule for rule in kept if rule.classes != (name,)), trial])
            distance = _distance(ours, real.whole, results)
            num_tried += 1
            if distance < _WORTH * best and _num_missing(ours, real.whole) <= num_missing:
                kept = [*(rule for rule in kept if rule.classes != (name,)), trial]
                gains = [*(gain for gain in gains if gain[0] in {rule.title for rule in kept}), (trial.title, distance)]
                best = distance
    return ClassFit(Edits(rules=tuple(kept)), before, best, tuple(gains), num_tried)


def _num_missing(ours: Counts, theirs: Counts) -> int:
    """How many classes only one side has: a name that is never used again is no gain."""
    return sum(map(len, vocabulary(ours, theirs)))


def _distance(ours: Counts, theirs: Counts, results: Sequence[Result]) -> float:
    """In floors; what is nearer than real drives are from each other is no gain either."""
    values = [replace(result, value=max(result.measure.distance(ours, theirs), result.floor)) for result in results]
    return times_apart(values)


def _differs(name: str, other: str, space: str) -> bool:
    """Whether a class has an id of its own there, and another class is another one in the words of all."""
    return label_id(space, name) != label_id(space, other) and label_id(COMMON_SPACE, name) != label_id(
        COMMON_SPACE, other
    )


@dataclass(frozen=True)
class _Chosen:
    """Some label maps of a sequence."""

    read: Callable[[int], NDArray[np.uint8]]
    indices: tuple[int, ...]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        return self.read(self.indices[index])


def _evenly(sequences: Sequence[MapSequence]) -> list[MapSequence]:
    share = math.ceil(NUM_FRAMES / len(sequences))
    found = []
    for sequence in sequences:
        indices = np.unique(
            np.linspace(0, sequence.num_frames - 1, min(share, sequence.num_frames)).round().astype(int)
        )
        read = _Chosen(sequence.read, tuple(indices.tolist()))
        found.append(MapSequence(sequence.name, len(indices), read))  # without a rate: the frames are not consecutive
    return found


def told(fit: ClassFit) -> list[str]:
    """Return what a fit renames, with its evidence."""
    if not fit.gains:
        return [f"No class comes closer by another name ({fit.num_tried} tried)"]
    said = [
        f"{title}: labels at {distance:.2f} times the distance between real drives" for title, distance in fit.gains
    ]
    return [f"Without other names: labels at {fit.before:.2f}", *said, f"{fit.num_tried} readings tried"]


def write_classes(fit: ClassFit, folder: Path) -> Path:
    """Write the renamings as edits into a folder; raises OutputError if that cannot be."""
    path = folder / CLASSES_NAME
    rules = [{"classes": list(rule.classes), "to": rule.to} for rule in fit.edits.rules]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            b"# Found by `vidrive gap --fit-classes`: edits, for --edits of vidrive gap, demo, drive and render.\n"
            + msgspec.yaml.encode({"rules": rules})
        )
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", "Choose another --out") from None
    return path
