"""Calls that ask what lies along a ray."""

from __future__ import annotations

import numpy as np

from bridge.carla_wire import layouts
from bridge.town.calls.registry import Call, answers, finite, finite_vector

LONGEST_RAY_M = 10_000.0
STEP_BEYOND_M = 1e-3
MOST_SURFACES = 64
"""A ray that goes through more surfaces than this is cut off."""


@answers("project_point", takes_lock=False)
def project_point(
    call: Call, origin: layouts.Vector3D, direction: layouts.Vector3D, distance_m: float
) -> layouts.ProjectedPoint:
    """The first point that a ray meets, of the street or of a vehicle or walker, and its tag."""
    finite(distance_m)
    points = _points(call, origin, direction, distance_m, most=1)
    if not points:
        return layouts.ProjectedPoint(False, layouts.LabelledPoint(layouts.Vector3D(), 0))
    return layouts.ProjectedPoint(True, points[0])


@answers("cast_ray", takes_lock=False)
def cast_ray(call: Call, start: layouts.Vector3D, end: layouts.Vector3D) -> list[layouts.LabelledPoint]:
    """Every point between two where the ray goes through a surface, with its tag, near ones first."""
    way = layouts.Vector3D(end.x - start.x, end.y - start.y, end.z - start.z)
    length_m = float(np.linalg.norm(finite_vector(way)))
    return _points(call, start, way, length_m, most=MOST_SURFACES)


def _points(
    call: Call, origin: layouts.Vector3D, direction: layouts.Vector3D, reach_m: float, most: int
) -> list[layouts.LabelledPoint]:
    """Return where a ray meets surfaces within `reach_m`, at most `most`, near ones first."""
    way, place = np.array(finite_vector(direction)), np.array(finite_vector(origin))
    length = float(np.linalg.norm(way))
    if length == 0.0:
        return []
    way /= length
    with call.simulation.lock:
        state = call.simulation.episode.street_state()
    reach_m = min(reach_m, LONGEST_RAY_M)
    points: list[layouts.LabelledPoint] = []
    gone_m = 0.0
    while len(points) < most and gone_m < reach_m:
        left_m = reach_m - gone_m
        hits = call.simulation.painter.cast(place + gone_m * way, way[None], left_m, state.bodies, state.hidden)
        if not np.isfinite(hits.distance_m[0]):
            break
        gone_m += float(hits.distance_m[0])
        points.append(layouts.LabelledPoint(layouts.Vector3D(*(place + gone_m * way).tolist()), int(hits.tag[0])))
        gone_m += STEP_BEYOND_M
    return points
