"""One door for photos with label maps: whichever layout they are in, the same pairs are learnt from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from bridge.protocol.errors import LabelError, UsageError
from bridge.protocol.labels import label_id, map_labels
from renderer.train.check import check_photos
from renderer.train.data import load_photos
from renderer.train.preset import TrainPreset

from .conftest import CAR, ROAD, SHIPPED, SKY, changed, street

PLAIN = changed(SHIPPED.data, lane_marks=None, tones=None, styles=())
NUM_CLASSES = 13
PLACES: dict[str, Callable[[str, str], tuple[str, str]]] = {
    "own": lambda split, name: (f"{split}/image/{name}.png", f"{split}/label/{name}.png"),
    "camvid": lambda split, name: (f"{split}/{name}.png", f"{split}annot/{name}.png"),
    "cityscapes": lambda split, name: (
        f"leftImg8bit/{split}/ulm/{name}_leftImg8bit.png",
        f"gtFine/{split}/ulm/{name}_gtFine_labelIds.png",
    ),
    "vid2vid": lambda split, name: (
        f"{'train' if split == 'train' else 'test'}_B/seq_1/{name}.png",
        f"{'train' if split == 'train' else 'test'}_A/seq_1/{name}.png",
    ),
}


def write_set(root: Path, layout: str) -> None:
    for split, seeds in (("train", (1, 2)), ("val", (3,))):
        for seed in seeds:
            rgb, labels = street(seed)
            if layout == "cityscapes":
                labels = map_labels(labels, "street", "cityscapes")
            for place, picture in zip(PLACES[layout](split, f"ulm_{seed:06d}"), (rgb[..., ::-1], labels), strict=True):
                (root / place).parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(root / place), picture)


@pytest.mark.parametrize("layout", PLACES)
def test_every_layout_gives_the_same_photos(layout: str, tmp_path: Path, tiny: TrainPreset) -> None:
    write_set(tmp_path, layout)
    for split, seeds in (("train", (1, 2)), ("val", (3,))):
        photos = load_photos(tmp_path / split, PLAIN, NUM_CLASSES, label_space="street")
        for photo, seed in zip(photos, seeds, strict=True):
            rgb, labels = street(seed)
            assert np.array_equal(photo.rgb, rgb) and np.array_equal(photo.labels, labels)
    generator = changed(tiny.generator, num_labels=NUM_CLASSES, tones=False)
    preset = changed(tiny, data=PLAIN, generator=generator, clips=changed(tiny.clips, num_classes=None))
    assert check_photos(tmp_path, preset) == []


def test_labels_of_another_space_are_mapped_by_its_table(tmp_path: Path) -> None:
    write_set(tmp_path, "own")
    labels = np.full((64, 96), label_id("carla", "road"), np.uint8)
    labels[:20], labels[30:40] = label_id("carla", "sky"), label_id("carla", "car")
    assert cv2.imwrite(str(tmp_path / "train" / "label" / "ulm_000001.png"), labels)
    config = changed(PLAIN, label_space="carla")
    found = load_photos(tmp_path / "train", config, NUM_CLASSES, label_space="street")[0].labels
    assert [int(found[row, 5]) for row in (5, 25, 35)] == [SKY, ROAD, CAR]
    labels[0, 0] = 200
    assert cv2.imwrite(str(tmp_path / "train" / "label" / "ulm_000001.png"), labels)
    with pytest.raises(LabelError, match=r"ulm_000001.png: .* ids that label space carla does not have: 200. Set data"):
        load_photos(tmp_path / "train", config, NUM_CLASSES, label_space="street")


def test_a_picture_that_cityscapes_lacks_is_named(tmp_path: Path) -> None:
    write_set(tmp_path, "cityscapes")
    (tmp_path / "leftImg8bit/train/ulm/ulm_000002_leftImg8bit.png").unlink()
    with pytest.raises(UsageError, match=r"ulm_000002_gtFine_labelIds.png has no picture leftImg8bit/train/ulm"):
        load_photos(tmp_path / "train", PLAIN, NUM_CLASSES, label_space="street")


def test_every_pair_that_cannot_be_used_has_its_sentence(tmp_path: Path, tiny: TrainPreset) -> None:
    write_set(tmp_path, "camvid")
    (tmp_path / "trainannot" / "ulm_000001.png").write_bytes(b"torn")
    assert cv2.imwrite(str(tmp_path / "trainannot" / "ulm_000002.png"), np.full((64, 96), 255, np.uint8))
    generator = changed(tiny.generator, num_labels=NUM_CLASSES, tones=False)
    preset = changed(tiny, data=PLAIN, generator=generator, clips=changed(tiny.clips, num_classes=None))
    first, second = check_photos(tmp_path, preset)
    assert "ulm_000001.png cannot be read" in first
    assert "ulm_000002.png holds the id 255, the generator knows 0 to 12. Say what space" in second
