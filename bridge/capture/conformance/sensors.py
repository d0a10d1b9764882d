"""Checks: every sensor delivers, frame by frame, what its kind promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import carla
import numpy as np
from numpy.typing import NDArray

from bridge.capture import decode
from bridge.capture.conformance.stage import DELTA_S, Failed, Group, Stage, ahead, expect, mounted, speed_m_s
from bridge.capture.flow_fit import fit_flow
from bridge.protocol.errors import SimulatorError

GROUP = Group("sensors")
WIDTH_PX, HEIGHT_PX = 96, 64
FLOW_TICKS: Final = 44
FLOW_PAIRS: Final = 4
ROOF = carla.Transform(carla.Location(x=0.5, z=2.6))
_IMAGE_KINDS = ("rgb", "depth", "semantic_segmentation", "instance_segmentation", "normals")


def _on_roof(stage: Stage, blueprint_id: str, **attributes: object) -> tuple[carla.Vehicle, carla.Actor]:
    vehicle = stage.vehicle()
    return vehicle, stage.spawn(blueprint_id, ROOF, attach_to=vehicle, **attributes)


def _bgra(image: carla.SensorData) -> NDArray[np.uint8]:
    assert isinstance(image, carla.Image)
    expect((image.width, image.height) == (WIDTH_PX, HEIGHT_PX), f"a picture is {image.width} x {image.height}")
    return np.frombuffer(image.raw_data, np.uint8).reshape(HEIGHT_PX, WIDTH_PX, 4)


def _image_check(kind: str) -> Callable[[Stage], None]:
    def run(stage: Stage) -> None:
        size = {"image_size_x": WIDTH_PX, "image_size_y": HEIGHT_PX, "fov": 90}
        vehicle, camera = _on_roof(stage, f"sensor.camera.{kind}", **size)
        data = stage.listen(camera)
        for _ in range(3):
            stage.reading(data, stage.tick())
        image = stage.reading(data, stage.tick())
        bgra = _bgra(image)
        assert isinstance(image, carla.Image)
        expect(abs(image.fov - 90.0) < 1e-3, f"its field of view is {image.fov}")
        expect(bool((bgra[..., 3] == 255).all()), "alpha is not 255")
        wanted = mounted(vehicle, ROOF)
        expect(image.transform.location.distance(wanted) < 0.3, "the picture's transform is not the camera's")
        _LOOKS[kind](bgra)

    run.__doc__ = f"Camera {kind}: a picture for every frame, in its encoding."
    return run


def _looks_like_rgb(bgra: NDArray[np.uint8]) -> None:
    expect(float(bgra[..., :3].std()) > 2.0, "the picture is of one colour")


def _looks_like_depth(bgra: NDArray[np.uint8]) -> None:
    b, g, r = (bgra[..., i].astype(np.float64) for i in range(3))
    depth_m = (r + 256.0 * g + 65536.0 * b) / 16777215.0 * 1000.0
    below = float(np.median(depth_m[-4:, :]))
    expect(1.0 < below < 20.0, f"the road at the lower edge is {below:.1f} m away")


def _looks_like_labels(bgra: NDArray[np.uint8]) -> None:
    tags = bgra[..., 2]
    expect(int(tags.max()) <= 29, f"there is a tag {int(tags.max())}")
    road = float(np.isin(tags[-8:, :], (1, 24, 14, 25)).mean())
    expect(road > 0.5, f"{road:.0%} of the lower edge are road, marks or car by CARLA's tags since 0.9.14")


def _looks_like_normals(bgra: NDArray[np.uint8]) -> None:
    expect(float(bgra[..., :3].std()) > 1.0, "the picture is of one colour")


_LOOKS: dict[str, Callable[[NDArray[np.uint8]], None]] = {
    "rgb": _looks_like_rgb,
    "depth": _looks_like_depth,
    "semantic_segmentation": _looks_like_labels,
    "instance_segmentation": _looks_like_labels,
    "normals": _looks_like_normals,
}
for _kind in _IMAGE_KINDS:
    GROUP.check()(_image_check(_kind))


@GROUP.check()
def optical_flow(stage: Stage) -> None:
    """Camera optical_flow: two floats a pixel, none of them wild."""
    size = {"image_size_x": WIDTH_PX, "image_size_y": HEIGHT_PX}
    vehicle, camera = _on_roof(stage, "sensor.camera.optical_flow", **size)
    data = stage.listen(camera)
    vehicle.apply_control(carla.VehicleControl(throttle=0.8))
    for _ in range(39):
        stage.reading(data, stage.tick())
    image = stage.reading(data, stage.tick())
    assert isinstance(image, carla.OpticalFlowImage)
    flow = np.frombuffer(image.raw_data, np.float32)
    expect(flow.size == 2 * WIDTH_PX * HEIGHT_PX, f"it holds {flow.size} numbers")
    expect(bool(np.isfinite(flow).all()) and float(np.abs(flow).max()) <= 4.0, "a vector is not finite or too long")
    expect(float(np.abs(flow).max()) > 1e-4, "while driving nothing flows")


@GROUP.check()
def optical_flow_fits(stage: Stage) -> None:
    """Camera optical_flow: it moves the last picture onto this one, x right and y up, in halves of the picture."""
    width_px, height_px = 2 * WIDTH_PX, 2 * HEIGHT_PX
    size = {"image_size_x": width_px, "image_size_y": height_px, "fov": 90}
    vehicle, flow_camera = _on_roof(stage, "sensor.camera.optical_flow", **size)
    camera = stage.spawn("sensor.camera.rgb", ROOF, attach_to=vehicle, **size)
    flows, pictures = stage.listen(flow_camera), stage.listen(camera)
    vehicle.apply_control(carla.VehicleControl(throttle=0.8, steer=0.1))
    seen = []
    for _ in range(FLOW_TICKS):
        frame = stage.tick()
        image, flow = stage.reading(pictures, frame), stage.reading(flows, frame)
        assert isinstance(image, carla.Image)
        assert isinstance(flow, carla.OpticalFlowImage)
        bgra = np.frombuffer(image.raw_data, np.uint8).reshape(height_px, width_px, 4)
        seen.append((decode.rgb_from_bgra(bgra), decode.flow_px_from_raw(flow.raw_data, width_px, height_px)))
    try:
        fit = fit_flow([(before, now, flow) for (before, _), (now, flow) in pairwise(seen[-FLOW_PAIRS - 1 :])])
    except SimulatorError as error:
        raise Failed(error.what) from None
    expect(fit.is_as_documented, f"its vectors must be multiplied by {fit.scale_x:.2f} and {fit.scale_y:.2f}")


@GROUP.check()
def events(stage: Stage) -> None:
    """Camera dvs: events where the picture changes."""
    size = {"image_size_x": WIDTH_PX, "image_size_y": HEIGHT_PX}
    vehicle, camera = _on_roof(stage, "sensor.camera.dvs", **size)
    data = stage.listen(camera)
    vehicle.apply_control(carla.VehicleControl(throttle=1.0, steer=0.3))
    count = 0
    for _ in range(40):
        stage.tick()
    while not data.empty():
        batch = data.get()
        assert isinstance(batch, carla.DVSEventArray)
        count += len(batch)
        expect(all(event.x < WIDTH_PX and event.y < HEIGHT_PX for event in batch), "an event is outside the picture")
    expect(count > 0, "while driving no event came")


@GROUP.check()
def sensor_tick(stage: Stage) -> None:
    """sensor_tick makes a sensor slower than the world."""
    size = {"image_size_x": 32, "image_size_y": 32, "sensor_tick": 4 * DELTA_S}
    _vehicle, camera = _on_roof(stage, "sensor.camera.rgb", **size)
    data = stage.listen(camera)
    stage.tick(3)
    while not data.empty():
        data.get()
    last = stage.tick(20)
    stage.tick(8)
    frames = []
    while not data.empty():
        frames.append(data.get().frame)
    within = [frame for frame in frames if frame <= last]
    expect(3 <= len(within) <= 7, f"in 20 frames {len(within)} pictures came, not 5")


@GROUP.check()
def stopped(stage: Stage) -> None:
    """A stopped sensor is silent."""
    _vehicle, camera = _on_roof(stage, "sensor.camera.rgb", image_size_x=32, image_size_y=32)
    data = stage.listen(camera)
    stage.reading(data, stage.tick())
    assert isinstance(camera, carla.Sensor)
    camera.stop()
    stage.tick(2)
    while not data.empty():
        data.get()
    stage.tick(3)
    expect(data.empty(), "pictures came after stop()")


@GROUP.check()
def gnss(stage: Stage) -> None:
    """gnss: the place on the globe that the map says."""
    vehicle = stage.vehicle()
    data = stage.listen(stage.spawn("sensor.other.gnss", attach_to=vehicle))
    fix = stage.reading(data, stage.tick())
    assert isinstance(fix, carla.GnssMeasurement)
    there = stage.map.transform_to_geolocation(vehicle.get_location())
    away = math.hypot(fix.latitude - there.latitude, fix.longitude - there.longitude)
    expect(away < 1e-5, f"it is {away:.6f} degrees off")


@GROUP.check()
def imu(stage: Stage) -> None:
    """imu: gravity at rest, turning in a bend."""
    vehicle = stage.vehicle()
    data = stage.listen(stage.spawn("sensor.other.imu", attach_to=vehicle))
    stage.tick(40)
    rest = stage.reading(data, stage.tick())
    assert isinstance(rest, carla.IMUMeasurement)
    expect(9.3 < rest.accelerometer.z < 10.3, f"at rest it feels {rest.accelerometer.z:.2f} m/s2")
    expect(0.0 <= rest.compass <= 2.0 * math.pi + 1e-3, f"the compass says {rest.compass:.2f}")
    vehicle.apply_control(carla.VehicleControl(throttle=0.5, steer=0.5))
    stage.tick(40)
    bend = stage.reading(data, stage.tick())
    assert isinstance(bend, carla.IMUMeasurement)
    told, true = bend.gyroscope.z, math.radians(vehicle.get_angular_velocity().z)
    expect(abs(told - true) < 0.15, f"the gyroscope says {told:.2f} rad/s at {true:.2f}")


@GROUP.check()
def lidar(stage: Stage) -> None:
    """Lidar: points around, channel by channel."""
    rate = {"channels": 16, "points_per_second": 16000, "rotation_frequency": 20, "range": 40}
    _vehicle, sensor = _on_roof(stage, "sensor.lidar.ray_cast", **rate)
    scan = stage.reading(stage.listen(sensor), stage.tick())
    assert isinstance(scan, carla.LidarMeasurement)
    points = np.frombuffer(scan.raw_data, np.float32).reshape(-1, 4)
    expect(len(points) > 20, f"a turn has {len(points)} points")
    expect(scan.channels == 16, f"it tells {scan.channels} channels")
    expect(sum(scan.get_point_count(i) for i in range(16)) == len(points), "the channels' counts do not add up")
    expect(float(np.linalg.norm(points[:, :3], axis=1).max()) < 41.0, "a point is beyond the range")


@GROUP.check()
def semantic_lidar(stage: Stage) -> None:
    """Semantic lidar: points with tags and objects."""
    rate = {"channels": 16, "points_per_second": 16000, "rotation_frequency": 20, "range": 40}
    _vehicle, sensor = _on_roof(stage, "sensor.lidar.ray_cast_semantic", **rate)
    scan = stage.reading(stage.listen(sensor), stage.tick())
    assert isinstance(scan, carla.SemanticLidarMeasurement)
    tags = {int(point.object_tag) for point in scan}
    expect(len(scan) > 20, f"a turn has {len(scan)} points")
    expect(1 in tags and max(tags) <= 29, f"its tags are {sorted(tags)}")


@GROUP.check()
def radar(stage: Stage) -> None:
    """Radar: detections with depth and speed."""
    vehicle = stage.vehicle()
    front = carla.Transform(carla.Location(x=2.8, z=1.0), carla.Rotation(pitch=3.0))
    sensor = stage.spawn("sensor.other.radar", front, attach_to=vehicle, horizontal_fov=35, vertical_fov=20)
    data = stage.listen(sensor)
    vehicle.apply_control(carla.VehicleControl(throttle=0.8))
    count = 0
    for _ in range(30):
        scan = stage.reading(data, stage.tick())
        assert isinstance(scan, carla.RadarMeasurement)
        count += len(scan)
        expect(all(0.0 < hit.depth <= 101.0 for hit in scan), "a detection's depth is not within the range")
    expect(count > 0, "nothing was detected in 30 frames")


@GROUP.check()
def collision(stage: Stage) -> None:
    """Collision: driving into a vehicle is told with an impulse."""
    vehicle = stage.vehicle()
    data = stage.listen(stage.spawn("sensor.other.collision", attach_to=vehicle))
    here = vehicle.get_transform()
    other = stage.spawn("vehicle.audi.tt", ahead(here, 12.0))
    stage.tick(20)
    forward = here.get_forward_vector()
    for _ in range(60):
        vehicle.set_target_velocity(carla.Vector3D(8.0 * forward.x, 8.0 * forward.y, 0.0))
        stage.tick()
        if not data.empty():
            break
    expect(not data.empty(), f"it drove {vehicle.get_location().distance(here.location):.0f} m and told nothing")
    event = data.get()
    assert isinstance(event, carla.CollisionEvent)
    expect(event.other_actor.id == other.id, f"it hit {event.other_actor.type_id}")
    expect(event.normal_impulse.length() > 10.0, "the impulse is nothing")


@GROUP.check()
def obstacle(stage: Stage) -> None:
    """Obstacle: what is ahead is told with its distance."""
    vehicle = stage.vehicle()
    here = vehicle.get_transform()
    other = stage.spawn("vehicle.audi.tt", ahead(here, 12.0))
    sensor = stage.spawn(
        "sensor.other.obstacle", carla.Transform(carla.Location(x=2.8, z=0.8)), attach_to=vehicle, distance=20,
        hit_radius=0.5, only_dynamics=True,
    )  # fmt: skip
    data = stage.listen(sensor)
    stage.tick(20)
    seen = []
    while not data.empty():
        event = data.get()
        assert isinstance(event, carla.ObstacleDetectionEvent)
        seen.append(event)
    hits = [event for event in seen if event.other_actor.id == other.id]
    expect(bool(hits), f"{len(seen)} events came, none of the vehicle ahead")
    expect(2.0 < hits[-1].distance < 14.0, f"it is told {hits[-1].distance:.1f} m ahead")


@GROUP.check()
def lane_invasion(stage: Stage) -> None:
    """Lane invasion: crossing a mark is told."""
    vehicle = stage.vehicle()
    data = stage.listen(stage.spawn("sensor.other.lane_invasion", attach_to=vehicle))
    stage.tick(5)
    right = vehicle.get_transform().get_right_vector()
    for _ in range(40):
        vehicle.set_target_velocity(carla.Vector3D(-3.0 * right.x, -3.0 * right.y, 0.0))
        stage.tick()
    if data.empty():
        raise Failed(f"it moved 6 m to the left at {speed_m_s(vehicle):.1f} m/s and told nothing")
    event = data.get()
    assert isinstance(event, carla.LaneInvasionEvent)
    expect(len(event.crossed_lane_markings) > 0, "the crossed mark is not told")
