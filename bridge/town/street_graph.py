"""Where a town's streets run: junctions on a distorted grid and streets that bend between them, drawn from a seed.

Streets meet at right angles in every junction; a junction's axes are turned a little, and the streets bend to suit.
Coordinates are OpenDRIVE's (right-handed, metres).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bridge.town.profiles import AVENUE, LANE, STREET
from bridge.town.roads import LaneProfile, Segment, join

Control = Literal["lights", "stop", "yield"]

COLUMNS_M = (-235.0, -82.0, 76.0, 235.0)
ROWS_M = (-166.0, 0.0, 166.0)
KERB_RADIUS_M = 8.0
CORNER_RADIUS_M = (34.0, 52.0)
EAST, NORTH, WEST, SOUTH = range(4)
_TURN_M = 19.0
_END_STRAIGHT_M = 7.0
# Which two of the four corner blocks a narrow street cuts in two: (column of the junction within, row below it).
_CUTS = (((1, 0), (2, 1)), ((1, 1), (2, 0)))


@dataclass(frozen=True)
class Node:
    """A junction: where, how its eastern arm is turned, and what rules it. Arms are numbered counter-clockwise."""

    x_m: float
    y_m: float
    heading_rad: float
    control: Control

    def arm_heading(self, arm: int) -> float:
        """Return the heading of an arm, away from the junction."""
        return self.heading_rad + 0.5 * math.pi * arm


@dataclass(frozen=True)
class Edge:
    """A street between two arms of junctions: (node number, arm) each."""

    start: tuple[int, int]
    end: tuple[int, int]
    profile: LaneProfile
    speed_limit_kmh: float


@dataclass(frozen=True)
class StreetGraph:
    """A town's junctions and streets; every arm of a junction has at most one street."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def profile_of(self, node: int, arm: int) -> LaneProfile | None:
        """Return the profile of a junction's arm; None if it has no such arm."""
        for edge in self.edges:
            if (node, arm) in (edge.start, edge.end):
                return edge.profile
        return None

    def setback_m(self, node: int, arm: int) -> float:
        """Return how far from a junction's middle the street of an arm begins: beyond the corners beside it."""
        beside = (self.profile_of(node, (arm + turn) % 4) for turn in (1, 3))
        return max(profile.kerb_m(1) for profile in beside if profile is not None) + KERB_RADIUS_M


def draw_street_graph(seed: int) -> StreetGraph:
    """Return the streets of a seed: a ring, an avenue across, two cross streets and two narrow streets."""
    rng = np.random.default_rng((seed, 1))
    columns = np.array(COLUMNS_M) + rng.uniform(-9.0, 9.0, 4)
    rows = np.array(ROWS_M) + rng.uniform(-8.0, 8.0, 3)
    cuts = _CUTS[int(rng.integers(2))]
    nodes: dict[tuple[float, float], Node] = {}

    def place(column: int, row: float, control: Control) -> None:
        y = rows[int(row)] if row == int(row) else 0.5 * (rows[int(row)] + rows[int(row) + 1])
        x, y = columns[column] + rng.uniform(-7.0, 7.0), float(y) + rng.uniform(-7.0, 7.0)
        nodes[column, row] = Node(x, y, math.radians(rng.uniform(-8.0, 8.0)), control)

    for column in (1, 2):
        place(column, 0, "yield" if rng.random() < 0.5 else "stop")
        place(column, 1, "lights")
        place(column, 2, "stop")
    for column in (0, 3):
        place(column, 1, "lights")
    for column, row in cuts:
        place(column, row + 0.5, "yield")
        place(0 if column == 1 else 3, row + 0.5, "stop")
    return _connect(nodes, cuts)


def _connect(nodes: dict[tuple[float, float], Node], cuts: tuple[tuple[int, int], ...]) -> StreetGraph:
    number = {key: index for index, key in enumerate(nodes)}
    edges: list[Edge] = []

    def street(a: tuple[float, float], arm_a: int, b: tuple[float, float], arm_b: int, kind: LaneProfile) -> None:
        limit = 50.0 if kind is AVENUE else 40.0 if kind is STREET else 30.0
        edges.append(Edge((number[a], arm_a), (number[b], arm_b), kind, limit))

    def column_keys(column: int) -> list[tuple[float, float]]:
        return sorted(key for key in nodes if key[0] == column)

    for column in range(4):
        keys = column_keys(column)
        for low, high in itertools.pairwise(keys):
            street(low, NORTH, high, SOUTH, STREET)
    for column in range(3):
        street((column, 1), EAST, (column + 1, 1), WEST, AVENUE)
    street((1, 0), EAST, (2, 0), WEST, STREET)
    street((1, 2), EAST, (2, 2), WEST, STREET)
    # round the four corners of the ring
    street((2, 0), EAST, column_keys(3)[0], SOUTH, STREET)
    street(column_keys(3)[-1], NORTH, (2, 2), EAST, STREET)
    street((1, 2), WEST, column_keys(0)[-1], NORTH, STREET)
    street(column_keys(0)[0], SOUTH, (1, 0), WEST, STREET)
    for column, row in cuts:
        if column == 1:
            street((0, row + 0.5), EAST, (1, row + 0.5), WEST, LANE)
        else:
            street((2, row + 0.5), EAST, (3, row + 0.5), WEST, LANE)
    return StreetGraph(tuple(nodes.values()), tuple(edges))


def run_street(graph: StreetGraph, edge: Edge, rng: np.random.Generator) -> tuple[Segment, ...]:
    """Return the lines and arcs of a street between the edges of its two junctions.

    A street round a corner of the town has one bend; others have two gentle ones.
    """
    (a, arm_a), (b, arm_b) = edge.start, edge.end
    start, end = graph.nodes[a], graph.nodes[b]
    leave, arrive = start.arm_heading(arm_a), end.arm_heading(arm_b) + math.pi
    out, back = graph.setback_m(a, arm_a), graph.setback_m(b, arm_b)
    first = (start.x_m + out * math.cos(leave), start.y_m + out * math.sin(leave), leave)
    last = (end.x_m - back * math.cos(arrive), end.y_m - back * math.sin(arrive), arrive)
    if (arm_b - arm_a) % 2:
        return join(first, last, float(rng.uniform(*CORNER_RADIUS_M)))
    reach = math.hypot(last[0] - first[0], last[1] - first[1])
    leg = 0.31 * reach
    one = (first[0] + leg * math.cos(leave), first[1] + leg * math.sin(leave))
    two = (last[0] - leg * math.cos(arrive), last[1] - leg * math.sin(arrive))
    across = math.atan2(two[1] - one[1], two[0] - one[0])
    middle = (0.5 * (one[0] + two[0]), 0.5 * (one[1] + two[1]), across)
    half = 0.5 * math.hypot(two[0] - one[0], two[1] - one[1])
    tangent = min(_TURN_M, leg - _END_STRAIGHT_M, half - 2.0)
    return _merged([*_bend(first, middle, tangent), *_bend(middle, last, tangent)])


def _bend(start: tuple[float, float, float], end: tuple[float, float, float], tangent_m: float) -> tuple[Segment, ...]:
    turn = abs((end[2] - start[2] + math.pi) % (2.0 * math.pi) - math.pi)
    return join(start, end, tangent_m / max(math.tan(0.5 * turn), 1e-9))


def _merged(segments: list[Segment]) -> tuple[Segment, ...]:
    """Return a chain in which two lines that follow each other are one."""
    chain: list[Segment] = []
    for segment in segments:
        if chain and chain[-1].curvature_per_m == segment.curvature_per_m == 0.0:
            before = chain.pop()
            segment = Segment(before.x_m, before.y_m, before.heading_rad, before.length_m + segment.length_m)
        chain.append(segment)
    return tuple(chain)
