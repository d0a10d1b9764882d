"""Where label maps come from: a folder of PNGs, a root in a published layout, or recordings; by sequence."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.edits.rules import BEHIND, NO_EDITS, Edits
from bridge.protocol.errors import LabelError, UsageError
from bridge.protocol.labels import label_id, map_labels
from bridge.recording.reader import Recording
from clients.gap.datasets import label_folders, recordings_in
from renderer.label_pictures import read_label_map
from renderer.label_sequences import find_sequences

COMMON_SPACE: Final = "camvid"  # all that a set of street label maps can be expected to tell apart
WIDTH_PX: Final = 480  # maps are compared at one width, nearest neighbour: borders are counted in pixels
_LAST_NUMBER: Final = re.compile(r"\d+(?=\D*$)")


@dataclass(frozen=True)
class MapSequence:
    """Consecutive label maps: `read(index)` gives one, (H,W) u8 of the common space and width.

    `rate_hz` is how many there are to a second, 0 where nobody knows.
    """

    name: str
    num_frames: int
    read: Callable[[int], NDArray[np.uint8]]
    rate_hz: float = 0.0


def find_maps(root: Path, space: str, rate_hz: float = 0.0, edits: Edits = NO_EDITS) -> list[MapSequence]:
    """Return the sequences of label maps under a path; `space` is the label space of PNGs, a recording knows its own.

    The path is a folder of PNGs or of folders of them, a data set's root (see `datasets`), a recording, or a folder of
    recordings, each of which is a sequence.

    `rate_hz` is how many PNGs there are to a second, 0: nobody knows. `edits` rename classes first.

    In a plain folder the names say which maps belong together: all but their last number. Raises UsageError,
    LabelError or RecordingError for what holds no label maps, UsageError for edits that do more than rename.
    """
    recordings = recordings_in(root)
    if recordings:
        return [_of_recording(recording, edits) for recording in recordings]
    groups: dict[str, list[Path]] = {}
    for folder in label_folders(root):
        for sequence in find_sequences(folder):
            for path in sequence.labels:
                prefix = sequence.name or _LAST_NUMBER.sub("", path.stem, count=1).strip("_-. ") or root.name
                groups.setdefault(prefix, []).append(path)
    if sum(map(len, groups.values())) < 2:
        raise UsageError(f"{root} holds one label map, and a gap needs more", "Give at least a few dozen")
    table = renamed(edits, space)
    return [
        MapSequence(name, len(paths), _PngMaps(tuple(paths), space, table), rate_hz) for name, paths in groups.items()
    ]


def space_of(root: Path, space: str) -> str:
    """Return the label space of the label maps under a path: `space`, or what its first recording says."""
    recordings = recordings_in(root)
    return Recording(recordings[0]).manifest.label_space if recordings else space


@dataclass(frozen=True)
class _PngMaps:
    """Reads PNGs; a class of its own so that worker processes can be given one."""

    paths: tuple[Path, ...]
    space: str
    table: NDArray[np.uint8]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        path = self.paths[index]
        try:
            return to_common(_looked_up(read_label_map(path), self.table), self.space)
        except LabelError as error:
            what = error.what if str(path) in error.what else f"{path}: {error.what}"
            raise LabelError(what, error.hint) from None


@dataclass(frozen=True)
class _RecordedMaps:
    """Reads a recording's label maps."""

    folder: Path
    table: NDArray[np.uint8]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        recording = _opened(self.folder)
        labels = recording.plane("labels", index)
        if labels is None:
            raise UsageError(f"{self.folder} has no label map {index}", "Record again")
        return to_common(_looked_up(labels, self.table), recording.manifest.label_space)


@lru_cache(maxsize=2)
def _opened(folder: Path) -> Recording:
    """A recording, opened once in each process: a long one's table takes a second to read."""
    return Recording(folder)


def _of_recording(folder: Path, edits: Edits) -> MapSequence:
    recording = Recording(folder)
    times_s = [row.time_s for row in recording.rows]
    lasts_s = times_s[-1] - times_s[0]
    rate_hz = (len(times_s) - 1) / lasts_s if lasts_s > 0 else 0.0
    return MapSequence(
        folder.name, len(recording), _RecordedMaps(folder, renamed(edits, recording.manifest.label_space)), rate_hz
    )


def _looked_up(label_map: NDArray[np.uint8], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.LUT(label_map, table), np.uint8)


def renamed(edits: Edits, space: str) -> NDArray[np.uint8]:
    """Return (256,) u8: the id that each id of a label space becomes by the rules that are on.

    Raises UsageError for paint, and for rules that need more than a label map: of objects, or "behind".
    """
    table = np.arange(256, dtype=np.uint8)
    active = [rule for rule in edits.rules if rule.enabled]
    for rule in reversed(active):  # the first that fits is written last
        if not rule.classes or rule.to == BEHIND:
            raise UsageError(f"the rule {rule.title!r} is not of classes alone", "Name edits that rename classes")
        table[[label_id(space, name) for name in rule.classes]] = label_id(space, rule.to)
    if edits.dabs:
        raise UsageError("these edits hold paint, and label maps have no places", "Name edits that rename classes")
    return table


def to_common(label_map: NDArray[np.uint8], space: str) -> NDArray[np.uint8]:
    """Return a (H,W) u8 label map of `space` in the common space and width, (h,480); LabelError for unknown ids."""
    height_px, width_px = label_map.shape
    mapped = map_labels(label_map, space, COMMON_SPACE)
    size_px = (WIDTH_PX, max(2, round(height_px * WIDTH_PX / width_px)))
    return np.asarray(cv2.resize(mapped, size_px, interpolation=cv2.INTER_NEAREST), np.uint8)
