"""The presets of capture: which cameras a rig has, and what a session puts in the street. Needs no `carla`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from bridge.protocol.errors import UsageError
from bridge.protocol.messages import PlaneName
from configs import load_preset, preset_names

Side = Annotated[int, msgspec.Meta(ge=16, le=8192)]
Count = Annotated[int, msgspec.Meta(ge=0, le=500)]
LoopMode = Literal["record", "live"]


class Mount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a camera sits on the ego vehicle, in the vehicle's axes: x forward, y right, z up, from its origin."""

    x_m: float = 0.0
    y_m: float = 0.0
    z_m: float = 0.0
    pitch_deg: float = 0.0
    yaw_deg: float = 0.0
    roll_deg: float = 0.0


class RigPreset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One view of the street and the planes that are captured of it; "labels" must be among them."""

    mount: Mount
    width_px: Side
    height_px: Side
    fov_deg: Annotated[float, msgspec.Meta(gt=1.0, lt=179.0)]
    planes: tuple[PlaneName, ...]

    def __post_init__(self) -> None:
        if "labels" not in self.planes or len(set(self.planes)) != len(self.planes):
            raise ValueError("planes must name each plane once, and labels among them")
        if "occlusion_mask" in self.planes:
            raise ValueError("occlusion_mask is a plane of rendered frames, no camera captures it")


class SessionPreset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a drive puts in the street and how it runs.

    `mode` "record" pairs every tick with its picture; "live" keeps to real time and lets the newest frame win.
    `spawn_point` is an index into the map's list; -1 draws one by the seed. `walkers_within_m` is how far from the ego
    vehicle's start walkers begin; 0 spreads them over the whole map.
    """

    rig: str
    mode: LoopMode
    fixed_delta_s: Annotated[float, msgspec.Meta(gt=0.0, le=0.1)]
    num_vehicles: Count
    num_walkers: Count
    walkers_within_m: Annotated[float, msgspec.Meta(ge=0.0, le=10_000.0)] = 0.0
    spawn_point: Annotated[int, msgspec.Meta(ge=-1)] = -1
    ego_blueprints: tuple[str, ...] = ()


def load_rig(name: str) -> RigPreset:
    """Return a rig preset by name; raises UsageError that lists the names there are."""
    if name not in preset_names("rigs"):
        raise UsageError(f"there is no rig {name!r}", f"Use one of {', '.join(preset_names('rigs'))}")
    return load_preset("rigs", name, RigPreset)


def load_session(name: str) -> SessionPreset:
    """Return a session preset by name; raises UsageError that lists the names there are."""
    if name not in preset_names("sessions"):
        raise UsageError(f"there is no session {name!r}", f"Use one of {', '.join(preset_names('sessions'))}")
    return load_preset("sessions", name, SessionPreset)


def load_mount(name: str) -> Mount:
    """Return a camera mount by name; raises UsageError that lists the names there are."""
    if name not in preset_names("mounts"):
        raise UsageError(f"there is no mount {name!r}", f"Use one of {', '.join(preset_names('mounts'))}")
    return load_preset("mounts", name, Mount)
