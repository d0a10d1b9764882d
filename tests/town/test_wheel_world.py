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


def test_vehicle_drives_as_its_control_says(client) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
spawn = world.get_map().get_spawn_points()[0]
blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
blueprint.set_attribute("role_name", "hero")
vehicle = world.spawn_actor(blueprint, spawn)
for _ in range(20):
    world.tick()
start = vehicle.get_transform()
vehicle.apply_control(carla.VehicleControl(throttle=0.6))
for _ in range(60):
    world.tick()
driven, fast, control = vehicle.get_transform(), vehicle.get_velocity(), vehicle.get_control()
vehicle.apply_control(carla.VehicleControl(throttle=0.3, steer=0.3))
for _ in range(10):
    world.tick()
turned, turning = vehicle.get_transform(), vehicle.get_angular_velocity()
vehicle.apply_control(carla.VehicleControl(brake=1.0))
for _ in range(80):
    world.tick()
stopped = vehicle.get_velocity().length()
vehicle.apply_control(carla.VehicleControl(throttle=0.5, reverse=True))
for _ in range(40):
    world.tick()
back, gear = vehicle.get_velocity(), vehicle.get_control().gear
heading = vehicle.get_transform().get_forward_vector()
answer(
    role=vehicle.attributes["role_name"],
    settled_z=start.location.z,
    distance=driven.location.distance(start.location),
    sideways=abs(driven.rotation.yaw - start.rotation.yaw),
    speed=fast.length(), throttle=control.throttle, gear_forward=control.gear,
    yaw=turned.rotation.yaw - driven.rotation.yaw, yaw_rate=turning.z,
    stopped=stopped, reverse=back.dot(heading), gear_reverse=gear,
    box=xyz(vehicle.bounding_box.extent), tags=list(vehicle.semantic_tags), limit=vehicle.get_speed_limit(),
)
""")
    assert seen["role"] == "hero"
    assert abs(seen["settled_z"]) < 0.01
    assert 10.0 < seen["distance"] < 40.0
    assert seen["sideways"] < 0.01
    assert seen["speed"] > 8.0 and seen["throttle"] == pytest.approx(0.6) and seen["gear_forward"] >= 1
    assert seen["yaw"] > 3.0 and seen["yaw_rate"] > 5.0, "a positive steer turns right, which is a growing yaw"
    assert seen["stopped"] < 0.01
    assert seen["reverse"] < -2.0 and seen["gear_reverse"] == -1
    assert seen["box"][0] > seen["box"][1] > 0.5
    assert seen["tags"] == [14] and seen["limit"] > 20.0


def test_standing_vehicle_does_not_drift(client) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
vehicle = world.spawn_actor(library.find("vehicle.audi.tt"), points[3])
for _ in range(60):
    world.tick()
before = vehicle.get_transform()
for _ in range(200):
    world.tick()
after = vehicle.get_transform()
answer(moved=after.location.distance(before.location), turned=abs(after.rotation.yaw - before.rotation.yaw))
""")
    assert seen["moved"] < 1e-4, "its springs have come to rest"
    assert seen["turned"] == 0.0


def test_teleport_frozen_physics_and_given_velocities(client) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
points = world.get_map().get_spawn_points()
vehicle = world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), points[0])
world.tick()
vehicle.set_simulate_physics(False)
goal = carla.Transform(points[9].location + carla.Location(z=5), carla.Rotation(pitch=10, yaw=33, roll=5))
vehicle.set_transform(goal)
for _ in range(5):
    world.tick()
hung = vehicle.get_transform()
vehicle.set_simulate_physics(True)
vehicle.set_transform(points[9])
for _ in range(20):
    world.tick()
landed = vehicle.get_transform()
vehicle.set_target_velocity(vehicle.get_transform().get_forward_vector() * 7)
world.tick()
thrown = vehicle.get_velocity().length()
vehicle.enable_constant_velocity(carla.Vector3D(4, 0, 0))
for _ in range(20):
    world.tick()
constant = vehicle.get_velocity().length()
vehicle.disable_constant_velocity()
vehicle.apply_control(carla.VehicleControl(brake=1))
for _ in range(40):
    world.tick()
turn = hung.rotation
answer(hung=xyz(hung.location), wanted=xyz(goal.location), angles=[turn.pitch, turn.yaw, turn.roll],
       landed=landed.location.z, away=landed.location.distance_2d(points[9].location),
       thrown=thrown, constant=constant, braked=vehicle.get_velocity().length())
""")
    assert seen["hung"] == pytest.approx(seen["wanted"], abs=1e-4)
    assert seen["angles"] == pytest.approx([10.0, 33.0, 5.0], abs=1e-4)
    assert abs(seen["landed"]) < 0.01 and seen["away"] < 0.01
    assert seen["thrown"] == pytest.approx(7.0, abs=0.3)
    assert seen["constant"] == pytest.approx(4.0, abs=0.01)
    assert seen["braked"] < 0.01


def test_physics_control_is_the_models_and_can_be_changed(client) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
points = world.get_map().get_spawn_points()
library = world.get_blueprint_library()
vehicle = world.spawn_actor(library.find("vehicle.tesla.model3"), points[0])
bus = world.spawn_actor(library.find("vehicle.mitsubishi.fusorosa"), points[6])
world.tick()
physics = vehicle.get_physics_control()
wheel = physics.wheels[0]
first = [physics.mass, len(physics.wheels), wheel.radius, wheel.max_steer_angle, len(physics.forward_gears)]
heavy = physics.mass * 2
physics.mass = heavy
vehicle.apply_physics_control(physics)
vehicle.apply_control(carla.VehicleControl(throttle=0.4, steer=1.0))
for _ in range(40):
    world.tick()
telemetry = vehicle.get_telemetry_data()
answer(first=first, mass=vehicle.get_physics_control().mass, bus=bus.get_physics_control().mass,
       load=sum(w.tire_load for w in telemetry.wheels),
       speed=telemetry.speed, true_speed=vehicle.get_velocity().length(),
       steer=vehicle.get_wheel_steer_angle(carla.VehicleWheelLocation.FL_Wheel), rpm=telemetry.engine_rpm)
""")
    mass, wheels, radius_cm, max_steer_deg, gears = seen["first"]
    assert wheels == 4 and 25.0 < radius_cm < 45.0 and gears == 6
    assert seen["mass"] == 2 * mass and seen["bus"] > 3 * mass
    assert seen["load"] == pytest.approx(2 * mass * 9.81, rel=0.05), "the tyres carry the vehicle"
    assert seen["speed"] == pytest.approx(seen["true_speed"], rel=1e-3)
    assert 0.35 * max_steer_deg < seen["steer"] <= max_steer_deg
    assert seen["rpm"] >= 900.0


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


def test_ackermann_control_reaches_its_speed_and_stops(client) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
vehicle = world.spawn_actor(library.find("vehicle.tesla.model3"), points[0])
vehicle.apply_ackermann_control(carla.VehicleAckermannControl(speed=6.0))
for _ in range(160):
    world.tick()
fast = vehicle.get_velocity().length()
vehicle.apply_ackermann_control(carla.VehicleAckermannControl(speed=0.0))
for _ in range(120):
    world.tick()
answer(fast=fast, slow=vehicle.get_velocity().length())
""")
    assert seen["fast"] == pytest.approx(6.0, abs=0.7)
    assert seen["slow"] < 0.05


def test_batches_push_and_turn_as_the_actors_own_calls_do(client, town) -> None:
    """High in the air no tyre has a say: a torque of one tick gives torque times time over inertia."""
    seen = client("""
world = client.get_world()
enter_sync(world)
blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
point = world.get_map().get_spawn_points()[0]
vehicle = world.spawn_actor(blueprint, point)
world.tick()
command, turned, pushed = carla.command, [], []
high = carla.Transform(carla.Location(point.location.x, point.location.y, 60.0), carla.Rotation())


def after(act):
    vehicle.set_transform(high)
    vehicle.set_target_velocity(carla.Vector3D())
    vehicle.set_target_angular_velocity(carla.Vector3D())
    world.tick()
    act()
    world.tick()
    return vehicle.get_angular_velocity().z, vehicle.get_velocity().x


up, ahead = carla.Vector3D(z=900000.0), carla.Vector3D(x=40000.0)
vectors = (("torque", up, 0), ("angular_impulse", up * 0.05, 0), ("force", ahead, 1), ("impulse", ahead * 0.05, 1))
for name, vector, index in vectors:
    own = after(lambda: getattr(vehicle, "add_" + name)(vector))[index]
    kind = getattr(command, "Apply" + name.title().replace("_", ""))
    batch = after(lambda: client.apply_batch([kind(vehicle.id, vector)]))[index]
    answers = []
    synced = after(lambda: answers.extend(client.apply_batch_sync([kind(vehicle.id, vector)], False)))[index]
    (turned if index == 0 else pushed).append([own, batch, synced])
    assert not any(a.error for a in answers)
answer(turned=turned, pushed=pushed, id=vehicle.id)
""")
    with town.simulation.lock:
        model = town.simulation.episode.actors[seen["id"]].model
    wanted = 900000.0 * 0.05 / model.yaw_inertia_kg_m2
    # the wheel's own add_torque sends an angular impulse
    assert seen["turned"][0] == pytest.approx([wanted / 0.05, wanted, wanted], rel=0.01)
    assert seen["turned"][1] == pytest.approx([wanted] * 3, rel=0.01)
    for row in seen["pushed"]:
        assert row == pytest.approx([40000.0 * 0.05 / model.mass_kg] * 3, rel=0.01)
