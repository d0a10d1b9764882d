"""Training in pieces of minutes, with a checkpoint that comes back in small files: docker/train_for_minutes.sh."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = ("schedule.num_steps=4", "schedule.batch_size=1", "crops.width_px=64", "crops.height_px=32")


@pytest.mark.slow
def test_a_run_goes_on_from_the_pieces_of_its_checkpoint(tmp_path: Path) -> None:
    for part, picture in (("image", np.zeros((64, 96, 3), np.uint8)), ("label", np.full((64, 96), 3, np.uint8))):
        (tmp_path / "train" / part).mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / "train" / part / "a_0.png"), picture)
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        tar.add(tmp_path / "train", "train")
    out = tmp_path / "out"

    def train(minutes: str) -> str:
        flags = [word for setting in SETTINGS for word in ("--set", setting)]
        words = [minutes, "street-photo-segmentation", str(tmp_path / "data.tar"), str(out), "--device", "cpu", *flags]
        run = subprocess.run(
            ["sh", str(ROOT / "docker" / "train_for_minutes.sh"), *words],
            env={
                **os.environ,
                "PYTHON": sys.executable,
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
                "PIECE_BYTES": "4000000",
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert run.returncode == 0, run.stderr
        return run.stderr

    assert "written as it is; --resume goes on" in train("1e-9")
    pieces = sorted(path.name for path in out.glob("checkpoint*"))
    assert pieces[0] == "checkpoint.pt.part-aa" and len(pieces) > 1
    assert all(path.stat().st_size <= 4_000_000 for path in out.glob("checkpoint*"))
    said = train("5")
    assert "goes on from step" in said and "step 4/4" in said
    assert not (out / "checkpoint.pt").exists() and len(list(out.glob("checkpoint*"))) >= len(pieces)
