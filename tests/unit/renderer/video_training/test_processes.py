"""Several processes learn what one would: the gradient of a step is that of all its sequences."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch

from renderer.train.video.preset import VideoPreset

from .conftest import DrawClip, changed

SCRIPT = Path(__file__).with_name("gradients_of_a_step.py")
RELATIVE = 1e-5
# As `--standalone`, but by number: a bare machine may know neither "localhost" nor its own name.
TORCHRUN = (
    "--rdzv-backend",
    "c10d",
    "--rdzv-endpoint",
    "127.0.0.1:0",
    "--local-addr",
    "127.0.0.1",
    "--nproc-per-node",
    "2",
)


@pytest.fixture
def preset(tiny: VideoPreset, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    schedule = changed(tiny.schedule, sequence_frames=(4, 4), load_frames=(4, 4))  # temporal discriminators see a group
    path.write_bytes(msgspec.yaml.encode(changed(tiny, schedule=schedule)))
    return path


def run(*words: str) -> None:
    root = Path(__file__).parents[4]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_have_the_gradient_of_one(preset: Path, draw_clip: DrawClip, tmp_path: Path) -> None:
    words = [str(SCRIPT), str(preset), str(draw_clip()), str(tmp_path)]
    run(*words)
    run("-m", "torch.distributed.run", *TORCHRUN, *words)
    alone, first, second = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1_0", "2_0", "2_1"))
    assert alone["num_frames"] == first["num_frames"] == 8
    assert alone["terms"] == pytest.approx(first["terms"], rel=RELATIVE)
    assert alone["gradients"].keys() == first["gradients"].keys()
    assert any(name.startswith("temporal") for name in alone["gradients"])
    for name, gradient in alone["gradients"].items():
        bound = RELATIVE * float(gradient.abs().max()) + 1e-12
        assert float((first["gradients"][name] - gradient).abs().max()) <= bound, name
        assert torch.equal(first["gradients"][name], second["gradients"][name])


@pytest.mark.slow
def test_torchrun_trains_to_the_end(preset: Path, draw_clip: DrawClip, tmp_path: Path) -> None:
    words = [str(preset), "--data", str(draw_clip()), "--out", str(tmp_path / "out")]
    run("-m", "torch.distributed.run", *TORCHRUN, "-m", "renderer.train", *words)
    assert (tmp_path / "out" / "model" / "latest_net_G1.pth").is_file()
