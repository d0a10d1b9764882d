"""Where pictures come from: a folder of PNG or JPEG, of folders of them, a data set, or recordings; by sequence."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import OutputError, RecordingError, UsageError
from clients.gap.datasets import picture_folders, recordings_in
from clients.recordings.pairs import RecordedPairs

SUFFIXES: Final = (".png", ".jpg", ".jpeg")
_LAST_NUMBER: Final = re.compile(r"\d+(?=\D*$)")
_GIVE_PICTURES: Final = "Name a folder of PNG or JPEG pictures, or a recording"


@dataclass(frozen=True)
class PictureSequence:
    """Pictures that follow each other: `read(index)` gives one, (H,W,3) u8 RGB.

    `rows` are the frames of a recording that they belong to; () of files, which are counted as they come.
    """

    name: str
    num_frames: int
    read: Callable[[int], NDArray[np.uint8]]
    rows: tuple[int, ...] = ()


def sequence_prefix(stem: str) -> str:
    """Return what a file's name shares with those of its sequence: all but its last number."""
    return _LAST_NUMBER.sub("", stem, count=1)


def find_pictures(root: Path, plane: str = "") -> list[PictureSequence]:
    """Return the sequences of pictures under a path; of a recording those of `plane`, "": synthesized if it has them.

    In a plain folder the names say which belong together: all but their last number. Raises UsageError for a folder
    that is missing or holds none, RecordingError for a recording without.
    """
    recordings = recordings_in(root)
    if recordings:
        return [_of_recording(recording, plane) for recording in recordings]
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise UsageError(f"{root} {what}, and pictures come from a folder", _GIVE_PICTURES)
    groups: dict[str, list[Path]] = {}
    for top in picture_folders(root):
        for folder in (top, *sorted(child for child in top.iterdir() if child.is_dir())):
            for path in sorted(folder.iterdir()):
                if path.suffix.lower() in SUFFIXES:
                    name = sequence_prefix(path.stem).strip("_-. ") if folder == top else folder.name
                    groups.setdefault(name, []).append(path)
    if sum(map(len, groups.values())) < 2:
        raise UsageError(f"{root} holds fewer than two pictures", _GIVE_PICTURES)
    return [
        PictureSequence(name or root.name, len(paths), _PictureFiles(tuple(paths))) for name, paths in groups.items()
    ]


@dataclass(frozen=True)
class _PictureFiles:
    paths: tuple[Path, ...]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        return read_picture(self.paths[index])


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return a picture file, (H,W,3) u8 RGB; raises UsageError for one that is damaged or cannot be read."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", "Check the file") from None
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if bgr is None:
        raise UsageError(f"{path} is a damaged picture", "Get or write the file again")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def write_picture(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write a (H,W,3) u8 RGB picture as PNG; raises OutputError where that cannot be."""
    if not cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)):
        raise OutputError(f"{path} cannot be written", "Choose another folder")


def _of_recording(folder: Path, plane: str) -> PictureSequence:
    pairs = RecordedPairs(folder)
    has = [name for name in ("synthesized", "rgb") if name in pairs.recording.manifest.planes]
    if not has or (plane and plane not in has):
        raise RecordingError(f"{folder} has no {plane or 'pictures'}", "Record without --no-render and --pictures none")
    kept = plane or has[0]
    indices = tuple(index for index in range(len(pairs)) if _has(pairs, kept, index))
    if len(indices) < 2:
        raise RecordingError(f"{folder} has fewer than two {kept} pictures", "Record a longer drive")

    def read(index: int) -> NDArray[np.uint8]:
        picture = pairs.picture(kept, indices[index])
        if picture is None:
            raise RecordingError(f"{folder} has lost the {kept} picture {indices[index]}", "Get the recording again")
        return picture

    return PictureSequence(f"{folder.name}, {kept}", len(indices), read, indices)


def _has(pairs: RecordedPairs, plane: str, index: int) -> bool:
    row = pairs.recording.rows[index]
    return plane in row.pictures or plane in row.records
