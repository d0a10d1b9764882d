"""How a vehicle moves: a planar car on four tyres, in CARLA's axes (x forward, y right, yaw clockwise from above).

Wheel spin, load transfer, combined-slip tyres (a simplified magic formula), an engine curve with an automatic gearbox,
brakes, hand brake, reverse, and a steering rack of limited speed. The state of one vehicle is a vector of float64, and
one call advances it by a tick in short substeps; the same calls give the same bits.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bridge.carla_wire import layouts
from bridge.town.blueprints import VehicleClass

GRAVITY_M_S2 = 9.81
SUBSTEP_S = 0.0025
RPM_PER_RAD_S = 60.0 / (2.0 * math.pi)
IDLE_RPM = 900.0
GEAR_RATIOS = np.array([-3.4, 0.0, 3.6, 2.1, 1.45, 1.1, 0.86, 0.7])
"""Reverse, neutral, then the forward gears."""
NEUTRAL = 1
SHIFT_UP_AT, SHIFT_DOWN_AT = 0.88, 0.34
"""Shares of the maximum rpm at which the automatic box shifts."""
SHIFT_TIME_S = 0.35
STEERING_SPEED_RAD_S = 4.0
STEERING_CURVE_KMH = np.array([0.0, 20.0, 60.0, 120.0])
STEERING_CURVE_SHARE = np.array([1.0, 0.9, 0.8, 0.7])
FRONT_BRAKE_SHARE = 0.62

# the state vector
X, Y, YAW, VX, VY, YAW_RATE = range(6)
WHEEL_SPEED = 6  # four wheels: front left, front right, rear left, rear right
AX, AY, GEAR, SHIFTING, STEER, ROLLED = range(10, 16)
STATE_SIZE = 16
# columns of the wheels' telemetry (4, 7)
LOAD, LONG_SLIP, LAT_SLIP, TORQUE, LONG_FORCE, LAT_FORCE, DRIVE = range(7)


@dataclass(frozen=True)
class VehicleModel:
    """The parameters of one vehicle, SI units, angles in radians; `tyre_b` and `tyre_c` shape the slip curve."""

    mass_kg: float = 1500.0
    yaw_inertia_kg_m2: float = 2400.0
    front_axle_m: float = 1.25
    rear_axle_m: float = 1.45
    track_m: float = 1.56
    centre_of_mass_m: float = 0.52
    wheel_radius_m: float = 0.33
    wheel_inertia_kg_m2: float = 1.1
    friction: float = 1.0
    tyre_b: float = 9.5
    tyre_c: float = 1.45
    drag_n_s2_m2: float = 0.42
    rolling_resistance: float = 0.013
    max_steer_rad: float = math.radians(40.0)
    brake_torque_nm: float = 2600.0
    hand_brake_torque_nm: float = 3200.0
    final_ratio: float = 3.7
    max_rpm: float = 6200.0
    peak_torque_nm: float = 250.0
    driveline_efficiency: float = 0.92

    def vector(self) -> NDArray[np.float64]:
        """Return the parameters in order, as the compiled step reads them."""
        return np.array(astuple(self))


_MODELS: dict[VehicleClass, VehicleModel] = {
    "car": VehicleModel(),
    "van": VehicleModel(2300.0, 4800.0, 1.5, 1.8, 1.7, 0.75, 0.36, 1.6, 0.95, drag_n_s2_m2=0.75, peak_torque_nm=340.0,
                        brake_torque_nm=4200.0, hand_brake_torque_nm=5000.0, final_ratio=4.1),
    "truck": VehicleModel(4200.0, 13000.0, 1.9, 2.2, 1.9, 0.95, 0.45, 4.0, 0.9, drag_n_s2_m2=1.6, peak_torque_nm=620.0,
                          brake_torque_nm=9000.0, hand_brake_torque_nm=10000.0, final_ratio=5.2, max_rpm=4200.0),
    "bus": VehicleModel(6500.0, 36000.0, 2.4, 2.6, 2.0, 1.1, 0.48, 5.0, 0.9, drag_n_s2_m2=2.2, peak_torque_nm=900.0,
                        brake_torque_nm=15000.0, hand_brake_torque_nm=16000.0, final_ratio=5.4, max_rpm=3600.0,
                        max_steer_rad=math.radians(46.0)),
    "motorcycle": VehicleModel(280.0, 60.0, 0.72, 0.78, 0.7, 0.3, 0.31, 0.5, 1.05, drag_n_s2_m2=0.3,
                               peak_torque_nm=70.0, brake_torque_nm=480.0, hand_brake_torque_nm=500.0, max_rpm=9000.0),
    "bicycle": VehicleModel(95.0, 14.0, 0.52, 0.54, 0.6, 0.25, 0.34, 0.15, 0.9, drag_n_s2_m2=0.25,
                            peak_torque_nm=9.0, brake_torque_nm=130.0, hand_brake_torque_nm=130.0, max_rpm=2400.0),
}  # fmt: skip


def model_of(kind: VehicleClass) -> VehicleModel:
    """Return the parameters of a class of vehicle."""
    return _MODELS[kind]


@njit("float64(float64, float64)", nogil=True, cache=True)
def torque_share(rpm, max_rpm):
    """Return the engine's torque at full throttle over its peak value."""
    q = min(1.0, rpm / max_rpm)
    return 0.0 if rpm > max_rpm else 0.72 + 1.15 * q - 0.95 * q * q


@njit("void(float64[::1], float64, float64, boolean, float64)", nogil=True, cache=True)
def _shift(state, rpm, max_rpm, reverse, throttle):
    """Let the automatic gearbox choose; a shift takes SHIFT_TIME_S, in which little torque gets through."""
    gear = int(state[GEAR])
    if reverse:
        gear = 0
    elif gear <= NEUTRAL:
        gear = NEUTRAL + 1
    elif state[SHIFTING] <= 0.0:
        if rpm > max_rpm * SHIFT_UP_AT and gear < len(GEAR_RATIOS) - 1 and throttle > 0.1:
            gear += 1
            state[SHIFTING] = SHIFT_TIME_S
        elif rpm < max_rpm * SHIFT_DOWN_AT and gear > NEUTRAL + 1:
            gear -= 1
            state[SHIFTING] = SHIFT_TIME_S
    state[GEAR] = gear


@njit("float64(float64[::1], float64[::1], float64, boolean, float64)", nogil=True, cache=True)
def _axle_torque(state, p, throttle, reverse, h):
    """Return the torque at the driven (rear) axle in Nm, engine braking included."""
    final_ratio, max_rpm, peak, efficiency = p[16], p[17], p[18], p[19]
    axle_speed = 0.5 * (state[WHEEL_SPEED + 2] + state[WHEEL_SPEED + 3])
    state[SHIFTING] = max(0.0, state[SHIFTING] - h)
    ratio = GEAR_RATIOS[int(state[GEAR])] * final_ratio
    rpm = max(IDLE_RPM, abs(axle_speed * ratio) * RPM_PER_RAD_S)
    _shift(state, rpm, max_rpm, reverse, throttle)
    ratio = GEAR_RATIOS[int(state[GEAR])] * final_ratio
    rpm = max(IDLE_RPM, abs(axle_speed * ratio) * RPM_PER_RAD_S)
    torque = peak * torque_share(rpm, max_rpm) * throttle * efficiency * ratio
    if state[SHIFTING] > 0.0:
        torque *= 0.25
    if throttle < 0.05:
        torque -= 0.06 * peak * (1.0 - throttle) * abs(ratio) * max(-1.0, min(1.0, axle_speed / 3.0))
    return torque


@njit(
    "void(float64[::1], float64[::1], float64[:, ::1], float64, float64, float64, boolean, boolean, float64, int64)",
    nogil=True,
    cache=True,
)
def advance(state, p, wheels, throttle, steer, brake, hand_brake, reverse, dt, substeps):
    """Advance one vehicle by `dt` seconds; `p`: its parameters; `wheels` (4, 7): receives the last substep's tyres."""
    mass, inertia, front, rear, track, height = p[0], p[1], p[2], p[3], p[4], p[5]
    radius, wheel_inertia, friction, tyre_b, tyre_c = p[6], p[7], p[8], p[9], p[10]
    h = dt / substeps
    base = front + rear
    for _ in range(substeps):
        speed = math.hypot(state[VX], state[VY])
        share = np.interp(3.6 * speed, STEERING_CURVE_KMH, STEERING_CURVE_SHARE)
        turn = steer * p[13] * share - state[STEER]
        state[STEER] += max(-STEERING_SPEED_RAD_S * h, min(STEERING_SPEED_RAD_S * h, turn))
        drive = _axle_torque(state, p, throttle, reverse, h)
        force_x, force_y, moment = 0.0, 0.0, 0.0
        for i in range(4):
            is_front = i < 2
            x = front if is_front else -rear
            y = -0.5 * track if i % 2 == 0 else 0.5 * track
            # load: static, pitching under braking, rolling in bends
            load = 0.5 * mass * GRAVITY_M_S2 * (rear if is_front else front) / base
            load -= 0.5 * mass * state[AX] * height / base * (1.0 if is_front else -1.0)
            load -= 0.5 * mass * state[AY] * height / track * (1.0 if y > 0.0 else -1.0)
            load = max(load, 0.02 * mass)
            angle = state[STEER] if is_front else 0.0
            cos, sin = math.cos(angle), math.sin(angle)
            at_x, at_y = state[VX] - state[YAW_RATE] * y, state[VY] + state[YAW_RATE] * x
            along, across = at_x * cos + at_y * sin, -at_x * sin + at_y * cos
            spin = state[WHEEL_SPEED + i]
            reference = max(abs(along), max(abs(spin * radius), 1.2))
            long_slip, lat_slip = (spin * radius - along) / reference, -across / reference
            slip = math.hypot(long_slip, lat_slip) + 1e-9
            grip = friction * load * math.sin(tyre_c * math.atan(tyre_b * slip))
            long_force, lat_force = grip * long_slip / slip, grip * lat_slip / slip
            torque = 0.0 if is_front else 0.5 * drive
            brakes = brake * p[14] * (FRONT_BRAKE_SHARE if is_front else 1.0 - FRONT_BRAKE_SHARE)
            if hand_brake and not is_front:
                brakes += p[15]
            # implicit in the tyre's stiffness: explicit steps of this size would make a slow wheel chatter
            stiffness = friction * load * tyre_b * tyre_c / reference
            response = h / (wheel_inertia + h * stiffness * radius * radius)
            spin += (torque - long_force * radius) * response
            bite = brakes * response
            spin = 0.0 if abs(spin) <= bite else spin - math.copysign(bite, spin)
            state[WHEEL_SPEED + i] = spin
            body_x, body_y = long_force * cos - lat_force * sin, long_force * sin + lat_force * cos
            force_x += body_x
            force_y += body_y
            moment += x * body_y - y * body_x
            wheels[i, LOAD], wheels[i, LONG_SLIP], wheels[i, LAT_SLIP] = load, long_slip, lat_slip
            wheels[i, TORQUE], wheels[i, LONG_FORCE], wheels[i, LAT_FORCE] = torque - brakes, long_force, lat_force
            wheels[i, DRIVE] = torque
        force_x -= p[11] * state[VX] * abs(state[VX])
        force_x -= p[12] * mass * GRAVITY_M_S2 * max(-1.0, min(1.0, 4.0 * state[VX]))
        ax, ay = force_x / mass, force_y / mass
        # what rolls and pitches the body lags behind the forces
        state[AX] += (ax - state[AX]) * min(1.0, 25.0 * h)
        state[AY] += (ay - state[AY]) * min(1.0, 25.0 * h)
        state[VX] += (ax + state[YAW_RATE] * state[VY]) * h
        state[VY] += (ay - state[YAW_RATE] * state[VX]) * h
        state[YAW_RATE] += moment / inertia * h
        if speed < 0.4 and throttle < 0.02 and (brake > 0.05 or hand_brake):
            # static friction: slip-based tyres alone would creep for ever
            hold = 0.9 if speed > 0.001 else 0.0
            state[VX] *= hold
            state[VY] *= hold
            state[YAW_RATE] *= hold
        cos, sin = math.cos(state[YAW]), math.sin(state[YAW])
        state[X] += (state[VX] * cos - state[VY] * sin) * h
        state[Y] += (state[VX] * sin + state[VY] * cos) * h
        state[YAW] += state[YAW_RATE] * h
        state[ROLLED] += 0.5 * (state[WHEEL_SPEED] + state[WHEEL_SPEED + 1]) * h


def substeps_of(dt_s: float) -> int:
    """Return how many substeps a tick of `dt_s` needs for the wheels' spin to stay stable."""
    return max(1, math.ceil(dt_s / SUBSTEP_S))


def physics_control(model: VehicleModel) -> layouts.VehiclePhysicsControl:
    """Return a model's parameters as CARLA reports them; wheel positions are relative to the actor, in centimetres."""
    curve = [
        layouts.Vector2D(rpm, model.peak_torque_nm * torque_share(rpm, model.max_rpm))
        for rpm in np.linspace(0.0, model.max_rpm, 7).tolist()
    ]
    return layouts.VehiclePhysicsControl(
        torque_curve=curve,
        max_rpm=model.max_rpm,
        moi=1.0,
        damping_rate_full_throttle=0.0,
        damping_rate_zero_throttle_clutch_engaged=0.06,
        damping_rate_zero_throttle_clutch_disengaged=0.0,
        use_gear_autobox=True,
        gear_switch_time=SHIFT_TIME_S,
        clutch_strength=10.0,
        final_ratio=model.final_ratio,
        forward_gears=[
            layouts.GearPhysicsControl(ratio, SHIFT_DOWN_AT, SHIFT_UP_AT)
            for ratio in GEAR_RATIOS[NEUTRAL + 1 :].tolist()
        ],
        mass=model.mass_kg,
        drag_coefficient=model.drag_n_s2_m2,
        center_of_mass=layouts.Vector3D(0.5 * (model.rear_axle_m - model.front_axle_m), 0.0, model.centre_of_mass_m),
        steering_curve=[
            layouts.Vector2D(x, y)
            for x, y in zip(STEERING_CURVE_KMH.tolist(), STEERING_CURVE_SHARE.tolist(), strict=True)
        ],
        wheels=[_wheel_control(model, i) for i in range(4)],
        use_sweep_wheel_collision=False,
    )


def _wheel_control(model: VehicleModel, index: int) -> layouts.WheelPhysicsControl:
    is_front = index < 2
    x_m = model.front_axle_m if is_front else -model.rear_axle_m
    y_m = 0.5 * model.track_m * (-1.0 if index % 2 == 0 else 1.0)
    share = FRONT_BRAKE_SHARE if is_front else 1.0 - FRONT_BRAKE_SHARE
    return layouts.WheelPhysicsControl(
        tire_friction=model.friction,
        damping_rate=0.0,
        max_steer_angle=math.degrees(model.max_steer_rad) if is_front else 0.0,
        radius=100.0 * model.wheel_radius_m,
        max_brake_torque=share * model.brake_torque_nm,
        max_handbrake_torque=0.0 if is_front else model.hand_brake_torque_nm,
        position=layouts.Vector3D(100.0 * x_m, 100.0 * y_m, 100.0 * model.wheel_radius_m),
    )


def with_physics_control(model: VehicleModel, control: layouts.VehiclePhysicsControl) -> VehicleModel:
    """Return the model with what of CARLA's parameters it has; the rest (clutch, damping, curves' shape) is ignored."""
    wheels = control.wheels
    peak = max((point.y for point in control.torque_curve), default=model.peak_torque_nm)
    changed = replace(
        model,
        mass_kg=max(1.0, control.mass),
        yaw_inertia_kg_m2=model.yaw_inertia_kg_m2 * max(1.0, control.mass) / model.mass_kg,
        drag_n_s2_m2=max(0.0, control.drag_coefficient),
        final_ratio=max(0.1, control.final_ratio),
        max_rpm=max(2.0 * IDLE_RPM, control.max_rpm),
        peak_torque_nm=max(0.0, peak) / _PEAK_SHARE,
    )
    if len(wheels) != 4:
        return changed
    return replace(
        changed,
        friction=max(0.05, sum(wheel.tire_friction for wheel in wheels) / 4.0),
        wheel_radius_m=max(0.05, wheels[0].radius / 100.0),
        max_steer_rad=math.radians(max(wheel.max_steer_angle for wheel in wheels)),
        brake_torque_nm=wheels[0].max_brake_torque + wheels[2].max_brake_torque,
        hand_brake_torque_nm=wheels[2].max_handbrake_torque,
    )


_PEAK_SHARE = max(torque_share(rpm, 6000.0) for rpm in np.linspace(0.0, 6000.0, 7).tolist())


def telemetry(
    model: VehicleModel, state: NDArray[np.float64], wheels: NDArray[np.float64], control: layouts.VehicleControl
) -> layouts.VehicleTelemetryData:
    """Return what a vehicle does now, from the last substep of its last tick."""
    gear = int(state[GEAR])
    axle_speed = 0.5 * float(state[WHEEL_SPEED + 2] + state[WHEEL_SPEED + 3])
    rpm = max(IDLE_RPM, abs(axle_speed * float(GEAR_RATIOS[gear]) * model.final_ratio) * RPM_PER_RAD_S)
    speed = math.hypot(float(state[VX]), float(state[VY]))
    rest_load = model.mass_kg * GRAVITY_M_S2 / 4.0
    return layouts.VehicleTelemetryData(
        speed=speed,
        steer=control.steer,
        throttle=control.throttle,
        brake=control.brake,
        engine_rpm=rpm,
        gear=gear - NEUTRAL,
        drag=model.drag_n_s2_m2 * speed * speed,
        wheels=[
            layouts.WheelTelemetryData(
                tire_friction=model.friction,
                lat_slip=row[LAT_SLIP],
                long_slip=row[LONG_SLIP],
                omega=float(state[WHEEL_SPEED + i]),
                tire_load=row[LOAD],
                normalized_tire_load=row[LOAD] / rest_load,
                torque=row[TORQUE],
                long_force=row[LONG_FORCE],
                lat_force=row[LAT_FORCE],
                normalized_long_force=row[LONG_FORCE] / rest_load,
                normalized_lat_force=row[LAT_FORCE] / rest_load,
            )
            for i, row in enumerate(wheels.tolist())
        ],
    )
