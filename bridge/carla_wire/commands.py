"""The commands of CARLA's batches: the variant index of each, its typed payload, and both directions of the coding."""

from __future__ import annotations

from typing import Any

import msgspec

from bridge.carla_wire.layouts import (
    I32,
    U8,
    U32,
    ActorDescription,
    Layout,
    Optional,
    Transform,
    Vector3D,
    VehicleAckermannControl,
    VehicleControl,
    VehiclePhysicsControl,
    WalkerControl,
)

WireCommand = tuple[tuple[U8, msgspec.Raw]]
"""A command as it travels: `[[index, payload]]`."""
WireResponse = tuple[tuple[int, int | list[str]]]
"""A command's own `[[1, actor_id]]` or `[[0, [message]]]`."""


class Command(Layout, frozen=True):
    """Base of every command's payload."""


class ActorCommand(Command, frozen=True):
    """Base of the commands whose first field is an actor; 0 stands for the actor that the batch has just spawned."""

    actor_id: U32


class SpawnActor(Command, frozen=True):
    """Spawn, then run `do_after` on the new actor; `attachment_type` is noise unless `parent` holds a value."""

    description: ActorDescription
    transform: Transform
    parent: Optional
    attachment_type: int
    socket_name: str
    do_after: list[WireCommand]


class DestroyActor(ActorCommand, frozen=True):
    """Remove an actor."""


class ApplyVehicleControl(ActorCommand, frozen=True):
    """Set throttle, steer, brake and gears of a vehicle."""

    control: VehicleControl


class ApplyVehicleAckermannControl(ActorCommand, frozen=True):
    """Set a vehicle's wanted steering angle, speed and acceleration."""

    control: VehicleAckermannControl


class ApplyWalkerControl(ActorCommand, frozen=True):
    """Set a walker's direction and speed."""

    control: WalkerControl


class ApplyVehiclePhysicsControl(ActorCommand, frozen=True):
    """Replace a vehicle's physical parameters."""

    physics_control: VehiclePhysicsControl


class ApplyTransform(ActorCommand, frozen=True):
    """Put an actor somewhere else."""

    transform: Transform


class ApplyWalkerState(ActorCommand, frozen=True):
    """Put a walker somewhere and say how fast it walks, in m/s; the client's pedestrian AI sends it each tick."""

    transform: Transform
    speed: float


class ApplyTargetVelocity(ActorCommand, frozen=True):
    """Give an actor a velocity in m/s, world axes."""

    velocity: Vector3D


class ApplyTargetAngularVelocity(ActorCommand, frozen=True):
    """Give an actor an angular velocity in deg/s."""

    angular_velocity: Vector3D


class ApplyImpulse(ActorCommand, frozen=True):
    """Push an actor once, in N s."""

    impulse: Vector3D


class ApplyForce(ActorCommand, frozen=True):
    """Push an actor for one tick, in N."""

    force: Vector3D


class ApplyAngularImpulse(ActorCommand, frozen=True):
    """Turn an actor once."""

    impulse: Vector3D


class ApplyTorque(ActorCommand, frozen=True):
    """Turn an actor for one tick."""

    torque: Vector3D


class SetSimulatePhysics(ActorCommand, frozen=True):
    """Switch an actor's physics on or off."""

    enabled: bool


class SetEnableGravity(ActorCommand, frozen=True):
    """Switch an actor's gravity on or off."""

    enabled: bool


class SetAutopilot(ActorCommand, frozen=True):
    """Tell the server that the client's TrafficManager drives; the server has nothing to do."""

    enabled: bool


class ShowDebugTelemetry(ActorCommand, frozen=True):
    """Show a vehicle's telemetry in the server's window."""

    enabled: bool


class SetVehicleLightState(ActorCommand, frozen=True):
    """Set a vehicle's lights."""

    flags: U32


class ApplyLocation(ActorCommand, frozen=True):
    """Move an actor without turning it."""

    location: Vector3D


class ConsoleCommand(Command, frozen=True):
    """Run a command of the game engine's console."""

    text: str


class SetTrafficLightState(ActorCommand, frozen=True):
    """Set a traffic light."""

    state: I32


COMMAND_TYPES: tuple[type[Command], ...] = (
    SpawnActor,
    DestroyActor,
    ApplyVehicleControl,
    ApplyVehicleAckermannControl,
    ApplyWalkerControl,
    ApplyVehiclePhysicsControl,
    ApplyTransform,
    ApplyWalkerState,
    ApplyTargetVelocity,
    ApplyTargetAngularVelocity,
    ApplyImpulse,
    ApplyForce,
    ApplyAngularImpulse,
    ApplyTorque,
    SetSimulatePhysics,
    SetEnableGravity,
    SetAutopilot,
    ShowDebugTelemetry,
    SetVehicleLightState,
    ApplyLocation,
    ConsoleCommand,
    SetTrafficLightState,
)
"""Payload types in the order of the variant index of CARLA 0.9.16."""

_decoders: tuple[msgspec.msgpack.Decoder[Any], ...] = tuple(msgspec.msgpack.Decoder(kind) for kind in COMMAND_TYPES)


def decode_command(wire: WireCommand) -> Command:
    """Return the typed command; raises msgspec.ValidationError for an unknown index or a payload of another shape."""
    ((index, payload),) = wire
    if index >= len(_decoders):
        raise msgspec.ValidationError(f"Batch command {index} does not exist")
    return _decoders[index].decode(payload)


def encode_command(command: Command) -> WireCommand:
    """Return the wire form of a command; the inverse of `decode_command`."""
    index = COMMAND_TYPES.index(type(command))
    return ((index, msgspec.Raw(msgspec.msgpack.encode(command))),)
