"""Calls about vehicles: driving, physics, lights."""

from __future__ import annotations

import math

import msgspec

from bridge.carla_wire import layouts
from bridge.town import vehicle as dynamics
from bridge.town import vehicle_reports as reports
from bridge.town.ackermann import AckermannDriver
from bridge.town.actors import Actor, Vehicle
from bridge.town.calls.registry import Call, answers, finite, finite_vector
from bridge.town.walkers import Walker

FORCE_LASTS_S = 0.05
"""A force acts for one tick; this is its length when the settings fix none."""


@answers("apply_control_to_vehicle")
def apply_control_to_vehicle(call: Call, actor_id: int, control: layouts.VehicleControl) -> None:
    """Set pedals, steering, hand brake, reverse and gear; without manual_gear_shift gears shift by themselves."""
    finite(control.throttle, control.steer, control.brake)
    vehicle = call.actor(actor_id, Vehicle)
    vehicle.control, vehicle.ackermann = control, None


@answers("apply_ackermann_control_to_vehicle")
def apply_ackermann_control_to_vehicle(call: Call, actor_id: int, control: layouts.VehicleAckermannControl) -> None:
    """Set a steering angle and a speed to reach; two controllers with CARLA's gains move the pedals."""
    finite(control.steer, control.steer_speed, control.speed, control.acceleration)
    vehicle = call.actor(actor_id, Vehicle)
    if vehicle.ackermann is None:
        vehicle.ackermann = AckermannDriver(control)
    vehicle.ackermann.target = control


@answers("apply_ackermann_controller_settings")
def apply_ackermann_controller_settings(
    call: Call, actor_id: int, settings: layouts.AckermannControllerSettings
) -> None:
    """Set the gains of the two controllers."""
    finite(settings.speed_kp, settings.speed_ki, settings.speed_kd)
    finite(settings.accel_kp, settings.accel_ki, settings.accel_kd)
    call.actor(actor_id, Vehicle).ackermann_settings = settings


@answers("get_ackermann_controller_settings")
def get_ackermann_controller_settings(call: Call, actor_id: int) -> layouts.AckermannControllerSettings:
    """The gains of the two controllers."""
    return call.actor(actor_id, Vehicle).ackermann_settings


@answers("get_physics_control")
def get_physics_control(call: Call, actor_id: int) -> layouts.VehiclePhysicsControl:
    """The parameters of a vehicle's model."""
    vehicle = call.actor(actor_id, Vehicle)
    return reports.physics_control(vehicle.model, vehicle.pose)


@answers("apply_physics_control")
def apply_physics_control(call: Call, actor_id: int, control: layouts.VehiclePhysicsControl) -> None:
    """Change mass, engine, gears, drag, steering, tyres and brakes; the wheels stay where they are."""
    finite(*(value for value in msgspec.structs.astuple(control) if isinstance(value, float)))
    finite_vector(control.center_of_mass)
    for row in (*control.torque_curve, *control.steering_curve, *control.forward_gears):
        finite(*msgspec.structs.astuple(row))
    for wheel in control.wheels:
        finite(*(value for value in msgspec.structs.astuple(wheel) if isinstance(value, float)))
    vehicle = call.actor(actor_id, Vehicle)
    vehicle.chassis.set_model(reports.with_physics_control(vehicle.model, control))


@answers("get_telemetry_data")
def get_telemetry_data(call: Call, actor_id: int) -> layouts.VehicleTelemetryData:
    """What engine and tyres do now."""
    vehicle = call.actor(actor_id, Vehicle)
    return vehicle.chassis.telemetry(vehicle.control)


@answers("get_wheel_steer_angle")
def get_wheel_steer_angle(call: Call, actor_id: int, wheel: int) -> float:
    """A wheel's steering angle in degrees, right positive; the inner wheel of a bend turns more, rear ones do not."""
    vehicle = call.actor(actor_id, Vehicle)
    return vehicle.chassis.wheel_steer_deg(wheel) if 0 <= wheel < len(vehicle.model.wheels) else 0.0


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
        actor.chassis.state[dynamics.YAW_RATE] = math.radians(yaw_rate_deg_s)


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


@answers("add_actor_impulse_at_location")
def add_actor_impulse_at_location(
    call: Call, actor_id: int, impulse: layouts.Vector3D, location: layouts.Vector3D
) -> None:
    """Push a vehicle, N s, at a place, both in world axes: off its middle it turns, too."""
    actor, push_n_s = call.actor(actor_id, Actor), finite_vector(impulse)
    x_m, y_m, _z_m = finite_vector(location)
    if isinstance(actor, Vehicle):
        actor.push_at(push_n_s, x_m, y_m)


@answers("add_actor_angular_impulse")
def add_actor_angular_impulse(call: Call, actor_id: int, impulse: layouts.Vector3D) -> None:
    """Turn a vehicle about its upright axis, kg m2 deg/s."""
    actor, (_x, _y, twist) = call.actor(actor_id, Actor), finite_vector(impulse)
    if isinstance(actor, Vehicle):
        actor.spin(math.radians(twist))


@answers("add_actor_force")
def add_actor_force(call: Call, actor_id: int, force: layouts.Vector3D) -> None:
    """Push a vehicle for one tick, N in world axes."""
    add_actor_impulse(call, actor_id, _during_a_tick(call, force))


@answers("add_actor_force_at_location")
def add_actor_force_at_location(call: Call, actor_id: int, force: layouts.Vector3D, location: layouts.Vector3D) -> None:
    """Push a vehicle for one tick, N, at a place, both in world axes."""
    add_actor_impulse_at_location(call, actor_id, _during_a_tick(call, force), location)


@answers("add_actor_torque")
def add_actor_torque(call: Call, actor_id: int, torque: layouts.Vector3D) -> None:
    """Turn a vehicle about its upright axis for one tick, kg m2 deg/s2."""
    add_actor_angular_impulse(call, actor_id, _during_a_tick(call, torque))


def _during_a_tick(call: Call, force: layouts.Vector3D) -> layouts.Vector3D:
    fixed_s = layouts.optional_value(call.simulation.episode.settings.fixed_delta_seconds) or FORCE_LASTS_S
    return layouts.Vector3D(force.x * fixed_s, force.y * fixed_s, force.z * fixed_s)


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
