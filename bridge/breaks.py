"""Where a run of frames breaks, so that what was kept of the one before says nothing of the next."""

from __future__ import annotations

from typing import Final

import numpy as np

from bridge.edits.frames import edits_of
from bridge.protocol.frames import SensorFrame

_MAX_GAP_S: Final = 0.5
_JUMP_M: Final = 3.0
_TOP_SPEED_M_S: Final = 60.0


def break_between(before: SensorFrame | None, frame: SensorFrame) -> str:
    """Return why a frame cannot use what was kept of the one before it; "" if it can."""
    if before is None:
        return "the drive begins"
    gap_s = frame.time_s - before.time_s
    if frame.frame_id <= before.frame_id or gap_s < 0.0:
        return "the simulator began anew"
    if gap_s > _MAX_GAP_S:
        return "frames are missing"
    if frame.label_map.shape != before.label_map.shape:
        return "the size changed"
    if edits_of(frame).rules != edits_of(before).rules:
        return "the edits changed"
    moved_m = float(np.linalg.norm(frame.world_from_camera[:3, 3] - before.world_from_camera[:3, 3]))
    return "the ego vehicle jumped" if moved_m > _JUMP_M + _TOP_SPEED_M_S * gap_s else ""
