"""Where a data set keeps its label maps and pictures: a person names its root, or a folder of several recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bridge.recording.manifest import is_recording

SPLITS: Final = (".", "train", "val", "test")
# Label maps and the pictures of the same frames, below a root: plain, CamVid as SegNet's authors sort it, Cityscapes.
PLACES: Final = (
    *((f"{split}/{labels}", f"{split}/{pictures}")
      for split in SPLITS for labels, pictures in (("label", "image"), ("labels", "images"))),
    *((f"{split}annot", split) for split in SPLITS[1:]),
    *((f"gtFine/{split}", f"leftImg8bit/{split}") for split in SPLITS[1:3]),
)  # fmt: skip


def label_folders(root: Path) -> list[Path]:
    """Return the folders of a data set's label maps; the root itself where it is no data set's."""
    return [root / labels for labels, _ in PLACES if (root / labels).is_dir()] or [root]


def picture_folders(root: Path) -> list[Path]:
    """Return the folders of a data set's pictures; the root itself where it is no data set's."""
    return [root / pictures for labels, pictures in PLACES if _has_both(root, labels, pictures)] or [root]


def has_pictures(root: Path) -> bool:
    """Return whether a root is a data set's that keeps pictures beside its label maps."""
    return any(_has_both(root, labels, pictures) for labels, pictures in PLACES)


def recordings_in(root: Path) -> list[Path]:
    """Return the recordings that a path is or holds, by name; [] for none."""
    if is_recording(root):
        return [root]
    return sorted(child for child in root.iterdir() if is_recording(child)) if root.is_dir() else []


def _has_both(root: Path, labels: str, pictures: str) -> bool:
    return (root / labels).is_dir() and (root / pictures).is_dir()
