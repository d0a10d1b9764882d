"""The command line as it is installed: its entry points, and what each command needs before it does anything."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from clients.cli import COMMANDS

TIMEOUT_S = 120


def vidrive(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "clients", *words], capture_output=True, text=True, timeout=TIMEOUT_S)


def test_the_installed_script_is_the_same_program() -> None:
    script = Path(sys.executable).with_name("vidrive")
    shown = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    assert shown.stdout == vidrive("--help").stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_a_command_comes_without_its_machinery(name: str) -> None:
    program = (
        "import sys; from clients.cli import main; code = main([sys.argv[1], '--help']); "
        "heavy = {'torch', 'pygame', 'carla', 'numba', 'av'} & set(sys.modules); "
        "assert not heavy, heavy; sys.exit(code)"
    )
    run = subprocess.run([sys.executable, "-c", program, name], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"usage: vidrive {name}")
    for line in run.stdout.splitlines():
        assert len(line) <= 120


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("clients.commands.town, bridge.town.server, bridge.town.engine.painter", {"torch", "carla", "pygame", "av"}),
        ("clients.driving, clients.report, clients.viewer.cockpit", {"torch", "numba"}),
    ],
    ids=["town", "drive"],
)
def test_an_image_needs_only_what_it_installs(modules: str, absent: set[str]) -> None:
    program = f"import sys, {modules}; present = {absent} & set(sys.modules); assert not present, present"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert run.returncode == 0, run.stderr


def test_a_town_on_a_taken_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = vidrive("town", "--port", str(taken.getsockname()[1]))
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("error: ")
    assert "--port" in run.stderr
    assert "Traceback" not in run.stderr


def test_ctrl_c_ends_the_town() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "clients", "town", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as town:
        assert town.stdout is not None
        assert any(line.startswith("ready 127.0.0.1 ") for line in town.stdout)
        town.send_signal(signal.SIGINT)
        _, said = town.communicate(timeout=TIMEOUT_S)
    assert town.returncode in (0, 130)
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("demo --headless --layout nope", "there is no layout 'nope'"),
        ("demo --headless --edits nope", "nope cannot be read"),
        ("demo --headless --pad nope", "nope cannot be read"),
        ("demo --headless --trace /nonexistent/trace.jsonl", "/nonexistent/trace.jsonl cannot be written"),
        ("demo --headless --record /nonexistent/drive.mp4", "/nonexistent/drive.mp4 cannot be written"),
        ("demo --headless --seed -1", "'-1' is not a seed"),
        ("train street-photo --data nowhere --seed -1", "'-1' is not a seed"),
        ("town --seed 4294967296", "'4294967296' is not a seed"),
    ],
)
def test_a_mistake_is_told_before_anything_is_started(words: str, said: str) -> None:
    run = vidrive(*words.split())
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line
