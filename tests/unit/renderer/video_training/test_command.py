"""`vidrive train` for a vid2vid: what a person types, what is written, what is said."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch

from clients import cli
from renderer.train.video.preset import VideoPreset

from .conftest import DrawClip


@pytest.fixture(autouse=True)
def torch_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renderer.backends.host.prepare_process", lambda: None)  # refuses where torch is imported


@pytest.fixture
def preset(tiny: VideoPreset, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_bytes(msgspec.yaml.encode(tiny))
    return path


def train(preset: Path, root: Path, out: Path, *flags: str) -> int:
    return cli.main(["train", str(preset), "--data", str(root), "--out", str(out), *flags])


def model_bytes(out: Path) -> list[bytes]:
    """Return the tensors of the model that a run wrote, as bytes."""
    files = sorted((out / "model").glob("*.pth"))
    assert files
    tensors = [tensor for file in files for tensor in torch.load(file, weights_only=True).values()]
    return [tensor.numpy().tobytes() for tensor in tensors]


def test_run_writes_model_pictures_video_and_numbers(
    preset: Path,
    draw_clip: DrawClip,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    assert train(preset, draw_clip(flow=True), out) == 0
    said = capsys.readouterr().err
    assert "2 sequences to learn from, 1 process on cpu" in said
    assert "step 6/6, 0 min left" in said
    assert {path.name for path in out.iterdir()} == {
        "checkpoint.pt",
        "checkpoint.previous.pt",
        "metrics.jsonl",
        "model",
        "preview_000003.png",
        "preview_000003.mp4",
        "preview_000006.png",
        "preview_000006.mp4",
    }
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "gan" in line] == [1, 2, 3, 4, 5, 6]
    assert lines[-1]["preview_psnr_db"] > 0
    monkeypatch.setenv("VIDRIVE_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "weights"))
    assert cli.main(["weights", "import", str(out / "model"), "--name", "mine"]) == 0
    assert "imported mine: vid2vid" in capsys.readouterr().out


def test_tensorboard_has_the_numbers_of_the_json_lines_and_the_previews(
    preset: Path, draw_clip: DrawClip, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    root, out = draw_clip(), tmp_path / "out"
    shorter = ("--set", "report.tensorboard=true", "--set", "schedule.stages.0.steps=1")
    assert train(preset, root, out, *shorter) == 0
    assert train(preset, root, out, *shorter, "--resume", "--set", "report.metrics_every=1") == 0  # nothing twice
    board = EventAccumulator(str(out / "tensorboard"))
    board.Reload()
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    for name in ("gan", "flow_warp", "preview_psnr_db"):
        expected = {line["step"]: line[name] for line in lines if name in line}
        assert {event.step: event.value for event in board.Scalars(name)} == pytest.approx(expected)
    assert {event.step for event in board.Images("preview")} == {3, 4}


def test_without_tensorboard_the_run_says_what_to_install(
    preset: Path,
    draw_clip: DrawClip,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "tensorboard" else find_spec(name))
    assert train(preset, draw_clip(), tmp_path / "out", "--set", "report.tensorboard=true") == 2
    said = capsys.readouterr().err
    assert "needs the package tensorboard, which is not installed. pip install 'vidrive[tensorboard]'" in said


def test_torn_checkpoint_is_passed_over_with_a_sentence(
    preset: Path, draw_clip: DrawClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, root = tmp_path / "out", draw_clip()
    assert train(preset, root, out) == 0
    whole = model_bytes(out)
    newest = out / "checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    assert train(preset, root, out, "--resume") == 0
    said = capsys.readouterr().err
    assert "checkpoint.pt is damaged" in said
    assert "not used; the one before it is" in said
    assert "goes on from step 6" in said or "goes on from step 4" in said
    assert model_bytes(out) == whole


def test_settings_are_applied_and_refused_in_a_sentence(
    preset: Path, draw_clip: DrawClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = draw_clip(), tmp_path / "out"
    assert train(preset, root, out, "--set", "schedule.stages.0.steps=1", "--set", "schedule.stages.1.steps=1") == 0
    assert "step 3/3" in capsys.readouterr().err
    for setting, sentence in {
        "schedule.batch=2": "there is no 'batch'. There are stages",
        "schedule.num_sequences=many": "the settings do not fit: Expected `int`",
        "schedule": "is not key=value",
        "data.width_px=100": "multiples of 64 px",
        "generator.first_pictures=single": "network for first frames",
    }.items():
        assert train(preset, root, out, "--set", setting) == 2
        assert sentence in capsys.readouterr().err


def test_list_names_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--list"]) == 0
    names = {line.partition(":")[0] for line in capsys.readouterr().out.splitlines()}
    assert {"street-photo", "street-small", "label2city_512"} <= names


def test_check_data_says_what_is_wrong(
    preset: Path, draw_clip: DrawClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = draw_clip(2, 4)
    assert cli.main(["train", str(preset), "--data", str(root), "--check-data"]) == 0
    assert "is as" in capsys.readouterr().out
    (root / "train_B" / "seq0000" / "000001.png").write_bytes(b"no picture")
    (root / "train_B" / "seq0001" / "000003.png").unlink()
    assert cli.main(["train", str(preset), "--data", str(root), "--check-data"]) == 2
    first, second = capsys.readouterr().out.splitlines()
    assert "000001.png is no picture that can be read" in first
    assert "has 4 label maps and 3 real pictures" in second
    assert cli.main(["train", str(preset), "--data", str(tmp_path / "gone"), "--check-data"]) == 2
    assert "there is no folder" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_five_times_it_ends_with_the_weights_of_an_uninterrupted_run(
    preset: Path, draw_clip: DrawClip, tmp_path: Path
) -> None:
    root, rng = draw_clip(), random.Random(5)
    longer = ["--set", "schedule.stages.0.steps=40", "--set", "schedule.stages.1.steps=40"]

    def start(out: Path, *flags: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "renderer.train", str(preset), "--data", str(root), "--out", str(out)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen([*command, *longer, *flags], stderr=subprocess.PIPE, text=True, env=environment)

    with start(tmp_path / "whole") as whole:
        assert whole.stderr is not None
        whole.stderr.read()
        assert whole.wait(200) == 0
    out = tmp_path / "killed"
    for kill in range(5):
        with start(out, *(["--resume"] if kill else [])) as process:
            assert process.stderr is not None
            lines_before_death = rng.randint(3, 14) if kill else rng.randint(5, 14)
            for line in process.stderr:
                lines_before_death -= line.startswith("step ")
                if not lines_before_death:
                    break
            for _ in range(rng.randint(0, 200_000)):  # somewhere inside a step or the writing of a checkpoint
                pass
            process.send_signal(signal.SIGKILL)
    with start(out, "--resume") as last:
        assert last.stderr is not None
        last.stderr.read()
        assert last.wait(200) == 0
    assert model_bytes(out) == model_bytes(tmp_path / "whole")
