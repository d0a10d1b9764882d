"""A data set of photos as one small file, for a machine that only so much can be carried to.

Files stay as they are where they fit; else photos become WebP, of as good a quality as fits, and smaller only then.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import UsageError
from bridge.protocol.labels import LabelSpace
from renderer.train.checkpoint import replacing
from renderer.train.clips import resize_labels
from renderer.train.data import DataConfig, map_to, read_picture, used_pairs
from renderer.train.layouts import IMAGE_FOLDER, LABEL_FOLDER, Pair, has_split

_MEBIBYTE: Final = 1 << 20
_TAR_BYTES: Final = 1024  # at most, of a file in a tar beside its own
_NUM_TRIED: Final = 24  # pairs whose size says that of all


class Packing(NamedTuple):
    """How photos are written: a share of their size, and WebP's quality; none: the file as it is."""

    scale: float
    quality: int | None


_PACKINGS: Final = (
    Packing(1.0, None),
    *(Packing(scale, quality) for scale in (1.0, 0.75, 0.5, 0.375, 0.25) for quality in (95, 90, 85, 80)),
)


class Packed(NamedTuple):
    """What was packed: photos, bytes of the file, and how."""

    num_photos: int
    num_bytes: int
    packing: Packing


def pack(data: Path, config: DataConfig, label_space: LabelSpace, out: Path, limit_mib: float) -> Packed:
    """Write the photos of train/ and val/ with their label maps to a tar in this project's layout, within a limit.

    Where the layout says what label space its ids are of they are mapped to `label_space`; those that the preset maps
    stay, as it will map them. Raises UsageError where nothing is small enough, or data cannot be read, and OutputError
    where `out` cannot be written.
    """
    mapped = label_space if config.label_space is None else None
    pairs = [(split, pair) for split in ("train", "val") for pair in _pairs(data, split, config, mapped)]
    for packing in _fitting(pairs, label_space, limit_mib * _MEBIBYTE):
        with ThreadPoolExecutor() as threads:
            files = list(threads.map(lambda one, how=packing: _files(one[1], label_space, how), pairs))
        tar = _tar([split for split, _ in pairs], files)
        if len(tar) <= limit_mib * _MEBIBYTE:
            with replacing(out) as unfinished:
                unfinished.write_bytes(tar)
            return Packed(len(pairs), len(tar), packing)
    raise UsageError(
        f"{len(pairs)} photos do not fit into {limit_mib:g} MiB", "Leave some out, or allow more with --pack-mib"
    )


def _pairs(data: Path, split: str, config: DataConfig, label_space: LabelSpace | None) -> list[Pair]:
    return used_pairs(data / split, config, label_space) if split == "train" or has_split(data, split) else []


def _fitting(pairs: Sequence[tuple[str, Pair]], label_space: LabelSpace, limit_bytes: float) -> Iterator[Packing]:
    """Yield the packings that fit by what a few pairs take, the best first."""
    tried = pairs[:: max(len(pairs) // _NUM_TRIED, 1)]
    for packing in _PACKINGS:
        each = [
            sum(len(content) + _TAR_BYTES for _, content in _files(pair, label_space, packing)) for _, pair in tried
        ]
        if np.mean(each) * len(pairs) <= limit_bytes:
            yield packing


def _tar(splits: Sequence[str], files: Sequence[Sequence[tuple[str, bytes]]]) -> bytes:
    """Return a tar of each pair's files in the folder of its split."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for split, of_pair in zip(splits, files, strict=True):
            for name, content in of_pair:
                entry = tarfile.TarInfo(f"{split}/{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return whole.getvalue()


def _files(pair: Pair, label_space: LabelSpace, packing: Packing) -> list[tuple[str, bytes]]:
    """Return the names and contents of a pair's files."""
    labels = read_picture(pair.labels, cv2.IMREAD_UNCHANGED)
    if pair.label_space is not None:
        labels = map_to(pair.labels, labels, pair.label_space, label_space)
    suffix, photo = pair.photo.suffix.lower(), pair.photo.read_bytes()
    if packing.quality is not None:
        bgr = read_picture(pair.photo, cv2.IMREAD_COLOR)
        size_px = tuple(max(round(side_px * packing.scale), 1) for side_px in bgr.shape[1::-1])
        if packing.scale < 1:
            bgr = cv2.resize(bgr, size_px, interpolation=cv2.INTER_AREA)
            labels = resize_labels(np.asarray(labels, np.uint8), *size_px)
        suffix, photo = ".webp", _encoded(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, packing.quality])
    ids = _encoded(".png", labels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return [(f"{IMAGE_FOLDER}/{pair.name}{suffix}", photo), (f"{LABEL_FOLDER}/{pair.name}.png", ids)]


def _encoded(suffix: str, picture: NDArray[Any], flags: list[int]) -> bytes:
    return cv2.imencode(suffix, picture, flags)[1].tobytes()
