"""Photos with their label maps, read from a folder, and the lane marks that hand-made label maps leave out."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import LabelError, UsageError, VidriveError
from bridge.protocol.labels import LabelSpace, map_labels
from renderer.tones import NUM_TONES, ToneConfig, read_tones, with_tones
from renderer.train.grade import StyleConfig, grade
from renderer.train.layouts import IMAGE_FOLDER, LABEL_FOLDER, Pair, find_pairs


class LaneMarkConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How painted marks are found on the road of a photo, where its labels do not have them; sizes at full size."""

    road_id: int
    mark_id: int
    stroke_width_px: int  # what is brighter than its surroundings within this box is a stroke
    stroke_height_px: int
    min_contrast: int  # grey levels above the road around it
    min_brightness: int  # grey level
    min_above_road: int  # grey levels above the middle one of the road's
    border_px: int  # kept away from the edge of the road, where kerbs shine
    closing_px: int  # gaps below this are closed
    min_area_px: int


class DataConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a folder is used. A drive is what a file name begins with, up to its first underscore."""

    excluded_drives: tuple[str, ...]
    lane_marks: LaneMarkConfig | None
    styles: tuple[StyleConfig, ...] = ()
    """The looks that a generator with styles learns, in the order of its own; () one look, of all photos."""
    label_space: LabelSpace | None = None
    """What the ids of the files mean, where that is not the preset's; Cityscapes' layout says it itself."""
    tones: ToneConfig | None = None
    """How tones are read off the photos, for a generator with as many labels as classes times tones."""


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo (H,W,3) u8 RGB, its label map (H,W) u8, its file name without suffix, and which style it shows."""

    name: str
    rgb: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    style: int = field(default=0, kw_only=True)

    @property
    def drive(self) -> str:
        """The drive that the photo is of; see `DataConfig`."""
        return _drive(self.name)


def load_photos(
    folder: Path,
    config: DataConfig,
    num_labels: int,
    measured_style: str | None = None,
    label_space: LabelSpace | None = None,
) -> list[LabelledPhoto]:
    """Return the photos of ROOT/SPLIT with their label maps, in any of `renderer.train.layouts`, sorted, in memory.

    Label maps of another label space are mapped to `label_space` by its table; None leaves all as they are.

    Where there are styles, photos of one are followed by those of the next, graded as it says; or, to measure one, all
    are of `measured_style` and as they are.

    Raises UsageError for a missing folder, a file without its partner or one that cannot be read, and LabelError for
    a label map that is no single channel of 8-bit ids below `num_labels`, or not of its photo's size.
    """
    pairs = used_pairs(folder, config, label_space)
    reads = _Reading(config, num_labels if config.tones is None else num_labels // NUM_TONES, label_space)
    names = [style.name for style in config.styles]
    wanted: list[tuple[Pair, int, StyleConfig | None]]
    if measured_style is not None or not names:
        number = names.index(measured_style) if measured_style in names else 0
        wanted = [(pair, number, None) for pair in pairs]
    else:
        wanted = [
            (pair, number, style)
            for number, style in enumerate(config.styles)
            for pair in pairs
            if not style.drives or _drive(pair.name) in style.drives
        ]
    if not wanted:
        raise _no_drives(folder, config)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        photos = threads.map(lambda one: _load_pair(one[0], reads, one[1], one[2]), wanted)
        return [
            photo
            for photo, (_, _, style) in zip(photos, wanted, strict=True)
            for _ in range(1 if style is None else style.repeat)
        ]


def complaints(
    folder: Path, config: DataConfig, num_labels: int, label_space: LabelSpace, check: Callable[[LabelledPhoto], None]
) -> list[str]:
    """Return a sentence for each pair of ROOT/SPLIT that cannot be used or that `check` refuses; every file is read.

    Raises UsageError as `load_photos` where there are no pairs to be read.
    """
    num_classes = num_labels if config.tones is None else num_labels // NUM_TONES
    reading = _Reading(config, num_classes, label_space)
    pairs = used_pairs(folder, config, label_space)
    names = {drive for style in config.styles for drive in style.drives}
    if names and all(style.drives for style in config.styles) and not any(_drive(pair.name) in names for pair in pairs):
        raise _no_drives(folder, config)
    return [said for pair in pairs if (said := _complaint(pair, reading, check))]


def _complaint(pair: Pair, reading: _Reading, check: Callable[[LabelledPhoto], None]) -> str:
    try:
        check(_load_pair(pair, reading, 0))
    except VidriveError as error:
        return str(error)
    return ""


def mark_lanes(rgb: NDArray[np.uint8], labels: NDArray[np.uint8], config: LaneMarkConfig) -> NDArray[np.uint8]:
    """Return the label map (H,W) u8 with painted marks as a class: thin, bright and well inside the road."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    stroke = np.ones((config.stroke_height_px, config.stroke_width_px), np.uint8)
    contrast = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, stroke)
    border = np.ones((config.border_px, config.border_px), np.uint8)
    road = labels == config.road_id
    if not road.any():
        return labels
    inner_road = cv2.erode(road.astype(np.uint8), border) > 0
    bright = grey > max(config.min_brightness, float(np.median(grey[road])) + config.min_above_road)
    marks = ((contrast > config.min_contrast) & bright & inner_road).astype(np.uint8)
    gaps = np.ones((config.closing_px, config.closing_px), np.uint8)
    _, component, statistics, _ = cv2.connectedComponentsWithStats(cv2.morphologyEx(marks, cv2.MORPH_CLOSE, gaps))
    large_enough = statistics[:, cv2.CC_STAT_AREA] >= config.min_area_px
    large_enough[0] = False  # what is no mark
    marked = labels.copy()
    marked[large_enough[np.asarray(component, np.int32)]] = config.mark_id
    return marked


def _drive(name: str) -> str:
    return name.partition("_")[0]


def used_pairs(folder: Path, config: DataConfig, label_space: LabelSpace | None) -> list[Pair]:
    """Return the pairs of ROOT/SPLIT but those of excluded drives, each with the label space that it is mapped from.

    Raises UsageError where there are none.
    """
    pairs = [
        Pair(pair.name, pair.photo, pair.labels, _mapped_from(pair, config, label_space))
        for pair in find_pairs(folder.parent, folder.name)
        if _drive(pair.name) not in config.excluded_drives
    ]
    if not pairs:
        raise UsageError(
            f"{folder} holds no photos to use",
            f"Put them into {IMAGE_FOLDER}/ and their label maps into {LABEL_FOLDER}/",
        )
    return pairs


def _no_drives(folder: Path, config: DataConfig) -> UsageError:
    drives = ", ".join(sorted({drive for style in config.styles for drive in style.drives}))
    return UsageError(
        f"{folder} holds no photos of the drives {drives}",
        "Name its drives in data.styles; or learn one look: --set data.styles=[] --set generator.styles=[]",
    )


@dataclass(frozen=True)
class _Reading:
    """How pairs are read: as `config` says, with ids below `num_classes`, mapped to `label_space` if that is given."""

    config: DataConfig
    num_classes: int
    label_space: LabelSpace | None


def _mapped_from(pair: Pair, config: DataConfig, label_space: LabelSpace | None) -> LabelSpace | None:
    """Return the label space that a pair's labels are mapped from, None where they stay as they are."""
    space = config.label_space or pair.label_space
    return None if label_space is None or space == label_space else space


def _load_pair(pair: Pair, reading: _Reading, style: int, grading: StyleConfig | None = None) -> LabelledPhoto:
    photo_path, labels_path, config, num_classes = pair.photo, pair.labels, reading.config, reading.num_classes
    bgr = read_picture(photo_path, cv2.IMREAD_COLOR)
    labels = read_picture(labels_path, cv2.IMREAD_UNCHANGED)
    rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise LabelError(f"{labels_path} is {labels.dtype} {labels.shape}", "Give one channel of 8-bit class ids")
    if labels.shape != rgb.shape[:2]:
        raise LabelError(
            f"{labels_path} is {labels.shape[1]}x{labels.shape[0]}, its photo {rgb.shape[1]}x{rgb.shape[0]}",
            "A photo and its label map have the same size",
        )
    if pair.label_space is not None and reading.label_space is not None:
        labels = map_to(labels_path, labels, pair.label_space, reading.label_space)
    if int(labels.max()) >= num_classes:
        raise LabelError(
            f"{labels_path} holds the id {int(labels.max())}, the generator knows 0 to {num_classes - 1}",
            "Say what space they are of: --set data.label_space=cityscapes, for example",
        )
    marked = labels if config.lane_marks is None else mark_lanes(rgb, labels, config.lane_marks)
    if grading is not None:
        rgb = grade(rgb, labels, grading, seed=zlib.crc32(pair.name.encode()))
    if config.tones is not None:
        marked = with_tones(marked, read_tones(rgb, marked, config.tones), num_classes)
    return LabelledPhoto(pair.name, rgb, marked, style=style)


def map_to(path: Path, labels: NDArray[np.uint8], source: LabelSpace, target: LabelSpace) -> NDArray[np.uint8]:
    """Return the label map (H,W) u8 of a file in another label space; raises LabelError for ids that have no place."""
    try:
        return map_labels(labels, source, target)
    except LabelError as error:
        raise LabelError(f"{path}: {error.what}", "Set data.label_space to what its ids are of") from None


def read_picture(path: Path, mode: int) -> NDArray[Any]:
    """Return a picture as `cv2.imread` does in a mode; raises UsageError where it cannot be read."""
    picture = cv2.imread(str(path), mode) if path.is_file() else None
    if picture is None:
        raise UsageError(f"the picture {path} cannot be read", "Get the file again")
    return np.asarray(picture)
