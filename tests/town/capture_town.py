"""A town for the tests of capture, run as a process: its pictures tell from where they were taken.

Every plane carries the camera's position of its own tick: depth is 500 + x metres, red and green are x and y in
steps of 0.25 m modulo 256. The lower half is road, the upper half sky; an instance strip has the first body's id.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Collection

import numpy as np

from bridge.town.pose import Pose
from bridge.town.server import SWITCH_INTERVAL_S, TownServer
from bridge.town.views import CameraView, Plane, Planes, StreetState

ROAD, SKY, CAR = 1, 11, 14


class PlaceTeller:
    """Paints where the camera is."""

    def render(self, view: CameraView, previous_pose: Pose, state: StreetState, planes: Collection[Plane]) -> Planes:
        height, width = view.height_px, view.width_px
        bgra = np.full((height, width, 4), 255, np.uint8)
        bgra[..., 0] = 0
        bgra[..., 1] = int(np.floor(view.pose.y_m * 4.0)) % 256
        bgra[..., 2] = int(np.floor(view.pose.x_m * 4.0)) % 256
        semantic = np.full((height, width), SKY, np.uint8)
        semantic[height // 2 :] = ROAD
        semantic[:4] = CAR
        instance = np.zeros((height, width), np.int32)
        instance[:4] = min((body.actor_id for body in state.bodies), default=0)
        return Planes(
            bgra=bgra,
            semantic=semantic,
            instance=instance,
            depth_m=np.full((height, width), 500.0 + view.pose.x_m, np.float32),
            flow_px=np.full((height, width, 2), (3.0, -2.0), np.float32),
        )


def main() -> None:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    server = TownServer("127.0.0.1", 0, seed=0, painter=PlaceTeller())
    server.start()
    print("ready", server.port, flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), server.stop()), daemon=True).start()
    server.wait()


if __name__ == "__main__":
    main()
