"""Offline synthesis: which files are found, what they may hold, what comes out."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import torch

from bridge.protocol.errors import LabelError, UsageError
from renderer.inputs import ModelInput
from renderer.label_pictures import read_ids, read_label_map
from renderer.label_sequences import find_sequences
from renderer.models.base import ModelOutput
from renderer.models.reprojecting import ReprojectingModel
from renderer.synthesize import Reading, output_size, synthesize
from renderer.temporal import TemporalState


def write(path: Path, ids: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), ids)
    return path


def labels(value: int = 3, size_hw: tuple[int, int] = (32, 48)) -> np.ndarray:
    return np.full(size_hw, value, np.uint8)


def write_palette(path: Path, ids: np.ndarray) -> None:
    """A palette PNG by hand: OpenCV writes none."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height_px, width_px = ids.shape
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 3, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in ids)
    palette = bytes(range(256)) * 3
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks))


def test_a_flat_folder_is_one_sequence_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "c.PNG"):
        write(tmp_path / name, labels())
    (tmp_path / "notes.txt").write_text("not a picture")
    (sequence,) = find_sequences(tmp_path)
    assert sequence.name == ""
    assert [path.name for path in sequence.labels] == ["a.png", "b.png", "c.PNG"]
    assert sequence.size_hw == (32, 48)


@pytest.mark.parametrize("split", ["test", "train"])
def test_vid2vids_layout(tmp_path: Path, split: str) -> None:
    for name in ("seq2", "seq1"):
        for index in range(2):
            write(tmp_path / f"{split}_A" / name / f"{index}.png", labels())
            write(tmp_path / f"{split}_inst" / name / f"{index}.png", labels().astype(np.uint16))
    (tmp_path / f"{split}_A" / "empty").mkdir()
    sequences = find_sequences(tmp_path)
    assert [sequence.name for sequence in sequences] == ["seq1", "seq2"]
    assert [len(sequence.instances) for sequence in sequences] == [2, 2]
    (tmp_path / f"{split}_inst" / "seq1" / "1.png").unlink()
    with pytest.raises(UsageError, match="1 instance maps for 2 label maps"):
        find_sequences(tmp_path)


def test_what_holds_no_label_maps(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        find_sequences(tmp_path / "missing")
    with pytest.raises(UsageError, match="no PNGs"):
        find_sequences(tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        find_sequences(write(tmp_path / "a.png", labels()))


def test_mixed_sizes_in_a_sequence(tmp_path: Path) -> None:
    write(tmp_path / "a.png", labels())
    write(tmp_path / "b.png", labels(size_hw=(32, 64)))
    with pytest.raises(LabelError, match=r"b\.png is 64x32, the first of its sequence 48x32"):
        find_sequences(tmp_path)


def test_colours_instead_of_ids(tmp_path: Path) -> None:
    write(tmp_path / "a.png", np.zeros((32, 48, 3), np.uint8))
    with pytest.raises(LabelError, match=r"a\.png holds colours, not class ids"):
        find_sequences(tmp_path)


def test_what_is_no_png(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    with pytest.raises(LabelError, match=r"a\.png is not a PNG"):
        find_sequences(tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "claims to be huge"])
def test_damaged_png(tmp_path: Path, damage: str) -> None:
    rng = np.random.default_rng(0)
    path = write(tmp_path / "a.png", rng.integers(0, 12, (32, 48), np.uint8))
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "claims to be huge":
        data[16:24] = struct.pack(">II", 60_000, 60_000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    else:
        data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(LabelError, match=r"a\.png is a damaged PNG"):
        read_label_map(path)


def test_sixteen_bits_and_palettes(tmp_path: Path) -> None:
    ids = np.arange(13, dtype=np.uint8).repeat(10).reshape(13, 10)
    assert (read_label_map(write(tmp_path / "deep.png", ids.astype(np.uint16))) == ids).all()
    write_palette(tmp_path / "palette.png", ids)
    assert (read_label_map(tmp_path / "palette.png") == ids).all()
    instances = write(tmp_path / "instances.png", ids.astype(np.uint16) + 26000)
    assert read_ids(instances).max() == 26012
    with pytest.raises(LabelError, match="holds the id 26012"):
        read_label_map(instances)


@pytest.mark.parametrize(
    ("wish_hw", "size_hw"),
    [((32, 48), (32, 48)), ((720, 1280), (720, 1280)), ((1080, 1920), (1088, 1920)), ((3, 5), (16, 16))],
)
def test_sizes_are_rounded_to_the_nearest(
    tiny_model: ReprojectingModel, wish_hw: tuple[int, int], size_hw: tuple[int, int]
) -> None:
    assert output_size(tiny_model.card, wish_hw) == size_hw


@pytest.mark.parametrize(
    ("family", "wish_hw", "size_hw"),
    [("vid2vid", (720, 1280), (704, 1280)), ("vid2vid", (47, 79), (64, 64)), ("pix2pixhd", (47, 79), (32, 64))],
)
def test_published_families_are_rounded_as_their_scripts_do(
    tiny_model: ReprojectingModel, family: str, wish_hw: tuple[int, int], size_hw: tuple[int, int]
) -> None:
    """vid2vid goes to multiples of 4 first, and half a multiple goes to the even one."""
    card = msgspec.structs.replace(tiny_model.card, family=family, size_multiple_px=32)
    assert output_size(card, wish_hw) == size_hw


def test_sizes_beyond_reason(tiny_model: ReprojectingModel) -> None:
    with pytest.raises(UsageError, match="99984x99984 are too large"):
        output_size(tiny_model.card, (99984, 99984))


class Watched:
    """Notes what a model is given."""

    def __init__(self, model: ReprojectingModel) -> None:
        self.card, self.device, self.summary = model.card, model.device, model.summary
        self._model = model
        self.frames: list[ModelInput] = []
        self.states: list[TemporalState | None] = []

    def step(self, frame: ModelInput, state: TemporalState | None) -> tuple[ModelOutput, TemporalState]:
        self.frames.append(frame)
        self.states.append(state)
        return self._model.step(frame, state)


def test_pictures_come_out_under_their_names(tmp_path: Path, tiny_model: ReprojectingModel) -> None:
    for name, value in (("s1/0", 3), ("s1/1", 8), ("s2/0", 3)):
        write(tmp_path / "test_A" / f"{name}.png", labels(value))
        write(tmp_path / "test_inst" / f"{name}.png", labels(value).astype(np.uint16) + 1000)
    model = Watched(tiny_model)
    frames = list(synthesize(model, find_sequences(tmp_path)))
    assert [(frame.sequence, frame.file_name) for frame in frames] == [
        ("s1", "0.png"),
        ("s1", "1.png"),
        ("s2", "0.png"),
    ]
    assert {frame.rgb.shape for frame in frames} == {(32, 48, 3)}
    assert [state is None for state in model.states] == [True, False, True]
    assert [int(frame.labels_BHW[0, 0, 0]) for frame in model.frames] == [3, 8, 3]
    assert model.frames[1].instances_B1HW is not None
    assert int(model.frames[1].instances_B1HW.max()) == 1008
    # From the labels alone: the same labels give the same picture wherever they stand.
    np.testing.assert_array_equal(frames[0].rgb, frames[2].rgb)
    assert (frames[0].rgb != frames[1].rgb).any()


def test_labels_are_mapped_and_resized(tmp_path: Path, tiny_model: ReprojectingModel) -> None:
    carla = labels(1)
    carla[:, 24:] = 14  # a car beside the road
    write(tmp_path / "a.png", carla)
    model = Watched(tiny_model)
    (frame,) = synthesize(model, find_sequences(tmp_path), Reading("carla", size_hw=(64, 90)))
    assert frame.rgb.shape == (64, 96, 3)
    expected = torch.full((64, 96), 3, dtype=torch.uint8)
    expected[:, 48:] = 8
    assert torch.equal(model.frames[0].labels_BHW[0], expected)


def test_ids_out_of_range_name_the_file(tmp_path: Path, tiny_model: ReprojectingModel) -> None:
    write(tmp_path / "a.png", labels())
    write(tmp_path / "b.png", labels(77))
    frames = synthesize(tiny_model, find_sequences(tmp_path))
    assert next(frames).file_name == "a.png"
    with pytest.raises(LabelError, match=r"b\.png: .*label space street does not have: 77.*--labels"):
        next(frames)
