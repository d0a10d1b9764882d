"""Cityscapes' layout as training data: runs of labelled frames are sequences."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from bridge.protocol.errors import UsageError
from renderer.train.video.preset import VideoPreset
from renderer.train.video.sequences import check_sequences, find_shown_sequences, find_train_sequences
from renderer.train.video.trainer import VideoTrainer

from .conftest import changed, draw_frame
from .test_trainer import ALONE


def write_frame(
    root: Path, split: str, city: str, snippet: int, frame: int, *, pictures: str = "leftImg8bit", labelled: bool = True
) -> None:
    rgb, labels = draw_frame(frame % 50, snippet)
    stem = f"{city}/{city}_{snippet:06d}_{frame:06d}"
    for path, picture in (
        (root / pictures / split / f"{stem}_leftImg8bit.png", rgb[:, :, ::-1]),
        (root / "gtFine" / split / f"{stem}_gtFine_labelIds.png", labels),
        (root / "gtFine" / split / f"{stem}_gtFine_instanceIds.png", labels.astype(np.uint16) * 1000),
    ):
        if labelled or path.name.endswith("leftImg8bit.png"):
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), picture)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a data set of two labelled snippets, one in two pieces, single frames, and one to look at."""
    folder = tmp_path / "cityscapes"
    for frame in range(6):
        write_frame(folder, "train", "aachen", 3, frame)
    for frame in (0, 1, 2, 3, 7, 8, 9, 10):
        write_frame(folder, "train", "ulm", 0, frame, pictures="leftImg8bit_sequence")
    write_frame(folder, "train", "ulm", 1, 19)
    for frame in range(4):
        write_frame(folder, "val", "bonn", 0, frame)
    return folder


def test_runs_of_labelled_frames_are_sequences_and_learnt_from(tiny: VideoPreset, root: Path) -> None:
    found = find_train_sequences(root, tiny)
    names = [(one.frames.name, len(one.frames.labels), len(one.frames.instances)) for one in found]
    assert names == [("aachen_000003_000000", 6, 6), ("ulm_000000_000000", 4, 4), ("ulm_000000_000007", 4, 4)]
    stems = {path.name.replace("gtFine_labelIds", "leftImg8bit") for one in found for path in one.frames.labels}
    assert stems == {path.name for one in found for path in one.frames.pictures}
    assert [one.frames.name for one in find_shown_sequences(root, tiny)] == ["bonn_000000_000000"]
    assert not list(check_sequences(root, tiny))
    trainer = VideoTrainer(changed(tiny, generator=changed(tiny.generator, instance_edges=True)), found, ALONE, 0)
    assert trainer.step().taken
    trainer.close()


def test_single_frames_are_refused_in_a_sentence(tiny: VideoPreset, tmp_path: Path) -> None:
    for snippet in range(3):
        for frame in range(18, 21):
            write_frame(tmp_path, "train", "ulm", snippet, frame, labelled=frame == 19)
    with pytest.raises(
        UsageError, match=r"has 3 label maps, at most 1 of frames in a row, .* learns from 3. Label all"
    ):
        find_train_sequences(tmp_path, tiny)


def test_what_is_missing_is_said(tiny: VideoPreset, root: Path) -> None:
    with pytest.raises(UsageError, match=r"has Cityscapes' labels, and tiny reads those of camvid"):
        find_train_sequences(root, changed(tiny, label_space="camvid"))
    next((root / "leftImg8bit" / "train" / "aachen").iterdir()).unlink()
    (sentence,) = check_sequences(root, tiny)
    assert "has no picture train/aachen/aachen_000003" in sentence
