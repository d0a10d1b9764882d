"""Calls about actors of any kind, walkers, and batches of commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bridge.carla_wire import commands, layouts
from bridge.town.actors import Actor, Vehicle
from bridge.town.calls import lights, vehicles
from bridge.town.calls.registry import Call, CallRefused, answers, finite, finite_pose, finite_vector
from bridge.town.episode import SpawnRefused
from bridge.town.props import Prop
from bridge.town.walkers import Walker

KICK_TIMEOUT_S = 0.5


@answers("get_actor_definitions")
def get_actor_definitions(call: Call) -> list[layouts.ActorDefinition]:
    """The blueprint library."""
    return list(call.simulation.episode.library.values())


@answers("get_actors_by_id", neutral=[])
def get_actors_by_id(call: Call, actor_ids: list[int]) -> list[layouts.Actor]:
    """What is to be known of actors; unknown ids are left out."""
    actors = call.simulation.episode.actors
    return [actors[actor_id].record() for actor_id in actor_ids if actor_id in actors]


def _spawn(
    call: Call, description: layouts.ActorDescription, transform: layouts.Transform, parent_id: int | None
) -> Actor:
    parent = None
    if parent_id is not None:
        parent = call.simulation.episode.actors.get(parent_id)
        if parent is None:
            raise CallRefused("unable to attach actor: parent actor not found")
    finite_pose(transform)
    try:
        return call.simulation.spawn(description, transform, parent)
    except SpawnRefused as error:
        raise CallRefused(str(error)) from error


def _show_at_once(call: Call) -> None:
    """In asynchronous mode let the clients see a new actor before its spawning is answered.

    Until a snapshot lists it, its getters return zeros, and starting a walker's AI then ends the client's process.
    """
    if not call.simulation.episode.settings.synchronous_mode:
        call.clock.kick(KICK_TIMEOUT_S)
        call.clock.settle()


@answers("spawn_actor", takes_lock=False)
def spawn_actor(call: Call, description: layouts.ActorDescription, transform: layouts.Transform) -> layouts.Actor:
    """Create an actor."""
    with call.simulation.lock:
        record = _spawn(call, description, transform, None).record()
    _show_at_once(call)
    return record


@answers("spawn_actor_with_parent", takes_lock=False)
def spawn_actor_with_parent(
    call: Call,
    description: layouts.ActorDescription,
    transform: layouts.Transform,
    parent_id: int,
    _attachment_type: int,
    _socket_name: str,
) -> layouts.Actor:
    """Create an actor attached to another; every attachment is rigid."""
    with call.simulation.lock:
        record = _spawn(call, description, transform, parent_id).record()
    _show_at_once(call)
    return record


@answers("destroy_actor")
def destroy_actor(call: Call, actor_id: int) -> bool:
    """Remove an actor; what was attached to it stays."""
    if not call.simulation.destroy(actor_id):
        raise CallRefused("unable to destroy actor: not found")
    return True


@answers("get_actor_bounding_box", neutral=layouts.BoundingBox())
def get_actor_bounding_box(call: Call, actor_id: int) -> layouts.BoundingBox:
    """An actor's box in its own axes; all zero if there is no such actor."""
    actor = call.simulation.episode.actors.get(actor_id)
    return layouts.BoundingBox() if actor is None else actor.bounding_box


@answers("set_actor_transform")
def set_actor_transform(call: Call, actor_id: int, transform: layouts.Transform) -> None:
    """Put an actor somewhere; relative to its parent if it has one."""
    call.actor(actor_id, Actor).move_to(finite_pose(transform))


@answers("set_actor_location")
def set_actor_location(call: Call, actor_id: int, location: layouts.Vector3D) -> None:
    """Move an actor without turning it."""
    actor = call.actor(actor_id, Actor)
    now = actor.pose if actor.parent is None else actor.relative_pose
    turn = layouts.Rotation(now.pitch_deg, now.yaw_deg, now.roll_deg)
    actor.move_to(finite_pose(layouts.Transform(location, turn)))


@answers("set_actor_simulate_physics", neutral=None)
def set_actor_simulate_physics(call: Call, actor_id: int, enabled: bool) -> None:
    """Switch a vehicle's physics; a vehicle without stays where it is put. For other actors there is nothing to switch.

    TrafficManager and walker AI call it for actors that may be gone, so unknown ids are no error.
    """
    actor = call.simulation.episode.actors.get(actor_id)
    if isinstance(actor, Vehicle):
        actor.simulates_physics = enabled
        if not enabled:
            actor.set_velocity((0.0, 0.0, 0.0))


@answers("set_actor_collisions", neutral=None)
def set_actor_collisions(call: Call, actor_id: int, enabled: bool) -> None:
    """Let a vehicle, walker or prop collide or not; unknown ids are no error, for walker AI calls it."""
    actor = call.simulation.episode.actors.get(actor_id)
    if isinstance(actor, Vehicle | Walker | Prop):
        actor.collides = enabled


@answers("set_actor_enable_gravity")
def set_actor_enable_gravity(call: Call, actor_id: int, enabled: bool) -> None:
    """Switch a vehicle's gravity."""
    actor = call.actor(actor_id, Actor)
    if isinstance(actor, Vehicle):
        actor.has_gravity = enabled


@answers("set_actor_dead", neutral=None)
def set_actor_dead(call: Call, actor_id: int) -> None:
    """Let a walker fall and lie for 10 s until it is taken away: walker AI calls it for whom a vehicle ran over."""
    actor = call.simulation.episode.actors.get(actor_id)
    if isinstance(actor, Walker):
        actor.die()


@answers("apply_control_to_walker")
def apply_control_to_walker(call: Call, actor_id: int, control: layouts.WalkerControl) -> None:
    """Let a walker walk."""
    finite(*finite_vector(control.direction), control.speed)
    call.actor(actor_id, Walker).walk(control)


@answers("apply_batch", takes_lock=False)
def apply_batch(call: Call, batch: list[commands.WireCommand], do_tick: bool) -> list[commands.WireResponse]:
    """Run many commands at once; each has its own success or error."""
    with call.simulation.lock:
        responses = [_respond(call, wire, None) for wire in batch]
    if any(wire[0][0] == _SPAWN for wire in batch):
        _show_at_once(call)
    if do_tick:
        call.clock.cue()
    return responses


_SPAWN = commands.COMMAND_TYPES.index(commands.SpawnActor)


def _respond(call: Call, wire: commands.WireCommand, spawned_id: int | None) -> commands.WireResponse:
    """Run one command; `spawned_id` takes the place of the actor when the command follows a spawn."""
    try:
        command = commands.decode_command(wire)
        if spawned_id is not None and isinstance(command, commands.ActorCommand):
            command = msgspec.structs.replace(command, actor_id=spawned_id)
        return ((1, _run(call, command)),)
    except (CallRefused, msgspec.ValidationError) as error:
        return ((0, [str(error)]),)


def _run(call: Call, command: commands.Command) -> int:
    """Run a command and return the id of its actor; raises CallRefused."""
    if isinstance(command, commands.SpawnActor):
        parent_id = layouts.optional_value(command.parent)
        spawned_id = _spawn(
            call, command.description, command.transform, None if parent_id is None else int(parent_id)
        ).actor_id
        for following in command.do_after:
            _respond(call, following, spawned_id)
        return spawned_id
    if not isinstance(command, commands.ActorCommand):
        raise CallRefused("The town has no console")
    run = _RUN.get(type(command))
    if run is not None:
        run(call, *(getattr(command, name) for name in command.__struct_fields__))
    elif command.actor_id not in call.simulation.episode.actors:
        raise CallRefused(f"There is no actor with the id {command.actor_id}")
    return command.actor_id


def _apply_walker_state(call: Call, actor_id: int, transform: layouts.Transform, speed_m_s: float) -> None:
    finite(speed_m_s)
    call.actor(actor_id, Walker).lead(finite_pose(transform), speed_m_s)


def _set_light_state(call: Call, actor_id: int, flags: int) -> None:
    vehicles.set_vehicle_light_state(call, actor_id, layouts.VehicleLightState(flags))


_RUN: dict[type[commands.Command], Callable[..., Any]] = {
    commands.DestroyActor: destroy_actor,
    commands.ApplyVehicleControl: vehicles.apply_control_to_vehicle,
    commands.ApplyVehicleAckermannControl: vehicles.apply_ackermann_control_to_vehicle,
    commands.ApplyWalkerControl: apply_control_to_walker,
    commands.ApplyVehiclePhysicsControl: vehicles.apply_physics_control,
    commands.ApplyTransform: set_actor_transform,
    commands.ApplyWalkerState: _apply_walker_state,
    commands.ApplyTargetVelocity: vehicles.set_actor_target_velocity,
    commands.ApplyTargetAngularVelocity: vehicles.set_actor_target_angular_velocity,
    commands.ApplyImpulse: vehicles.add_actor_impulse,
    commands.ApplyForce: vehicles.add_actor_force,
    commands.ApplyAngularImpulse: vehicles.add_actor_angular_impulse,
    commands.ApplyTorque: vehicles.add_actor_torque,
    commands.SetSimulatePhysics: set_actor_simulate_physics,
    commands.SetEnableGravity: set_actor_enable_gravity,
    commands.SetVehicleLightState: _set_light_state,
    commands.ApplyLocation: set_actor_location,
    commands.SetTrafficLightState: lights.set_traffic_light_state,
}
"""What runs a command; autopilot and telemetry have no effect on the server."""
