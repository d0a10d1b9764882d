"""What the town's cameras ask of its engine, and what the engine answers: the seam between simulation and pictures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.town.pose import Pose

Plane = Literal["rgb", "semantic", "instance", "depth", "flow", "normals"]

# CARLA's VehicleLightState.
POSITION, LOW_BEAM, HIGH_BEAM, BRAKE, RIGHT_BLINKER, LEFT_BLINKER, REVERSE, FOG_LIGHTS, INTERIOR = (
    1 << bit for bit in range(9)
)


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
    `lights` which lamps are on, as CARLA's VehicleLightState counts them.
    """

    actor_id: int
    blueprint_id: str
    pose: Pose
    previous_pose: Pose
    color_rgb: tuple[int, int, int] = (128, 128, 128)
    steer_deg: float = 0.0
    wheel_turn_rad: float = 0.0
    stride_m: float = 0.0
    lights: int = 0


@dataclass(frozen=True)
class Planes:
    """The planes of one camera at one tick; those that were not asked for are None.

    bgra (H,W,4) u8, A = 255 · semantic (H,W) u8, CARLA 0.9.14+ tags · instance (H,W) i32, actor ids, 0 = the static
    world · depth_m (H,W) f32 along the optical axis, sky 1000 · flow_px (H,W,2) f32, motion from the previous frame to
    this one stored at this frame's pixel, x right, y down · normals (H,W,3) f32, unit vectors in CARLA's world (x
    forward, y right, z up), the sky's zero. The arrays belong to the engine and are valid until its next render of the
    same size.
    """

    bgra: NDArray[np.uint8] | None = None
    semantic: NDArray[np.uint8] | None = None
    instance: NDArray[np.int32] | None = None
    depth_m: NDArray[np.float32] | None = None
    flow_px: NDArray[np.float32] | None = None
    normals: NDArray[np.float32] | None = None


class Weather(NamedTuple):
    """CARLA's weather in its own words and units; the defaults are the town's own: a bright day with broken clouds.

    Percentages 0..100: cloudiness, precipitation, precipitation_deposits (puddles), wind_intensity, fog_density,
    wetness, dust_storm · degrees: sun_azimuth_angle (0 = +x, 90 = +y), sun_altitude_angle (90 = zenith) · metres:
    fog_distance, where fog begins · fog_falloff: how soon it thins with height.
    """

    cloudiness: float = 30.0
    precipitation: float = 0.0
    precipitation_deposits: float = 0.0
    wind_intensity: float = 10.0
    sun_azimuth_angle: float = 230.0
    sun_altitude_angle: float = 50.8
    fog_density: float = 2.0
    fog_distance: float = 0.75
    fog_falloff: float = 0.1
    wetness: float = 0.0
    scattering_intensity: float = 1.0
    mie_scattering_scale: float = 0.03
    rayleigh_scattering_scale: float = 0.0331
    dust_storm: float = 0.0


@dataclass(frozen=True)
class LampState:
    """A street lamp: on, off, or (None) on by itself in the dark; `intensity` as a factor; `color_rgb` 0..255."""

    is_on: bool | None = None
    intensity: float = 1.0
    color_rgb: tuple[int, int, int] = (255, 222, 173)


@dataclass(frozen=True)
class SignalHead:
    """A traffic light in the street: its actor id and state ("red", "yellow", "green" or "off")."""

    actor_id: int
    state: Literal["red", "yellow", "green", "off"]


@dataclass(frozen=True)
class StreetState:
    """Everything that moved, switched or changed: what the engine draws beside the static street.

    `lamps` are in the order of the network's street lamps; those that are missing follow the light of day. `elapsed_s`
    is the simulation's time, by which indicators blink and rain falls; `hidden`: the numbers of the static town's
    things (see `environment`) that do not show.
    """

    bodies: Sequence[Body] = field(default_factory=tuple)
    signals: Sequence[SignalHead] = field(default_factory=tuple)
    weather: Weather = field(default_factory=Weather)
    lamps: Sequence[LampState] = field(default_factory=tuple)
    elapsed_s: float = 0.0
    hidden: frozenset[int] = frozenset()


class RayHits(NamedTuple):
    """What N rays met first.

    distance_m (N,) f32, infinite where a ray met nothing · actor (N,) i32, 0 = the static world · tag (N,) u8, CARLA
    0.9.14+ tags · normal (N,3) f32, the surface's unit normal on the ray's side, CARLA's world axes.
    """

    distance_m: NDArray[np.float32]
    actor: NDArray[np.int32]
    tag: NDArray[np.uint8]
    normal: NDArray[np.float32]


class Painter(Protocol):
    """The engine as the simulation sees it."""

    def render(self, view: CameraView, previous_pose: Pose, state: StreetState, planes: Collection[Plane]) -> Planes:
        """Draw one camera; `previous_pose` is the camera's pose one tick earlier (for flow)."""
        ...

    def cast(
        self,
        origins_m: NDArray[np.floating],
        directions: NDArray[np.floating],
        reach_m: float,
        bodies: Sequence[Body],
        hidden: frozenset[int] = frozenset(),
    ) -> RayHits:
        """Return what each ray meets first within `reach_m`, from the town without `hidden` things and from `bodies`.

        origins_m (N,3) or (3,), directions (N,3) unit vectors, both in CARLA's world. Any thread may ask.
        """
        ...
