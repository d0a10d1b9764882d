"""What the unmodified carla wheel decodes from a town's sensors."""

from __future__ import annotations

import math

import pytest
from flat_painter import ROAD_TAG, SKY_TAG

pytest.importorskip("carla")

RIG = """
import numpy as np

def spawn_rig(world, vehicle, kinds, frames, mount=carla.Transform(carla.Location(x=1.5, z=1.6)), **attributes):
    library, cameras = world.get_blueprint_library(), []
    for kind in kinds:
        camera = world.spawn_actor(camera_blueprint(library, kind, **attributes), mount, attach_to=vehicle)
        camera.listen(frames.put)
        cameras.append(camera)
    return cameras

def take(frames, number):
    return [frames.get(timeout=5.0) for _ in range(number)]

def put_down(cameras):
    for camera in cameras:
        camera.stop()
    for camera in cameras:
        camera.destroy()

def bytes_of(image):
    return np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, -1)

KINDS = ["rgb", "semantic_segmentation", "instance_segmentation", "depth", "normals", "optical_flow"]
world = client.get_world()
enter_sync(world)
library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
vehicle = world.spawn_actor(library.find("vehicle.tesla.model3"), points[0])
frames = queue.Queue()
"""


def test_six_planes_decode_and_belong_to_the_tick(client, painter) -> None:
    seen = client(
        RIG
        + """
cameras = spawn_rig(world, vehicle, KINDS, frames, fov=100)
frame = world.tick()
assert {i.frame for i in take(frames, 6)} == {frame}
vehicle.enable_constant_velocity(carla.Vector3D(10, 0, 0))
for _ in range(12):
    frame = world.tick()
    got = take(frames, 6)
    assert {i.frame for i in got} == {frame}
low, high = [], []
snapshot = world.get_snapshot()
for image in got:
    assert (image.width, image.height, image.fov) == (64, 32, 100.0)
    assert abs(image.timestamp - snapshot.timestamp.elapsed_seconds) < 1e-9
    if isinstance(image, carla.OpticalFlowImage):
        flow = np.frombuffer(image.raw_data, np.float32).reshape(32, 64, 2)[0, 0].tolist()
        continue
    high.append(bytes_of(image)[0, 0].tolist())
    low.append(bytes_of(image)[31, 63].tolist())
    pose = [*xyz(image.transform.location), image.transform.rotation.yaw]
answer(high=sorted(high), low=sorted(low), flow=flow, id=vehicle.id, pose=pose,
       vehicle=[*xyz(vehicle.get_location()), vehicle.get_transform().rotation.yaw])
put_down(cameras)
"""
    )
    sky_depth, near_depth = 2**24 - 1, round(12.5 / 1000 * (2**24 - 1))
    instance = [seen["id"] >> 8, seen["id"] & 255]
    assert seen["high"] == sorted(
        [
            [180, 130, 70, 255],
            [128, 128, 128, 255],
            [0, 0, SKY_TAG, 255],
            [0, 0, SKY_TAG, 255],
            [sky_depth >> 16, sky_depth >> 8 & 255, sky_depth & 255, 255],
        ]
    )
    assert [0, 0, ROAD_TAG, 255] in seen["low"]
    assert [255, 128, 128, 255] in seen["low"], "the road's normal looks up: z in blue"
    assert [*instance, ROAD_TAG, 255] in seen["low"]
    assert [near_depth >> 16, near_depth >> 8 & 255, near_depth & 255, 255] in seen["low"]
    # the flat painter's flow is the camera's motion in metres, taken for pixels: half a metre a tick
    moved_px = (seen["flow"][0] * 64 / 2, seen["flow"][1] * 32 / 2)
    assert math.hypot(*moved_px) == pytest.approx(0.5, rel=0.01)
    assert math.dist(seen["pose"][:2], seen["vehicle"][:2]) == pytest.approx(1.5, abs=0.01)
    assert seen["pose"][2] - seen["vehicle"][2] == pytest.approx(1.6, abs=0.01)
    assert seen["pose"][3] == pytest.approx(seen["vehicle"][3], abs=1e-3)


def test_cameras_that_see_the_same_are_painted_once(client, painter) -> None:
    client(
        RIG
        + """
cameras = spawn_rig(world, vehicle, KINDS, frames)
cameras += spawn_rig(world, vehicle, ["rgb"], frames, width=32)
cameras += spawn_rig(world, vehicle, ["rgb"], frames, carla.Transform(carla.Location(x=-3.0, z=2.0)))
world.tick()
take(frames, 8)
put_down(cameras)
answer()
"""
    )
    first_tick = painter.calls[:3]
    assert [planes for _view, planes in first_tick] == [
        frozenset({"rgb", "semantic", "instance", "depth", "flow", "normals"}),
        frozenset({"rgb"}),
        frozenset({"rgb"}),
    ]


def test_sensor_tick_and_no_rendering_are_honoured(client) -> None:
    seen = client(
        RIG
        + """
slow = spawn_rig(world, vehicle, ["rgb"], frames, sensor_tick=0.2)
for _ in range(41):
    world.tick()
slow_frames = [frames.get(timeout=5.0).frame for _ in range(11)]
settings = world.get_settings()
settings.no_rendering_mode = True
world.apply_settings(settings)
while not frames.empty():
    frames.get()
for _ in range(10):
    world.tick()
answer(steps=sorted({b - a for a, b in zip(slow_frames, slow_frames[1:])}), dark=frames.qsize())
put_down(slow)
"""
    )
    assert seen == {"steps": [4], "dark": 0}


def test_gnss_and_imu_measure_the_vehicle(client) -> None:
    seen = client(
        RIG
        + """
gnss = world.spawn_actor(library.find("sensor.other.gnss"), carla.Transform(), attach_to=vehicle)
imu = world.spawn_actor(library.find("sensor.other.imu"), carla.Transform(), attach_to=vehicle)
places, felt = queue.Queue(), queue.Queue()
gnss.listen(places.put)
imu.listen(felt.put)
for _ in range(60):
    world.tick()
rest = [felt.get(timeout=5.0) for _ in range(60)][-1]
vehicle.apply_control(carla.VehicleControl(throttle=0.7, steer=0.2))
for _ in range(30):
    frame = world.tick()
moving = [felt.get(timeout=5.0) for _ in range(30)][-1]
place = [places.get(timeout=5.0) for _ in range(90)][-1]
there = world.get_map().transform_to_geolocation(vehicle.get_location())
forward = vehicle.get_transform().get_forward_vector()
answer(frame=[place.frame, moving.frame, frame], rest=xyz(rest.accelerometer),
       gyro=moving.gyroscope.z, compass=rest.compass,
       turning=vehicle.get_angular_velocity().z, ahead=moving.accelerometer.x,
       acceleration=(vehicle.get_acceleration() + carla.Vector3D(z=9.81)).dot(forward),
       off=[place.latitude - there.latitude, place.longitude - there.longitude, place.altitude - there.altitude],
       yaw=points[0].rotation.yaw)
put_down([gnss, imu])
"""
    )
    assert len(set(seen["frame"])) == 1
    assert seen["rest"] == pytest.approx([0.0, 0.0, 9.81], abs=0.01)
    assert seen["gyro"] == pytest.approx(seen["turning"] * 3.14159265 / 180.0, rel=1e-3)
    assert seen["ahead"] == pytest.approx(seen["acceleration"], abs=0.05)
    assert seen["compass"] == pytest.approx(((seen["yaw"] + 90.0) % 360.0) * 3.14159265 / 180.0, abs=1e-4)
    assert seen["off"] == pytest.approx([0.0, 0.0, 0.0], abs=2e-7)


CARLAS_STATIC_TYPES = ("buildings", "walls", "fences", "poles", "vegetation", "car", "static")


def test_lane_invasion_and_collision_tell_what_happened(client) -> None:
    seen = client(
        RIG
        + """
crossed, hits = queue.Queue(), queue.Queue()
lane = world.spawn_actor(library.find("sensor.other.lane_invasion"), carla.Transform(), attach_to=vehicle)
lane.listen(crossed.put)
bump = world.spawn_actor(library.find("sensor.other.collision"), carla.Transform(), attach_to=vehicle)
bump.listen(hits.put)
for _ in range(10):
    world.tick()
vehicle.apply_control(carla.VehicleControl(throttle=0.6, steer=-0.25))
for _ in range(160):
    frame = world.tick()
hit = hits.get(timeout=5.0)
vehicle.apply_control(carla.VehicleControl(brake=1.0))
other = world.try_spawn_actor(library.find("vehicle.audi.tt"), points[40])
for _ in range(40):
    world.tick()
vehicle.apply_control(carla.VehicleControl())
vehicle.set_transform(carla.Transform(points[40].location - points[40].get_forward_vector() * 9, points[40].rotation))
vehicle.set_target_velocity(points[40].get_forward_vector() * 8)
since = world.tick()
for _ in range(40):
    world.tick()
second = hits.get(timeout=5.0)
while second.frame < since:
    second = hits.get(timeout=5.0)
answer(markings=len(crossed.get(timeout=5.0).crossed_lane_markings), actor=hit.actor.id == vehicle.id,
       other=hit.other_actor.type_id, force=hit.normal_impulse.length(), in_time=hit.frame <= frame,
       second=second.other_actor.id == other.id)
put_down([lane, bump])
"""
    )
    assert seen["markings"] >= 1
    assert seen["actor"] is True and seen["in_time"] is True and seen["second"] is True
    assert seen["other"].removeprefix("static.") in CARLAS_STATIC_TYPES and seen["force"] > 500.0


def test_two_runs_are_bit_identical(client) -> None:
    script = (
        RIG
        + """
import hashlib
other = world.spawn_actor(library.find("vehicle.audi.tt"), points[4])
noisy = library.find("sensor.other.imu")
noisy.set_attribute("noise_accel_stddev_x", "0.3")
noisy.set_attribute("noise_seed", "5")
imu = world.spawn_actor(noisy, carla.Transform(), attach_to=vehicle)
felt = queue.Queue()
imu.listen(felt.put)
cameras = spawn_rig(world, vehicle, KINDS, frames)
digest = hashlib.sha256()
for number in range(60):
    vehicle.apply_control(carla.VehicleControl(throttle=0.6, steer=0.1 * (number % 7)))
    other.apply_control(carla.VehicleControl(throttle=0.4))
    world.tick()
    for image in sorted(take(frames, 6), key=lambda i: (type(i).__name__, bytes(i.raw_data))):
        digest.update(bytes(image.raw_data))
    reading = felt.get(timeout=5.0)
    motion = [reading.accelerometer.x, str(vehicle.get_transform()), str(vehicle.get_acceleration())]
    digest.update(repr(motion).encode())
    digest.update(str([l.get_elapsed_time() for l in world.get_actors().filter("traffic.traffic_light")]).encode())
answer(digest=digest.hexdigest(), ids=[a.id for a in [vehicle, other, *cameras]])
put_down([*cameras, imu])
client.reload_world()
"""
    )
    first = client(script)
    assert client(script) == first, "a reloaded world repeats itself to the bit"
