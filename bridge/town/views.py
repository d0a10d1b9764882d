"""What the town's cameras ask of its engine, and what the engine answers: the seam between simulation and pictures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.town.pose import Pose

Plane = Literal["rgb", "semantic", "instance", "depth", "flow"]


@dataclass(frozen=True)
class CameraView:
    """A pinhole camera: size in pixels, horizontal field of view, and pose (x axis = optical axis) in CARLA's world."""

    width_px: int
    height_px: int
    fov_deg: float
    pose: Pose


@dataclass(frozen=True)
class Body:
    """A movable thing to draw.

    `blueprint_id` is CARLA's ("vehicle.tesla.model3", "walker.pedestrian.0001", ...); `pose` is the actor's origin on
    the ground; `previous_pose` its pose one tick earlier (for flow); `color_rgb` 0..255; `steer_deg` the front wheels'
    angle, right positive; `wheel_turn_rad` how far the wheels have rolled; `stride_m` how far a walker has walked;
    `brake_lights` whether they shine.
    """

    actor_id: int
    blueprint_id: str
    pose: Pose
    previous_pose: Pose
    color_rgb: tuple[int, int, int] = (128, 128, 128)
    steer_deg: float = 0.0
    wheel_turn_rad: float = 0.0
    stride_m: float = 0.0
    brake_lights: bool = False


@dataclass(frozen=True)
class Planes:
    """The planes of one camera at one tick; those that were not asked for are None.

    bgra (H,W,4) u8, A = 255 · semantic (H,W) u8, CARLA 0.9.14+ tags · instance (H,W) i32, actor ids, 0 = the static
    world · depth_m (H,W) f32 along the optical axis, sky 1000 · flow_px (H,W,2) f32, motion from the previous frame to
    this one stored at this frame's pixel, x right, y down. The arrays belong to the engine and are valid until its next
    render of the same size.
    """

    bgra: NDArray[np.uint8] | None = None
    semantic: NDArray[np.uint8] | None = None
    instance: NDArray[np.int32] | None = None
    depth_m: NDArray[np.float32] | None = None
    flow_px: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class SignalHead:
    """A traffic light in the street: its actor id and state ("red", "yellow", "green" or "off")."""

    actor_id: int
    state: Literal["red", "yellow", "green", "off"]


@dataclass(frozen=True)
class StreetState:
    """Everything that moved or switched: what the engine draws beside the static street."""

    bodies: Sequence[Body] = field(default_factory=tuple)
    signals: Sequence[SignalHead] = field(default_factory=tuple)


class Painter(Protocol):
    """The engine as the simulation sees it."""

    def render(self, view: CameraView, previous_pose: Pose, state: StreetState, planes: Collection[Plane]) -> Planes:
        """Draw one camera; `previous_pose` is the camera's pose one tick earlier (for flow)."""
        ...
