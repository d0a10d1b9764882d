"""Checks: the road network, which the wheel itself computes from the server's OpenDRIVE text."""

from __future__ import annotations

import math

import carla

from bridge.capture.conformance.stage import Group, Stage, ask, expect, skip

GROUP = Group("map")


@GROUP.check()
def opendrive(stage: Stage) -> None:
    """The OpenDRIVE text makes the same map again."""
    text = stage.map.to_opendrive()
    again = carla.Map("again", text)
    expect(len(again.get_topology()) == len(stage.map.get_topology()) > 0, "its topology differs or is empty")


@GROUP.check()
def spawn_points(stage: Stage) -> None:
    """Spawn points are on driving lanes, above the ground."""
    points = stage.map.get_spawn_points()
    expect(len(points) >= 2, f"there are {len(points)}")
    for point in points:
        lane = stage.map.get_waypoint(point.location, project_to_road=True, lane_type=carla.LaneType.Driving)
        expect(lane is not None, "a spawn point has no lane")
        away = math.hypot(lane.transform.location.x - point.location.x, lane.transform.location.y - point.location.y)
        expect(away < lane.lane_width, f"a spawn point is {away:.1f} m from its lane's centre")


@GROUP.check()
def waypoints(stage: Stage) -> None:
    """Waypoints lead on and back."""
    start = stage.map.get_waypoint(stage.map.get_spawn_points()[0].location)
    ahead = start.next(5.0)
    expect(len(ahead) > 0, "next() leads nowhere")
    away = ahead[0].transform.location.distance(start.transform.location)
    expect(3.5 < away < 5.5, f"next(5) is {away:.2f} m away")
    back = ahead[0].previous(5.0)
    expect(
        any(point.transform.location.distance(start.transform.location) < 1.0 for point in back), "previous() differs"
    )
    again = stage.map.get_waypoint_xodr(start.road_id, start.lane_id, start.s)
    expect(again is not None and again.id == start.id, "get_waypoint_xodr does not find it again")
    expect(len(stage.map.generate_waypoints(20.0)) >= 4, "generate_waypoints finds hardly any")


@GROUP.check()
def lanes(stage: Stage) -> None:
    """Lanes have width, type, marks and neighbours."""
    for point in stage.map.get_spawn_points()[:20]:
        lane = stage.map.get_waypoint(point.location)
        expect(2.0 < lane.lane_width < 8.0, f"a lane is {lane.lane_width:.1f} m wide")
        expect(lane.lane_type == carla.LaneType.Driving, f"a spawn point's lane is {lane.lane_type}")
        marks = (lane.left_lane_marking, lane.right_lane_marking)
        expect(all(mark is not None for mark in marks), "a lane has no marking on one side")
        for neighbour in (lane.get_left_lane(), lane.get_right_lane()):
            expect(neighbour is None or neighbour.road_id == lane.road_id, "a neighbour is of another road")


@GROUP.check()
def topology(stage: Stage) -> None:
    """Topology joins lane to lane."""
    pairs = stage.map.get_topology()
    starts = {(start.road_id, start.lane_id, round(start.s)) for start, _end in pairs}
    expect(len(starts) > 1, "there is only one piece of lane")
    ends = [end for _start, end in pairs if end.next(1.0)]
    expect(len(ends) == len(pairs), f"{len(pairs) - len(ends)} of {len(pairs)} pieces end in nothing")


@GROUP.check()
def junctions(stage: Stage) -> None:
    """Junctions have boxes and ways through."""
    inside = next((start for start, _end in stage.map.get_topology() if start.is_junction), None)
    if inside is None:
        skip("the map has no junction")
    junction = inside.get_junction()
    expect(junction.id == inside.junction_id, "a waypoint's junction has another id")
    expect(junction.bounding_box.extent.x > 0.5 and junction.bounding_box.extent.y > 0.5, "a junction has no extent")
    expect(len(junction.get_waypoints(carla.LaneType.Driving)) > 0, "a junction has no way through")


@GROUP.check()
def landmarks(stage: Stage) -> None:
    """Landmarks are found along a lane."""
    found = stage.map.get_all_landmarks()
    if not found:
        skip("the map has no landmarks")
    expect(all(mark.id for mark in found), "a landmark has no id")
    first = found[0]
    same = stage.map.get_all_landmarks_of_type(first.type)
    expect(any(mark.id == first.id for mark in same), "get_all_landmarks_of_type does not find it again")
    expect(len(stage.map.get_all_landmarks_from_id(first.id)) > 0, "get_all_landmarks_from_id does not find it again")
    lane = stage.map.get_waypoint_xodr(first.road_id, -1, first.s) or stage.map.get_waypoint_xodr(
        first.road_id, 1, first.s
    )
    expect(lane is not None, "it stands at no lane")


@GROUP.check()
def crosswalks(stage: Stage) -> None:
    """Crosswalks are closed polygons."""
    corners = stage.map.get_crosswalks()
    if not corners:
        skip("the map has no crosswalks")
    first = corners[0]
    expect(any(corner.distance(first) < 0.01 for corner in corners[1:]), "the first one is not closed")


@GROUP.check()
def geolocation(stage: Stage) -> None:
    """Places on the globe lead back."""
    here = stage.map.get_spawn_points()[0].location
    globe = stage.map.transform_to_geolocation(here)
    back = ask(stage.map, "geolocation_to_transform", globe)
    there = back.location if isinstance(back, carla.Transform) else back
    expect(math.hypot(there.x - here.x, there.y - here.y) < 0.5, f"{here} leads to {there}")
