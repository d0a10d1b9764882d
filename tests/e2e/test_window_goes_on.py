"""The window of a drive whose inference server, a real one, is frozen, slow, killed and flapping; or its town."""

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


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def typed_drive(folder: Path, typist: str, *words: str) -> str:
    """Run a typed drive in a window to its end and return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.typed_drive", typist, "--size", "256x128", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "DISPLAY": ":0", "SDL_VIDEODRIVER": "dummy"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_window_is_never_held_up_by_the_server(tmp_path: Path) -> None:
    with Child("town", ["town", "--port", "0"]) as town:
        host, port = town.wait_ready(READY_S)
        words = ("--carla", f"{host}:{port}", "--server", f"tcp://127.0.0.1:{free_port()}", "--pace", "newest")
        said = typed_drive(tmp_path, "troubles", *words)
    gaps_ms = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    told = {name: [round(float(v), 1) for v in np.percentile(gaps, (50, 99, 100))] for name, gaps in gaps_ms.items()}
    print(told)
    assert set(gaps_ms) == {"beginning", "frozen", "slow", "killed", "flapping"}
    assert all(len(gaps) > 50 for gaps in gaps_ms.values())
    assert max(max(gaps) for gaps in gaps_ms.values()) <= LONGEST_MS, told


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_town_lost_while_the_cameras_are_moved_does_not_end_the_process(tmp_path: Path) -> None:
    with Child("renderer", ["serve", "--listen", "tcp://127.0.0.1:*"]) as renderer:
        (endpoint,) = renderer.wait_ready(READY_S)
        said = typed_drive(tmp_path, "change", "--carla", f"127.0.0.1:{free_port()}", "--server", endpoint)
    assert "is gone: nothing to clean up there" in said
    assert "Traceback" not in said
