"""What the unmodified carla wheel finds in a town: world, map, blueprints, actors, batches."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("carla")


def test_world_map_and_library(client, town) -> None:
    seen = client("""
world = client.get_world()
town_map = world.get_map()
library = world.get_blueprint_library()
model3 = library.find("vehicle.tesla.model3")
answer(
    version=client.get_server_version(),
    maps=client.get_available_maps(),
    name=town_map.name,
    spawn_points=len(town_map.get_spawn_points()),
    on_lane=max(
        p.location.distance(town_map.get_waypoint(p.location).transform.location) for p in town_map.get_spawn_points()
    ),
    counts=[len(library.filter(f)) for f in ("vehicle.*", "walker.*", "sensor.*")],
    wheels=int(model3.get_attribute("number_of_wheels")),
    base_type=model3.get_attribute("base_type").as_str(),
    colors=len(model3.get_attribute("color").recommended_values),
    speeds=library.filter("walker.pedestrian.*")[0].get_attribute("speed").recommended_values,
    actors=sorted(a.type_id for a in world.get_actors()),
    lights=len(world.get_actors().filter("traffic.traffic_light")),
)
""")
    assert seen["version"] == "0.9.16"
    assert seen["maps"] == ["/Game/Carla/Maps/Town", "/Game/Carla/Maps/Town_Opt"]
    assert seen["name"] == "Carla/Maps/Town"
    assert seen["spawn_points"] == len(town.simulation.network.spawn_points)
    assert seen["on_lane"] < 0.6
    vehicles, walkers, sensors = seen["counts"]
    assert vehicles >= 25 and walkers >= 20 and sensors >= 14
    assert (seen["wheels"], seen["base_type"]) == (4, "car")
    assert seen["colors"] > 2 and len(seen["speeds"]) == 3
    assert seen["lights"] == len(town.simulation.network.traffic_lights)
    assert seen["actors"].count("spectator") == 1


def test_spawning_is_refused_with_sentences(client) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
library, point = world.get_blueprint_library(), world.get_map().get_spawn_points()[0]
vehicle = world.spawn_actor(library.find("vehicle.tesla.model3"), point)
world.tick()
camera = camera_blueprint(library, "rgb", width="0")
lidar = library.find("sensor.lidar.ray_cast")
lidar.set_attribute("channels", "100000")
house = carla.Transform(carla.Location(x=point.location.x, y=point.location.y + 14.0, z=0.5))
answer(
    occupied=error_of(lambda: world.spawn_actor(library.find("vehicle.audi.tt"), point)),
    tried=world.try_spawn_actor(library.find("vehicle.audi.tt"), point) is None,
    camera=error_of(lambda: world.spawn_actor(camera, carla.Transform())),
    lidar=error_of(lambda: world.spawn_actor(lidar, carla.Transform())),
    next_id=world.spawn_actor(library.find("vehicle.audi.tt"), world.get_map().get_spawn_points()[1]).id - vehicle.id,
)
""")
    assert seen["occupied"] == "Spawn failed because of collision at spawn position"
    assert seen["tried"] is True
    assert seen["camera"] == "The attribute image_size_x must be a number between 1 and 8192, not '0'"
    assert seen["lidar"] == "The attribute channels must be a number between 1 and 512, not '100000'"
    assert seen["next_id"] == 1, "a refused actor takes no id"


def test_static_things_are_in_the_way(client, town) -> None:
    boxes = town.simulation.network.static_boxes
    largest = boxes[(boxes[:, 2] * boxes[:, 3]).argmax()]
    seen = client(
        """
world = client.get_world()
place = carla.Transform(carla.Location(float(sys.argv[2]), float(sys.argv[3]), 0.5))
answer(error=error_of(lambda: world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), place)))
""",
        str(largest[0]),
        str(largest[1]),
    )
    assert seen["error"] == "Spawn failed because of collision at spawn position"


def test_batch_spawns_follows_and_reports(client) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
Spawn, Future = carla.command.SpawnActor, carla.command.FutureActor
tt, walker = library.find("vehicle.audi.tt"), library.filter("walker.pedestrian.*")[0]
responses = client.apply_batch_sync([
    Spawn(tt, points[0]).then(carla.command.ApplyVehicleControl(Future, carla.VehicleControl(throttle=0.5))),
    Spawn(tt, points[0]),
    Spawn(walker, carla.Transform(points[20].location + carla.Location(z=1))),
    carla.command.DestroyActor(4242),
], True)
first, walker_id = responses[0].actor_id, responses[2].actor_id
throttle = world.get_actor(first).get_control().throttle
client.apply_batch_sync([
    carla.command.ApplyTransform(first, points[8]),
    carla.command.SetVehicleLightState(first, carla.VehicleLightState(carla.VehicleLightState.LowBeam)),
    carla.command.ApplyWalkerControl(walker_id, carla.WalkerControl(carla.Vector3D(0, 1, 0), 2.0, False)),
], True)
before = world.get_actor(walker_id).get_location()
for _ in range(20):
    world.tick()
after = world.get_actor(walker_id)
moved = after.get_location() - before
vehicle = world.get_actor(first)
answer(errors=[r.error for r in responses], throttle=throttle,
       moved=xyz(moved), walker_yaw=after.get_transform().rotation.yaw,
       near=vehicle.get_location().distance_2d(points[8].location), light=int(vehicle.get_light_state()),
       lights={str(k): int(v) for k, v in world.get_vehicles_light_states().items()})
client.apply_batch([carla.command.DestroyActor(first), carla.command.DestroyActor(walker_id)])
""")
    assert seen["errors"] == [
        "",
        "Spawn failed because of collision at spawn position",
        "",
        "unable to destroy actor: not found",
    ]
    assert seen["throttle"] == pytest.approx(0.5)
    assert seen["moved"][1] == pytest.approx(2.0, abs=0.15) and seen["walker_yaw"] == pytest.approx(90.0)
    assert seen["near"] < 6.0
    assert seen["light"] == 2 and list(seen["lights"].values()) == [2]


def test_weather_spectator_and_settings_are_kept(client) -> None:
    seen = client("""
world = client.get_world()
world.set_weather(carla.WeatherParameters.HardRainSunset)
spectator = world.get_spectator()
spectator.set_transform(carla.Transform(carla.Location(1, 2, 3), carla.Rotation(pitch=4, yaw=5, roll=6)))
settings = world.get_settings()
settings.max_substeps, settings.no_rendering_mode = 7, True
world.apply_settings(settings)
world.wait_for_tick()
where = spectator.get_transform()
again = world.get_settings()
answer(same=world.get_weather() == carla.WeatherParameters.HardRainSunset,
       place=xyz(where.location), yaw=where.rotation.yaw,
       substeps=again.max_substeps, rendering=again.no_rendering_mode, fixed=again.fixed_delta_seconds)
""")
    assert seen == {"same": True, "place": [1, 2, 3], "yaw": 5, "substeps": 7, "rendering": True, "fixed": None}


def test_traffic_lights_cycle_freeze_and_obey(client) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
lights = list(world.get_actors().filter("traffic.traffic_light"))
light = min(lights, key=lambda light: light.id)
world.tick()
states = []
for _ in range(1150):
    world.tick()
    if not states or states[-1] != str(light.get_state()):
        states.append(str(light.get_state()))
light.set_state(carla.TrafficLightState.Red)
light.set_red_time(1000.0)
world.freeze_all_traffic_lights(True)
for _ in range(300):
    world.tick()
stop = light.get_stop_waypoints()[0]
answer(states=states, frozen=[light.is_frozen(), str(light.get_state())], group=len(light.get_group_traffic_lights()),
       found=[found.id == light.id for found in world.get_traffic_lights_from_waypoint(stop, 30.0)],
       stop=stop.transform.location.distance_2d(light.get_location()),
       affected=len(light.get_affected_lane_waypoints()),
       in_junction=len(world.get_traffic_lights_in_junction(stop.next(12.0)[0].junction_id)),
       signs=sorted({a.type_id for a in world.get_actors().filter("traffic.*")}),
       speeds=sorted({s.type_id for l in world.get_map().get_all_landmarks_of_type("274")
                      for s in [world.get_traffic_sign(l)]}),
       by_sign=world.get_traffic_light_from_opendrive_id(light.get_opendrive_id()).id == light.id)
""")
    assert seen["states"][:4] == ["Green", "Yellow", "Red", "Green"]
    assert seen["frozen"] == [True, "Red"]
    assert seen["group"] == 4 and seen["by_sign"] is True and seen["found"] == [True]
    assert seen["stop"] < 16.0 and seen["affected"] >= 1 and seen["in_junction"] == 4
    speeds = [f"traffic.speed_limit.{limit}" for limit in (30, 40, 50)]
    assert seen["signs"] == [*speeds, "traffic.stop", "traffic.traffic_light", "traffic.yield"]
    assert seen["speeds"] == speeds


def test_refused_calls_raise_their_sentence_and_the_client_goes_on(client) -> None:
    seen = client("""
world = client.get_world()
answer(
    opendrive=error_of(lambda: client.generate_opendrive_world("<OpenDRIVE/>")),
    unknown_map=error_of(lambda: client.load_world("Town10")),
    names=error_of(lambda: world.get_spectator().get_component_names()),
    alive=client.get_server_version(),
)
""")
    assert seen["opendrive"] == "The OpenDRIVE text has no road with a driving lane"
    assert seen["unknown_map"] == "Map 'Town10' not found; the town has one map, 'Town', and with layers 'Town_Opt'"
    assert "no named components" in seen["names"]
    assert seen["alive"] == "0.9.16"


def test_rays_meet_the_ground_and_boxes_are_in_the_world(client) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
point = world.get_map().get_spawn_points()[0]
vehicle = world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), point)
for _ in range(60):
    world.tick()
above = point.location + 5.0 * point.get_right_vector() + carla.Location(z=4)
hit = world.ground_projection(above, 20.0)
rays = world.cast_ray(above, above - carla.Location(z=8))
boxes = world.get_level_bbs(carla.CityObjectLabel.Car)
boxes.sort(key=lambda box: box.location.distance(vehicle.get_location()))
answer(z=hit.location.z, label=int(hit.label), missed=world.ground_projection(above, 1.0) is None, rays=len(rays),
       box=xyz(boxes[0].location), at=xyz(vehicle.get_location()), half=boxes[0].extent.z)
""")
    assert seen["z"] == pytest.approx(0.0) and seen["label"] == 1
    assert seen["missed"] is True and seen["rays"] == 1
    assert math.dist(seen["box"][:2], seen["at"][:2]) < 0.01
    assert seen["box"][2] == pytest.approx(seen["half"], abs=0.01)
