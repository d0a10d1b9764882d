"""Photos with label maps: what is read, and what is wrong with a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from bridge.protocol.errors import LabelError, UsageError, VidriveError
from renderer.train.data import load_photos, mark_lanes

from .conftest import MARK, NUM_LABELS, ROAD, SHIPPED, SKY, changed, write_pair


def test_photos_are_read_with_their_labels_in_rgb(data: Path) -> None:
    red = np.zeros((64, 96, 3), np.uint8)
    red[..., 0] = 255
    write_pair(data / "train", "b_red", red, np.full((64, 96), SKY, np.uint8))
    found = load_photos(data / "train", SHIPPED.data, NUM_LABELS)
    assert [photo.name for photo in found] == [f"a_{index:02d}" for index in range(5)] + ["b_red"]
    assert found[-1].rgb[5, 5].tolist() == [255, 0, 0]
    assert {photo.drive for photo in found} == {"a", "b"}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda folder: (folder / "label").rename(folder / "labels"), UsageError, "there is no folder .*label"),
        (lambda folder: (folder / "label" / "a_01.png").unlink(), UsageError, "image has a_01 without a label map"),
        (lambda folder: (folder / "image" / "a_01.png").unlink(), UsageError, "label has a_01 without a photo"),
        (lambda folder: (folder / "image" / "a_01.png").write_bytes(b"no"), UsageError, "a_01.png cannot be read"),
        (
            lambda folder: cv2.imwrite(str(folder / "label" / "a_01.png"), np.full((64, 96), 19, np.uint8)),
            LabelError,
            "a_01.png holds the id 19, the generator knows 0 to 12",
        ),
        (
            lambda folder: cv2.imwrite(str(folder / "label" / "a_01.png"), np.zeros((64, 96, 3), np.uint8)),
            LabelError,
            r"a_01.png is uint8 \(64, 96, 3\). Give one channel",
        ),
        (
            lambda folder: cv2.imwrite(str(folder / "label" / "a_01.png"), np.zeros((32, 96), np.uint8)),
            LabelError,
            "a_01.png is 96x32, its photo 96x64",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_in_a_sentence(
    change: Callable[[Path], object], error: type[VidriveError], message: str, data: Path
) -> None:
    change(data / "train")
    with pytest.raises(error, match=message):
        load_photos(data / "train", SHIPPED.data, NUM_LABELS)


def test_folder_of_excluded_drives_holds_no_photos(data: Path) -> None:
    config = changed(SHIPPED.data, excluded_drives=("a", "0001TP"))
    with pytest.raises(UsageError, match="holds no photos to use"):
        load_photos(data / "train", config, NUM_LABELS)


def test_lane_marks_are_thin_bright_and_on_the_road() -> None:
    assert SHIPPED.data.lane_marks is not None
    labels = np.full((120, 160), ROAD, np.uint8)
    labels[:40] = SKY
    grey = np.full((120, 160), 90, np.uint8)
    grey[60:100, 70:75] = 200  # a mark
    grey[10:30, 70:75] = 200  # the same in the sky
    grey[60:100, 100:140] = 200  # a bright area, no stroke
    grey[80:82, 20:22] = 200  # a speck
    marked = mark_lanes(np.repeat(grey[..., None], 3, axis=-1), labels, SHIPPED.data.lane_marks)
    expected = labels.copy()
    expected[60:100, 70:75] = MARK
    assert np.array_equal(marked, expected)
