"""Label spaces: numbers that were read from CARLA's and Cityscapes' own definitions, and laws that tables must obey."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from bridge.protocol.errors import LabelError
from bridge.protocol.labels import (
    LABEL_SPACES,
    UNKNOWN,
    carla_label_space,
    check_labels,
    class_names,
    label_id,
    lookup_table,
    map_labels,
    palette,
)

# tag: (Cityscapes labelId, trainId), CARLA 0.9.14 to 0.9.16
CARLA = {
    0: (0, 255), 1: (7, 0), 2: (8, 1), 3: (11, 2), 4: (12, 3), 5: (13, 4), 6: (17, 5), 7: (19, 6), 8: (20, 7),
    9: (21, 8), 10: (22, 9), 11: (23, 10), 12: (24, 11), 13: (25, 12), 14: (26, 13), 15: (27, 14), 16: (28, 15),
    17: (31, 16), 18: (32, 17), 19: (33, 18), 20: (4, 255), 21: (5, 255), 22: (0, 255), 23: (0, 255), 24: (7, 0),
    25: (6, 255), 26: (15, 255), 27: (10, 255), 28: (14, 255), 29: (22, 9),
}  # fmt: skip
# the same for CARLA 0.9.10 to 0.9.13
CARLA_0_9_13 = {
    0: (0, 255), 1: (11, 2), 2: (13, 4), 3: (0, 255), 4: (24, 11), 5: (17, 5), 6: (7, 0), 7: (7, 0), 8: (8, 1),
    9: (21, 8), 10: (26, 13), 11: (12, 3), 12: (20, 7), 13: (23, 10), 14: (6, 255), 15: (15, 255), 16: (10, 255),
    17: (14, 255), 18: (19, 6), 19: (4, 255), 20: (5, 255), 21: (0, 255), 22: (22, 9),
}  # fmt: skip
CARLA_COLORS = {
    1: (128, 64, 128), 2: (244, 35, 232), 3: (70, 70, 70), 4: (102, 102, 156), 5: (190, 153, 153),
    6: (153, 153, 153), 7: (250, 170, 30), 8: (220, 220, 0), 9: (107, 142, 35), 10: (152, 251, 152),
    11: (70, 130, 180), 12: (220, 20, 60), 13: (255, 0, 0), 14: (0, 0, 142), 15: (0, 0, 70), 16: (0, 60, 100),
    17: (0, 80, 100), 18: (0, 0, 230), 19: (119, 11, 32), 20: (110, 190, 160), 21: (170, 120, 50), 22: (55, 90, 80),
    23: (45, 60, 150), 24: (157, 234, 50), 25: (81, 0, 81), 26: (150, 100, 100), 27: (230, 150, 140),
    28: (180, 165, 180), 29: (180, 130, 70),
}  # fmt: skip
# what the model sees of each CARLA tag: sky, building, pole, road, sidewalk, tree, sign, fence, car, pedestrian,
# bicyclist, unlabelled, road line
CARLA_TO_STREET = [
    11, 3, 4, 1, 1, 7, 2, 6, 6, 5, 5, 0, 9, 10, 8, 8, 8, 8, 10, 10, 11, 11, 11, 11, 12, 4, 1, 3, 7, 5,
]  # fmt: skip


@pytest.mark.parametrize(("space", "table"), [("carla", CARLA), ("carla-0.9.13", CARLA_0_9_13)])
def test_carla_tags_to_cityscapes(space: str, table: dict[int, tuple[int, int]]) -> None:
    assert list(class_names(space)) == sorted(table)
    for tag, (cityscapes, train) in table.items():
        assert lookup_table(space, "cityscapes")[tag] == cityscapes, class_names(space)[tag]
        assert lookup_table(space, "cityscapes-train")[tag] == train, class_names(space)[tag]


def test_carla_tags_to_street_and_camvid() -> None:
    street = lookup_table("carla", "street")[: len(CARLA_TO_STREET)]
    assert street.tolist() == CARLA_TO_STREET
    camvid = lookup_table("carla", "camvid")[: len(CARLA_TO_STREET)]
    assert camvid.tolist() == [3 if label == 12 else label for label in CARLA_TO_STREET]


def test_carla_colors() -> None:
    assert {tag: tuple(palette("carla")[tag]) for tag in CARLA_COLORS} == CARLA_COLORS


def test_the_ids_of_each_space() -> None:
    assert list(class_names("street")) == list(range(13))
    assert list(class_names("camvid")) == list(range(12))
    assert list(class_names("cityscapes")) == list(range(35))
    assert list(class_names("cityscapes-train")) == [*range(19), 255]


@pytest.mark.parametrize("space", LABEL_SPACES)
def test_a_space_maps_to_itself_unchanged(space: str) -> None:
    table = lookup_table(space, space)
    known = list(class_names(space))
    assert table[known].tolist() == known
    assert (np.delete(table, known) == UNKNOWN).all()


@pytest.mark.parametrize(("source", "target"), list(permutations(LABEL_SPACES, 2)))
def test_tables_land_in_their_target(source: str, target: str) -> None:
    table = lookup_table(source, target)
    assert set(table[list(class_names(source))].tolist()) <= set(class_names(target))
    assert (np.delete(table, list(class_names(source))) == UNKNOWN).all()
    assert not table.flags.writeable


@pytest.mark.parametrize(("source", "target"), list(permutations(LABEL_SPACES, 2)))
def test_going_there_and_back_again_changes_nothing_more(source: str, target: str) -> None:
    """What a class becomes in a coarser space stays that, however often it goes back and forth."""
    there, back = lookup_table(source, target), lookup_table(target, source)
    for label in class_names(source):
        assert there[back[there[label]]] == there[label], class_names(source)[label]


def test_map_labels() -> None:
    tags = np.array([[1, 24], [11, 14]], np.uint8)
    assert map_labels(tags, "carla", "street").tolist() == [[3, 12], [0, 8]]
    assert tags.tolist() == [[1, 24], [11, 14]]


def test_ids_that_a_space_does_not_have() -> None:
    check_labels(np.array([[0, 12]], np.uint8), "street")
    with pytest.raises(LabelError, match=r"label space street does not have: 13, 200.*--labels"):
        check_labels(np.array([[13, 0, 200]], np.uint8), "street")
    with pytest.raises(LabelError, match="255"):
        map_labels(np.array([[255]], np.uint8), "carla", "street")


@pytest.mark.parametrize("labels", [np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.int64)])
def test_what_is_no_label_map(labels: np.ndarray) -> None:
    with pytest.raises(LabelError, match="8-bit class ids, not colours"):
        map_labels(labels, "carla", "street")


def test_unknown_names() -> None:
    with pytest.raises(LabelError, match=r"no label space 'ade20k'.*carla, carla-0.9.13"):
        lookup_table("ade20k", "street")
    with pytest.raises(LabelError, match="no class 'cat'"):
        label_id("street", "cat")
    assert label_id("carla", "road line") == 24


@pytest.mark.parametrize(
    ("version", "space"),
    [("0.9.16", "carla"), ("0.9.14-dirty", "carla"), ("0.10.0", "carla"), ("0.9.13", "carla-0.9.13")],
)
def test_label_space_by_version(version: str, space: str) -> None:
    assert carla_label_space(version) == space


@pytest.mark.parametrize("version", ["0.9.9", "0.8.4", "latest", ""])
def test_versions_that_are_not_in_the_table(version: str) -> None:
    with pytest.raises(LabelError):
        carla_label_space(version)
