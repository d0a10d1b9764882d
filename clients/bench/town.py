"""How fast the town draws: all cameras' planes of one view with traffic, by the engine alone, without sockets."""

from __future__ import annotations

import os
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine import TownPainter
from bridge.town.pose import Pose
from bridge.town.streets import StreetNetwork, build_street_network
from bridge.town.views import Body, CameraView, Plane, StreetState, Weather

NUM_VEHICLES: Final = 20
SIZES_PX: Final = ((512, 256), (1024, 512))
STEP_M: Final = 0.4  # 8 m/s at 20 ticks a second
WARM_UP: Final = 5
PLANES: Final[tuple[Plane, ...]] = ("rgb", "semantic", "instance", "depth")
NIGHT: Final = Weather(cloudiness=100.0, precipitation=100.0, precipitation_deposits=90.0, sun_altitude_angle=-90.0)
_VEHICLES: Final = ("vehicle.tesla.model3", "vehicle.mercedes.sprinter", "vehicle.mitsubishi.fusorosa")


def measure_pictures(num_frames: int) -> dict[tuple[int, int, str], NDArray[np.float64]]:
    """Drive a camera through the town's traffic and return each frame's wall time in ms, by width, height and weather.

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
) -> NDArray[np.float64]:
    lane = network.spawn_points[0]
    near = sorted(network.spawn_points, key=lambda p: (p.x_m - lane.x_m) ** 2 + (p.y_m - lane.y_m) ** 2)
    bodies = tuple(
        Body(100 + number, _VEHICLES[number % len(_VEHICLES)], pose, pose)
        for number, pose in enumerate(near[1 : 1 + NUM_VEHICLES])
    )
    times_ms = []
    for number in range(WARM_UP + num_frames):
        pose = lane.compose(Pose(STEP_M * (number % 30), z_m=1.6))
        start_s = time.perf_counter()
        state = StreetState(bodies, weather=weather, elapsed_s=0.05 * number)
        painter.render(CameraView(*size_px, 90.0, pose), pose, state, PLANES)
        times_ms.append(1e3 * (time.perf_counter() - start_s))
    return np.array(times_ms[WARM_UP:])
