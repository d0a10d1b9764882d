"""A small street for tests of edits: sky, a building, road, and two cars before them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.protocol.frames import CameraIntrinsics, SensorFrame
from bridge.protocol.labels import label_id

HEIGHT, WIDTH = 48, 96
SKY, BUILDING, ROAD, CAR, TRUCK, VEGETATION = (
    label_id("carla", name) for name in ("sky", "building", "road", "car", "truck", "vegetation")
)
LEFT_CAR, RIGHT_CAR = 7, 8


def street(frame_id: int = 1, x_m: float = 0.0, **planes: Any) -> SensorFrame:
    """Left half building at 30 m, right half at 60 m, over a road that comes nearer downwards; a car in each half."""
    labels = np.full((HEIGHT, WIDTH), BUILDING, np.uint8)
    labels[:8] = SKY
    labels[24:] = ROAD
    depth = np.full((HEIGHT, WIDTH), 30.0, np.float32)
    depth[:, WIDTH // 2 :] = 60.0
    depth[:8] = 1000.0
    depth[24:] = np.linspace(40.0, 4.0, HEIGHT - 24, dtype=np.float32)[:, None]
    instances = np.zeros((HEIGHT, WIDTH), np.uint16)
    for car, columns in ((LEFT_CAR, slice(10, 26)), (RIGHT_CAR, slice(60, 76))):
        labels[20:32, columns], instances[20:32, columns], depth[20:32, columns] = CAR, car, 8.0
    pose = np.array([[0.0, 0.0, 1.0, x_m], [1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 1.6], [0.0, 0.0, 0.0, 1.0]])
    values: dict[str, Any] = {"instance_map": instances, "depth_m": depth, **planes}
    return SensorFrame(
        frame_id=frame_id,
        time_s=0.05 * frame_id,
        label_map=labels,
        label_space="carla",
        intrinsics=CameraIntrinsics(WIDTH, HEIGHT, 90.0),
        world_from_camera=pose,
        captured_s=0.0,
        **values,
    )
