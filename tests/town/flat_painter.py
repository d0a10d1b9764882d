"""A painter for protocol tests: flat planes that depend on nothing but the view and the number of bodies."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from bridge.town.pose import Pose
from bridge.town.views import Body, CameraView, Plane, Planes, RayHits, StreetState

ROAD_TAG, SKY_TAG, CAR_TAG = 1, 11, 14
BALL_M = 1.0
"""Rays meet bodies as balls of this radius around the origin of each."""


class FlatPainter:
    """Draws sky over road; each plane's lower half carries a number that tests can predict. Remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[CameraView, frozenset[Plane]]] = []
        self._planes: dict[tuple[int, int], Planes] = {}

    def render(self, view: CameraView, previous_pose: Pose, state: StreetState, planes: Collection[Plane]) -> Planes:
        self.calls.append((view, frozenset(planes)))
        whole = self._planes.setdefault((view.height_px, view.width_px), _empty(view.height_px, view.width_px))
        half = view.height_px // 2
        assert whole.bgra is not None and whole.semantic is not None and whole.instance is not None
        assert whole.depth_m is not None and whole.flow_px is not None and whole.normals is not None
        whole.bgra[:half] = (180, 130, 70, 255)
        whole.bgra[half:] = (len(state.bodies), int(abs(view.pose.x_m)) % 256, int(abs(view.pose.yaw_deg)) % 256, 255)
        whole.semantic[:half], whole.semantic[half:] = SKY_TAG, ROAD_TAG
        whole.instance[:half], whole.instance[half:] = 0, state.bodies[0].actor_id if state.bodies else 0
        whole.depth_m[:half], whole.depth_m[half:] = 1000.0, 12.5
        whole.flow_px[:] = (view.pose.x_m - previous_pose.x_m, view.pose.y_m - previous_pose.y_m)
        whole.normals[:half], whole.normals[half:] = 0.0, (0.0, 0.0, 1.0)
        return whole

    def cast(
        self,
        origins_m: NDArray[np.floating],
        directions: NDArray[np.floating],
        reach_m: float,
        bodies: Sequence[Body],
        hidden: frozenset[int] = frozenset(),
    ) -> RayHits:
        """Meet the plane z = 0 and a ball around each body's origin."""
        origins = np.broadcast_to(origins_m, directions.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(directions[:, 2] < 0.0, -origins[:, 2] / directions[:, 2], np.inf)
        distance[(distance > reach_m) | (distance < 0.0)] = np.inf
        actor, normal = np.zeros(len(distance), np.int32), np.zeros((len(distance), 3))
        normal[:, 2] = 1.0
        for body in bodies:
            middle = np.array([body.pose.x_m, body.pose.y_m, body.pose.z_m])
            along = ((middle - origins) * directions).sum(1)
            inside = BALL_M**2 - ((middle - origins) ** 2).sum(1) + along**2
            near = along - np.sqrt(np.maximum(inside, 0.0))
            met = (inside > 0.0) & (near > 0.0) & (near < np.minimum(distance, reach_m))
            distance[met], actor[met] = near[met], body.actor_id
            normal[met] = (origins + directions * near[:, None] - middle)[met] / BALL_M
        tag = np.where(np.isinf(distance), 0, np.where(actor > 0, CAR_TAG, ROAD_TAG)).astype(np.uint8)
        return RayHits(distance.astype(np.float32), actor, tag, normal.astype(np.float32))


def _empty(height: int, width: int) -> Planes:
    return Planes(
        bgra=np.zeros((height, width, 4), np.uint8),
        semantic=np.zeros((height, width), np.uint8),
        instance=np.zeros((height, width), np.int32),
        depth_m=np.zeros((height, width), np.float32),
        flow_px=np.zeros((height, width, 2), np.float32),
        normals=np.zeros((height, width, 3), np.float32),
    )
