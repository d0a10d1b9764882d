"""The command that trains segmentation networks."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from safetensors.torch import load_file

from bridge.protocol.errors import UsageError
from configs import preset_names
from renderer.segmentation import load_segmentation
from renderer.train import __main__ as command
from renderer.train.preset_files import SEGMENTATION
from renderer.train.segmentation.preset import SegmentationPreset, check_preset, find_segmentation_preset

from .conftest import assert_same, changed, street


@pytest.fixture
def tiny_preset(tmp_path: Path) -> Path:
    """Return the path of the shipped preset, made small: one crop of 64x32 a step, four steps."""
    shipped = find_segmentation_preset("street-photo-segmentation")
    preset = changed(
        shipped,
        name="tiny",
        network=changed(shipped.network, channels=8),
        crops=changed(shipped.crops, width_px=64, height_px=32),
        schedule=changed(shipped.schedule, num_steps=4, batch_size=1, report_every=1, checkpoint_every=2),
        evaluation=changed(shipped.evaluation, width_px=96, height_px=64),
    )
    path = tmp_path / "tiny.yaml"
    path.write_bytes(msgspec.yaml.encode(preset))
    return path


def run(preset: Path, data: Path, out: Path, *flags: str) -> int:
    return command.main([str(preset), "--data", str(data), "--out", str(out), *flags])


@pytest.mark.parametrize("name", preset_names(SEGMENTATION))
def test_every_segmentation_preset_is_sound(name: str) -> None:
    preset = check_preset(find_segmentation_preset(name))
    assert preset.name == name and preset.provenance.licence


def test_command_trains_measures_and_writes_a_card(
    tiny_preset: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(tiny_preset, data, out) == 0
    assert "step 4/4, 0 min left, " in capsys.readouterr().err
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4] and lines[0]["loss"] > 0
    card = json.loads((out / "tiny.json").read_text())
    assert card["steps"] == 4 and card["licence"] == "CC BY-NC 4.0"
    assert 0 <= card["metrics"]["photos"]["mean_iou"] <= 100
    assert card["metrics"]["share"] == pytest.approx(
        100 * card["metrics"]["synthesized"]["mean_iou"] / card["metrics"]["photos"]["mean_iou"]
    )
    rgb, _ = street(1)
    assert load_segmentation(str(out / "tiny.safetensors")).label_map(rgb).shape == rgb.shape[:2]
    assert run(tiny_preset, data, out, "--evaluate", str(out / "tiny.safetensors")) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["photos"]["mean_iou"] == pytest.approx(card["metrics"]["photos"]["mean_iou"], abs=0.5)  # float16


def test_a_run_in_two_parts_ends_as_one_in_one(tiny_preset: Path, data: Path, tmp_path: Path) -> None:
    out, flags = tmp_path / "out", ("--set", "evaluation.look=''")
    assert run(tiny_preset, data, out, *flags, "--minutes", "1e-9") == 0
    assert json.loads((out / "tiny.json").read_text())["metrics"] is None
    assert run(tiny_preset, data, out, *flags) == 0
    whole = load_file(out / "tiny.safetensors")
    (out / "checkpoint.pt").unlink()  # the one before it is of the run's middle
    assert run(tiny_preset, data, out, *flags, "--resume") == 0
    assert_same(whole, load_file(out / "tiny.safetensors"))


def test_what_does_not_fit_is_said_in_a_sentence(
    tiny_preset: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny: SegmentationPreset = find_segmentation_preset(str(tiny_preset))
    with pytest.raises(UsageError, match=r"the crops of tiny are 50x32\. Both sides must be multiples of 32 px"):
        check_preset(changed(tiny, crops=changed(tiny.crops, width_px=50)))
    assert command.main([str(tiny_preset), "--data", str(data), "--check-data"]) == 0
    label = next((data / "train" / "label").iterdir())
    label.write_bytes(b"")
    assert command.main([str(tiny_preset), "--data", str(data), "--check-data"]) == 2
    assert "cannot be read" in capsys.readouterr().out
