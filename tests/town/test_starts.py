"""No start loses its first frame: a town, a client that ticks at once, and every sensor's first picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flat_painter import FlatPainter

from bridge.town.server import TownServer

pytest.importorskip("carla")

START = """
world = client.get_world()
enter_sync(world)
library = world.get_blueprint_library()
vehicle = world.spawn_actor(library.find("vehicle.tesla.model3"), world.get_map().get_spawn_points()[0])
frames, sensors = queue.Queue(), []
for kind in ("camera.rgb", "camera.semantic_segmentation", "camera.depth", "other.gnss", "other.imu"):
    blueprint = library.find("sensor." + kind)
    if kind.startswith("camera"):
        blueprint.set_attribute("image_size_x", "64")
        blueprint.set_attribute("image_size_y", "32")
    sensor = world.spawn_actor(blueprint, carla.Transform(carla.Location(z=2.0)), attach_to=vehicle)
    sensor.listen(lambda data, kind=kind: frames.put((kind, data.frame)))
    sensors.append(sensor)
frame = world.tick()
got = []
for _ in sensors:
    try:
        got.append(frames.get(timeout=3.0))
    except queue.Empty:
        break
answer(missed=len(sensors) - sum(number == frame for _kind, number in got))
for sensor in sensors:
    sensor.stop(); sensor.destroy()
"""


def starts(count: int, home: Path, run_client: Callable[..., dict[str, Any]]) -> int:
    """Start a town and a client `count` times; return how many first frames were lost."""
    missed = 0
    for _ in range(count):
        server = TownServer(port=0, painter=FlatPainter(), recordings_dir=home)
        server.start()
        try:
            missed += run_client(server.port, START, home=home, timeout_s=60.0)["missed"]
        finally:
            server.stop()
    return missed


def test_a_start_loses_no_first_frame(tmp_path: Path, client_of: Callable[..., dict[str, Any]]) -> None:
    assert starts(3, tmp_path, client_of) == 0


@pytest.mark.slow
def test_two_hundred_starts_lose_no_first_frame(tmp_path: Path, client_of: Callable[..., dict[str, Any]]) -> None:
    assert starts(200, tmp_path, client_of) == 0
