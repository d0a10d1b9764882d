"""Data sets of photos as one small file: `vidrive train PRESET --data DIR --pack FILE`."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from renderer.train import __main__ as command
from renderer.train.preset import TrainPreset

from .conftest import ROAD, street, write_pair

Pack = Callable[..., int]


@pytest.fixture
def pack(tiny: TrainPreset, tmp_path: Path) -> Pack:
    preset = tmp_path / "tiny.yaml"
    preset.write_bytes(msgspec.yaml.encode(tiny))

    def run(data: Path, *flags: str) -> int:
        return command.main([str(preset), "--data", str(data), "--pack", str(tmp_path / "p.tar"), *flags])

    return run


def unpacked(tmp_path: Path) -> Path:
    folder = tmp_path / "unpacked"
    with tarfile.open(tmp_path / "p.tar") as tar:
        for entry in tar:
            path, content = folder / entry.name, tar.extractfile(entry)
            assert content is not None
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())
    return folder


def noisy(tmp_path: Path, side_px: int) -> Path:
    for index in range(4):
        rgb, labels = street(index, 3 * side_px, 2 * side_px)
        write_pair(tmp_path / "data" / "train", f"a_{index}", rgb, labels)
    return tmp_path / "data"


def test_photos_that_fit_stay_as_they_are(
    pack: Pack, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pack(data) == 0
    assert "p.tar holds 10 photos as they are" in capsys.readouterr().err
    folder = unpacked(tmp_path)  # without 0001TP_00, whose drive the preset leaves out
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    assert names == sorted(
        str(path.relative_to(data)) for path in data.rglob("*.png") if not path.name.startswith("0001TP")
    )
    for split in ("train", "val"):
        for photo in (folder / split / "image").iterdir():
            assert photo.read_bytes() == (data / split / "image" / photo.name).read_bytes()
            labels = cv2.imread(str(folder / split / "label" / photo.name), cv2.IMREAD_UNCHANGED)
            wanted = cv2.imread(str(data / split / "label" / photo.name), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(labels, wanted)


def test_photos_that_do_not_fit_are_compressed_and_then_made_smaller(
    pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = noisy(tmp_path, 160)
    assert pack(data, "--pack-mib", "0.6") == 0
    assert "4 photos as WebP of quality" in capsys.readouterr().err
    assert (tmp_path / "p.tar").stat().st_size <= 0.6 * 2**20
    photo = cv2.imread(str(unpacked(tmp_path) / "train" / "image" / "a_0.webp"))
    assert photo.shape == (320, 480, 3)
    assert np.abs(photo[:, :, ::-1].astype(int) - street(0, 480, 320)[0]).mean() < 12
    assert pack(data, "--pack-mib", "0.05") == 0
    assert "of their size: sizes of the preset mean the smaller photos" in capsys.readouterr().err
    assert (tmp_path / "p.tar").stat().st_size <= 0.05 * 2**20
    folder = unpacked(tmp_path)
    small = cv2.imread(str(folder / "train" / "label" / "a_0.png"), cv2.IMREAD_UNCHANGED)
    assert small.shape == cv2.imread(str(folder / "train" / "image" / "a_0.webp")).shape[:2] != (320, 480)
    assert set(np.unique(small)) <= set(np.unique(street(0, 480, 320)[1]))


def test_what_cannot_be_packed_is_said(pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = noisy(tmp_path, 160)
    assert pack(data, "--pack-mib", "0.001") == 2
    assert "4 photos do not fit into 0.001 MiB. Leave some out" in capsys.readouterr().err
    assert not (tmp_path / "p.tar").exists()
    (data / "train" / "image" / "a_2.png").write_bytes(b"no picture")
    assert pack(data, "--pack-mib", "0.6") == 2
    assert "a_2.png cannot be read" in capsys.readouterr().err
    assert command.main(["street-town", "--data", str(data), "--pack", str(tmp_path / "p.tar")]) == 2
    assert "learns from sequences, which are not packed" in capsys.readouterr().err


def test_ids_are_mapped_once(pack: Pack, tmp_path: Path) -> None:
    """Cityscapes' layout says what its ids are: they become the preset's. Ids that a setting names stay."""
    rgb, _ = street(0)
    photo = tmp_path / "city" / "leftImg8bit" / "train" / "a" / "a_000000_000001_leftImg8bit.png"
    labels = tmp_path / "city" / "gtFine" / "train" / "a" / "a_000000_000001_gtFine_labelIds.png"
    for path, picture in ((photo, rgb[:, :, ::-1]), (labels, np.full(rgb.shape[:2], 7, np.uint8))):
        path.parent.mkdir(parents=True)
        assert cv2.imwrite(str(path), picture)
    assert pack(tmp_path / "city") == 0
    packed = unpacked(tmp_path) / "train" / "label" / "a_000000_000001.png"
    assert set(np.unique(cv2.imread(str(packed), cv2.IMREAD_UNCHANGED))) == {ROAD}
    assert pack(tmp_path / "city", "--set", "data.label_space=cityscapes") == 0
    packed = unpacked(tmp_path) / "train" / "label" / "a_000000_000001.png"
    assert set(np.unique(cv2.imread(str(packed), cv2.IMREAD_UNCHANGED))) == {7}
