"""Hostile and damaged weights at the doors of the readers: bounded memory, and a sentence for each."""

from __future__ import annotations

import io
import lzma
import os
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bridge.protocol.errors import OutputError, WeightsError
from renderer.models.family import recognise
from renderer.weights_archive import source_files
from renderer.weights_features import read_features
from renderer.weights_groups import first_frame_neighbours
from renderer.weights_store import LICENCE_NAME, ImportedCard, publish

_BOMB = "unpacks to far more"


def tar_with_header(path: Path, kind: bytes, size_bytes: int) -> Path:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = kind, size_bytes
    with lzma.open(path, "wb", preset=0) as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(size_bytes))
    return path


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
@pytest.mark.parametrize("name", ["models.tar.xz", "models.bin"])
def test_long_header_of_tar_is_a_bomb(tmp_path: Path, kind: bytes, name: str) -> None:
    path = tar_with_header(tmp_path / name, kind, 2 << 20)
    with pytest.raises(WeightsError, match=_BOMB):
        source_files([path], tmp_path / "staging")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_honest_tar_is_read(tmp_path: Path, mode: str) -> None:
    content = os.urandom(3 << 20)
    member = tarfile.TarInfo("city/" + "n" * 150 + ".pth")
    member.size = len(content)
    with tarfile.open(tmp_path / "models.bin", mode) as archive:  # pyright: ignore[reportArgumentType, reportCallIssue]
        archive.addfile(member, io.BytesIO(content))
    (file,) = source_files([tmp_path / "models.bin"], tmp_path / "staging")
    assert file.path.read_bytes() == content


def test_many_small_members_are_a_bomb_together(tmp_path: Path) -> None:
    path = tmp_path / "models.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for index in range(3):
            archive.writestr(f"city/{index}.pth", bytes(8 << 20))
    with pytest.raises(WeightsError, match=_BOMB):
        source_files([path], tmp_path / "staging")


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_damaged_member_of_zip(tmp_path: Path, packing: int) -> None:
    path = tmp_path / "models.zip"
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("a.pth", os.urandom(5000))
    data = bytearray(path.read_bytes())
    data[44:400] = b"\xff" * 356
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="damaged zip"):
        source_files([path], tmp_path / "staging")


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_damaged_tar(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "models.tar"
    with tarfile.open(path, mode) as archive:  # pyright: ignore[reportArgumentType, reportCallIssue]
        member = tarfile.TarInfo("a.pth")
        member.size = 50_000
        archive.addfile(member, io.BytesIO(os.urandom(50_000)))
    data = bytearray(path.read_bytes())
    data[20:2000] = b"\xff" * 1980
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="damaged tar"):
        source_files([path], tmp_path / "staging")


def features(path: Path, clusters: dict[int, np.ndarray]) -> Path:
    np.save(path, np.array(clusters, dtype=object), allow_pickle=True)
    return path


def test_features_that_share_an_array(tmp_path: Path) -> None:
    shared = np.ones((1000, 100), np.float32)
    with pytest.raises(WeightsError, match="larger than the file"):
        read_features(features(tmp_path / "features.npy", dict.fromkeys(range(20), shared)), "features.npy")


def test_features_are_writable(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = read_features(features(tmp_path / "features.npy", {7: np.ones((2, 3), np.float32)}), "features.npy")
    assert read["7"].shape == (2, 3)


def test_features_with_a_huge_memo(tmp_path: Path) -> None:
    path = features(tmp_path / "features.npy", {})
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\n") + 1] + b"\x80\x02}r\xff\xff\xff\x7f.")
    with pytest.raises(WeightsError, match="more memory than features need"):
        read_features(path, "features.npy")


def test_tensors_without_dimensions_are_refused() -> None:
    keys = ("model.1.weight", "model.10.conv_block.1.weight")
    with pytest.raises(WeightsError, match="shapes that no pix2pixhd generator has"):
        recognise({"latest_net_G.pth": dict.fromkeys(keys, ())})


CARD = ImportedCard(
    name="mine",
    family="vid2vid",
    preset="",
    config={},
    label_space="",
    planes=(),
    size_multiple_px=1,
    native_size_hw=(1, 1),
    past_frames=0,
    dense_channels=0,
    licence="",
    parameters={},
    cost_gflop={},
    activations_mib={},
    weights_bytes=0,
    weights_sha256="",
    sources=(),
    notes=(),
)


@pytest.mark.parametrize("obstacle", ["disk full", "dangling link"])
def test_publish_that_cannot_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str) -> None:
    monkeypatch.setenv("VIDRIVE_WEIGHTS", str(tmp_path))
    staged = tmp_path / ".importing-x"
    staged.mkdir()
    if obstacle == "disk full":
        (staged / LICENCE_NAME).symlink_to("/dev/full")
    else:
        (tmp_path / "mine").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="cannot be written"):
        publish(staged, CARD, "a licence")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_neighbour_is_passed_over(tmp_path: Path) -> None:
    for name in ("city", "city_single"):
        (tmp_path / name).mkdir()
    (tmp_path / "city_single").chmod(0)
    assert first_frame_neighbours([tmp_path / "city"]) == []
