"""Label spaces: one aligned table, a row per class, and look-up tables between any two of its columns.

Ids are those of CARLA 0.9.14 and newer, CARLA 0.9.10 to 0.9.13, Cityscapes labelIds and trainIds, CamVid's eleven
classes, and "street": CamVid's ids plus 12 for painted road lines, the space of the models that ship with vidrive.
A class that a space does not have is given the id of what an annotator would have called it there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import LabelError

LabelSpace = Literal["carla", "carla-0.9.13", "cityscapes", "cityscapes-train", "camvid", "street"]
LABEL_SPACES: Final[tuple[str, ...]] = get_args(LabelSpace)
UNKNOWN: Final = 254  # what a look-up table holds for ids that the source space does not have


@dataclass(frozen=True)
class LabelClass:
    """One class, its display colour (RGB), and its id in each label space, in the order of `LABEL_SPACES`."""

    name: str
    color_rgb: tuple[int, int, int]
    ids: tuple[int, int, int, int, int, int]


def _row(name: str, color: tuple[int, int, int], *ids: int) -> LabelClass:
    carla, carla13, cityscapes, train, camvid, street = ids
    return LabelClass(name, color, (carla, carla13, cityscapes, train, camvid, street))


# Where several rows share an id in a space, the first row is what that id means when it is read.
#                            colour            carla  ≤0.9.13  labelId  trainId  CamVid  street
CLASSES: Final[tuple[LabelClass, ...]] = (
    _row("unlabeled",      (0, 0, 0),          0,     0,       0,       255,     11,     11),
    _row("road",           (128, 64, 128),     1,     7,       7,       0,       3,      3),
    _row("road line",      (157, 234, 50),     24,    6,       7,       0,       3,      12),
    _row("sidewalk",       (244, 35, 232),     2,     8,       8,       1,       4,      4),
    _row("building",       (70, 70, 70),       3,     1,       11,      2,       1,      1),
    _row("wall",           (102, 102, 156),    4,     11,      12,      3,       1,      1),
    _row("fence",          (190, 153, 153),    5,     2,       13,      4,       7,      7),
    _row("pole",           (153, 153, 153),    6,     5,       17,      5,       2,      2),
    _row("traffic sign",   (220, 220, 0),      8,     12,      20,      7,       6,      6),
    _row("traffic light",  (250, 170, 30),     7,     18,      19,      6,       6,      6),
    _row("vegetation",     (107, 142, 35),     9,     9,       21,      8,       5,      5),
    _row("terrain",        (152, 251, 152),    10,    22,      22,      9,       5,      5),
    _row("sky",            (70, 130, 180),     11,    13,      23,      10,      0,      0),
    _row("pedestrian",     (220, 20, 60),      12,    4,       24,      11,      9,      9),
    _row("car",            (0, 0, 142),        14,    10,      26,      13,      8,      8),
    _row("bicycle",        (119, 11, 32),      19,    10,      33,      18,      10,     10),
    _row("rider",          (255, 0, 0),        13,    4,       25,      12,      10,     10),
    _row("truck",          (0, 0, 70),         15,    10,      27,      14,      8,      8),
    _row("bus",            (0, 60, 100),       16,    10,      28,      15,      8,      8),
    _row("train",          (0, 80, 100),       17,    10,      31,      16,      8,      8),
    _row("motorcycle",     (0, 0, 230),        18,    10,      32,      17,      10,     10),
    _row("static",         (110, 190, 160),    20,    19,      4,       255,     11,     11),
    _row("dynamic",        (170, 120, 50),     21,    20,      5,       255,     11,     11),
    _row("other",          (55, 90, 80),       22,    3,       0,       255,     11,     11),
    _row("water",          (45, 60, 150),      23,    21,      0,       255,     11,     11),
    _row("ground",         (81, 0, 81),        25,    14,      6,       255,     4,      4),
    _row("bridge",         (150, 100, 100),    26,    15,      15,      255,     1,      1),
    _row("rail track",     (230, 150, 140),    27,    16,      10,      255,     3,      3),
    _row("guard rail",     (180, 165, 180),    28,    17,      14,      255,     7,      7),
    _row("rock",           (180, 130, 70),     29,    22,      22,      9,       5,      5),
    _row("ego vehicle",    (0, 0, 0),          0,     0,       1,       255,     11,     11),
    _row("rectification",  (0, 0, 0),          0,     0,       2,       255,     11,     11),
    _row("out of view",    (0, 0, 0),          0,     0,       3,       255,     11,     11),
    _row("parking",        (250, 170, 160),    25,    14,      9,       255,     3,      3),
    _row("tunnel",         (150, 120, 90),     3,     1,       16,      255,     1,      1),
    _row("pole group",     (153, 153, 153),    6,     5,       18,      255,     2,      2),
    _row("caravan",        (0, 0, 90),         15,    10,      29,      255,     8,      8),
    _row("trailer",        (0, 0, 110),        15,    10,      30,      255,     8,      8),
    _row("license plate",  (0, 0, 142),        14,    10,      34,      255,     8,      8),
)


def _column(space: str) -> int:
    try:
        return LABEL_SPACES.index(space)
    except ValueError:
        raise LabelError(f"there is no label space {space!r}", f"Use one of {', '.join(LABEL_SPACES)}") from None


def _readings(space: str) -> dict[int, LabelClass]:
    column = _column(space)
    readings: dict[int, LabelClass] = {}
    for label_class in CLASSES:
        readings.setdefault(label_class.ids[column], label_class)
    return readings


@lru_cache(maxsize=64)
def lookup_table(source: str, target: str) -> NDArray[np.uint8]:
    """Return (256,) u8, read-only: the id in `target` of each id in `source`; `UNKNOWN` for ids it does not have."""
    target_column = _column(target)
    table = np.full(256, UNKNOWN, np.uint8)
    for label_id, label_class in _readings(source).items():
        table[label_id] = label_id if source == target else label_class.ids[target_column]
    table.flags.writeable = False
    return table


@lru_cache(maxsize=16)
def palette(space: str) -> NDArray[np.uint8]:
    """Return (256, 3) u8 RGB, read-only: the display colour of each id of a label space, white where it has none."""
    colors = np.full((256, 3), 255, np.uint8)
    for label_id, label_class in _readings(space).items():
        colors[label_id] = label_class.color_rgb
    colors.flags.writeable = False
    return colors


def class_names(space: str) -> dict[int, str]:
    """Return the name of each id of a label space."""
    return {label_id: label_class.name for label_id, label_class in sorted(_readings(space).items())}


def label_id(space: str, name: str) -> int:
    """Return the id that a label space gives to the class of that name (see `CLASSES`)."""
    for label_class in CLASSES:
        if label_class.name == name:
            return label_class.ids[_column(space)]
    raise LabelError(f"there is no class {name!r}", f"Use one of {', '.join(c.name for c in CLASSES)}")


def map_labels(label_map: NDArray[np.uint8], source: str, target: str) -> NDArray[np.uint8]:
    """Return the (H,W) u8 label map in another label space; raises LabelError for ids that `source` does not have."""
    if label_map.ndim != 2 or label_map.dtype != np.uint8:
        raise LabelError(
            f"a label map is {label_map.dtype} {label_map.shape}", "Give one channel of 8-bit class ids, not colours"
        )
    mapped = np.asarray(cv2.LUT(label_map, lookup_table(source, target)), np.uint8)
    _refuse_unknown(label_map, mapped, source)
    return mapped


def _refuse_unknown(label_map: NDArray[np.uint8], mapped: NDArray[np.uint8], source: str) -> None:
    if mapped.max(initial=0) < UNKNOWN or not (mapped == UNKNOWN).any():  # the largest id is far cheaper to find
        return
    unknown = sorted(int(i) for i in np.unique(label_map[mapped == UNKNOWN]))
    raise LabelError(
        f"a label map holds ids that label space {source} does not have: {', '.join(map(str, unknown[:8]))}",
        "Name the space of these labels with --labels",
    )


def check_labels(label_map: NDArray[np.uint8], space: str) -> None:
    """Raise LabelError if an (H,W) u8 label map holds an id that its label space does not have."""
    if label_map.ndim == 2 and label_map.dtype == np.uint8 and label_map.max(initial=0) <= _last_without_gap(space):
        return
    map_labels(label_map, space, space)


@lru_cache(maxsize=16)
def _last_without_gap(space: str) -> int:
    """The last of the ids 0, 1, 2, ... that a label space has all of: most maps can be checked by their largest id."""
    return int(np.argmax(lookup_table(space, space) == UNKNOWN)) - 1


def carla_label_space(version: str) -> LabelSpace:
    """Return the label space of a CARLA server by its version text: the tag ids changed with 0.9.14.

    Raises LabelError for versions older than 0.9.10, whose tags are not in the table.
    """
    numbers = [int(part) for part in version.split("-")[0].split(".")[:3] if part.isdigit()]
    if len(numbers) < 2:
        raise LabelError(f"CARLA's version {version!r} cannot be read", "Use a release such as 0.9.16")
    if numbers >= [0, 9, 14]:
        return "carla"
    if numbers >= [0, 9, 10]:
        return "carla-0.9.13"
    raise LabelError(f"CARLA {version} has other tags than this bridge knows", "Use CARLA 0.9.14 to 0.9.16")
