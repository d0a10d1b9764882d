"""The street network: its OpenDRIVE text as the carla wheel reads it, spawn points, ground and what is solid."""

from __future__ import annotations

import itertools
import math

import carla
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.town.footprints import Footprint, overlaps
from bridge.town.roads import KERB_HEIGHT_M, Segment, join
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


@pytest.mark.parametrize("seed", [0, 1, 2, 7])
def test_every_lane_of_every_town_leads_on_for_ever(seed: int) -> None:
    network = build_street_network(seed)
    carla_map = carla.Map(network.name, network.opendrive)
    follow: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for before, after in carla_map.get_topology():
        follow.setdefault((before.road_id, before.lane_id), set()).add((after.road_id, after.lane_id))
    start = next(iter(follow))
    for links in (follow, _reversed(follow)):
        reached, front = {start}, [start]
        while front:
            for lane in links.get(front.pop(), set()) - reached:
                reached.add(lane)
                front.append(lane)
        assert reached == set(follow), "one can drive from every lane to every other"
    for waypoint in carla_map.generate_waypoints(5.0):
        ahead = waypoint.next(2.0)
        assert ahead, f"lane {waypoint.lane_id} of road {waypoint.road_id} ends at {waypoint.s:.1f} m"
        assert all(w.transform.location.distance(waypoint.transform.location) < 2.6 for w in ahead)


def _reversed(follow: dict[tuple[int, int], set[tuple[int, int]]]) -> dict[tuple[int, int], set[tuple[int, int]]]:
    back: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for lane, others in follow.items():
        for other in others:
            back.setdefault(other, set()).add(lane)
    return back


def test_the_town_is_large_and_varied(network: StreetNetwork, carla_map: carla.Map) -> None:
    assert sum(road.length_m for road in network.roads) > 2400.0
    assert {road.profile.num_driving(-1) for road in network.roads} == {1, 2}
    assert {road.speed_limit_kmh for road in network.roads} == {30.0, 40.0, 50.0}
    bends = [1.0 / abs(s.curvature_per_m) for road in network.roads for s in road.segments if s.curvature_per_m]
    assert len(bends) > 20 and min(bends) > 25.0
    junctions = {w.get_junction().id for w in carla_map.generate_waypoints(4.0) if w.is_junction}
    assert junctions == {junction.junction_id for junction in network.junctions}
    assert {junction.control for junction in network.junctions} == {"lights", "stop", "yield"}
    changes = {str(w.lane_change) for w in carla_map.generate_waypoints(20.0) if not w.is_junction}
    assert {"NONE", "Right", "Left"} <= changes | {change.title() for change in changes} | {"NONE"}


def test_carla_sees_the_lights_signs_and_crosswalks(network: StreetNetwork, carla_map: carla.Map) -> None:
    by_type = {"light": "1000001", "stop": "206", "yield": "205", "speed": "274"}
    for kind, number in by_type.items():
        sites = {site.sign_id: site for site in (*network.traffic_lights, *network.signs) if site.kind == kind}
        landmarks = {landmark.id: landmark for landmark in carla_map.get_all_landmarks_of_type(number)}
        assert landmarks.keys() == sites.keys()
        for sign_id, landmark in landmarks.items():
            at, pole = landmark.transform.location, sites[sign_id].pose
            assert math.hypot(at.x - pole.x_m, at.y - pole.y_m) < 0.26, "CARLA moves lights by a quarter metre"
            (lanes,) = landmark.get_lane_validities()
            assert {*range(lanes[0], lanes[1] + 1)} - {0} == set(sites[sign_id].lane_ids)
            assert landmark.value == sites[sign_id].value
    assert len(carla_map.get_crosswalks()) == 5 * len(network.crosswalks)


def test_a_stop_line_lies_across_its_lanes_before_the_light(network: StreetNetwork, carla_map: carla.Map) -> None:
    assert len(network.traffic_lights) == 14 + 2
    for site in network.traffic_lights:
        forward, right = site.stop_pose.matrix()[:2, 0], site.stop_pose.matrix()[:2, 1]
        middle = site.stop_pose.matrix()[:2, 3]
        for lane_id, aside in zip(site.lane_ids, (-1.0, 1.0), strict=False):
            x, y = middle + aside * right * (site.half_width_m - 1.75)
            at = carla_map.get_waypoint(carla.Location(float(x), float(y), 0.0), project_to_road=False)
            assert (at.road_id, at.lane_id) == (site.road_id, lane_id)
        pole = site.pose.matrix()[:2, 3] - middle
        assert 1.0 < float(pole @ forward) < 7.0
        assert float(pole @ right) > 3.0, "the pole stands at the right-hand kerb"


def test_the_ground_is_low_on_the_road_and_kerb_high_beside_it(network: StreetNetwork) -> None:
    across = np.linspace(-11.0, 11.0, 89)
    for road in network.roads[::5]:
        x, y, _ = road.sample(np.full(across.shape, 0.5 * road.length_m), across)
        kerb = road.profile.kerb_m(1)
        on_road = network.is_on_road(x, -y)
        clear = abs(abs(across) - kerb) > 0.02
        np.testing.assert_array_equal(on_road[clear], (abs(across) < kerb)[clear])
        heights = network.ground_height_m(x, -y)
        np.testing.assert_array_equal(heights, np.where(on_road, 0.0, KERB_HEIGHT_M))
    assert float(network.ground_height_m(5000.0, 0.0)) == KERB_HEIGHT_M


def test_lanes_through_junctions_lie_on_the_road_and_kerbs_round_them(network: StreetNetwork) -> None:
    for junction in network.junctions:
        for road in junction.connecting:
            s = np.linspace(0.0, road.length_m, 40)
            for t in (-0.3, -1.75, -3.2):
                x, y, _ = road.sample(s, t)
                assert network.is_on_road(x, -y).all()
        for corner in junction.corners:
            s = np.linspace(0.0, corner.length_m, 40)
            for t, is_road in ((-0.1, True), (0.1, False), (1.8, False), (3.5, False)):
                x, y, _ = corner.sample(s, t)
                assert (network.is_on_road(x, -y) == is_road).all()


def test_the_speed_limit_is_that_of_the_street(network: StreetNetwork) -> None:
    for road in network.roads:
        x, y, _ = road.point(0.5 * road.length_m, -1.75)
        assert network.speed_limit_at_kmh(x, -y) == road.speed_limit_kmh
    assert network.speed_limit_at_kmh(9000.0, 0.0) == 30.0


def test_nothing_solid_stands_in_a_driving_lane(network: StreetNetwork, carla_map: carla.Map) -> None:
    assert network.static_boxes.shape == (len(network.static_tags), 5)
    x, y, half_x, half_y, yaw = network.static_boxes.T
    for along in (-1.0, 0.0, 1.0):
        for across in (-1.0, 1.0):
            corner_x = x + along * half_x * np.cos(yaw) - across * half_y * np.sin(yaw)
            corner_y = y + along * half_x * np.sin(yaw) + across * half_y * np.cos(yaw)
            for point in zip(corner_x, corner_y, strict=True):
                location = carla.Location(float(point[0]), float(point[1]), 0.0)
                assert carla_map.get_waypoint(location, project_to_road=False, lane_type=carla.LaneType.Driving) is None


@pytest.mark.parametrize("seed", [0, 5])
def test_houses_stand_clear_of_each_other_and_of_the_sidewalks(seed: int) -> None:
    network = build_street_network(seed)
    houses = [Footprint(*row) for row in network.static_boxes[network.static_tags == 3].tolist()]
    assert len(houses) > 300
    shrunk = [box._replace(half_x_m=box.half_x_m - 0.2, half_y_m=box.half_y_m - 0.2) for box in houses]
    # round a bend houses are told in pieces, of which neighbours lap over each other a little at the back
    bent = sum(overlaps(a, b) for a, b in itertools.combinations(shrunk, 2) if math.dist(a[:2], b[:2]) > 6.0)
    assert bent == 0
    corners = np.array([corner for box in houses for corner in box.corners()])
    assert (network.surface.distance_inside_m(corners[:, 0], -corners[:, 1]) < -1.5).all()
    kinds = {lot.kind for lot in network.plan.lots}
    assert kinds == {"building", "yard", "park", "villa", "works"}
    assert {thing.kind for thing in network.plan.things} >= {"tree", "lamp", "bench", "shelter", "parked"}


def test_equal_seeds_give_equal_towns() -> None:
    first, other = build_street_network(3), build_street_network(4)
    again = build_street_network.__wrapped__(3)
    assert first == again
    np.testing.assert_array_equal(first.static_boxes, again.static_boxes)
    assert first.plan == again.plan
    assert first.opendrive != other.opendrive
    assert first.spawn_points != other.spawn_points


@pytest.mark.parametrize(
    ("start", "end"), [((0.0, 0.0, 0.0), (10.0, 1.0, 0.0)), ((0.0, 0.0, 0.0), (-5.0, 5.0, math.pi / 2))]
)
def test_poses_that_no_arc_joins_are_refused(
    start: tuple[float, float, float], end: tuple[float, float, float]
) -> None:
    with pytest.raises(ValueError, match="no arc joins"):
        join(start, end)


@given(st.floats(-2.5, 2.5), st.floats(5.0, 60.0), st.floats(5.0, 60.0), st.floats(1.0, 80.0))
def test_a_join_runs_smoothly_from_pose_to_pose(turn: float, ahead: float, behind: float, radius: float) -> None:
    start = (3.0, -2.0, 0.7)
    heading = start[2] + turn
    meet = (start[0] + ahead * math.cos(start[2]), start[1] + ahead * math.sin(start[2]))
    end = (meet[0] + behind * math.cos(heading), meet[1] + behind * math.sin(heading), heading)
    chain = join(start, end, radius)
    at = start
    for segment in chain:
        assert (segment.x_m, segment.y_m, segment.heading_rad) == pytest.approx(at, abs=1e-6)
        at = segment.end()
    assert at == pytest.approx(end, abs=1e-5)
