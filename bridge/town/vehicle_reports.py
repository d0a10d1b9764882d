"""A vehicle's physics as CARLA tells it: parameters that can be read and changed, and telemetry."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bridge.carla_wire import layouts
from bridge.town import vehicle as dynamics
from bridge.town.pose import Pose
from bridge.town.vehicle_model import (
    GRAVITY_M_S2,
    NEUTRAL,
    RPM_PER_RAD_S,
    Curve,
    Gear,
    VehicleModel,
    Wheel,
)


def physics_control(model: VehicleModel, pose: Pose) -> layouts.VehiclePhysicsControl:
    """Return a model's parameters in CARLA's units; as in CARLA, wheel positions are in the world, in centimetres."""
    return layouts.VehiclePhysicsControl(
        torque_curve=[layouts.Vector2D(*point) for point in model.torque_curve],
        max_rpm=model.max_rpm,
        moi=model.engine_inertia_kg_m2,
        damping_rate_full_throttle=model.damping_full_throttle,
        damping_rate_zero_throttle_clutch_engaged=model.damping_engaged,
        damping_rate_zero_throttle_clutch_disengaged=model.damping_disengaged,
        use_gear_autobox=model.use_gear_autobox,
        gear_switch_time=model.gear_switch_time_s,
        clutch_strength=model.clutch_strength,
        final_ratio=model.final_ratio,
        forward_gears=[
            layouts.GearPhysicsControl(gear.ratio, gear.shift_down_at, gear.shift_up_at) for gear in model.gears
        ],
        mass=model.mass_kg,
        drag_coefficient=model.drag_coefficient,
        center_of_mass=layouts.Vector3D(model.centre_x_m, 0.0, model.centre_z_m),
        steering_curve=[layouts.Vector2D(*point) for point in model.steering_curve],
        wheels=[_wheel_control(wheel, pose) for wheel in model.wheels],
        use_sweep_wheel_collision=False,
    )


def _wheel_control(wheel: Wheel, pose: Pose) -> layouts.WheelPhysicsControl:
    place = pose.compose(Pose(wheel.x_m, wheel.y_m, wheel.radius_m))
    return layouts.WheelPhysicsControl(
        tire_friction=wheel.tire_friction,
        damping_rate=wheel.damping_nm_s,
        max_steer_angle=math.degrees(wheel.max_steer_rad),
        radius=100.0 * wheel.radius_m,
        max_brake_torque=wheel.brake_torque_nm,
        max_handbrake_torque=wheel.hand_brake_torque_nm,
        lat_stiff_max_load=wheel.lat_stiff_max_load,
        lat_stiff_value=wheel.lat_stiff_value,
        long_stiff_value=wheel.long_stiff_value,
        position=layouts.Vector3D(100.0 * place.x_m, 100.0 * place.y_m, 100.0 * place.z_m),
    )


def with_physics_control(model: VehicleModel, control: layouts.VehiclePhysicsControl) -> VehicleModel:
    """Return the model with CARLA's parameters, kept to what physics allows; wheels stay where they are.

    Lists that are empty or of a wrong length leave what they describe as it was, as CARLA leaves it.
    """
    mass = max(1.0, control.mass)
    gears = tuple(Gear(max(0.01, gear.ratio), gear.down_ratio, gear.up_ratio) for gear in control.forward_gears)
    wheels = model.wheels
    if len(control.wheels) == len(wheels):
        front_left, front_right, rear_left, rear_right = (
            _with_wheel_control(wheel, told) for wheel, told in zip(wheels, control.wheels, strict=True)
        )
        wheels = (front_left, front_right, rear_left, rear_right)
    half_base = 0.45 * model.wheelbase_m
    return replace(
        model,
        mass_kg=mass,
        yaw_inertia_kg_m2=model.yaw_inertia_kg_m2 * mass / model.mass_kg,
        centre_x_m=min(half_base, max(-half_base, control.center_of_mass.x)),
        centre_z_m=min(3.0, max(0.0, control.center_of_mass.z)),
        wheels=wheels,
        torque_curve=_curve(control.torque_curve, model.torque_curve),
        steering_curve=_curve(control.steering_curve, model.steering_curve),
        max_rpm=max(model.idle_rpm * 1.5, control.max_rpm),
        drag_coefficient=max(0.0, control.drag_coefficient),
        final_ratio=max(0.01, control.final_ratio),
        gears=gears or model.gears,
        engine_inertia_kg_m2=max(0.01, control.moi),
        damping_full_throttle=max(0.0, control.damping_rate_full_throttle),
        damping_engaged=max(0.0, control.damping_rate_zero_throttle_clutch_engaged),
        damping_disengaged=max(0.0, control.damping_rate_zero_throttle_clutch_disengaged),
        gear_switch_time_s=max(0.0, control.gear_switch_time),
        clutch_strength=max(0.0, control.clutch_strength),
        use_gear_autobox=control.use_gear_autobox,
    )


def _with_wheel_control(wheel: Wheel, control: layouts.WheelPhysicsControl) -> Wheel:
    return replace(
        wheel,
        tire_friction=max(0.0, control.tire_friction),
        damping_nm_s=max(0.0, control.damping_rate),
        max_steer_rad=math.radians(min(80.0, max(0.0, control.max_steer_angle))),
        radius_m=max(0.05, control.radius / 100.0),
        brake_torque_nm=max(0.0, control.max_brake_torque),
        hand_brake_torque_nm=max(0.0, control.max_handbrake_torque),
        lat_stiff_max_load=max(0.01, control.lat_stiff_max_load),
        lat_stiff_value=max(0.0, control.lat_stiff_value),
        long_stiff_value=max(0.0, control.long_stiff_value),
    )


def _curve(points: list[layouts.Vector2D], otherwise: Curve) -> Curve:
    return tuple(sorted((point.x, point.y) for point in points)) or otherwise


def telemetry(
    model: VehicleModel, state: NDArray[np.float64], wheels: NDArray[np.float64], control: layouts.VehicleControl
) -> layouts.VehicleTelemetryData:
    """Return what a vehicle does now, from the last substep of its last tick."""
    speed = math.hypot(float(state[dynamics.VX]), float(state[dynamics.VY]))
    rest_load = model.mass_kg * GRAVITY_M_S2 / 4.0
    return layouts.VehicleTelemetryData(
        speed=speed,
        steer=control.steer,
        throttle=control.throttle,
        brake=control.brake,
        engine_rpm=max(model.idle_rpm, float(state[dynamics.ENGINE]) * RPM_PER_RAD_S),
        gear=int(state[dynamics.GEAR]) - NEUTRAL,
        drag=model.drag_n_s2_m2 * speed * speed,
        wheels=[
            layouts.WheelTelemetryData(
                tire_friction=wheel.tire_friction,
                lat_slip=row[dynamics.LAT_SLIP],
                long_slip=row[dynamics.LONG_SLIP],
                omega=float(state[dynamics.WHEEL_SPEED + i]),
                tire_load=row[dynamics.LOAD],
                normalized_tire_load=row[dynamics.LOAD] / rest_load,
                torque=row[dynamics.TORQUE],
                long_force=row[dynamics.LONG_FORCE],
                lat_force=row[dynamics.LAT_FORCE],
                normalized_long_force=row[dynamics.LONG_FORCE] / rest_load,
                normalized_lat_force=row[dynamics.LAT_FORCE] / rest_load,
            )
            for i, (wheel, row) in enumerate(zip(model.wheels, wheels.tolist(), strict=True))
        ],
    )


def wheel_steer_deg(model: VehicleModel, state: NDArray[np.float64], index: int) -> float:
    """Return how far a wheel is turned, degrees, right positive; the inner wheel of a bend turns more."""
    wheel = model.wheels[index]
    if wheel.max_steer_rad == 0.0:
        return 0.0
    steer = float(state[dynamics.STEER])
    return math.degrees(dynamics.wheel_angle(steer, wheel.x_m, wheel.y_m, model.wheels[2].x_m))
