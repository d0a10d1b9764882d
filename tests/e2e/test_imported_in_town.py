"""Imported weights in a drive: everything follows from their card, and the start says what they cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import av

from renderer.weights_store import store_folder
from tests.e2e.published_checkpoints import Networks, Weights, write

TIMEOUT_S = 240


def command(*words: str) -> tuple[list[str], dict[str, str]]:
    hidden = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return [sys.executable, "-m", "clients", *words], hidden | {"PYTHONPATH": str(Path(__file__).parents[2])}


def test_the_demo_drives_with_imported_weights(networks: Networks, weights: Weights, tmp_path: Path) -> None:
    assert weights("import", write(networks), "--name", "mine").code == 0
    words, environment = command(
        "demo",
        "--model",
        "mine",
        "--headless",
        "--seconds",
        "0.5",
        "--size",
        "256x128",
        "--record",
        "drive.mp4",
        "--json",
    )
    run = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert (report["ticks"], report["rendered"], report["model"], report["exit"]) == (10, 10, "mine", "done")
    assert "mine: 0 M parameters" in run.stderr
    assert "GFLOP" in run.stderr
    assert run.stderr.index("GFLOP") < run.stderr.index("the first frame has come")
    with av.open(str(tmp_path / "drive.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 10


def test_a_model_too_slow_to_drive_with_says_so(networks: Networks, weights: Weights) -> None:
    assert weights("import", write(networks), "--name", "mine").code == 0
    path = store_folder() / "mine" / "card.json"
    card = json.loads(path.read_bytes())
    card["cost_gflop"]["steady"] = 1e6
    path.write_text(json.dumps(card))
    words, environment = command("serve", "--model", "mine", "--listen", "tcp://127.0.0.1:*")
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        assert server.stdout.readline().startswith("ready ")
        server.kill()
        said = server.stderr.read()
    assert "mine is too slow to drive with here" in said
    assert "vidrive render" in said
