"""The town's street network: roads, junctions, spawn points, crossings, lights and signs, and what the ground is like.

Whatever leaves this module is in CARLA's world (left-handed, y to the right of x); inside, roads lie in OpenDRIVE's
right-handed frame. The two differ by the sign of y and of yaw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridge.town.environment import EnvironmentThing, environment_things
from bridge.town.junctions import Arm, Junction, build_junction
from bridge.town.kerbside import LampSite, lamp_site
from bridge.town.opendrive import opendrive_text
from bridge.town.plan import Plan, plan_scenery, solids_of
from bridge.town.pose import Pose
from bridge.town.roads import Contact, JunctionLink, Road, RoadLink
from bridge.town.signals import (
    Crosswalk,
    SignalSite,
    carla_pose,
    crossing_signals,
    junction_signals,
    site_of,
    speed_signs,
)
from bridge.town.street_graph import StreetGraph, draw_street_graph, run_street
from bridge.town.surface import Surface, measure_surface

DEFAULT_LIMIT_KMH = 30.0
"""Where there is no street near."""
SPAWN_HEIGHT_M = 0.4
SPAWN_SPACING_M = 14.0
CLEAR_OF_JUNCTION_M = 14.0
CROSSWALK_WIDTH_M = 4.0
CROSSWALK_TO_JUNCTION_M = 3.0
FIRST_JUNCTION_ID, FIRST_CROSSING_GROUP, FIRST_CONNECTING_ID = 500, 600, 1000
"""CARLA's client takes a link for one to a junction if no road has its id: roads and junctions share no numbers."""
LONG_STREET_M = 55.0
"""A straight piece of street as long as this may have a crossing of its own."""


@dataclass(frozen=True)
class StreetNetwork:
    """One town's streets.

    `opendrive`: the text that a CARLA client is given; `roads`: the streets' pieces between junctions, each a line or
    an arc; `spawn_points`: lane centres in driving direction, in CARLA's world; `traffic_lights` and `lamps`: their
    order is that of `StreetState.signals` and `StreetState.lamps`; `static_boxes` (N,5) float64: x, y, half_x, half_y
    (metres) and yaw (radians) of what stands still and is solid, in CARLA's world; `static_tags` (N,) uint8: CARLA's
    semantic tag of each; `static_heights_m` (N,) float64; `static_numbers` (N,) int32: the things they belong to;
    `environment`: all things that clients may switch; `mark_starts_m`: of a client's world (see `client_world`), where
    each of `roads` begins along the client's road.
    """

    name: str
    seed: int
    roads: tuple[Road, ...]
    junctions: tuple[Junction, ...]
    opendrive: str = field(repr=False)
    spawn_points: tuple[Pose, ...] = field(repr=False)
    traffic_lights: tuple[SignalSite, ...]
    signs: tuple[SignalSite, ...]
    crosswalks: tuple[Crosswalk, ...]
    lamps: tuple[LampSite, ...] = field(repr=False)
    plan: Plan = field(repr=False, compare=False)
    surface: Surface = field(repr=False, compare=False)
    static_boxes: NDArray[np.float64] = field(repr=False, compare=False)
    static_tags: NDArray[np.uint8] = field(repr=False, compare=False)
    static_heights_m: NDArray[np.float64] = field(repr=False, compare=False)
    static_numbers: NDArray[np.int32] = field(repr=False, compare=False)
    environment: tuple[EnvironmentThing, ...] = field(repr=False)
    mark_starts_m: tuple[float, ...] | None = field(default=None, repr=False)

    def road(self, road_id: int) -> Road:
        """Return a street's piece by its OpenDRIVE id; raises KeyError when there is none."""
        for road in self.roads:
            if road.road_id == road_id:
                return road
        raise KeyError(road_id)

    def is_on_road(self, x_m: ArrayLike, y_m: ArrayLike) -> NDArray[np.bool_]:
        """Tell for points of CARLA's world whether they lie between the kerbs; shapes broadcast."""
        return self.surface.distance_inside_m(x_m, -np.asarray(y_m, np.float64)) >= 0.0

    def ground_height_m(self, x_m: ArrayLike, y_m: ArrayLike) -> NDArray[np.float64]:
        """Return the ground's z at points of CARLA's world: 0 between the kerbs, the kerb's height elsewhere."""
        return self.surface.height_m(x_m, -np.asarray(y_m, np.float64))

    def speed_limit_at_kmh(self, x_m: float, y_m: float) -> float:
        """Return the speed limit of the street nearest to a point of CARLA's world."""
        index = self.surface.road_at(x_m, -y_m)
        return DEFAULT_LIMIT_KMH if index < 0 else self.roads[index].speed_limit_kmh


@lru_cache(maxsize=4)
def build_street_network(seed: int = 0) -> StreetNetwork:
    """Return the town of a seed: equal seeds give equal towns, others other streets and other houses."""
    graph = draw_street_graph(seed)
    chains = _chains(graph, np.random.default_rng((seed, 2)))
    roads = tuple(road for chain in chains for road in chain)
    junctions = _junctions(graph, chains)
    between = _crossings_between(roads)
    crosswalks = (*_junction_crossings(junctions), *between)
    signals = junction_signals(junctions)
    for group, crosswalk in enumerate(between, FIRST_CROSSING_GROUP):
        if crosswalk.has_lights:
            road = next(road for road in roads if road.road_id == crosswalk.road_id)
            signals += crossing_signals(road, crosswalk, group)
    signals += speed_signs(junctions)
    surface = measure_surface(roads, junctions)
    sites = [site_of(signal) for signal in signals]
    plan = plan_scenery(roads, junctions, crosswalks, surface, seed)
    solids = solids_of(plan)
    return StreetNetwork(
        name="Town",
        seed=seed,
        roads=roads,
        junctions=junctions,
        opendrive=opendrive_text("Town", roads, junctions, signals, crosswalks),
        spawn_points=_spawn_points(roads, crosswalks),
        traffic_lights=tuple(site for site in sites if site.kind == "light"),
        signs=tuple(site for site in sites if site.kind != "light"),
        crosswalks=crosswalks,
        lamps=tuple(lamp_site(thing) for thing in plan.things if thing.kind == "lamp"),
        plan=plan,
        surface=surface,
        static_boxes=solids.boxes,
        static_tags=solids.tags,
        static_heights_m=solids.heights_m,
        static_numbers=solids.numbers,
        environment=environment_things(plan.things, plan.lots, plan.backdrops),
    )


def _chains(graph: StreetGraph, rng: np.random.Generator) -> list[tuple[Road, ...]]:
    """Return each street as roads of one line or arc each, linked to each other and to the junctions at both ends."""
    chains: list[tuple[Road, ...]] = []
    next_id = 1
    for edge in graph.edges:
        segments = run_street(graph, edge, rng)
        last = len(segments) - 1
        chains.append(
            tuple(
                Road(
                    next_id + k,
                    (segment,),
                    edge.profile,
                    predecessor=RoadLink(next_id + k - 1, "end") if k else JunctionLink(_junction_id(edge.start[0])),
                    successor=RoadLink(next_id + k + 1, "start")
                    if k < last
                    else JunctionLink(_junction_id(edge.end[0])),
                    speed_limit_kmh=edge.speed_limit_kmh,
                )
                for k, segment in enumerate(segments)
            )
        )
        next_id += len(segments)
    return chains


def _junction_id(node: int) -> int:
    return FIRST_JUNCTION_ID + node


def _junctions(graph: StreetGraph, chains: list[tuple[Road, ...]]) -> tuple[Junction, ...]:
    junctions: list[Junction] = []
    next_id = FIRST_CONNECTING_ID
    for number, node in enumerate(graph.nodes):
        arms: list[Arm] = []
        for edge, chain in zip(graph.edges, chains, strict=True):
            ends: tuple[tuple[tuple[int, int], Road, Contact], ...] = (
                (edge.start, chain[0], "start"),
                (edge.end, chain[-1], "end"),
            )
            arms += [
                Arm(road, contact, arm, node.arm_heading(arm), graph.setback_m(number, arm))
                for (at, arm), road, contact in ends
                if at == number
            ]
        arms.sort(key=lambda arm: arm.number)
        junction = build_junction(_junction_id(number), (node.x_m, node.y_m), node.control, arms, next_id)
        next_id += len(junction.connecting)
        junctions.append(junction)
    return tuple(junctions)


def _junction_crossings(junctions: tuple[Junction, ...]) -> list[Crosswalk]:
    """Return the crossings over every arm of a junction with lights and over the stems of others."""
    return [
        Crosswalk(
            arm.road.road_id,
            arm.s_before_m(CROSSWALK_TO_JUNCTION_M),
            CROSSWALK_WIDTH_M,
            has_lights=junction.control == "lights",
        )
        for junction in junctions
        for arm in junction.arms
        if junction.control == "lights" or arm is junction.stem
    ]


def _crossings_between(roads: tuple[Road, ...]) -> list[Crosswalk]:
    """Return crossings in the middle of the longest straight roads; the first has lights."""
    long = [road for road in roads if road.is_straight and road.length_m > LONG_STREET_M]
    longest = sorted(long, key=lambda road: (-road.length_m, road.road_id))
    return [
        Crosswalk(road.road_id, round(0.5 * road.length_m, 1), CROSSWALK_WIDTH_M, has_lights=number == 0)
        for number, road in enumerate(longest[:3])
    ]


def _spawn_points(roads: tuple[Road, ...], crosswalks: tuple[Crosswalk, ...]) -> tuple[Pose, ...]:
    """Return lane centres of the straight roads at even distances, away from crossings and junctions."""
    poses: list[Pose] = []
    for road in roads:
        if not road.is_straight:
            continue
        first = CLEAR_OF_JUNCTION_M if isinstance(road.predecessor, JunctionLink) else 3.0
        last = road.length_m - (CLEAR_OF_JUNCTION_M if isinstance(road.successor, JunctionLink) else 3.0)
        kept_clear = [c.s_m for c in crosswalks if c.road_id == road.road_id]
        for s in np.arange(first, last, SPAWN_SPACING_M):
            if any(abs(s - middle) < 10.0 for middle in kept_clear):
                continue
            for side in (-1, 1):
                for lane in range(road.profile.num_driving(side)):
                    x, y, heading = road.point(float(s), road.profile.centre_of_m(side, lane))
                    poses.append(carla_pose(x, y, heading if side < 0 else heading + math.pi, SPAWN_HEIGHT_M))
    return tuple(poses)
