"""A town in this process for clients in child processes: the wheel may not share a process with its server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.town.server import TownServer

sys.path.insert(0, str(Path(__file__).parent))

from flat_painter import FlatPainter

PRELUDE = """
import json, os, queue, sys, time
import carla

port = int(sys.argv[1])
client = carla.Client("127.0.0.1", port)
client.set_timeout(10.0)


def enter_sync(world, delta_s=0.05):
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, delta_s
    world.apply_settings(settings)


def answer(**values):
    print(json.dumps(values), flush=True)


def error_of(call):
    try:
        call()
    except RuntimeError as error:
        return str(error)
    return None


def xyz(v):
    return [v.x, v.y, v.z]


def camera_blueprint(library, kind, width=64, height=32, **attributes):
    blueprint = library.find("sensor.camera." + kind)
    for name, value in {"image_size_x": width, "image_size_y": height, **attributes}.items():
        blueprint.set_attribute(name, str(value))
    return blueprint

"""

# The wheel's own threads sometimes abort the process while the interpreter is torn down, whatever the server does.
EPILOGUE = """
sys.stdout.flush()
os._exit(0)
"""

Client = Callable[..., dict[str, Any]]


@pytest.fixture
def painter() -> FlatPainter:
    return FlatPainter()


@pytest.fixture
def town(painter: FlatPainter, tmp_path: Path) -> Iterator[TownServer]:
    """A town of its own for each test, on free ports, with the flat painter."""
    server = TownServer(port=0, painter=painter, recordings_dir=tmp_path / "recordings")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(town: TownServer, tmp_path: Path) -> Client:
    """Run a script with the wheel in a child process; return what it gave to `answer`. It must exit with 0.

    Its home is a folder of the test's own, for the wheel keeps files that it fetches in ~/carlaCache.
    """

    def run(script: str, *arguments: str, timeout_s: float = 60.0) -> dict[str, Any]:
        return run_client(town.port, script, *arguments, home=tmp_path, timeout_s=timeout_s)

    return run


@pytest.fixture
def client_of() -> Client:
    """Run a script with the wheel against a town of the test's own: `client_of(port, script, home=, timeout_s=)`."""
    return run_client


def run_client(port: int, script: str, *arguments: str, home: Path, timeout_s: float) -> dict[str, Any]:
    """Run a script with the wheel in a child process against a port; see `client`."""
    command = [sys.executable, "-X", "faulthandler", "-c", PRELUDE + script + EPILOGUE, str(port), *arguments]
    environment = {**os.environ, "HOME": str(home)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, env=environment)
    assert done.returncode == 0, f"the client ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.strip().splitlines()[-1])
