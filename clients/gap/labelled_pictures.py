"""Pictures with the label maps of the same frames: what their semantics and their matched crops are measured on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import UsageError
from clients.gap.label_maps import MapSequence
from clients.gap.pictures import PictureSequence


@dataclass(frozen=True)
class LabelledSequence:
    """Frames that follow each other: `picture(index)` is (H,W,3) u8 RGB, `label_map(index)` (h,w) u8 of the common
    label space, of the same view in any size."""

    name: str
    num_frames: int
    picture: Callable[[int], NDArray[np.uint8]]
    label_map: Callable[[int], NDArray[np.uint8]]


def pair_up(maps: Sequence[MapSequence], pictures: Sequence[PictureSequence]) -> list[LabelledSequence]:
    """Return the pictures with their label maps, sequence by sequence in the order of names.

    Files belong together by their order, a recording's frames by their number. Raises UsageError where that cannot be.
    """
    if len(maps) == len(pictures) and all(len(p.rows) or p.num_frames == m.num_frames
                                          for m, p in zip(maps, pictures, strict=True)):  # fmt: skip
        return [_paired(one, other) for one, other in zip(maps, pictures, strict=True)]
    counted = [sum(sequence.num_frames for sequence in side) for side in (maps, pictures)]
    raise UsageError(
        f"there are {counted[0]} label maps in {len(maps)} sequences and {counted[1]} pictures in {len(pictures)}",
        "Give one picture for each label map, named alike",
    )


def spread(sequences: Sequence[LabelledSequence], most: int) -> list[list[int]]:
    """Return which frames of each sequence to look at: `most` in all, taken evenly."""
    total = sum(sequence.num_frames for sequence in sequences)
    chosen = np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(int))
    found, first = [], 0
    for sequence in sequences:
        found.append([int(i) - first for i in chosen if first <= i < first + sequence.num_frames])
        first += sequence.num_frames
    return found


def _paired(maps: MapSequence, pictures: PictureSequence) -> LabelledSequence:
    def label_map(index: int) -> NDArray[np.uint8]:
        return maps.read(pictures.rows[index] if pictures.rows else index)

    return LabelledSequence(maps.name, pictures.num_frames, pictures.read, label_map)
