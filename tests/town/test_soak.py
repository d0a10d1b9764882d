"""The long drive: twenty vehicles and ten walkers for as many simulated minutes as VIDRIVE_SOAK_MINUTES says.

TrafficManager's vehicles now and then meet each other where lanes cross; who was pushed does not count as off its lane
for ten seconds. Nobody may stand for so long (90 s) that TrafficManager takes him away. What stands still they must
never hit. Walkers who are run over, as TrafficManager's vehicles do in CARLA, are told as "lost_walkers".

`VIDRIVE_SOAK_MINUTES=60 make test ARGS="tests/town/test_soak.py -m slow -s"` prints the figures of an hour.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from test_wheel_traffic import free_port

pytest.importorskip("carla")

MINUTES = float(os.environ.get("VIDRIVE_SOAK_MINUTES", "2"))

SOAK = """
import math
minutes, manager_port, town_pid = float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
client.set_timeout(60.0)
world = client.get_world()
town_map = world.get_map()
library, points = world.get_blueprint_library(), town_map.get_spawn_points()
manager = client.get_trafficmanager(manager_port)
manager.set_random_device_seed(11)
manager.set_global_distance_to_leading_vehicle(2.5)
enter_sync(world)
manager.set_synchronous_mode(True)
world.set_pedestrians_seed(11)
world.set_pedestrians_cross_factor(0.1)
kinds = ["vehicle.tesla.model3", "vehicle.audi.tt", "vehicle.mini.cooper_s", "vehicle.mercedes.sprinter",
         "vehicle.nissan.patrol", "vehicle.carlamotors.carlacola", "vehicle.seat.leon", "vehicle.yamaha.yzf",
         "vehicle.bh.crossbike", "vehicle.mitsubishi.fusorosa"]
step = max(1, len(points) // 20)
vehicles = []
for point in [*points[::step], *points[1::step]]:
    if len(vehicles) < 20:
        vehicle = world.try_spawn_actor(library.find(kinds[len(vehicles) % len(kinds)]), point)
        if vehicle is not None:
            vehicles.append(vehicle)
world.tick()
for vehicle in vehicles:
    vehicle.set_autopilot(True, manager.get_port())
    manager.auto_lane_change(vehicle, False)
bumps, pushed, sensors = [], [], []
for vehicle in vehicles:
    sensor = world.spawn_actor(library.find("sensor.other.collision"), carla.Transform(), attach_to=vehicle)
    sensor.listen(lambda event: bumps.append(
        (event.frame, event.actor.id, event.actor.type_id, event.other_actor.id, event.other_actor.type_id,
         round(event.normal_impulse.length()))))
    sensors.append(sensor)
people, walkers, minds = list(library.filter("walker.pedestrian.*")), [], []
for number in range(200):
    place = world.get_random_location_from_navigation()
    if place is not None and len(walkers) < 10:
        walker = world.try_spawn_actor(people[number % len(people)], carla.Transform(place + carla.Location(z=1.0)))
        if walker is not None:
            walkers.append(walker)
world.tick()
minds = [world.spawn_actor(library.find("controller.ai.walker"), carla.Transform(), attach_to=w) for w in walkers]
world.tick()
for mind in minds:
    mind.start()
    mind.go_to_location(world.get_random_location_from_navigation())
    mind.set_max_speed(1.4)


def memory_mb(pid):
    return int(open(f"/proc/{pid}/statm").read().split()[1]) * 4096 / 1e6


def is_straight(lane):
    # who has just left a bend still swings back to the middle
    ahead, behind = lane.next(6.0), lane.previous(15.0)
    yaw = lane.transform.rotation.yaw
    return not lane.is_junction and len(ahead) == len(behind) == 1 and all(
        abs((other.transform.rotation.yaw - yaw + 180.0) % 360.0 - 180.0) < 0.5 for other in (ahead[0], behind[0]))


worst, off_lane, removed, seen, began, memory = 0.0, [], [], 0, time.monotonic(), []
driven, was, walked = 0.0, [v.get_location() for v in vehicles], 0.0
feet = [w.get_location() for w in walkers]
longest_stop, stopped_since = 0, [0] * len(vehicles)
ticks = round(minutes * 60 / 0.05)
for number in range(ticks):
    world.tick()
    if number % 10 == 0 and number > 100:
        pushed += [(number, (bump[1], bump[3])) for bump in bumps[len(pushed):]]
        for i, vehicle in enumerate(vehicles):
            if not vehicle.is_alive:
                if vehicle.id not in [row[1] for row in removed]:
                    lane = town_map.get_waypoint(was[i])
                    removed.append((number, vehicle.id, vehicle.type_id, xyz(was[i]), lane.road_id, lane.lane_id))
                continue
            here = vehicle.get_location()
            moved = here.distance(was[i])
            driven += moved
            was[i] = here
            stopped_since[i] = number if moved > 0.02 else stopped_since[i] or number
            longest_stop = max(longest_stop, number - stopped_since[i])
            lane = town_map.get_waypoint(here)
            if is_straight(lane):
                seen += 1
                off = lane.transform.location.distance_2d(here)
                if any(number - at < 200 and vehicle.id in pair for at, pair in pushed):
                    continue
                worst = max(worst, off)
                if off > 0.5:
                    off_lane.append((number, vehicle.id, vehicle.type_id, round(off, 2)))
    if number % 200 == 0:
        # whom a vehicle runs over lies there and is taken away, its mind with it
        there = {actor.id for actor in world.get_actors()}
        alive = [i for i, walker in enumerate(walkers) if walker.id in there]
        walked += sum(walkers[i].get_location().distance(feet[i]) for i in alive)
        feet = [w.get_location() if w.id in there else None for w in walkers]
        for mind in minds[(number // 200) % len(minds)::5] if minds else []:
            if mind.id in there:
                mind.go_to_location(world.get_random_location_from_navigation())
    if number % 1200 == 600:
        memory.append((round(memory_mb("self"), 1), round(memory_mb(town_pid), 1)))
there = {actor.id for actor in world.get_actors()}
for mind in minds:
    if mind.id in there:
        mind.stop()
for sensor in sensors:
    sensor.stop()
first = {}
for frame, a, kind, b, other, impulse in bumps:
    key = (min(a, b), max(a, b)) if b else (a, 0)
    first.setdefault(key, (frame, kind, other, impulse))
answer(vehicles=len(vehicles), walkers=len(walkers), ticks=ticks, took_s=time.monotonic() - began, worst_m=worst,
       off_lane=off_lane[:200], num_off_lane=len(off_lane), samples=seen, km=driven / 1000.0, walked_m=walked,
       removed=removed, lost_walkers=sum(w.id not in there for w in walkers), bumps=len(bumps),
       static=sorted({(kind, other) for _, _, kind, _, other, _ in bumps if other.startswith("static")}),
       meetings=[list(v) for v in first.values()][:20], memory=memory, longest_stop_s=longest_stop * 0.05)
manager.set_synchronous_mode(False)
client.apply_batch_sync([carla.command.DestroyActor(a.id) for a in [*sensors, *minds, *walkers, *vehicles]], False)
"""


@pytest.mark.slow
@pytest.mark.timeout(240.0 + 60.0 * MINUTES)
def test_the_long_drive(client, town) -> None:
    seen: dict[str, Any] = client(
        SOAK, str(MINUTES), str(free_port()), str(os.getpid()), timeout_s=120.0 + 60.0 * MINUTES
    )
    print(json.dumps(seen))
    assert seen["vehicles"] == 20 and seen["walkers"] == 10
    assert seen["km"] > 0.03 * 20 * MINUTES, "vehicles drive"
    assert seen["walked_m"] > 5.0 * MINUTES, "walkers walk"
    assert seen["num_off_lane"] == 0, f"worst {seen['worst_m']:.2f} m: {seen['off_lane']}"
    assert seen["removed"] == [], "no junction is blocked"
    assert seen["static"] == [], "TrafficManager drives into nothing that stands still"
    if len(seen["memory"]) >= 2:
        (client_mb, town_mb), (client_end_mb, town_end_mb) = seen["memory"][0], seen["memory"][-1]
        assert client_end_mb - client_mb < 20.0 and town_end_mb - town_mb < 20.0, seen["memory"]


@pytest.mark.slow
def test_no_first_frame_is_lost_in_two_hundred_starts(client) -> None:
    seen = client(
        """
world = client.get_world()
enter_sync(world)
library = world.get_blueprint_library()
blueprint = camera_blueprint(library, "rgb", 16, 16)
lost = []
for number in range(200):
    camera = world.spawn_actor(blueprint, carla.Transform(carla.Location(z=3.0)))
    pictures = queue.Queue()
    camera.listen(pictures.put)
    frame = world.tick()
    try:
        if pictures.get(timeout=5.0).frame != frame:
            lost.append(number)
    except queue.Empty:
        lost.append(number)
    camera.stop()
    camera.destroy()
answer(lost=lost)
""",
        timeout_s=240.0,
    )
    assert seen["lost"] == []
