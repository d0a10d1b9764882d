"""The street network: its OpenDRIVE text as the carla wheel reads it, spawn points, ground and what is solid."""

from __future__ import annotations

import math

import carla
import numpy as np
import pytest

from bridge.town.roads import KERB_HEIGHT_M, Segment
from bridge.town.streets import StreetNetwork, build_street_network


@pytest.fixture(scope="module")
def network() -> StreetNetwork:
    return build_street_network(seed=0)


@pytest.fixture(scope="module")
def carla_map(network: StreetNetwork) -> carla.Map:
    return carla.Map(network.name, network.opendrive)


@pytest.mark.parametrize("curvature", [0.0, 1 / 26.0, -1 / 40.0])
def test_a_segment_projects_back_what_it_places(curvature: float) -> None:
    segment = Segment(3.0, -7.0, 2.5, 50.0, curvature)
    s = np.linspace(0.0, 50.0, 26)
    for t in (-12.0, 0.0, 9.0):
        x, y, _ = segment.point(s, t)
        found_s, found_t = segment.project(x, y)
        np.testing.assert_allclose(found_s, s, atol=1e-9)
        np.testing.assert_allclose(found_t, t, atol=1e-9)


def test_carla_finds_a_driving_lane_at_every_spawn_point(network: StreetNetwork, carla_map: carla.Map) -> None:
    assert len(network.spawn_points) >= 60
    for pose in network.spawn_points:
        waypoint = carla_map.get_waypoint(carla.Location(pose.x_m, pose.y_m, pose.z_m), project_to_road=False)
        assert waypoint is not None
        assert waypoint.lane_type == carla.LaneType.Driving
        assert waypoint.lane_width == pytest.approx(3.5)
        at = waypoint.transform
        assert math.hypot(at.location.x - pose.x_m, at.location.y - pose.y_m) < 0.05
        assert abs((at.rotation.yaw - pose.yaw_deg + 180.0) % 360.0 - 180.0) < 0.5
        assert 0.3 <= pose.z_m <= 0.6


@pytest.mark.parametrize("which", [0, 1])
def test_following_a_lane_closes_the_circuit(network: StreetNetwork, carla_map: carla.Map, which: int) -> None:
    start = network.spawn_points[which]
    waypoint = carla_map.get_waypoint(carla.Location(start.x_m, start.y_m, 0.0))
    travelled, roads = 0.0, set()
    while travelled < 2000.0:
        (waypoint,) = waypoint.next(2.0)
        travelled += 2.0
        roads.add(waypoint.road_id)
        here = waypoint.transform.location
        if travelled > 100.0 and math.hypot(here.x - start.x_m, here.y - start.y_m) < 2.0:
            break
    assert 700.0 < travelled < 1000.0
    assert roads == {road.road_id for road in network.roads}


def test_carla_sees_the_lights_and_the_crosswalks(network: StreetNetwork, carla_map: carla.Map) -> None:
    landmarks = {landmark.id for landmark in carla_map.get_all_landmarks_of_type("1000001")}
    assert landmarks == {site.sign_id for site in network.traffic_lights}
    assert len(carla_map.get_crosswalks()) == 5 * len(network.crosswalks)


def test_a_stop_point_lies_in_its_lane_before_the_light(network: StreetNetwork, carla_map: carla.Map) -> None:
    assert len(network.traffic_lights) == 4
    for site in network.traffic_lights:
        at = carla_map.get_waypoint(carla.Location(site.stop_pose.x_m, site.stop_pose.y_m, 0.0), project_to_road=False)
        assert (at.road_id, at.lane_id) == (site.road_id, site.lane_id)
        ahead = site.pose.matrix()[:2, 3] - site.stop_pose.matrix()[:2, 3]
        driving = site.stop_pose.matrix()[:2, 0]
        assert 1.0 < float(ahead @ driving) < 4.0
        right = site.stop_pose.matrix()[:2, 1]
        assert float(ahead @ right) > 3.0, "the pole stands at the right-hand kerb"


def test_the_ground_is_low_on_the_road_and_kerb_high_beside_it(network: StreetNetwork) -> None:
    spawn = network.spawn_points[0]
    world_from_spawn = spawn.matrix()
    across = np.linspace(-20.0, 20.0, 81)
    points = world_from_spawn[:2, 3] + across[:, None] * world_from_spawn[:2, 1]
    on_road = network.is_on_road(points[:, 0], points[:, 1])
    # From the lane's middle the right kerb is 1.75 + 2.2 m away and the left one 5.25 + 2.2 m.
    np.testing.assert_array_equal(on_road, (across < 3.95) & (across > -7.45))
    heights = network.ground_height_m(points[:, 0], points[:, 1])
    np.testing.assert_array_equal(heights, np.where(on_road, 0.0, KERB_HEIGHT_M))
    assert float(network.ground_height_m(0.0, 0.0)) == KERB_HEIGHT_M


def test_nothing_solid_stands_in_a_driving_lane(network: StreetNetwork, carla_map: carla.Map) -> None:
    assert network.static_boxes.shape[1] == 5
    x, y, half_x, half_y, yaw = network.static_boxes.T
    for along in (-1.0, 0.0, 1.0):
        for across in (-1.0, 1.0):
            corner_x = x + along * half_x * np.cos(yaw) - across * half_y * np.sin(yaw)
            corner_y = y + along * half_x * np.sin(yaw) + across * half_y * np.cos(yaw)
            for point in zip(corner_x, corner_y, strict=True):
                location = carla.Location(float(point[0]), float(point[1]), 0.0)
                assert carla_map.get_waypoint(location, project_to_road=False, lane_type=carla.LaneType.Driving) is None


def test_equal_seeds_give_equal_towns() -> None:
    first, second, other = build_street_network(3), build_street_network(3), build_street_network(4)
    assert first == second
    np.testing.assert_array_equal(first.static_boxes, second.static_boxes)
    assert first.opendrive == other.opendrive
    assert not np.array_equal(
        first.static_boxes[: len(other.static_boxes)], other.static_boxes[: len(first.static_boxes)]
    )
