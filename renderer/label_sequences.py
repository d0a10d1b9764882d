"""Finds the frames of an offline input: which files belong to which sequence, in which order, of which size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bridge.protocol.errors import LabelError, UsageError
from renderer.dense_pictures import PICTURE_SUFFIXES, PLANE_SUFFIXES, plane_size_hw
from renderer.label_pictures import read_header

LABEL_SUFFIXES: Final = (".png",)


@dataclass(frozen=True)
class Layout:
    """A root in a published layout: the folders of frames (several where a frame's planes are split), of instance maps
    (of face parts for edge maps) and of real pictures; only the first must be there."""

    frames: tuple[str, ...]
    instances: str
    pictures: tuple[str, ...]


# vid2vid's, pix2pixHD's, imaginaire's: a folder of sequence folders, and others of the same names beside it
LABEL_LAYOUTS: Final = (
    Layout(("test_A",), "test_inst", ("test_B",)),
    Layout(("train_A",), "train_inst", ("train_B",)),
    Layout(("test_label",), "test_inst", ("test_img",)),
    Layout(("train_label",), "train_inst", ("train_img",)),
    Layout(("seg_maps",), "instance_maps", ("images",)),
)
DENSE_LAYOUTS: Final = (
    Layout(("test_densepose", "test_openpose"), "test_inst", ("test_img", "test_B")),
    Layout(("train_densepose", "train_openpose"), "train_inst", ("train_img", "train_B")),
    Layout(("test_A",), "test_inst", ("test_img", "test_B")),
    Layout(("train_A",), "train_inst", ("train_img", "train_B")),
)
_CITYSCAPES_LABELS: Final = "_labelIds.png"
_CITYSCAPES_INSTANCES: Final = "_instanceIds.png"


@dataclass(frozen=True)
class LabelSequence:
    """Consecutive frames of one size (height, width), in the order of their names.

    `name` is the sequence folder's, "" if the input has no such folders. `labels` are label maps, or of a model of edge
    maps and poses its planes, whose second half is in `more_planes` where two folders hold them. `instances` are the
    instance maps (the face parts) of the same frames, `pictures` their real pictures, `first_frames` those to begin
    with: each () if there are none.
    """

    name: str
    labels: tuple[Path, ...]
    instances: tuple[Path, ...]
    size_hw: tuple[int, int]
    more_planes: tuple[Path, ...] = ()
    pictures: tuple[Path, ...] = ()
    first_frames: tuple[Path, ...] = ()


def find_sequences(root: Path, dense_channels: int = 0) -> list[LabelSequence]:
    """Return the sequences of a folder of frames, of a folder of such folders, or of a root in a published layout.

    `dense_channels` is how many planes a model of edge maps or poses reads, 0 for one of labels. Every file's header
    is checked. Raises UsageError or LabelError for a folder that is missing, holds no frames, mixes sizes in a
    sequence, or has instance maps that do not match.
    """
    what = "edge maps or poses" if dense_channels else "label PNGs"
    if not root.exists():
        raise UsageError(f"there is no folder {root}", f"Name a folder of {what}")
    if not root.is_dir():
        raise UsageError(f"{root} is a file", f"Name a folder of {what}")
    for layout in DENSE_LAYOUTS if dense_channels else LABEL_LAYOUTS:
        if all((root / name).is_dir() for name in layout.frames):
            return _Finder(root, layout, dense_channels).find()
    if dense_channels and any((root / f"{split}_keypoints").is_dir() for split in ("test", "train")):
        raise UsageError(
            f"{root} holds key points, and the model reads edge maps that are drawn from them",
            f"Put the {dense_channels} planes of each frame into test_A as .npy, and the face parts into test_inst",
        )
    return _Finder(root, None, dense_channels).find()


def find_in_layout(root: Path, layout: Layout) -> list[LabelSequence]:
    """Return the sequences of label maps of a root in one published layout; errors as `find_sequences`."""
    return _Finder(root, layout, 0).find()


def with_first_frames(sequences: list[LabelSequence], folder: Path) -> list[LabelSequence]:
    """Return the sequences with the pictures of a folder to begin with: in sequence folders of the same names, or, of a
    single sequence, in the folder itself. Raises UsageError if one of them has none."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "Name the folder of the first frames")
    given = []
    for sequence in sequences:
        own = folder / sequence.name
        found = _files(own, PICTURE_SUFFIXES)
        if not found and len(sequences) == 1:
            found = _files(folder, PICTURE_SUFFIXES)
        if not found:
            raise UsageError(
                f"{own} holds no pictures to begin sequence {sequence.name or sequence.labels[0].parent.name} with",
                "Put its first two frames there as PNG or JPEG",
            )
        given.append(replace(sequence, first_frames=found))
    return given


class _Finder:
    """Looks in one root, by one layout or none."""

    def __init__(self, root: Path, layout: Layout | None, dense_channels: int) -> None:
        self._dense_channels = dense_channels
        self._suffixes = PLANE_SUFFIXES if dense_channels else LABEL_SUFFIXES
        self._frames = [root / name for name in layout.frames] if layout else [root]
        self._instances = _folder(root, (layout.instances,)) if layout else None
        self._pictures = _folder(root, layout.pictures) if layout else None

    def find(self) -> list[LabelSequence]:
        """Return the sequences in the order of their names; raises UsageError if there are none."""
        first = self._frames[0]
        if _files(first, self._suffixes):
            return [self._sequence("")]
        children = sorted(child.name for child in first.iterdir() if child.is_dir())
        names = [name for name in children if _files(first / name, self._suffixes)]
        if not names:
            kinds = "PNGs" if self._suffixes == LABEL_SUFFIXES else "edge maps or poses"
            raise UsageError(f"there are no {kinds} in {first}", "Name a folder of label PNGs, or a root that has them")
        return [self._sequence(name) for name in names]

    def _sequence(self, name: str) -> LabelSequence:
        labels, instances = self._split(_files(self._frames[0] / name, self._suffixes))
        size_hw = self._common_size(labels)
        if self._instances is not None:
            instances = _files(self._instances / name, LABEL_SUFFIXES)
            if len(instances) != len(labels):
                raise UsageError(
                    f"{self._instances / name} has {len(instances)} instance maps for {len(labels)} label maps",
                    "Give one for each, or none",
                )
        more_planes: tuple[Path, ...] = ()
        if len(self._frames) > 1:
            more_planes = _files(self._frames[1] / name, self._suffixes)
            if len(more_planes) != len(labels):
                more, first = self._frames[1] / name, self._frames[0] / name
                raise UsageError(
                    f"{more} has {len(more_planes)} frames, and {first} {len(labels)}", "Give both for each frame"
                )
        pictures = _files(self._pictures / name, PICTURE_SUFFIXES) if self._pictures is not None else ()
        return LabelSequence(name, labels, instances, size_hw, more_planes, pictures)

    def _split(self, files: tuple[Path, ...]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        """Return label maps and instance maps of one folder: Cityscapes keeps both in one, beside coloured pictures."""
        labels = tuple(file for file in files if file.name.endswith(_CITYSCAPES_LABELS))
        if not labels or self._dense_channels:
            return files, ()
        stems = [file.name.removesuffix(_CITYSCAPES_LABELS) for file in labels]
        instances = [file.with_name(stem + _CITYSCAPES_INSTANCES) for file, stem in zip(labels, stems, strict=True)]
        return labels, tuple(instances) if all(file.is_file() for file in instances) else ()

    def _common_size(self, files: tuple[Path, ...]) -> tuple[int, int]:
        sizes = [self._size(path) for path in files]
        for path, size_hw in zip(files, sizes, strict=True):
            if size_hw != sizes[0]:
                raise LabelError(
                    f"{path} is {size_hw[1]}x{size_hw[0]}, the first of its sequence {sizes[0][1]}x{sizes[0][0]}",
                    "Put pictures of another size in a folder of their own",
                )
        return sizes[0]

    def _size(self, path: Path) -> tuple[int, int]:
        if self._dense_channels:
            return plane_size_hw(path, self._dense_channels // len(self._frames))
        return read_header(path).size_hw


def _folder(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _files(folder: Path, suffixes: tuple[str, ...]) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.is_file()))
