"""Presets of configs/train, and the command that trains them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from bridge.protocol.errors import UsageError, VidriveError
from configs import preset_names
from renderer.models.live import LiveGenerator, load_live
from renderer.train import __main__ as command
from renderer.train.data import LabelledPhoto
from renderer.train.discriminator import Discriminators
from renderer.train.preset import TrainPreset, find_train_preset
from renderer.train.run import train

from .conftest import RandomFeatures, assert_same, changed, differs, make_trainer, weights_of


@pytest.mark.parametrize("name", preset_names("train"))
def test_every_training_preset_loads_and_names_its_licence(name: str) -> None:
    preset = find_train_preset(name)
    assert preset.name == name
    assert preset.provenance.licence
    with torch.device("meta"):
        LiveGenerator(preset.generator)
        Discriminators(preset.generator.num_labels, preset.discriminators)


def test_bad_presets_are_refused_in_a_sentence(tmp_path: Path, tiny: TrainPreset) -> None:
    with pytest.raises(UsageError, match=r"no training preset 'street'. Use one of .*street-photo"):
        find_train_preset("street")
    path = tmp_path / "mine.yaml"
    with pytest.raises(UsageError, match=r"mine.yaml cannot be read \(No such file"):
        find_train_preset(str(path))
    path.write_bytes(msgspec.yaml.encode(tiny))
    assert find_train_preset(str(path)) == tiny
    path.write_text(path.read_text().replace("coarse_pool_px", "coarse_pool"))
    with pytest.raises(UsageError, match=r"does not fit: .*coarse_pool"):
        find_train_preset(str(path))
    path.write_bytes(msgspec.yaml.encode(changed(tiny, preview=changed(tiny.preview, width_px=50))))
    with pytest.raises(UsageError, match=r"the preview of preset tiny .* 50x32. Both sides must be multiples of 16"):
        find_train_preset(str(path))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("schedule.batch_size=0", "counts less than 1 where 1 is the least"),
        ("schedule.num_steps=0", "counts less than 1 where 1 is the least"),
        ("preview.every=0", "counts less than 1 where 1 is the least"),
        ("clips.width_px=50", "the clips of preset tiny are 50x32. Both sides must be multiples of 16 px"),
        ("generator.styles=[dusk]", "has other styles in its generator than in its data"),
    ],
)
def test_settings_that_cannot_be_trained_with_are_refused_in_a_sentence(
    run_command: Callable[..., int], capsys: pytest.CaptureFixture[str], setting: str, said: str
) -> None:
    assert run_command("--set", setting) == 2
    assert said in capsys.readouterr().err


@pytest.fixture
def run_command(tiny: TrainPreset, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setattr(command, "load_feature_network", RandomFeatures)
    preset = tmp_path / "tiny.yaml"
    preset.write_bytes(msgspec.yaml.encode(tiny))

    def run(*flags: str, folder: Path = data) -> int:
        return command.main([str(preset), "--data", str(folder), "--out", str(tmp_path / "out"), *flags])

    return run


def test_command_trains_measures_and_writes_a_card(
    run_command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command() == 0
    said = capsys.readouterr().err
    assert "5 photos to learn from, 5 to look at" in said
    assert "step 4/4, 0 min left, " in said
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        "checkpoint.pt",
        "checkpoint.previous.pt",
        "metrics.jsonl",
        "preview_000002.png",
        "preview_000004.png",
        "tiny.json",
        "tiny.safetensors",
    }
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert lines[3]["perceptual"] > 0 and lines[3]["discriminator_0"] > 0 and lines[3]["frames_a_second"] > 0
    assert 0 < lines[3]["frames_a_processor_second"] < 10_000
    card = json.loads((out / "tiny.json").read_text())
    assert card["licence"] == "CC BY-NC 4.0"
    assert card["steps"] == 4
    assert card["history"] == ""
    assert card["metrics"]["flicker"]["ratio"] > 0
    assert load_live(out / "tiny.safetensors").config.channels_4 == 4
    assert run_command("--evaluate", str(out / "tiny.safetensors")) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["real_drives"] == card["metrics"]["real_drives"]


def test_command_stops_after_its_time_and_resumes_to_the_same_weights(
    run_command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "out" / "tiny.safetensors"
    assert run_command() == 0
    whole = weights_of(load_live(weights))
    assert run_command("--minutes", "1e-9") == 0
    assert "is written as it is; --resume goes on" in capsys.readouterr().err
    assert differs(weights_of(load_live(weights)), whole)
    assert run_command("--resume") == 0
    assert "goes on from step 1" in capsys.readouterr().err
    assert_same(weights_of(load_live(weights)), whole)


def test_run_without_a_number_of_steps_ends_with_its_time_and_is_measured(
    run_command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    timed = ("--set", "schedule.num_steps=null")
    assert run_command(*timed) == 2
    assert "tiny is trained for as long as there is time. Say how long: --minutes M" in capsys.readouterr().err
    assert run_command(*timed, "--minutes", "0.01") == 0
    said = capsys.readouterr().err
    assert "step 1, 1 min left, " in said and "measures the generator on the validation split" in said
    card = json.loads((tmp_path / "out" / "tiny.json").read_text())
    assert card["steps"] > 1 and card["metrics"]["flicker"]["ratio"] > 0 and card["recognition"] is None
    assert run_command(*timed, "--minutes", "0.01", "--resume", "--set", "recognised_by=street-photo") == 2
    assert "was made with other settings of recognised_by" in capsys.readouterr().err
    assert run_command(*timed, "--minutes", "0.01", "--resume") == 0
    assert json.loads((tmp_path / "out" / "tiny.json").read_text())["steps"] > card["steps"]


def test_rate_falls_with_the_clock_where_no_steps_are_counted(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    schedule = changed(tiny.schedule, num_steps=None, warm_up_steps=1, decay_from=0.5)
    trainer = make_trainer(changed(tiny, schedule=schedule), photos)
    trainer.begin_time(100.0)
    rates: list[float] = []
    for seconds in (10.0, 50.0, 20.0, 20.0):
        trainer.step()
        rates.append(trainer.state_dict()["generator_optimizer"]["param_groups"][0]["lr"] / schedule.generator_rate)
        trainer.spend(seconds)
    assert rates == pytest.approx([1.0, 1.0, 0.8, 0.4])
    assert trainer.done == 1.0
    trainer.begin_time(100.0)  # as much again: half of the whole is done, and the rate is full again
    assert trainer.done == 0.5


def test_card_says_what_of_the_classes_is_left(run_command: Callable[..., int], tmp_path: Path) -> None:
    assert run_command("--set", "recognised_by=street-photo") == 0
    recognition = json.loads((tmp_path / "out" / "tiny.json").read_text())["recognition"]
    assert recognition["photos"]["mean_iou"] > 0 and recognition["share"] >= 0


def test_command_answers_errors_with_a_sentence_and_2(
    run_command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(folder=tmp_path / "nowhere") == 2
    assert "error: there is no folder" in capsys.readouterr().err
    assert run_command("--resume") == 2
    assert "holds no checkpoint" in capsys.readouterr().err
    assert run_command("--evaluate", str(tmp_path / "no.safetensors")) == 2
    assert "cannot be used" in capsys.readouterr().err
    (tmp_path / "out").rmdir()
    (tmp_path / "out").write_text("a file")
    assert run_command() == 2
    assert "cannot be made" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_command("--steps", "0")
    assert "0 is not above 0" in capsys.readouterr().err


def test_validation_without_a_clip_is_said_before_anything_is_learnt(
    run_command: Callable[..., int], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("--set", "evaluation.clip_drive=b") == 2
    assert "has 0 frames of drive b, a clip needs three. Measure another: --set" in capsys.readouterr().err
    for number, path in enumerate(sorted((data / "val").rglob("*.png"))):
        path.rename(path.with_name(f"{'abcde'[number % 5]}_0.png"))
    assert run_command("--set", "evaluation.clip_drive=''") == 2
    assert "or leave val/ out" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_five_times_it_ends_with_the_weights_of_an_uninterrupted_run(
    tiny: TrainPreset, data: Path, tmp_path: Path
) -> None:
    preset, rng = tmp_path / "tiny.yaml", random.Random(5)
    schedule = changed(tiny.schedule, num_steps=60)
    judges = changed(tiny.discriminators, head_level_channels=(32, 16))  # of the feature network that ships
    clips = changed(tiny.clips, single_share=0.5)
    preset.write_bytes(msgspec.yaml.encode(changed(tiny, schedule=schedule, discriminators=judges, clips=clips)))

    def start(out: Path, *flags: str) -> subprocess.Popen[str]:
        words = [str(preset), "--data", str(data), "--out", str(out), *flags]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[4])}
        command = [sys.executable, "-m", "renderer.train", *words]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)

    def finish(process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(200) == 0, said[-2000:]

    with start(tmp_path / "whole") as whole:
        finish(whole)
    out = tmp_path / "killed"
    for kill in range(5):
        with start(out, *(["--resume"] if kill else [])) as process:
            assert process.stderr is not None
            lines_before_death = rng.randint(5, 12)
            for line in process.stderr:
                lines_before_death -= line.startswith("step ")
                if not lines_before_death:
                    break
            for _ in range(rng.randint(0, 200_000)):  # somewhere inside a step or the writing of a checkpoint
                pass
            process.send_signal(signal.SIGKILL)
    with start(out, "--resume") as last:
        finish(last)
    killed, whole_run = (weights_of(load_live(folder / "tiny.safetensors")) for folder in (out, tmp_path / "whole"))
    assert_same(killed, whole_run)


def test_preview_that_cannot_be_written_is_an_error(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path
) -> None:
    with pytest.raises(VidriveError, match="cannot be written"):
        train(make_trainer(tiny, photos), tmp_path / "gone", photos, print)


def test_numbers_go_to_tensorboard_as_those_of_a_vid2vid_do(run_command: Callable[..., int], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run_command("--set", "report.tensorboard=true", "--minutes", "1e-9") == 0
    board = EventAccumulator(str(tmp_path / "out" / "tensorboard"))
    board.Reload()
    assert [event.step for event in board.Scalars("coarse")] == [1]
    assert [event.step for event in board.Images("preview")] == [1]


def test_memory_that_runs_out_is_answered_with_what_to_lower(
    run_command: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        torch.empty(1 << 60)  # what torch itself says, where a machine has less

    monkeypatch.setattr(LiveGenerator, "draw", no_memory)
    assert run_command() == 2
    said = capsys.readouterr().err
    assert "the memory of the cpu ran out at step 1. Lower one of these: --set schedule.batch_size=1 (now 2)" in said
    assert "clips.width_px and clips.height_px (now 48x32)" in said
