"""The window of a drive whose inference server, a real one, is frozen, slow, killed and flapping."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clients.processes import Child

TIMEOUT_S = 500
READY_S = 180.0
ROOT = Path(__file__).parents[2]
LONGEST_MS = 100.0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_window_is_never_held_up_by_the_server(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with Child("town", ["town", "--port", "0"]) as town:
        host, port = town.wait_ready(READY_S)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.e2e.typed_drive", "troubles"),
                *("--carla", f"{host}:{port}", "--server", endpoint, "--size", "256x128", "--pace", "newest"),
            ],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "DISPLAY": ":0", "SDL_VIDEODRIVER": "dummy"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    assert done.returncode == 0, done.stderr
    gaps_ms = json.loads(next(line for line in done.stderr.splitlines() if line.startswith("{")))
    told = {name: [round(float(v), 1) for v in np.percentile(gaps, (50, 99, 100))] for name, gaps in gaps_ms.items()}
    print(told)
    assert set(gaps_ms) == {"beginning", "frozen", "slow", "killed", "flapping"}
    assert all(len(gaps) > 50 for gaps in gaps_ms.values())
    assert max(max(gaps) for gaps in gaps_ms.values()) <= LONGEST_MS, told
