"""How fast the town is: its pictures by the engine alone, without sockets; its ticks and its start by a client."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.capture.ego import Ego
from bridge.capture.presets import RigPreset
from bridge.capture.rig import Rig
from bridge.capture.world import connect
from bridge.town.engine import TownPainter
from bridge.town.pose import Pose
from bridge.town.streets import StreetNetwork, build_street_network
from bridge.town.views import Body, CameraView, Plane, StreetState, Weather
from clients.processes import start_town, town_address

NUM_VEHICLES: Final = 20
SIZES_PX: Final = ((512, 256), (1024, 512))
STEP_M: Final = 0.4  # 8 m/s at 20 ticks a second
WARM_UP: Final = 5
PLANES: Final[tuple[Plane, ...]] = ("rgb", "semantic", "instance", "depth")
NIGHT: Final = Weather(cloudiness=100.0, precipitation=100.0, precipitation_deposits=90.0, sun_altitude_angle=-90.0)
_VEHICLES: Final = ("vehicle.tesla.model3", "vehicle.mercedes.sprinter", "vehicle.mitsubishi.fusorosa")


@dataclass(frozen=True)
class TownTimes:
    """A town of its own, used through CARLA's client library.

    `listening_s`: from the start of its process until clients may connect; `first_frame_s`: until all planes of the
    first frame are there; `tick_ms`: the wall time of each synchronous tick of the world without vehicles or sensors.
    """

    listening_s: float
    first_frame_s: float
    tick_ms: NDArray[np.float64]


def measure_town(rig: RigPreset, num_ticks: int) -> TownTimes:
    """Start a town whose caches are warm, take a first frame with a rig, and tick it `num_ticks` times without.

    Raises ChildFailed if the town does not start.
    """
    start_s = time.perf_counter()
    with start_town() as town:
        host, port = town_address(town)
        listening_s = time.perf_counter() - start_s
        with connect(host, port) as world:
            ego = Ego(world)
            cameras = Rig(world, ego, rig)
            cameras.warm_up()
            first_frame_s = time.perf_counter() - start_s
            cameras.close()
            world.destroy([ego.actor])
            tick_ms = []
            for _ in range(WARM_UP + num_ticks):
                before_s = time.perf_counter()
                world.world.tick()
                tick_ms.append(1e3 * (time.perf_counter() - before_s))
    return TownTimes(listening_s, first_frame_s, np.array(tick_ms[WARM_UP:]))


@dataclass(frozen=True)
class PictureTimes:
    """The wall time of each frame's pictures, and of each of the engine's stages by name, ms."""

    frame_ms: NDArray[np.float64]
    stage_ms: Mapping[str, NDArray[np.float64]]


def measure_pictures(num_frames: int) -> dict[tuple[int, int, str], PictureTimes]:
    """Drive a camera through the town's traffic and return what its frames took, by width, height and weather.

    The engine uses up to two cores. By day and on a wet night in turns, so that other load falls on both alike.
    """
    network = build_street_network(0)
    painter = TownPainter(network, threads=min(2, os.cpu_count() or 1))
    try:
        painter.warm_up()
        return {
            (*size, name): _drive(painter, network, size, weather, num_frames)
            for size in SIZES_PX
            for name, weather in (("day", Weather()), ("wet night", NIGHT))
        }
    finally:
        painter.close()


def _drive(
    painter: TownPainter, network: StreetNetwork, size_px: tuple[int, int], weather: Weather, num_frames: int
) -> PictureTimes:
    lane = network.spawn_points[0]
    near = sorted(network.spawn_points, key=lambda p: (p.x_m - lane.x_m) ** 2 + (p.y_m - lane.y_m) ** 2)
    bodies = tuple(
        Body(100 + number, _VEHICLES[number % len(_VEHICLES)], pose, pose)
        for number, pose in enumerate(near[1 : 1 + NUM_VEHICLES])
    )
    times_ms: list[float] = []
    stages: list[dict[str, float]] = []
    for number in range(WARM_UP + num_frames):
        pose = lane.compose(Pose(STEP_M * (number % 30), z_m=1.6))
        start_s = time.perf_counter()
        state = StreetState(bodies, weather=weather, elapsed_s=0.05 * number)
        painter.render(CameraView(*size_px, 90.0, pose), pose, state, PLANES)
        times_ms.append(1e3 * (time.perf_counter() - start_s))
        stages.append(painter.timings_ms)
    names = stages[-1]
    stage_ms = {name: np.array([stage.get(name, 0.0) for stage in stages[WARM_UP:]]) for name in names}
    return PictureTimes(np.array(times_ms[WARM_UP:]), stage_ms)
