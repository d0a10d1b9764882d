"""Pairs of a photo and its label map in the layouts that people have them in; single frames, in any order.

ROOT/SPLIT/image/NAME.jpg  ROOT/SPLIT/label/NAME.png                             this project's
ROOT/SPLIT/NAME.png        ROOT/SPLITannot/NAME.png                              CamVid's, as SegNet's tutorial has it
ROOT/leftImg8bit/SPLIT/CITY/*_leftImg8bit.png  ROOT/gtFine/SPLIT/CITY/*_gtFine_labelIds.png   Cityscapes'
ROOT/train_B/SEQ/NAME.png  ROOT/train_A/SEQ/NAME.png                             vid2vid's; "val" is test_A and test_B
A SPLIT is "train" or "val".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.protocol.errors import UsageError
from bridge.protocol.labels import LabelSpace

IMAGE_FOLDER: Final = "image"
LABEL_FOLDER: Final = "label"
_PHOTO_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_CITYSCAPES_PICTURES: Final = ("leftImg8bit", "leftImg8bit_sequence")
_CITYSCAPES_LABELS: Final = "_gtFine_labelIds.png"
_VID2VID_SPLITS: Final = {"train": "train", "val": "test"}


@dataclass(frozen=True)
class Pair:
    """The files of a photo and of its label map, in `label_space` where the layout says it; `name` is unique."""

    name: str
    photo: Path
    labels: Path
    label_space: LabelSpace | None = None


def has_split(root: Path, split: str) -> bool:
    """Whether a data set has a split, in whichever layout."""
    return any(folder.is_dir() for folder in (root / split, root / "gtFine" / split, _vid2vid(root, split, "A")))


def find_pairs(root: Path, split: str) -> list[Pair]:
    """Return the pairs of a split by name; raises UsageError for missing folders or a file without its partner."""
    if (root / "gtFine" / split).is_dir():
        return _cityscapes(root, split)
    if _vid2vid(root, split, "A").is_dir():
        return _sequences(_vid2vid(root, split, "B"), _vid2vid(root, split, "A"))
    if (root / f"{split}annot").is_dir():
        return _matched(root / split, root / f"{split}annot")
    return _matched(root / split / IMAGE_FOLDER, root / split / LABEL_FOLDER)


def _vid2vid(root: Path, split: str, part: str) -> Path:
    return root / f"{_VID2VID_SPLITS.get(split, split)}_{part}"


def _cityscapes(root: Path, split: str) -> list[Pair]:
    pairs: list[Pair] = []
    for labels in sorted((root / "gtFine" / split).glob(f"*/*{_CITYSCAPES_LABELS}")):
        name = labels.name.removesuffix(_CITYSCAPES_LABELS)
        place = Path(split) / labels.parent.name / f"{name}_leftImg8bit.png"
        photo = next(
            (root / folder / place for folder in _CITYSCAPES_PICTURES if (root / folder / place).is_file()), None
        )
        if photo is None:
            raise UsageError(f"{labels} has no picture leftImg8bit/{place}", "Unpack leftImg8bit beside gtFine")
        pairs.append(Pair(name, photo, labels, "cityscapes"))
    return pairs


def _sequences(photos: Path, labels: Path) -> list[Pair]:
    pairs: list[Pair] = []
    for folder in sorted(path for path in labels.iterdir() if path.is_dir()):
        drive = folder.name.replace("_", "-")
        pairs += [
            Pair(f"{drive}_{pair.name}", pair.photo, pair.labels) for pair in _matched(photos / folder.name, folder)
        ]
    return pairs


def _matched(photos: Path, labels: Path) -> list[Pair]:
    """Return the files of two folders that have the same names but for their suffixes."""
    for part in (photos.parent, photos, labels):
        if not part.is_dir():
            raise UsageError(
                f"there is no folder {part}",
                f"Training data is {IMAGE_FOLDER}/NAME.jpg with {LABEL_FOLDER}/NAME.png, in each of train/ and val/, "
                "or in the layout of Cityscapes, CamVid or vid2vid",
            )
    photo_of = {path.stem: path for path in photos.iterdir() if path.suffix.lower() in _PHOTO_SUFFIXES}
    labels_of = {path.stem: path for path in labels.iterdir() if path.suffix.lower() == ".png"}
    _refuse_single(photos, photo_of, labels_of, "label map")
    _refuse_single(labels, labels_of, photo_of, "photo")
    return [Pair(name, photo_of[name], labels_of[name]) for name in sorted(photo_of)]


def _refuse_single(folder: Path, files: Mapping[str, Path], others: Mapping[str, Path], partner: str) -> None:
    names: Sequence[str] = sorted(files.keys() - others.keys())
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise UsageError(
            f"{folder} has {names[0]}{more} without a {partner}", "A photo and its label map have the same name"
        )
