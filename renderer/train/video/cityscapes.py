"""Sequences in Cityscapes' layout (Cordts et al. 2016): runs of frames that follow each other and all have labels.

DIR/gtFine/train/CITY/CITY_SEQUENCE_FRAME_gtFine_labelIds.png
DIR/leftImg8bit/train/CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png      (or leftImg8bit_sequence/)
and the split val, which is only looked at. Instance maps are read where every frame of a run has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bridge.protocol.errors import LabelError, UsageError
from renderer.label_pictures import read_header
from renderer.label_sequences import LabelSequence

_PICTURE_FOLDERS: Final = ("leftImg8bit", "leftImg8bit_sequence")
_LABEL_FOLDER: Final = "gtFine"
_LABELS: Final = re.compile(r"(?P<sequence>.+_[0-9]+)_(?P<frame>[0-9]+)_gtFine_labelIds\.png")
_LAYOUT_HINT: Final = "Give leftImg8bit/train/CITY/*_leftImg8bit.png and gtFine/train/CITY/*_gtFine_labelIds.png"


def is_cityscapes(root: Path) -> bool:
    """Whether a folder has Cityscapes' layout."""
    return (root / _LABEL_FOLDER).is_dir() and any((root / folder).is_dir() for folder in _PICTURE_FOLDERS)


def find_cityscapes(root: Path, split: str, fewest: int) -> list[LabelSequence]:
    """Return the runs of at least `fewest` labelled frames, by name; [] for a split that is not there.

    Raises UsageError where no run is long enough, or a picture is missing, and LabelError for a file that is no label
    map, or of another size than the first of its run.
    """
    folder = root / _LABEL_FOLDER / split
    if not folder.is_dir():
        return []
    runs = list(_runs(folder))
    long_enough = [run for run in runs if len(run) >= fewest]
    if not long_enough:
        raise UsageError(
            f"{folder} has {sum(map(len, runs))} label maps, at most {max(map(len, runs), default=0)} of frames in a "
            f"row, and the generator learns from {fewest}",
            "Label all frames of the snippets of leftImg8bit_sequence, by a segmentation network for instance",
        )
    return [_sequence(root, run) for run in long_enough]


def _runs(folder: Path) -> Iterator[list[Path]]:
    """Yield the label maps of each run of frames that follow each other, cities by name."""
    run: list[Path] = []
    last = ("", 0)
    for path in sorted(folder.glob("*/*_gtFine_labelIds.png")):
        match = _LABELS.fullmatch(path.name)
        if match is None:
            continue
        now = (match["sequence"], int(match["frame"]))
        if run and now != (last[0], last[1] + 1):
            yield run
            run = []
        run.append(path)
        last = now
    if run:
        yield run


def _sequence(root: Path, labels: list[Path]) -> LabelSequence:
    sizes_hw = [read_header(path).size_hw for path in labels]
    for path, size_hw in zip(labels, sizes_hw, strict=True):
        if size_hw != sizes_hw[0]:
            raise LabelError(
                f"{path} is {size_hw[1]}x{size_hw[0]}, the frame before it {sizes_hw[0][1]}x{sizes_hw[0][0]}",
                "All frames of a snippet have one size",
            )
    instances = [path.with_name(path.name.replace("_labelIds", "_instanceIds")) for path in labels]
    return LabelSequence(
        labels[0].name.removesuffix("_gtFine_labelIds.png"),
        tuple(labels),
        tuple(instances) if all(path.is_file() for path in instances) else (),
        sizes_hw[0],
        pictures=tuple(_picture(root, path) for path in labels),
    )


def _picture(root: Path, labels: Path) -> Path:
    stem = labels.name.removesuffix("gtFine_labelIds.png")
    place = Path(labels.parents[1].name) / labels.parent.name / f"{stem}leftImg8bit.png"
    for folder in _PICTURE_FOLDERS:
        if (root / folder / place).is_file():
            return root / folder / place
    raise UsageError(f"{labels} has no picture {place} in leftImg8bit", _LAYOUT_HINT)
