"""Paint on the street: dabs of the brush as balls in CARLA's world, which colour the surfaces inside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.edits.rules import MOVABLE, Dab
from bridge.protocol.frames import SensorFrame
from bridge.protocol.labels import label_id

NEAREST_M: Final = 0.2
PAINTED_INSTANCE: Final = 65535  # all that was painted with things that move is one object


def dab_at(frame: SensorFrame, u_px: float, v_px: float, radius_px: float, to: str) -> Dab | None:
    """Return the dab of a brush that touches a pixel of a frame; None outside it, or without depth.

    It lies on the surface that is seen there, and is as large as the brush.
    """
    height, width = frame.label_map.shape
    column, row = int(np.floor(u_px)), int(np.floor(v_px))
    if frame.depth_m is None or not (0 <= column < width and 0 <= row < height):
        return None
    depth_m = float(frame.depth_m[row, column])
    focal_px = frame.intrinsics.focal_px
    in_camera = np.array(
        [(column + 0.5 - width / 2) / focal_px * depth_m, (row + 0.5 - height / 2) / focal_px * depth_m, depth_m, 1.0]
    )
    x_m, y_m, z_m, _ = (frame.world_from_camera @ in_camera).tolist()
    return Dab(x_m=x_m, y_m=y_m, z_m=z_m, radius_m=max(radius_px, 1.0) * depth_m / focal_px, to=to)


def draw_dabs(
    frame: SensorFrame, dabs: Sequence[Dab], labels: NDArray[np.uint8], instances: NDArray[np.uint16] | None
) -> None:
    """Colour the surfaces of a frame that lie inside the dabs, the later over the earlier, in place.

    labels (H,W) u8 in the frame's space · instances (H,W) u16. Without depth nothing is drawn.
    """
    if frame.depth_m is None:
        return
    height, width = labels.shape
    focal_px = frame.intrinsics.focal_px
    across = (np.arange(width, dtype=np.float32) + np.float32(0.5 - width / 2)) / np.float32(focal_px)
    down = (np.arange(height, dtype=np.float32) + np.float32(0.5 - height / 2))[:, None] / np.float32(focal_px)
    centres = np.array([(dab.x_m, dab.y_m, dab.z_m, 1.0) for dab in dabs]) @ np.linalg.inv(frame.world_from_camera).T
    for dab, (x_m, y_m, z_m, _) in zip(dabs, centres.tolist(), strict=True):
        nearest_m = z_m - dab.radius_m
        if z_m < NEAREST_M:
            continue
        radius_px = focal_px * dab.radius_m / max(nearest_m, NEAREST_M)
        u_px, v_px = focal_px * x_m / z_m + width / 2, focal_px * y_m / z_m + height / 2
        left, right = max(0, int(u_px - radius_px)), min(width, int(u_px + radius_px) + 2)
        top, bottom = max(0, int(v_px - radius_px)), min(height, int(v_px + radius_px) + 2)
        if left >= right or top >= bottom:
            continue
        region = slice(top, bottom), slice(left, right)
        depth_m = frame.depth_m[region]
        square_m2 = (depth_m * across[left:right] - np.float32(x_m)) ** 2
        square_m2 += (depth_m * down[top:bottom] - np.float32(y_m)) ** 2
        square_m2 += (depth_m - np.float32(z_m)) ** 2
        inside = square_m2 <= np.float32(dab.radius_m**2)
        labels[region][inside] = label_id(frame.label_space, dab.to)
        if instances is not None:
            instances[region][inside] = PAINTED_INSTANCE if dab.to in MOVABLE else 0
