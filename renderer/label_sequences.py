"""Finds the label maps of an offline input: which PNGs belong to which sequence, in which order, of which size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.protocol.errors import LabelError, UsageError
from renderer.label_pictures import read_header

# vid2vid's layout: a folder of sequence folders with label maps, and one with instance maps beside it
LAYOUTS: Final = (("test_A", "test_inst"), ("train_A", "train_inst"))


@dataclass(frozen=True)
class LabelSequence:
    """Consecutive label maps of one size (height, width): a folder's PNGs in the order of their names.

    `name` is the sequence folder's, "" if the input has no such folders; `instances` are the instance maps of the same
    frames, () if there are none.
    """

    name: str
    labels: tuple[Path, ...]
    instances: tuple[Path, ...]
    size_hw: tuple[int, int]


def find_sequences(root: Path) -> list[LabelSequence]:
    """Return the sequences of a folder of PNGs, of a folder of such folders, or of a root in vid2vid's layout.

    Every file's header is checked. Raises UsageError or LabelError for a folder that is missing, holds no PNGs, mixes
    sizes in a sequence, or has instance maps that do not match.
    """
    if not root.exists():
        raise UsageError(f"there is no folder {root}", "Name a folder of label PNGs")
    if not root.is_dir():
        raise UsageError(f"{root} is a file", "Name a folder of label PNGs")
    for labels_name, instances_name in LAYOUTS:
        if (root / labels_name).is_dir():
            instances = root / instances_name
            return _sequences(root / labels_name, instances if instances.is_dir() else None)
    return _sequences(root, None)


def _sequences(folder: Path, instances: Path | None) -> list[LabelSequence]:
    if _pictures(folder):
        return [_sequence("", folder, instances)]
    names = sorted(child.name for child in folder.iterdir() if child.is_dir() and _pictures(child))
    if not names:
        raise UsageError(f"there are no PNGs in {folder}", "Name a folder of label PNGs")
    return [_sequence(name, folder / name, instances / name if instances else None) for name in names]


def _sequence(name: str, folder: Path, instances: Path | None) -> LabelSequence:
    labels = _pictures(folder)
    sizes = [read_header(path).size_hw for path in labels]
    for path, size_hw in zip(labels, sizes, strict=True):
        if size_hw != sizes[0]:
            raise LabelError(
                f"{path} is {size_hw[1]}x{size_hw[0]}, the first of its sequence {sizes[0][1]}x{sizes[0][0]}",
                "Put pictures of another size in a folder of their own",
            )
    ids = _pictures(instances) if instances else ()
    if instances and len(ids) != len(labels):
        raise UsageError(
            f"{instances} has {len(ids)} instance maps for {len(labels)} label maps", "Give one for each, or none"
        )
    return LabelSequence(name, labels, ids, sizes[0])


def _pictures(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png" and path.is_file()))
