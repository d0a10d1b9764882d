"""A synchronous client sleeps while the town works on its tick, instead of turning a core in circles."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

carla = pytest.importorskip("carla", reason="there is no carla wheel for this platform")

TOWN = """
import sys, threading, time
from bridge.town.server import TownServer

class SlowPainter:
    def render(self, view, previous_pose, state, planes):
        raise AssertionError("there are no cameras")

server = TownServer("127.0.0.1", 0, painter=SlowPainter())
step = server.simulation.tick
def slow_tick(dt_s, **options):
    if server.simulation.episode.settings.synchronous_mode:
        time.sleep(0.05)  # what drawing takes
    step(dt_s, **options)
server.simulation.tick = slow_tick
server.start()
print("ready", server.port, flush=True)
sys.stdin.read()
server.stop()
"""


def test_a_client_sleeps_while_the_town_works() -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", TOWN], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as town:
        try:
            assert town.stdout is not None
            client = carla.Client("127.0.0.1", int(town.stdout.readline().split()[1]))
            client.set_timeout(10.0)
            world = client.get_world()
            settings = world.get_settings()
            settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
            world.apply_settings(settings)
            world.tick()
            start_s, start_cpu_s, first = time.monotonic(), time.process_time(), world.get_snapshot().frame
            frames = [world.tick() for _ in range(20)]
            wall_s, cpu_s = time.monotonic() - start_s, time.process_time() - start_cpu_s
            assert frames == list(range(first + 1, first + 21)), "the answer is still the frame that came of the cue"
            assert wall_s > 0.9, "the town was not slow, so this proves nothing"
            assert cpu_s < 0.05 * wall_s, f"{cpu_s:.2f} s of work while waiting {wall_s:.2f} s"
        finally:
            town.kill()
