"""`vidrive render` as a person types it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from clients.cli import main
from renderer.models.live import LiveGenerator, save_live

TIMEOUT_S = 60.0

Render = Callable[..., "Run"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_live(path, LiveGenerator(), {})
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two sequences in vid2vid's layout, CARLA's label ids, 40x30 pixels."""
    rng = np.random.default_rng(0)
    for name in ("seq1/a", "seq1/b", "seq2/a"):
        path = tmp_path / "in" / "test_A" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), rng.integers(0, 29, (30, 40), np.uint8))
    return tmp_path / "in"


@dataclass(frozen=True)
class Run:
    returncode: int
    stderr: str


@pytest.fixture
def render(root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Render:
    """Run the command in this process, which has paid for importing torch; `prepare_process` refuses just that."""
    monkeypatch.setattr("renderer.backends.host.prepare_process", lambda: None)
    monkeypatch.chdir(root.parent)
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(*words: str | Path) -> Run:
        code = main(["render", *map(str, words)])
        return Run(code, capfd.readouterr().err)

    return run


def render_process(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clients", "render", *map(str, words)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def error_of(run: Run) -> str:
    """The one error sentence of a run that failed as it should."""
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    return line


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_of_pictures(root: Path, weights: Path, render: Render) -> None:
    words = (root, "--model", weights, "--labels", "carla", "--out")
    run = render(*words, "out")
    assert run.returncode == 0, run.stderr
    out = root.parent / "out"
    assert files(out) == ["seq1/a.png", "seq1/b.png", "seq2/a.png"]
    pictures = [cv2.imread(str(out / name)) for name in files(out)]
    assert {picture.shape for picture in pictures if picture is not None} == {(32, 48, 3)}
    assert "out: 3 frames of 2 sequences by random" in run.stderr
    again = render(*words, "again", "--size", "48x32")
    assert again.returncode == 0, again.stderr
    assert all((out / name).read_bytes() == (root.parent / "again" / name).read_bytes() for name in files(out))


def test_a_video(root: Path, weights: Path) -> None:
    run = render_process(
        root.parent, root, "--model", weights, "--labels", "carla", "--out", "drive.mp4", "--size", "64x32"
    )
    assert run.returncode == 0, run.stderr
    with av.open(str(root.parent / "drive.mp4")) as video:
        assert [(frame.width, frame.height) for frame in video.decode(video=0)] == [(64, 32)] * 3
    assert files(root.parent) == ["drive.mp4", *sorted(f"in/test_A/{n}.png" for n in ("seq1/a", "seq1/b", "seq2/a"))]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["missing", "--out", "out"], "there is no folder missing"),
        (["in", "--out", "out", "--size", "large"], "--size large is not a size"),
        (["in", "--out", "out", "--labels", "ade20k"], "invalid choice: 'ade20k'"),
        (["in", "--out", "out", "--model", "nightmare"], "there is no model 'nightmare'"),
        (["in", "--out", "in/test_A", "--labels", "carla"], "would be overwritten"),
        (["in", "--out", "in/test_A/seq1/a.png", "--labels", "carla"], "cannot be written"),
        (["in", "--out", "nowhere/drive.mp4", "--labels", "carla"], "cannot be written"),
        (["in", "--out", "out"], "label space street does not have"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    root: Path, weights: Path, render: Render, words: list[str], sentence: str
) -> None:
    before = files(root)
    default = [] if "--model" in words else ["--model", str(weights)]
    assert sentence in error_of(render(*words, *default))
    assert files(root) == before
    assert not [name for name in files(root.parent) if "unfinished" in name or name.endswith("mp4")]


def test_an_unfinished_video_is_not_left(root: Path, weights: Path, render: Render) -> None:
    cv2.imwrite(str(root / "test_A" / "seq2" / "a.png"), np.full((30, 40), 200, np.uint8))
    run = render(root, "--model", weights, "--labels", "carla", "--out", "drive.mp4")
    assert "seq2/a.png: a label map holds ids that label space carla does not have: 200" in error_of(run)
    assert not [name for name in files(root.parent) if "mp4" in name]


def test_sequences_of_several_sizes(root: Path, weights: Path, render: Render) -> None:
    cv2.imwrite(str(root / "test_A" / "seq2" / "a.png"), np.zeros((60, 80), np.uint8))
    words = (root, "--model", weights, "--labels", "carla", "--out")
    assert "several sizes" in error_of(render(*words, "drive.mp4"))
    run = render(*words, "out")
    assert run.returncode == 0, run.stderr
    picture = cv2.imread(str(root.parent / "out" / "seq2" / "a.png"))
    assert picture is not None
    assert picture.shape == (64, 80, 3)
