"""CARLA's own TrafficManager, inside the wheel, drives the town's vehicles; walkers walk by its pedestrian AI."""

from __future__ import annotations

import socket

import pytest

pytest.importorskip("carla")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


TRAFFIC = """
import math
world = client.get_world()
town_map = world.get_map()
library, points = world.get_blueprint_library(), town_map.get_spawn_points()
manager = client.get_trafficmanager(int(sys.argv[2]))
manager.set_random_device_seed(7)
enter_sync(world)
manager.set_synchronous_mode(True)
ids = sys.argv[3].split(",")
spawn = [
    carla.command.SpawnActor(library.find(ids[i % len(ids)]), point).then(
        carla.command.SetAutopilot(carla.command.FutureActor, True, manager.get_port()))
    for i, point in enumerate(points[::4][:20])
]
responses = client.apply_batch_sync(spawn, True)
vehicles = [world.get_actor(r.actor_id) for r in responses]
"""


def test_twenty_cars_keep_to_their_lanes_and_obey_the_lights(client) -> None:
    seen = client(
        TRAFFIC
        + """
worst, ran_red, stopped_at_red, driven = 0.0, 0, 0, [0.0] * len(vehicles)
was = [v.get_location() for v in vehicles]
for number in range(600):
    world.tick()
    if number < 60:
        continue
    for i, vehicle in enumerate(vehicles):
        here = vehicle.get_location()
        driven[i] += here.distance(was[i])
        was[i] = here
        lane = town_map.get_waypoint(here).transform
        worst = max(worst, lane.location.distance_2d(here))
        if vehicle.is_at_traffic_light() and vehicle.get_traffic_light_state() == carla.TrafficLightState.Red:
            stopped_at_red += vehicle.get_velocity().length() < 0.1
answer(errors=[r.error for r in responses if r.error], worst=worst, driven=sum(driven) / len(driven),
       moved=sum(d > 20.0 for d in driven), stopped=stopped_at_red,
       height=max(abs(v.get_location().z) for v in vehicles))
client.apply_batch_sync([carla.command.DestroyActor(v.id) for v in vehicles], True)
""",
        str(free_port()),
        "vehicle.tesla.model3,vehicle.audi.tt,vehicle.mini.cooper_s",
    )
    assert seen["errors"] == []
    assert seen["worst"] < 0.5, "vehicles stay within half a metre of their lane's centre, bends included"
    assert seen["moved"] >= 15 and seen["driven"] > 60.0
    assert seen["stopped"] > 0
    assert seen["height"] < 0.01


@pytest.mark.parametrize(
    "blueprint",
    ["vehicle.carlamotors.carlacola", "vehicle.mercedes.sprinter", "vehicle.mitsubishi.fusorosa", "vehicle.yamaha.yzf",
     "vehicle.bh.crossbike"],
)  # fmt: skip
def test_every_class_of_vehicle_can_be_driven_round_the_bends(client, blueprint: str) -> None:
    seen = client(
        TRAFFIC.replace("[::4][:20]", "[::24][:4]")
        + """
worst, speed = 0.0, 0.0
for number in range(400):
    world.tick()
    for vehicle in vehicles if number > 40 else []:
        here = vehicle.get_location()
        worst = max(worst, town_map.get_waypoint(here).transform.location.distance_2d(here))
        speed = max(speed, vehicle.get_velocity().length())
answer(worst=worst, speed=speed, finite=all(math.isfinite(c) for v in vehicles for c in xyz(v.get_location())))
client.apply_batch_sync([carla.command.DestroyActor(v.id) for v in vehicles], True)
""",
        str(free_port()),
        blueprint,
    )
    assert seen["finite"] is True
    assert seen["worst"] < 0.9 and seen["speed"] > 5.0
