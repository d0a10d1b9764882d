"""Parts of the town without sockets: footprints, lights, sensors, shots, blueprints, episode, README."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "town"))

from flat_painter import FlatPainter

from bridge.carla_wire import layouts
from bridge.carla_wire.snapshot import VehicleTail, decode_snapshot
from bridge.town.actors import Vehicle, default_half_extents_m
from bridge.town.blueprints import build_library, vehicle_class
from bridge.town.cameras import plan_shots, take
from bridge.town.episode import Episode, SpawnRefused
from bridge.town.footprints import Footprint, overlaps, overlaps_any
from bridge.town.pose import Pose
from bridge.town.readme import README, render
from bridge.town.sensors import Camera, GeoReference, ImuSensor, Sensor, compass_rad
from bridge.town.streets import StreetNetwork, build_street_network
from bridge.town.traffic_lights import TrafficLight
from bridge.town.views import StreetState
from bridge.town.walkers import Walker

NUMBERS = st.floats(-20.0, 20.0)
SIZES = st.floats(0.1, 5.0)
BOXES = st.builds(Footprint, NUMBERS, NUMBERS, SIZES, SIZES, st.floats(-7.0, 7.0))


@pytest.fixture(scope="module")
def network() -> StreetNetwork:
    return build_street_network(0)


@pytest.fixture
def episode(network: StreetNetwork) -> Episode:
    return Episode(1, network, default_half_extents_m)


def describe(blueprint_id: str, **attributes: str) -> layouts.ActorDescription:
    return layouts.ActorDescription(
        0, blueprint_id, [layouts.AttributeValue(name, 4, value) for name, value in attributes.items()]
    )


def at(pose: Pose) -> layouts.Transform:
    return layouts.Transform(layouts.Vector3D(pose.x_m, pose.y_m, pose.z_m), layouts.Rotation(yaw=pose.yaw_deg))


def test_readme_is_what_the_registry_says() -> None:
    assert README.read_text(encoding="utf-8") == render(), "run python -m bridge.town.readme"


@given(BOXES, BOXES)
def test_overlap_is_symmetric_and_agrees_with_sampling(a: Footprint, b: Footprint) -> None:
    assert overlaps(a, b) == overlaps(b, a)
    cos, sin = math.cos(a.yaw_rad), math.sin(a.yaw_rad)
    steps = np.linspace(-1.0, 1.0, 7)
    u, v = np.meshgrid(steps * a.half_x_m, steps * a.half_y_m)
    dx, dy = a.x_m + u * cos - v * sin - b.x_m, a.y_m + u * sin + v * cos - b.y_m
    along = dx * math.cos(b.yaw_rad) + dy * math.sin(b.yaw_rad)
    across = dy * math.cos(b.yaw_rad) - dx * math.sin(b.yaw_rad)
    if ((abs(along) < b.half_x_m - 1e-9) & (abs(across) < b.half_y_m - 1e-9)).any():
        assert overlaps(a, b)
        assert overlaps_any(a, np.array([b]))


def test_boxes_beside_each_other_do_not_overlap() -> None:
    a, b = Footprint(0.0, 0.0, 2.0, 1.0, 0.0), Footprint(0.0, 2.1, 2.0, 1.0, 0.0)
    assert not overlaps(a, b)
    assert overlaps(a, b._replace(yaw_rad=0.5))
    assert not overlaps_any(a, np.empty((0, 5)))


def test_library_is_valid_and_known_by_its_ids() -> None:
    library = build_library()
    assert [definition.uid for definition in library] == list(range(1, len(library) + 1))
    assert len({definition.id for definition in library}) == len(library)
    for definition in library:
        names = [attribute.id for attribute in definition.attributes]
        assert len(set(names)) == len(names)
        assert "role_name" in names
    assert vehicle_class("vehicle.mitsubishi.fusorosa") == "bus"
    assert vehicle_class("vehicle.nobody.knows") == "car"


def test_lights_cycle_and_stop_who_comes_near(episode: Episode) -> None:
    light = episode.lights[0]
    stop = light.site.stop_pose
    cos, sin = math.cos(math.radians(stop.yaw_deg)), math.sin(math.radians(stop.yaw_deg))

    def car_at(before_m: float, speed_m_s: float, turn_deg: float = 0.0) -> Vehicle:
        place = Pose(stop.x_m - before_m * cos, stop.y_m - before_m * sin, 0.0, yaw_deg=stop.yaw_deg + turn_deg)
        car = Vehicle(99, describe("vehicle.audi.tt"), place)
        car.velocity_m_s = (speed_m_s * cos, speed_m_s * sin, 0.0)
        return car

    assert light.stops(car_at(3.0, 0.0))
    assert light.stops(car_at(12.0, 11.0)), "a fast car must decide early"
    assert not light.stops(car_at(12.0, 1.0)), "a slow one need not yet"
    assert not light.stops(car_at(-5.0, 5.0)), "it has passed"
    assert not light.stops(car_at(3.0, 0.0, turn_deg=180.0)), "it drives the other way"


def test_the_arms_of_a_junction_have_green_in_turn(episode: Episode) -> None:
    for group in episode.light_groups:
        turns: list[int] = []
        for _ in range(1300):
            group.advance(0.05)
            green = [number for number, light in enumerate(group.lights) if light.light_state == 2]
            states = {light.light_state for light in group.lights}
            if len(group.phases) > 1:
                assert len(green) <= 1 and (1 not in states or not green), "never green beside green or yellow"
                turns += [number for number in green if not turns or turns[-1] != number]
        if len(group.phases) > 1:
            assert turns[: len(group.lights) + 1] == [*range(len(group.lights)), 0]
        leader = group.lights[0]
        leader.set_state(0)
        leader.is_frozen = True
        for _ in range(400):
            group.advance(0.05)
        assert leader.light_state == 0, "a frozen light holds its group"
        leader.is_frozen = False
        group.restart()
        assert [light.light_state for light in group.phases[0]] == [2] * len(group.phases[0])


def test_a_vehicle_before_a_stop_sign_is_told_of_red_without_a_light(episode: Episode, network: StreetNetwork) -> None:
    site = next(site for site in network.signs if site.kind == "stop")
    back = site.stop_pose.compose(Pose(-9.0, -0.3, 0.3))
    car = episode.spawn(describe("vehicle.audi.tt"), at(back))
    assert isinstance(car, Vehicle)
    episode.step(0.05)
    assert (car.light_state, car.light_id) == (0, 0)
    car.move_to(site.stop_pose.compose(Pose(-40.0, -0.3, 0.3)))
    episode.step(0.05)
    assert (car.light_state, car.light_id) == (2, 0)


def test_ids_count_on_and_refused_spawns_take_none(episode: Episode, network: StreetNetwork) -> None:
    point = network.spawn_points[0]
    first = episode.spawn(describe("vehicle.audi.tt"), at(point))
    with pytest.raises(SpawnRefused, match="collision at spawn position"):
        episode.spawn(describe("vehicle.audi.tt"), at(point))
    with pytest.raises(SpawnRefused, match="no blueprint 'vehicle\\.flying"):
        episode.spawn(describe("vehicle.flying.carpet"), at(point))
    second = episode.spawn(describe("sensor.camera.rgb"), layouts.Transform(), first)
    assert second.actor_id == first.actor_id + 1
    assert episode.destroy(first.actor_id) is first
    assert second.parent is None and second.record().parent_id == 0
    third = episode.spawn(describe("vehicle.audi.tt"), at(point))
    assert third.actor_id == second.actor_id + 1, "an id is never used twice"
    assert episode.destroy(episode.spectator.actor_id) is None
    assert episode.destroy(episode.lights[0].actor_id) is None


def test_attached_camera_follows_and_flow_knows_where_it_was(episode: Episode, network: StreetNetwork) -> None:
    car = episode.spawn(describe("vehicle.audi.tt"), at(network.spawn_points[0]))
    assert isinstance(car, Vehicle)
    mount = layouts.Transform(layouts.Vector3D(1.5, 0.0, 1.6), layouts.Rotation(pitch=-10.0))
    camera = episode.spawn(describe("sensor.camera.depth"), mount, car)
    assert camera.pose == car.pose.compose(Pose(1.5, 0.0, 1.6, pitch_deg=-10.0))
    episode.step(0.05)
    assert camera.previous_pose == camera.pose or car.pose.z_m < 0.4
    before = camera.pose
    car.set_velocity((5.0, 0.0, 0.0))
    episode.step(0.05)
    assert camera.previous_pose == before != camera.pose
    car.move_to(network.spawn_points[9])
    at_last_frame = camera.pose
    episode.step(0.05)
    assert camera.previous_pose == at_last_frame, "a teleport is a motion between two frames"


def test_snapshot_lists_every_actor_and_tells_a_new_map_once(episode: Episode, network: StreetNetwork) -> None:
    car = episode.spawn(describe("vehicle.audi.tt"), at(network.spawn_points[0]))
    assert isinstance(car, Vehicle)
    car.control = layouts.VehicleControl(throttle=0.5, steer=-0.25)
    episode.step(0.05)
    header, state, actors = decode_snapshot(episode.snapshot(0.05))
    assert (header.frame, header.timestamp_s) == (1, 0.05)
    assert state.simulation_state == 1
    assert [actor.actor_id for actor in actors] == sorted(episode.actors)
    tail = VehicleTail.unpack(actors[-1].tail)
    assert (tail.throttle, tail.steer, tail.speed_limit_kmh) == (0.5, -0.25, 40.0)
    assert decode_snapshot(episode.snapshot(0.05))[1].simulation_state == 0


def test_walker_stands_in_the_middle_of_its_body_and_is_drawn_from_the_ground(episode: Episode) -> None:
    walker = episode.spawn(describe("walker.pedestrian.0003"), layouts.Transform(layouts.Vector3D(0.0, 0.0, 2.0)))
    assert isinstance(walker, Walker)
    walker.walk(layouts.WalkerControl(layouts.Vector3D(0.0, 1.0, 0.0), 1.5))
    for _ in range(40):
        episode.step(0.05)
    ground_m = float(episode.network.ground_height_m(walker.pose.x_m, walker.pose.y_m))
    assert walker.pose.z_m == pytest.approx(ground_m + walker.half_extents_m[2])
    assert walker.body().pose.z_m == pytest.approx(ground_m)
    assert (walker.pose.y_m, walker.pose.yaw_deg, walker.stride_m) == pytest.approx((3.0, 90.0, 3.0))
    walker.lead(Pose(1.0, 2.0, 0.14, yaw_deg=0.0), 1.2)
    episode.step(0.05)
    assert (walker.pose.x_m, walker.pose.y_m) == (1.0, 2.0)
    assert walker.body().pose.z_m == pytest.approx(0.14), "the client's AI places the feet"
    assert walker.velocity_m_s == pytest.approx((1.2, 0.0, 0.0))


def test_sensor_period_keeps_its_beat() -> None:
    sensor = Sensor(1, describe("sensor.other.gnss", sensor_tick="0.1"), Pose())
    beats = [number for number in range(20) if sensor.is_due(number * 0.05)]
    assert beats == list(range(0, 20, 2))
    odd = Sensor(1, describe("sensor.other.gnss", sensor_tick="0.12"), Pose())
    beats = [number for number in range(40) if odd.is_due(number * 0.05)]
    assert len(beats) == pytest.approx(2.0 / 0.12, abs=1.0)


@pytest.mark.parametrize(
    ("name", "value"), [("fov", "wide"), ("fov", "180"), ("image_size_x", "-5"), ("image_size_y", "nan")]
)
def test_senseless_attributes_are_refused_by_name(episode: Episode, name: str, value: str) -> None:
    with pytest.raises(SpawnRefused, match=f"attribute {name} must be a number"):
        episode.spawn(describe("sensor.camera.rgb", **{name: value}), layouts.Transform())


def test_compass_and_gravity() -> None:
    assert compass_rad(Pose(yaw_deg=-90.0)) == pytest.approx(0.0)
    assert compass_rad(Pose(yaw_deg=0.0)) == pytest.approx(math.pi / 2)
    from bridge.carla_wire.streams import decode_inertial

    upside_down = decode_inertial(ImuSensor(1, describe("sensor.other.imu"), Pose(roll_deg=180.0)).measure(9.81))
    assert upside_down.accelerometer.z == pytest.approx(-9.81)


def test_gnss_noise_is_repeatable_and_bias_is_exact() -> None:
    from bridge.carla_wire.streams import decode_gnss
    from bridge.town.sensors import GnssSensor

    reference = GeoReference.of_opendrive("+proj=tmerc +lat_0=52.2 +lon_0=0.12")
    assert reference == GeoReference(52.2, 0.12)
    assert GeoReference.of_opendrive("<OpenDRIVE/>") == GeoReference(0.0, 0.0)
    noise = {"noise_lat_stddev": "0.001", "noise_seed": "3", "noise_alt_bias": "2.5"}
    first, second = (
        decode_gnss(GnssSensor(1, describe("sensor.other.gnss", **noise), Pose(z_m=1.0)).measure(reference))
        for _ in "ab"
    )
    assert first == second
    assert first.latitude_deg != 52.2 and first.longitude_deg == 0.12 and first.altitude_m == 3.5


def test_equal_views_share_one_painting() -> None:
    names = ("rgb", "depth", "semantic_segmentation")
    cameras = [Camera(i, describe(f"sensor.camera.{name}", fov="90"), Pose()) for i, name in enumerate(names)]
    cameras.append(Camera(9, describe("sensor.camera.rgb", fov="60"), Pose()))
    shots = plan_shots([(camera, b"") for camera in cameras])
    assert [len(shot.cameras) for shot in shots] == [3, 1]
    assert shots[0].planes == {"rgb", "depth", "semantic"}
    painter = FlatPainter()
    sent = list(take(shots[0], painter, StreetState()))
    assert len(painter.calls) == 1
    assert [(camera.actor_id, len(header), pixels.nbytes) for camera, header, pixels in sent] == [
        (i, 12, 800 * 600 * 4) for i in range(3)
    ]


def test_traffic_light_box_is_the_lane_before_its_stop_line(episode: Episode) -> None:
    for light in episode.of_kind(TrafficLight):
        box = light.bounding_box
        middle = light.pose.compose(Pose(box.location.x, box.location.y))
        stop = light.site.stop_pose
        assert math.hypot(middle.x_m - stop.x_m, middle.y_m - stop.y_m) == pytest.approx(1.5)
        assert box.extent.x == pytest.approx(1.75 * len(light.site.lane_ids)), "x runs across the lanes"
