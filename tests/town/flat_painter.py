"""A painter for protocol tests: flat planes that depend on nothing but the view and the number of bodies."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from bridge.town.pose import Pose
from bridge.town.views import CameraView, Plane, Planes, StreetState

ROAD_TAG, SKY_TAG = 1, 11


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
        assert whole.depth_m is not None and whole.flow_px is not None
        whole.bgra[:half] = (180, 130, 70, 255)
        whole.bgra[half:] = (len(state.bodies), int(abs(view.pose.x_m)) % 256, int(abs(view.pose.yaw_deg)) % 256, 255)
        whole.semantic[:half], whole.semantic[half:] = SKY_TAG, ROAD_TAG
        whole.instance[:half], whole.instance[half:] = 0, state.bodies[0].actor_id if state.bodies else 0
        whole.depth_m[:half], whole.depth_m[half:] = 1000.0, 12.5
        whole.flow_px[:] = (view.pose.x_m - previous_pose.x_m, view.pose.y_m - previous_pose.y_m)
        return whole


def _empty(height: int, width: int) -> Planes:
    return Planes(
        bgra=np.zeros((height, width, 4), np.uint8),
        semantic=np.zeros((height, width), np.uint8),
        instance=np.zeros((height, width), np.int32),
        depth_m=np.zeros((height, width), np.float32),
        flow_px=np.zeros((height, width, 2), np.float32),
    )
