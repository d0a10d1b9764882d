"""The types that live in the process: sensor frames, rendered frames, pairs of them, and controls.

World coordinates are CARLA's: left-handed, x forward, y right, z up, metres. Camera coordinates are optical: x right,
y down, z forward, metres; a pixel (u, v) has its centre at (u + 0.5, v + 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bridge.protocol.messages import ModelCard


@dataclass(frozen=True)
class CameraIntrinsics:
    """A pinhole camera with square pixels and the principal point in the middle; `fov_deg` is horizontal."""

    width_px: int
    height_px: int
    fov_deg: float

    @property
    def focal_px(self) -> float:
        """Focal length in pixels: W / (2 tan(fov / 2))."""
        return self.width_px / (2.0 * math.tan(math.radians(self.fov_deg) / 2.0))


@dataclass(frozen=True)
class BodyPose:
    """A movable actor: the id it has in the instance map and its 4x4 float64 world_from_body matrix."""

    instance_id: int
    world_from_body: NDArray[np.float64]


@dataclass(frozen=True)
class EgoState:
    """What the ego vehicle does at this frame: speed in m/s, controls, gear (-1 reverse), autopilot or a person."""

    speed_m_s: float = 0.0
    throttle: float = 0.0
    brake: float = 0.0
    steer: float = 0.0
    gear: int = 0
    autopilot: bool = True


@dataclass(frozen=True)
class EgoControl:
    """A driver's wish: throttle and brake 0..1, steer -1..1 (right positive).

    `gear` is shifted by hand: 1 and up forward, 0 neutral, -1 reverse; None: gears shift by themselves.
    """

    throttle: float = 0.0
    brake: float = 0.0
    steer: float = 0.0
    reverse: bool = False
    hand_brake: bool = False
    gear: int | None = None


@dataclass(frozen=True)
class SensorFrame:
    """All planes of one simulator tick, read-only, with the simulator's own frame id and time.

    label_map (H,W) u8 in `label_space` · rgb (H,W,3) u8 · instance_map (H,W) u16, 0 = nothing that moves ·
    depth_m (H,W) f32 along the optical axis · flow_px (H,W,2) f32, motion from the previous frame to this one at this
    frame's pixel, x right, y down · world_from_camera (4,4) f64, optical camera axes to CARLA's world · `bodies` the
    movable actors whose instance ids are known · `captured_s` `time.monotonic()` when the last plane had arrived.
    """

    frame_id: int
    time_s: float
    label_map: NDArray[np.uint8]
    label_space: str
    intrinsics: CameraIntrinsics
    world_from_camera: NDArray[np.float64]
    captured_s: float
    rgb: NDArray[np.uint8] | None = None
    instance_map: NDArray[np.uint16] | None = None
    depth_m: NDArray[np.float32] | None = None
    flow_px: NDArray[np.float32] | None = None
    bodies: tuple[BodyPose, ...] = ()
    ego: EgoState = field(default_factory=EgoState)


@dataclass(frozen=True)
class RenderedFrame:
    """A synthesized picture of one frame id.

    rgb (H,W,3) u8 · occlusion_mask (H,W) u8 or None, 255 = hallucinated, 0 = warped · `stages_ms` durations inside the
    inference server · `reset` why temporal state began anew with this frame, "" if it did not · `card` and `style` the
    look that it has, where that is known: the model's card, and its style, "" its own.
    """

    frame_id: int
    sequence: int
    rgb: NDArray[np.uint8]
    stages_ms: Mapping[str, float]
    occlusion_mask: NDArray[np.uint8] | None = None
    reset: str = ""
    card: ModelCard | None = None
    style: str = ""


@dataclass(frozen=True)
class FramePair:
    """The sensor frame and the rendered frame of one frame id, and the pair's age in ms since capture when it was made.

    `rendered` is None where no inference server answers: the original render goes on alone.
    """

    sensor: SensorFrame
    rendered: RenderedFrame | None
    age_ms: float
    notice: str = ""

    def __post_init__(self) -> None:
        if self.rendered is not None and self.rendered.frame_id != self.sensor.frame_id:
            raise ValueError(f"frames {self.sensor.frame_id} and {self.rendered.frame_id} are not a pair")
