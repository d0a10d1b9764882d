"""A minute round the town by keys alone: they arrive, the car stays on the road, and it gets somewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bridge.recording.reader import Recording
from clients.processes import Child

TIMEOUT_S = 800
READY_S = 180.0
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_minute_by_keyboard(tmp_path: Path) -> None:
    with (
        Child("town", ["town", "--port", "0"]) as town,
        Child("renderer", ["serve", "--listen", "tcp://127.0.0.1:*"]) as renderer,
    ):
        host, port = town.wait_ready(READY_S)
        (endpoint,) = renderer.wait_ready(READY_S)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.e2e.typed_drive", "round", "--carla", f"{host}:{port}"),
                *("--server", endpoint, "--record", "drive"),
            ],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "DISPLAY": ":0", "SDL_VIDEODRIVER": "dummy"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    assert done.returncode == 0, done.stderr
    looks = np.array(json.loads(next(line for line in done.stderr.splitlines() if line.startswith('{"looks')))["looks"])
    off_m, speed_m_s = looks.T
    print(f"off the lane's centre {np.percentile(off_m, (50, 95, 100)).round(2)} m, {speed_m_s.mean():.1f} m/s")
    recording = Recording(tmp_path / "drive")
    rows = recording.rows[-1200:]
    driven_m = sum(row.ego.speed_m_s for row in rows) * recording.manifest.fixed_delta_s
    assert sum(not row.ego.autopilot for row in rows) > 1100, "a person drives"
    assert driven_m > 150, "it gets somewhere"
    assert np.percentile(off_m, 95) < 2.0, "on its lane"
    assert (recording.manifest.ended, recording.manifest.num_missing) == ("done", 0)
