"""How a picture moved, from depth and poses alone: for viewers of drives whose rig has no flow camera."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.frames import SensorFrame

NEAREST_M: Final = 0.05
DEPTH_TOLERANCE: Final = 0.05  # of the depth: what lies further from where it should was not seen a frame ago


def engine_motion(before: SensorFrame, frame: SensorFrame) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
    """Return flow from the frame before to this one, (H,W,2) f32 pixels at this frame's pixels, x right, y down, and
    what was not visible before, (H,W) u8, 255 = newly visible; None where depth is missing or sizes differ.
    """
    depth, depth_before = frame.depth_m, before.depth_m
    if depth is None or depth_before is None or depth.shape != depth_before.shape:
        return None
    height, width = depth.shape
    focal = frame.intrinsics.focal_px
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32) + 0.5)
    rays = np.stack([(columns - width / 2) / focal, (rows - height / 2) / focal, np.ones_like(columns)], axis=-1)
    points = rays * depth[..., None]
    static = np.linalg.inv(before.world_from_camera) @ frame.world_from_camera
    moved = _transformed(points, static)
    if frame.instance_map is not None:
        _move_bodies(moved, points, before, frame)
    z = np.maximum(moved[..., 2], NEAREST_M)
    was_x = moved[..., 0] * (focal / z) + width / 2
    was_y = moved[..., 1] * (focal / z) + height / 2
    flow = np.stack([columns - was_x, rows - was_y], axis=-1)
    seen = cv2.remap(
        depth_before, was_x - 0.5, was_y - 0.5, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0.0
    )
    new = (np.abs(seen - z) > DEPTH_TOLERANCE * z) | (moved[..., 2] < NEAREST_M)
    return flow, np.where(new, np.uint8(255), np.uint8(0))


def _move_bodies(
    moved: NDArray[np.float32], points: NDArray[np.float32], before: SensorFrame, frame: SensorFrame
) -> None:
    """Put the points of each body to where that body was a frame ago."""
    assert frame.instance_map is not None
    was = {body.instance_id: body.world_from_body for body in before.bodies}
    camera_from_world = np.linalg.inv(before.world_from_camera)
    visible = set(np.unique(frame.instance_map).tolist())
    for body in frame.bodies:
        if body.instance_id in visible and body.instance_id in was:
            mask = frame.instance_map == body.instance_id
            back = was[body.instance_id] @ np.linalg.inv(body.world_from_body)
            moved[mask] = _transformed(points[mask], camera_from_world @ back @ frame.world_from_camera)


def _transformed(points: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    return points @ matrix[:3, :3].T.astype(np.float32) + matrix[:3, 3].astype(np.float32)
