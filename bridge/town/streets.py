"""The town's street network: roads, spawn points, crossings and traffic lights, and what the ground is like where.

Whatever leaves this module is in CARLA's world (left-handed, y to the right of x); inside, roads lie in OpenDRIVE's
right-handed frame. The two differ by the sign of y and of yaw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridge.town.opendrive import RoadCrosswalk, RoadSignal, opendrive_text
from bridge.town.plan import plan_scenery, solid_boxes
from bridge.town.pose import Pose
from bridge.town.roads import KERB_HEIGHT_M, Lane, LaneProfile, Road, RoadLink, Segment, lateral_offset_m

CIRCUIT_LENGTH_M = 300.0
CIRCUIT_WIDTH_M = 160.0
CORNER_RADIUS_M = 26.0
SPEED_LIMIT_KMH = 40.0
SPAWN_HEIGHT_M = 0.4
SPAWN_SPACING_M = 13.0
CROSSWALK_WIDTH_M = 4.0
STOP_LINE_GAP_M = 2.2

TOWN_STREET = LaneProfile(
    left=(Lane("driving", 3.5, "solid"), Lane("parking", 2.2), Lane("sidewalk", 3.6)),
    right=(Lane("driving", 3.5, "solid"), Lane("parking", 2.2), Lane("sidewalk", 3.6)),
)


@dataclass(frozen=True)
class TrafficLightSite:
    """Where a traffic light stands and whom it stops, in CARLA's world.

    `pose`: the pole's foot at the kerb, its yaw the driving direction of the lane it governs (the lamps look the other
    way); `stop_pose`: the middle of that lane at the stop line, same yaw; `lane_id` and `s_m` are OpenDRIVE's.
    """

    sign_id: str
    pose: Pose
    stop_pose: Pose
    road_id: int
    lane_id: int
    s_m: float


@dataclass(frozen=True)
class Crosswalk:
    """A zebra crossing: on which road, the middle of it along the road, and how wide its stripes' band is."""

    road_id: int
    s_m: float
    width_m: float
    has_lights: bool


@dataclass(frozen=True)
class StreetNetwork:
    """One town's streets.

    `opendrive`: the text that a CARLA client is given; `spawn_points`: lane centres in driving direction, in CARLA's
    world; `traffic_lights`: their order is the order of `StreetState.signals`; `static_boxes` (N,5) float64: x, y,
    half_x, half_y (metres) and yaw (radians) of what stands still and is solid, in CARLA's world.
    """

    name: str
    seed: int
    roads: tuple[Road, ...]
    opendrive: str
    spawn_points: tuple[Pose, ...]
    traffic_lights: tuple[TrafficLightSite, ...]
    crosswalks: tuple[Crosswalk, ...]
    speed_limit_kmh: float
    static_boxes: NDArray[np.float64] = field(repr=False, compare=False)

    def road(self, road_id: int) -> Road:
        """Return a road by its OpenDRIVE id; raises KeyError when there is none."""
        for road in self.roads:
            if road.road_id == road_id:
                return road
        raise KeyError(road_id)

    def is_on_road(self, x_m: ArrayLike, y_m: ArrayLike) -> NDArray[np.bool_]:
        """Tell for points of CARLA's world whether they lie between the kerbs; shapes broadcast."""
        x, y = np.broadcast_arrays(np.asarray(x_m, np.float64), -np.asarray(y_m, np.float64))
        index, t = lateral_offset_m(self.roads, x, y)
        kerb_left = np.array([road.profile.kerb_m(1) for road in self.roads] + [0.0])
        kerb_right = np.array([road.profile.kerb_m(-1) for road in self.roads] + [0.0])
        return (index >= 0) & (t <= kerb_left[index]) & (t >= -kerb_right[index])

    def ground_height_m(self, x_m: ArrayLike, y_m: ArrayLike) -> NDArray[np.float64]:
        """Return the ground's z at points of CARLA's world: 0 between the kerbs, the kerb's height elsewhere."""
        return np.where(self.is_on_road(x_m, y_m), 0.0, KERB_HEIGHT_M)


def carla_pose(x_m: float, y_m: float, heading_rad: float, z_m: float = 0.0) -> Pose:
    """Return the pose in CARLA's world of a point and heading of OpenDRIVE's frame."""
    yaw_deg = -math.degrees(heading_rad)
    return Pose(x_m, -y_m, z_m, yaw_deg=(yaw_deg + 180.0) % 360.0 - 180.0)


def build_street_network(seed: int = 0) -> StreetNetwork:
    """Return the town's streets: a two-way rounded rectangle with parking lanes, sidewalks and four crossings.

    `seed` chooses the scenery that stands along them (and so `static_boxes`), not the roads.
    """
    roads = _circuit(CIRCUIT_LENGTH_M, CIRCUIT_WIDTH_M, CORNER_RADIUS_M, TOWN_STREET)
    crosswalks = tuple(
        Crosswalk(road.road_id, round(0.55 * road.length_m, 1), CROSSWALK_WIDTH_M, has_lights=road.length_m > 200.0)
        for road in roads
        if road.segments[0].curvature_per_m == 0.0
    )
    signals = tuple(signal for crosswalk in crosswalks for signal in _signals(roads, crosswalk))
    plan = plan_scenery(roads, crosswalks, seed)
    return StreetNetwork(
        name="Town",
        seed=seed,
        roads=roads,
        opendrive=opendrive_text(
            "Town",
            roads,
            SPEED_LIMIT_KMH,
            signals,
            [RoadCrosswalk(c.road_id, c.s_m, c.width_m) for c in crosswalks],
        ),
        spawn_points=_spawn_points(roads, crosswalks),
        traffic_lights=tuple(_site(roads, signal) for signal in signals),
        crosswalks=crosswalks,
        speed_limit_kmh=SPEED_LIMIT_KMH,
        static_boxes=solid_boxes(plan),
    )


def _circuit(length_m: float, width_m: float, radius_m: float, profile: LaneProfile) -> tuple[Road, ...]:
    """Return eight roads, counter-clockwise from the southern long side: line, arc, line, arc ..."""
    segments: list[Segment] = []
    x, y, heading = -0.5 * length_m + radius_m, -0.5 * width_m, 0.0
    for side in range(4):
        straight = (length_m if side % 2 == 0 else width_m) - 2.0 * radius_m
        segments.append(Segment(x, y, heading, straight))
        x, y, heading = segments[-1].end()
        segments.append(Segment(x, y, heading, 0.5 * math.pi * radius_m, 1.0 / radius_m))
        x, y, heading = segments[-1].end()
    count = len(segments)
    return tuple(
        Road(
            road_id=index + 1,
            segments=(segment,),
            profile=profile,
            predecessor=RoadLink((index - 1) % count + 1, "end"),
            successor=RoadLink((index + 1) % count + 1, "start"),
        )
        for index, segment in enumerate(segments)
    )


def _spawn_points(roads: tuple[Road, ...], crosswalks: tuple[Crosswalk, ...]) -> tuple[Pose, ...]:
    """Return lane centres of the straight roads at even distances, away from crossings."""
    poses: list[Pose] = []
    for road in roads:
        if road.segments[0].curvature_per_m != 0.0:
            continue
        kept_clear = [c.s_m for c in crosswalks if c.road_id == road.road_id]
        for s in np.arange(8.0, road.length_m - 8.0, SPAWN_SPACING_M):
            if any(abs(s - middle) < 10.0 for middle in kept_clear):
                continue
            for side in (-1, 1):
                x, y, heading = road.point(float(s), road.profile.centre_of_m(side, 0))
                poses.append(carla_pose(x, y, heading if side < 0 else heading + math.pi, SPAWN_HEIGHT_M))
    return tuple(poses)


def _signals(roads: tuple[Road, ...], crosswalk: Crosswalk) -> list[RoadSignal]:
    """Return the two lights of a crossing: one per driving direction, at the right-hand kerb before the stop line."""
    if not crosswalk.has_lights:
        return []
    road = next(road for road in roads if road.road_id == crosswalk.road_id)
    reach = 0.5 * crosswalk.width_m + 0.5
    return [
        RoadSignal(
            sign_id=f"{1000 + 10 * road.road_id + (0 if side < 0 else 1)}",
            road_id=road.road_id,
            s_m=crosswalk.s_m + side * reach,
            t_m=side * (road.profile.kerb_m(side) + 0.5),
            lane_id=side,
        )
        for side in (-1, 1)
    ]


def _site(roads: tuple[Road, ...], signal: RoadSignal) -> TrafficLightSite:
    """Return a signal's poses in CARLA's world; traffic of negative lanes runs along s, of positive lanes against."""
    road = next(road for road in roads if road.road_id == signal.road_id)
    turn = 0.0 if signal.lane_id < 0 else math.pi
    x, y, heading = road.point(signal.s_m, signal.t_m)
    stop_s = signal.s_m + math.copysign(STOP_LINE_GAP_M - 0.5, signal.lane_id)
    stop_x, stop_y, stop_heading = road.point(stop_s, road.profile.centre_of_m(signal.lane_id, 0))
    return TrafficLightSite(
        sign_id=signal.sign_id,
        pose=carla_pose(x, y, heading + turn, KERB_HEIGHT_M),
        stop_pose=carla_pose(stop_x, stop_y, stop_heading + turn),
        road_id=signal.road_id,
        lane_id=signal.lane_id,
        s_m=signal.s_m,
    )
