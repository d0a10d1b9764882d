"""What the unmodified carla wheel decodes from lidars, radars, obstacle detectors and event cameras."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("carla")

ONE_RAY_SENSOR = """
import numpy as np
world = client.get_world()
enter_sync(world)
library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
readings = queue.Queue()

def put_up(kind, where, carrier=None, **attributes):
    blueprint = library.find(kind)
    for name, value in attributes.items():
        blueprint.set_attribute(name, str(value))
    sensor = world.spawn_actor(blueprint, where, attach_to=carrier)
    sensor.listen(readings.put)
    return sensor

def clear_ground(height, yaw=0.0):
    return carla.Transform(carla.Location(x=2000.0, y=3000.0, z=height), carla.Rotation(yaw=yaw))
"""


def test_semantic_lidar_sees_the_ground_in_rings(client) -> None:
    seen = client(
        ONE_RAY_SENSOR
        + """
lidar = put_up("sensor.lidar.ray_cast_semantic", clear_ground(2.0, 30.0), channels=4, upper_fov=10, lower_fov=-50,
               points_per_second=7200, rotation_frequency=20, range=50)
frame = world.tick()
scan = readings.get(timeout=5.0)
points = np.frombuffer(scan.raw_data, np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4"), ("cos", "f4"),
                                                ("actor", "u4"), ("tag", "u4")]))
one = list(scan)[0]
world.tick()
answer(frame=scan.frame == frame, channels=scan.channels, counts=[scan.get_point_count(k) for k in range(4)],
       z=[float(points["z"].min()), float(points["z"].max())], tags=sorted(set(points["tag"].tolist())),
       actors=sorted(set(points["actor"].tolist())), cos=sorted({round(float(c), 3) for c in points["cos"]}),
       around=[float(points["x"].min()), float(points["x"].max())],
       one=[one.object_idx, one.object_tag, one.point.z],
       yaw=scan.transform.rotation.yaw, second=readings.get(timeout=5.0).horizontal_angle)
lidar.stop(); lidar.destroy()
"""
    )
    assert seen["frame"] is True and seen["channels"] == 4
    assert seen["counts"] == [0, 90, 90, 90], "a whole turn; the upper ring looks at the sky"
    assert seen["z"] == pytest.approx([-2.0, -2.0], abs=1e-4)
    assert seen["tags"] == [1] and seen["actors"] == [0] and seen["one"][:2] == [0, 1]
    assert seen["cos"] == pytest.approx([math.sin(math.radians(a)) for a in (10, 30, 50)], abs=2e-3)
    assert seen["around"] == pytest.approx([-2 / math.tan(math.radians(10)), 2 / math.tan(math.radians(10))], rel=1e-3)
    assert seen["yaw"] == pytest.approx(30.0) and seen["second"] == pytest.approx(0.0, abs=1e-6)


def test_lidar_attenuates_and_drops_points_as_carla_does(client) -> None:
    seen = client(
        ONE_RAY_SENSOR
        + """
plain = dict(channels=1, upper_fov=-30, lower_fov=-30, points_per_second=200000, rotation_frequency=20, range=50)
lidar = put_up("sensor.lidar.ray_cast", clear_ground(10.0), dropoff_general_rate=0.25, dropoff_zero_intensity=0.5,
               dropoff_intensity_limit=0.95, atmosphere_attenuation_rate=0.02, noise_stddev=0.1, **plain)
world.tick()
scan = readings.get(timeout=5.0)
points = np.frombuffer(scan.raw_data, np.float32).reshape(-1, 4)
far = np.linalg.norm(points[:, :3], axis=1)
answer(count=len(points), intensity=float(points[:, 3].mean()), mean=float(far.mean()), noise=float(far.std()),
       one=list(scan)[0].intensity)
lidar.stop(); lidar.destroy()
"""
    )
    intensity = math.exp(-0.02 * 20.0)
    assert seen["intensity"] == pytest.approx(intensity, abs=1e-4)
    assert seen["one"] == pytest.approx(intensity, abs=1e-4)
    kept = 0.75 * (0.5 / 0.95 * intensity + 0.5)
    assert seen["count"] == pytest.approx(10_000 * kept, rel=0.05)
    assert seen["mean"] == pytest.approx(20.0, abs=0.01) and seen["noise"] == pytest.approx(0.1, rel=0.1)


def test_radar_measures_how_fast_the_gap_grows(client) -> None:
    seen = client(
        ONE_RAY_SENSOR
        + """
ahead = world.spawn_actor(library.find("vehicle.tesla.model3"), points[0])
for _ in range(15):
    world.tick()
way = points[0].get_forward_vector()
back = carla.Transform(ahead.get_location() - 12.0 * way + carla.Location(z=0.5), points[0].rotation)
radar = put_up("sensor.other.radar", back, points_per_second=40000, horizontal_fov=20, vertical_fov=8)
ahead.enable_constant_velocity(carla.Vector3D(5.0, 0.0, 0.0))
for _ in range(3):
    frame = world.tick()
while True:
    scan = readings.get(timeout=5.0)
    if scan.frame == frame:
        break
hits = [d for d in scan if d.velocity > 1.0]
ground = [d for d in scan if abs(d.velocity) < 1e-3]
answer(count=scan.get_detection_count(), hits=len(hits), velocity=max(d.velocity for d in hits),
       depth=min(d.depth for d in hits), azimuth=max(abs(d.azimuth) for d in scan),
       altitude=max(abs(d.altitude) for d in scan), below=all(d.altitude < 0.0 for d in ground),
       gap=ahead.get_location().distance(back.location), speed=ahead.get_velocity().length())
radar.stop(); radar.destroy()
"""
    )
    assert 0 < seen["hits"] < seen["count"] <= 2000
    assert seen["velocity"] == pytest.approx(seen["speed"], rel=0.02)
    assert seen["depth"] == pytest.approx(seen["gap"] - 1.0, abs=0.2)
    assert seen["azimuth"] <= math.radians(10.0) + 1e-4 and seen["altitude"] <= math.radians(4.0) + 1e-4
    assert seen["below"] is True


def test_obstacle_detector_names_what_stands_ahead_but_not_its_carrier(client) -> None:
    seen = client(
        ONE_RAY_SENSOR
        + """
carrier = world.spawn_actor(library.find("vehicle.tesla.model3"), points[0])
world.tick()
way = points[0].get_forward_vector()
other = world.spawn_actor(library.find("vehicle.audi.tt"),
                          carla.Transform(points[0].location + 10.0 * way, points[0].rotation))
mount = carla.Transform(carla.Location(x=1.5, z=0.9))
eye = put_up("sensor.other.obstacle", mount, carrier, distance=15, hit_radius=0.3, only_dynamics="True")
frame = world.tick()
event = readings.get(timeout=5.0)
other.destroy()
world.tick()
while not readings.empty():
    readings.get()
for _ in range(3):
    world.tick()
quiet = readings.empty()
everything = put_up("sensor.other.obstacle", carla.Transform(carla.Location(x=1.5, z=0.9), carla.Rotation(pitch=-30)),
                    carrier, distance=15, hit_radius=0.3)
world.tick()
ground = readings.get(timeout=5.0)
answer(actor=event.actor.id == carrier.id, other=event.other_actor.type_id, distance=event.distance,
       gap=carrier.get_location().distance(points[0].location + 10.0 * way), quiet=quiet,
       ground=[ground.other_actor.type_id, ground.other_actor.id], down=ground.distance)
for sensor in (eye, everything):
    sensor.stop(); sensor.destroy()
"""
    )
    assert seen["actor"] is True and seen["other"] == "vehicle.audi.tt" and seen["quiet"] is True
    assert seen["distance"] == pytest.approx(seen["gap"] - 1.5, abs=1.05)
    assert seen["ground"] == ["static.road", 0] and 1.0 < seen["down"] < 1.8


def test_rays_of_the_world_find_ground_and_vehicles(client) -> None:
    seen = client(
        ONE_RAY_SENSOR
        + """
car = world.spawn_actor(library.find("vehicle.tesla.model3"), points[0])
world.tick()
above = car.get_location() + carla.Location(z=10.0)
through = world.cast_ray(above, above - carla.Location(z=20.0))
ground = world.ground_projection(carla.Location(2000.0, 3000.0, 7.0), 50.0)
projected = world.project_point(above, carla.Vector3D(0, 0, -2), 50.0)
answer(labels=[str(p.label) for p in through], heights=[p.location.z for p in through],
       ground=[str(ground.label), ground.location.z], projected=[str(projected.label), projected.location.z],
       nothing=world.project_point(above, carla.Vector3D(0, 0, 1), 50.0) is None,
       short=world.cast_ray(above, above - carla.Location(z=1.0)), error=error_of(
       lambda: world.cast_ray(above, carla.Location(z=float("nan")))))
"""
    )
    assert seen["labels"][0] == "Car" and seen["labels"][-1] == "Roads"
    assert seen["heights"] == sorted(seen["heights"], reverse=True)
    assert seen["ground"] == ["Roads", pytest.approx(0.0, abs=1e-3)]
    assert seen["projected"][0] == "Car"
    assert seen["nothing"] is True and seen["short"] == []
    assert "finite" in seen["error"]


def test_event_camera_tells_which_pixels_changed(client) -> None:
    seen = client(
        ONE_RAY_SENSOR
        + """
car = world.spawn_actor(library.find("vehicle.tesla.model3"), points[0])
eye = put_up("sensor.camera.dvs", clear_ground(2.0), image_size_x=16, image_size_y=8,
             use_log="False", positive_threshold=0.05)
world.tick()
world.tick()
quiet = readings.empty()
other = world.spawn_actor(library.find("vehicle.audi.tt"), points[4])
frame = world.tick()
events = readings.get(timeout=5.0)
raw = np.frombuffer(events.raw_data, np.dtype([("x", "u2"), ("y", "u2"), ("t", "i8"), ("pol", "?")]))
answer(quiet=quiet, frame=events.frame == frame, size=[events.width, events.height], count=len(raw),
       rows=sorted(set(raw["y"].tolist())), brighter=bool(raw["pol"].all()), first=[events[0].x, events[0].y],
       times=[int(raw["t"].min()), int(raw["t"].max())], now=events.timestamp)
eye.stop(); eye.destroy()
"""
    )
    # the flat painter counts bodies in the blue of its lower half: one more is 0.114 of brightness, two thresholds
    assert seen["quiet"] is True and seen["frame"] is True and seen["size"] == [16, 8]
    assert seen["rows"] == [4, 5, 6, 7] and seen["brighter"] is True
    assert seen["count"] == 2 * 64
    assert seen["now"] - 0.05 - 1e-6 <= seen["times"][0] * 1e-9 <= seen["times"][1] * 1e-9 <= seen["now"] + 1e-6
