"""No start loses its first frame: a town, a client that ticks at once, and every sensor's first picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flat_painter import FlatPainter

from bridge.town.engine import TownPainter
from bridge.town.server import TownServer
from bridge.town.streets import build_street_network
from bridge.town.views import Painter

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


def starts(count: int, painter: Painter, home: Path, run_client: Callable[..., dict[str, Any]]) -> int:
    """Start a town and a client `count` times; return how many first frames were lost."""
    missed = 0
    for _ in range(count):
        server = TownServer(port=0, painter=painter, recordings_dir=home)
        server.start()
        try:
            missed += run_client(server.port, START, home=home, timeout_s=60.0)["missed"]
        finally:
            server.stop()
    return missed


def test_a_start_loses_no_first_frame(tmp_path: Path, client_of: Callable[..., dict[str, Any]]) -> None:
    assert starts(3, FlatPainter(), tmp_path, client_of) == 0


@pytest.mark.slow
@pytest.mark.timeout(1800.0)
def test_two_hundred_starts_lose_no_first_frame(tmp_path: Path, client_of: Callable[..., dict[str, Any]]) -> None:
    assert starts(200, FlatPainter(), tmp_path, client_of) == 0


@pytest.mark.slow
@pytest.mark.timeout(1800.0)
def test_nor_do_they_with_the_towns_own_pictures(tmp_path: Path, client_of: Callable[..., dict[str, Any]]) -> None:
    """The pictures take their time: what is drawn for the first tick is late, and must not be lost for it."""
    painter = TownPainter(build_street_network())
    try:
        painter.warm_up()
        assert starts(200, painter, tmp_path, client_of) == 0
    finally:
        painter.close()
