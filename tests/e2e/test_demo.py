"""The demo as a person types it, in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import pytest

from bridge.telemetry import read_telemetry

TIMEOUT_S = 240
JSON_FIELDS = [
    "ticks",
    "rendered",
    "shown",
    "dropped",
    "failed",
    "resets",
    "rates_hz",
    "frame_age_ms",
    "input_age_ms",
    "stages_ms",
    "model",
]


def environment() -> dict[str, str]:
    """This environment without a display, and with SDL told to use a driver that does not exist."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return {**kept, "SDL_VIDEODRIVER": "none of these"}


def demo(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clients", "demo", "--size", "256x128", *words],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def num_frames(video: Path) -> int:
    with av.open(str(video)) as container:
        return sum(1 for _ in container.decode(video=0))


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_two_runs_with_one_seed_are_the_same_to_the_last_bit(tmp_path: Path) -> None:
    drives = []
    for name in ("first", "second"):
        words = (
            "--headless",
            "--size",
            "512x256",
            "--seconds",
            "5",
            "--seed",
            "3",
            "--json",
            "--trace",
            f"{name}.jsonl",
        )
        extras = ("--record", "drive.mp4", "--telemetry", "telemetry.jsonl") if name == "first" else ()
        run = demo(tmp_path, *words, *extras)
        assert run.returncode == 0, run.stderr
        (line,) = run.stdout.splitlines()
        report = json.loads(line)
        assert list(report) == [*JSON_FIELDS, "exit"]
        assert (report["ticks"], report["rendered"], report["shown"]) == (100, 100, 100)
        assert (report["dropped"], report["exit"], report["model"]) == (0, "done", "street-photo")
        assert set(report["rates_hz"]) == {"simulator", "neural", "display", "control"}
        for spread in (report["frame_age_ms"], *report["stages_ms"].values()):
            assert 0 <= spread["p50"] <= spread["p95"] <= spread["max"]
        drives.append(read_lines(tmp_path / f"{name}.jsonl"))
    first, second = drives
    ids = [line["frame_id"] for line in first]
    assert ids == list(range(ids[0], ids[0] + 100))
    assert [line["rendered_frame_id"] for line in first] == ids
    for plane in ("labels_sha256", "synthesized_sha256"):
        assert [line[plane] for line in first] == [line[plane] for line in second]
        assert len({line[plane] for line in first}) > 50, "the drive stands still"
    assert num_frames(tmp_path / "drive.mp4") == 100
    records = read_telemetry(tmp_path / "telemetry.jsonl")
    assert [record.frame_id for record in records] == ids
    for record in records:
        moments = (record.tick_s, record.sample_s, record.submit_s, record.start_s, record.end_s, record.answer_s)
        assert list(moments) == sorted(moments), record
        assert record.outcome == "rendered"
        assert record.present_s is not None
        assert record.age_ms == pytest.approx((record.present_s - record.sample_s) * 1e3, abs=0.01)


def test_a_rate_out_of_reach_is_tried_by_smaller_pictures_and_every_tick_is_accounted_for(tmp_path: Path) -> None:
    words = ("--headless", "--seconds", "6", "--json", "--pace", "newest", "--target-hz", "240")
    run = demo(tmp_path, *words, "--telemetry", "telemetry.jsonl", "--record", "drive.mp4")
    assert run.returncode == 0, run.stderr
    assert "synthesizing at 192x96" in run.stderr
    report = json.loads(run.stdout)
    assert report["ticks"] == 120 == report["rendered"] + report["dropped"] + report["failed"]
    outcomes = [record.outcome for record in read_telemetry(tmp_path / "telemetry.jsonl")]
    assert {name: outcomes.count(name) for name in ("rendered", "dropped", "failed")} == {
        name: report[name] for name in ("rendered", "dropped", "failed")
    }
    assert num_frames(tmp_path / "drive.mp4") >= report["shown"] > 0


def test_frames_are_drawn_from_what_was_foreseen_of_them(tmp_path: Path) -> None:
    run = demo(tmp_path, "--headless", "--seconds", "6", "--predict", "--json")
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout.splitlines()[-1])
    assert (report["rendered"], report["failed"], report["dropped"]) == (report["ticks"], 0, 0)
    prediction = report["prediction"]
    assert prediction["foreseen"] > 0.8 * report["ticks"]
    assert prediction["missed"] <= 2
    assert prediction["labels_right"] > 0.93
    assert f"foreseen label maps: {prediction['labels_right']:.1%} of the pixels right" in run.stderr
    wanted = demo(tmp_path, "--headless", "--seconds", "1", "--predict", "--record", "drive/")
    assert wanted.returncode == 2
    assert "cannot be made again from a recording. Leave out --predict" in wanted.stderr


def test_without_a_display_it_says_so_and_writes_a_video(tmp_path: Path) -> None:
    run = demo(tmp_path, "--seconds", "1")
    assert run.returncode == 0, run.stderr
    assert run.stdout == ""
    assert "there is no display here" in run.stderr
    assert "writing demo.mp4 instead of opening a window" in run.stderr
    assert "demo.mp4: 1.0 s of video" in run.stderr
    assert num_frames(tmp_path / "demo.mp4") == 20


def test_an_unknown_model_is_one_sentence(tmp_path: Path) -> None:
    run = demo(tmp_path, "--headless", "--model", "nightmare")
    assert run.returncode == 2
    error = run.stderr.splitlines()[-1]
    assert error.startswith("error: ")
    assert "nightmare" in error
    assert "street-photo" in error
    assert "Traceback" not in run.stderr


def test_sigterm_ends_it_in_good_order(tmp_path: Path) -> None:
    words = ["demo", "--size", "256x128", "--headless", "--record", "drive.mp4", "--json", "--seconds", "1000"]
    with subprocess.Popen(
        [sys.executable, "-m", "clients", *words],
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "the first frame has come" in line:
                break
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 143
    report = json.loads(stdout)
    assert report["exit"] == "interrupted"
    assert num_frames(tmp_path / "drive.mp4") == report["shown"] > 0


def children(pid: int) -> dict[str, int]:
    """The processes that another one started, by the vidrive command that they run."""
    found: dict[str, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            words = (folder / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if parent == pid:
            found |= {word: int(folder.name) for word in words if word in ("town", "serve")}
    return found


def test_a_killed_town_ends_the_demo_with_a_sentence_and_a_video(tmp_path: Path) -> None:
    words = ["demo", "--size", "256x128", "--headless", "--record", "drive.mp4", "--json", "--seconds", "1000"]
    with subprocess.Popen(
        [sys.executable, "-m", "clients", *words],
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "the first frame has come" in line:
                break
        started = children(process.pid)
        os.kill(started["town"], signal.SIGKILL)
        stdout, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 2
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "simulator" in errors[0]
    assert json.loads(stdout)["exit"] in errors[0]
    assert "Traceback" not in said
    assert num_frames(tmp_path / "drive.mp4") == json.loads(stdout)["shown"] > 0
    assert not Path(f"/proc/{started['serve']}").exists(), "the renderer was left behind"


def test_a_video_that_cannot_be_written_is_told_before_anything_starts(tmp_path: Path) -> None:
    run = demo(tmp_path, "--headless", "--record", "missing/drive.mp4")
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("error: missing/drive.mp4 cannot be written")
    assert "starting the town" not in run.stderr
