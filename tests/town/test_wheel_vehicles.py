"""What the unmodified carla wheel's vehicles do: controls, physics, forces."""

from __future__ import annotations

import pytest

pytest.importorskip("carla")


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
