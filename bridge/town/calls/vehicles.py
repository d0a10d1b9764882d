"""Calls about vehicles: driving, physics, lights."""

from __future__ import annotations

import math

from bridge.carla_wire import layouts
from bridge.town import vehicle as dynamics
from bridge.town.actors import Actor, Vehicle
from bridge.town.calls.registry import Call, answers, finite, finite_vector
from bridge.town.walkers import Walker

FORCE_LASTS_S = 0.05
"""A force acts for one tick; this is its length when the settings fix none."""


@answers("apply_control_to_vehicle")
def apply_control_to_vehicle(call: Call, actor_id: int, control: layouts.VehicleControl) -> None:
    """Set pedals, steering, hand brake and reverse; gears shift by themselves."""
    finite(control.throttle, control.steer, control.brake)
    vehicle = call.actor(actor_id, Vehicle)
    vehicle.control, vehicle.ackermann = control, None


@answers("apply_ackermann_control_to_vehicle")
def apply_ackermann_control_to_vehicle(call: Call, actor_id: int, control: layouts.VehicleAckermannControl) -> None:
    """Set a steering angle and a speed to reach; the town's own controller moves the pedals."""
    finite(control.steer, control.speed, control.acceleration)
    call.actor(actor_id, Vehicle).ackermann = control


@answers("apply_ackermann_controller_settings")
def apply_ackermann_controller_settings(
    call: Call, actor_id: int, settings: layouts.AckermannControllerSettings
) -> None:
    """Store the gains; the town's controller has its own."""
    call.actor(actor_id, Vehicle).ackermann_settings = settings


@answers("get_ackermann_controller_settings")
def get_ackermann_controller_settings(call: Call, actor_id: int) -> layouts.AckermannControllerSettings:
    """The gains that were stored."""
    return call.actor(actor_id, Vehicle).ackermann_settings


@answers("get_physics_control")
def get_physics_control(call: Call, actor_id: int) -> layouts.VehiclePhysicsControl:
    """The parameters of a vehicle's model."""
    return dynamics.physics_control(call.actor(actor_id, Vehicle).model)


@answers("apply_physics_control")
def apply_physics_control(call: Call, actor_id: int, control: layouts.VehiclePhysicsControl) -> None:
    """Change mass, engine, drag, wheels, brakes and steering; what the model has no counterpart for is ignored."""
    finite(control.mass, control.drag_coefficient, control.final_ratio, control.max_rpm)
    finite(*(point.y for point in control.torque_curve))
    for wheel in control.wheels:
        finite(wheel.tire_friction, wheel.radius, wheel.max_steer_angle)
        finite(wheel.max_brake_torque, wheel.max_handbrake_torque)
    vehicle = call.actor(actor_id, Vehicle)
    vehicle.set_model(dynamics.with_physics_control(vehicle.model, control))


@answers("get_telemetry_data")
def get_telemetry_data(call: Call, actor_id: int) -> layouts.VehicleTelemetryData:
    """What engine and tyres do now."""
    vehicle = call.actor(actor_id, Vehicle)
    return dynamics.telemetry(vehicle.model, vehicle.dynamics, vehicle.wheels, vehicle.control)


@answers("get_wheel_steer_angle")
def get_wheel_steer_angle(call: Call, actor_id: int, wheel: int) -> float:
    """A wheel's steering angle in degrees, right positive; rear wheels (2, 3) do not steer."""
    vehicle = call.actor(actor_id, Vehicle)
    return math.degrees(float(vehicle.dynamics[dynamics.STEER])) if wheel in (0, 1) else 0.0


@answers("set_actor_target_velocity")
def set_actor_target_velocity(call: Call, actor_id: int, velocity: layouts.Vector3D) -> None:
    """Give a vehicle or walker a velocity in world axes."""
    actor, wanted = call.actor(actor_id, Actor), finite_vector(velocity)
    if isinstance(actor, Vehicle):
        actor.set_velocity(wanted)
    elif isinstance(actor, Walker):
        speed = math.hypot(velocity.x, velocity.y)
        way = layouts.Vector3D(velocity.x / speed, velocity.y / speed) if speed > 0.0 else actor.control.direction
        actor.walk(layouts.WalkerControl(way, speed))


@answers("set_actor_target_angular_velocity")
def set_actor_target_angular_velocity(call: Call, actor_id: int, velocity: layouts.Vector3D) -> None:
    """Give a vehicle an angular velocity in deg/s about its upright axis."""
    actor, (_x, _y, yaw_rate_deg_s) = call.actor(actor_id, Actor), finite_vector(velocity)
    if isinstance(actor, Vehicle):
        actor.dynamics[dynamics.YAW_RATE] = math.radians(yaw_rate_deg_s)


@answers("enable_actor_constant_velocity")
def enable_actor_constant_velocity(call: Call, actor_id: int, velocity: layouts.Vector3D) -> None:
    """Keep a vehicle at a velocity in its own axes, whatever its pedals do."""
    call.actor(actor_id, Vehicle).constant_velocity_m_s = finite_vector(velocity)


@answers("disable_actor_constant_velocity")
def disable_actor_constant_velocity(call: Call, actor_id: int) -> None:
    """Let a vehicle's pedals work again."""
    call.actor(actor_id, Vehicle).constant_velocity_m_s = None


@answers("add_actor_impulse")
def add_actor_impulse(call: Call, actor_id: int, impulse: layouts.Vector3D) -> None:
    """Push a vehicle, N s in world axes."""
    actor, push_n_s = call.actor(actor_id, Actor), finite_vector(impulse)
    if isinstance(actor, Vehicle):
        actor.push(push_n_s)


@answers("add_actor_force")
def add_actor_force(call: Call, actor_id: int, force: layouts.Vector3D) -> None:
    """Push a vehicle for one tick, N in world axes."""
    fixed_s = layouts.optional_value(call.simulation.episode.settings.fixed_delta_seconds) or FORCE_LASTS_S
    add_actor_impulse(call, actor_id, layouts.Vector3D(force.x * fixed_s, force.y * fixed_s, force.z * fixed_s))


@answers("set_vehicle_light_state")
def set_vehicle_light_state(call: Call, actor_id: int, state: layouts.VehicleLightState) -> None:
    """Store which lights a vehicle has on."""
    call.actor(actor_id, Vehicle).lights = state.flags


@answers("get_vehicle_light_state")
def get_vehicle_light_state(call: Call, actor_id: int) -> layouts.VehicleLightState:
    """Which lights a vehicle has on."""
    return layouts.VehicleLightState(call.actor(actor_id, Vehicle).lights)


@answers("get_vehicle_light_states", neutral=[])
def get_vehicle_light_states(call: Call) -> list[layouts.VehicleLights]:
    """Which lights every vehicle has on."""
    return [layouts.VehicleLights(v.actor_id, v.lights) for v in call.simulation.episode.of_kind(Vehicle)]


@answers("set_actor_autopilot", without_effect=True)
def set_actor_autopilot(_call: Call, _actor_id: int, _enabled: bool) -> None:
    """Nothing: the client's TrafficManager drives, not the server."""


@answers("show_vehicle_debug_telemetry", without_effect=True)
def show_vehicle_debug_telemetry(_call: Call, _actor_id: int, _enabled: bool) -> None:
    """Nothing: the town has no window."""


@answers("open_vehicle_door", "close_vehicle_door", without_effect=True)
def vehicle_door(_call: Call, _actor_id: int, _door: int) -> None:
    """Nothing: doors are painted on, as the blueprints' has_dynamic_doors says."""
