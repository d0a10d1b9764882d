"""Checkpoints: torn, foreign and dangerous ones are refused, a failed write harms none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bridge.protocol.errors import OutputError, UsageError
from renderer.train.checkpoint import load_checkpoint, save_checkpoint
from renderer.train.data import LabelledPhoto
from renderer.train.preset import TrainPreset

from .conftest import changed, make_trainer


def test_torn_checkpoint_is_passed_over_for_the_one_before(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path
) -> None:
    trainer = make_trainer(tiny, photos)
    for _ in range(2):
        trainer.step()
        save_checkpoint(tmp_path, trainer)
    newest = tmp_path / "checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[:-2000])
    again = make_trainer(tiny, photos)
    assert load_checkpoint(tmp_path, again).name == "checkpoint.previous.pt"
    assert again.step_index == 1
    (tmp_path / "checkpoint.previous.pt").write_bytes(b"")
    with pytest.raises(UsageError, match=r"no checkpoint in .* can be read \(checkpoint.pt: .*Begin the run anew"):
        load_checkpoint(tmp_path, again)


def test_checkpoint_that_would_run_code_is_refused(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path
) -> None:
    torch.save({"preset": Path("/"), "trainer": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(UsageError, match="can be read"):
        load_checkpoint(tmp_path, make_trainer(tiny, photos))


def test_checkpoint_of_other_settings_is_refused(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path
) -> None:
    save_checkpoint(tmp_path, make_trainer(tiny, photos))
    other = changed(tiny, losses=changed(tiny.losses, fine=0.1))
    with pytest.raises(UsageError, match=r"made with other settings of losses. Resume with the preset"):
        load_checkpoint(tmp_path, make_trainer(other, photos))
    with pytest.raises(UsageError, match=r"holds no checkpoint\. Leave --resume out"):
        load_checkpoint(tmp_path / "elsewhere", make_trainer(tiny, photos))


def test_failed_write_leaves_the_checkpoint_before(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(tiny, photos)
    save_checkpoint(tmp_path, trainer)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def fail(_state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        save_checkpoint(tmp_path, trainer)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
