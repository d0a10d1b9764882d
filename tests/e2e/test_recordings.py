"""Recordings as a person makes and uses them: `vidrive record`, then `render`, in processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from bridge.recording.reader import Recording
from bridge.recording.writer import digest
from tests.e2e.test_demo import environment

TIMEOUT_S = 240
ROOT = Path(__file__).parents[2]


def vidrive(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clients", *words],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a drive, with lossless pictures."""
    folder = tmp_path_factory.mktemp("recorded")
    words = ("record", "--out", "drive", "--seconds", "2", "--size", "256x128", "--seed", "3", "--pictures", "lossless")
    run = vidrive(folder, *words, "--json")
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert (report["ticks"], report["rendered"], report["dropped"], report["exit"]) == (40, 40, 0, "done")
    assert "drive: 40 frames, 2.0 s" in run.stderr
    return folder / "drive"


def test_a_recording_holds_every_frame_with_all_planes(recorded: Path) -> None:
    recording = Recording(recorded)
    manifest = recording.manifest
    assert (manifest.ended, manifest.num_frames, manifest.num_missing, manifest.num_dropped) == ("done", 40, 0, 0)
    assert (manifest.seed, manifest.simulator_version, manifest.label_space) == (3, "0.9.16", "carla")
    assert manifest.card is not None
    assert manifest.card.name == "street-photo"
    ids = [row.frame_id for row in recording.rows]
    assert ids == list(range(ids[0], ids[0] + 40))
    for index in (0, 20, 39):
        frame = recording.sensor_frame(index)
        assert frame.rgb is not None
        assert frame.depth_m is not None
        assert frame.instance_map is not None
        assert {plane.shape[:2] for plane in (frame.label_map, frame.rgb, frame.depth_m, frame.instance_map)} == {
            (128, 256)
        }
        assert len(frame.bodies) > 10
        synthesized = recording.plane("synthesized", index)
        assert synthesized is not None
        assert digest(synthesized) == recording.rows[index].synthesized_sha256
        assert frame.rgb.std() > 10
        assert synthesized.std() > 10


def test_rendered_again_every_picture_is_the_recorded_one_bit_for_bit(recorded: Path) -> None:
    run = vidrive(recorded.parent, "render", "drive", "--model", "street-photo", "--out", "again")
    assert run.returncode == 0, run.stderr
    assert "40 of 40 pictures are the recorded ones, bit for bit" in run.stderr
    recording = Recording(recorded)
    for index, row in enumerate(recording.rows):
        picture = cv2.imread(str(recorded.parent / "again" / f"{row.frame_id:08d}.png"))
        assert picture is not None
        assert np.array_equal(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), recording.plane("synthesized", index))


def test_rendered_to_a_video_in_simulation_time(recorded: Path) -> None:
    run = vidrive(recorded.parent, "render", "drive", "--model", "street-photo", "--out", "a.mp4", "--size", "128x64")
    assert run.returncode == 0, run.stderr
    with av.open(str(recorded.parent / "a.mp4")) as video:
        sizes = [(frame.width, frame.height) for frame in video.decode(video=0)]
        assert sizes == [(128, 64)] * 40
        assert video.streams.video[0].average_rate == 20


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("render", "drive", "--out", "x", "--labels", "carla"), "says itself what its labels mean"),
        (("render", "drive", "--out", "x", "--size", "128x128"), "is of another shape"),
        (("render", "drive", "--out", "drive"), "is a recording, and pictures would lie among its files"),
        (("record", "--out", "drive"), "drive is not empty"),
        (("record", "--out", "y", "--no-render", "--model", "street-photo"), "--no-render synthesizes nothing"),
    ],
)
def test_what_cannot_be_is_one_sentence(recorded: Path, words: tuple[str, ...], sentence: str) -> None:
    run = vidrive(recorded.parent, *words)
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr
    assert sentence in next(line for line in run.stderr.splitlines() if line.startswith("error: "))


def test_killed_while_it_records_it_opens_and_renders(tmp_path: Path) -> None:
    words = ["record", "--out", "drive", "--size", "256x128", "--seconds", "1000"]
    with subprocess.Popen(
        [sys.executable, "-m", "clients", *words],
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "s driven" in line:
                break
        process.send_signal(signal.SIGKILL)
    recording = Recording(tmp_path / "drive")
    assert "was not closed" in recording.note
    assert len(recording) > 10
    run = vidrive(tmp_path, "render", "drive", "--model", "street-photo", "--out", "again")
    assert run.returncode == 0, run.stderr
    assert "was not closed" in run.stderr
    assert f"{len(recording)} of {len(recording)} pictures are the recorded ones" in run.stderr
