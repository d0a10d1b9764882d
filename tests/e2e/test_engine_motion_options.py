"""`--flow engine` and `--stabilise` as a person types them, on a recording and on label maps alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bridge.protocol.frames import BodyPose
from bridge.recording.writer import RecordingWriter, prepare_folder
from clients.cli import main
from tests.e2e.published_checkpoints import Networks, Run, Weights, error_of, write
from tests.unit.recording.recorded_drives import HEIGHT, WIDTH, make_manifest, make_pair

NUM_FRAMES = 5


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A wall ahead of a camera that goes to the right."""
    folder = tmp_path / "drive"
    prepare_folder(folder)
    with RecordingWriter(folder, make_manifest()) as writer:
        for index in range(NUM_FRAMES):
            pair = make_pair(100 + index)
            pose = np.eye(4)
            pose[0, 3] = 0.5 * index
            depth = np.full((HEIGHT, WIDTH), 10.0, np.float32)
            nobody = np.zeros((HEIGHT, WIDTH), np.uint16)
            sensor = replace(
                pair.sensor, world_from_camera=pose, depth_m=depth, instance_map=nobody, bodies=(BodyPose(7, pose),)
            )
            assert pair.rendered is not None
            rendered = replace(pair.rendered, reset="" if index else "new sequence")
            writer.accept(replace(pair, sensor=sensor, rendered=rendered))
    return folder


def render(capfd: pytest.CaptureFixture[str], *words: str | Path) -> Run:
    code = main(["render", *map(str, words)])
    said = capfd.readouterr()
    return Run(code, said.out, said.err)


def pictures(folder: Path) -> list[np.ndarray]:
    found = [cv2.imread(str(path)) for path in sorted(folder.rglob("*.png"))]
    assert len(found) == NUM_FRAMES
    return [np.asarray(picture) for picture in found]


def test_engine_flow_and_stabiliser_of_a_recording(
    drive: Path, networks: Networks, weights: Weights, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert weights("import", write(networks), "--name", "mine").code == 0
    drawn = {}
    for name, words in {"plain": (), "engine": ("--flow", "engine"), "steady": ("--stabilise",)}.items():
        run = render(capfd, drive, "--model", "mine", "--out", tmp_path / name, *words)
        assert run.code == 0, run.stderr
        drawn[name] = pictures(tmp_path / name)
    for name in ("engine", "steady"):
        assert np.array_equal(drawn[name][0], drawn["plain"][0]), "a first picture has nothing to be moved"
        assert not np.array_equal(drawn[name][-1], drawn["plain"][-1])
    assert np.array_equal(drawn["engine"][1], drawn["plain"][1])


def test_label_maps_alone_leave_the_flow_guessed(
    networks: Networks,
    weights: Weights,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert weights("import", write(networks), "--name", "mine").code == 0
    labels = np.random.default_rng(0).integers(0, 34, (4, 8), np.uint8).repeat(8, 0).repeat(8, 1)
    (tmp_path / "maps").mkdir()
    for index in range(NUM_FRAMES):
        cv2.imwrite(str(tmp_path / "maps" / f"{index}.png"), np.roll(labels, index, 1))
    assert render(capfd, tmp_path / "maps", "--model", "mine", "--out", tmp_path / "plain").code == 0
    run = render(capfd, tmp_path / "maps", "--model", "mine", "--out", tmp_path / "engine", "--flow", "engine")
    assert run.code == 0, run.stderr
    assert caplog.text.count("mine guesses its flow: frames come without the depth and poses of an engine") == 1
    for one, other in zip(pictures(tmp_path / "plain"), pictures(tmp_path / "engine"), strict=True):
        assert np.array_equal(one, other)


def test_a_model_that_guesses_no_flow_says_so(drive: Path, store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = render(capfd, drive, "--model", "street-photo", "--out", "out", "--flow", "engine")
    assert "street-photo moves its pictures by the engine's motion already" in error_of(run)
