"""How a vehicle moves: a sprung body on four tyres, in CARLA's axes (x forward, y right, yaw clockwise from above).

Wheel spin, suspension with load transfer, combined-slip tyres (a simplified magic formula), an engine with a clutch and
an automatic or manual gearbox, brakes, hand brake, and a steering rack of limited speed with Ackermann geometry. Bodies
heave, pitch and roll on their springs; what has two wheels leans into the bend instead. The state of one vehicle is a
vector of float64, and one call advances it by a tick in short substeps; the same calls give the same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from bridge.town.vehicle_model import (
    AUTOBOX,
    CENTRE_X,
    CENTRE_Z,
    CLUTCH,
    DAMPING,
    DAMPING_DISENGAGED,
    DAMPING_ENGAGED,
    DAMPING_FULL,
    DRAG_N_S2_M2,
    EFFICIENCY,
    ENGINE_INERTIA,
    FINAL_RATIO,
    GRAVITY_M_S2,
    IDLE_RPM,
    LEANS,
    MASS,
    MAX_RPM,
    NEUTRAL,
    REFERENCE_FRICTION,
    REFERENCE_LAT_STIFFNESS,
    REFERENCE_LONG_STIFFNESS,
    RIDE_HZ,
    ROLLING,
    RPM_PER_RAD_S,
    SHIFT_TIME,
    W_BRAKE,
    W_DAMPING,
    W_DRIVEN,
    W_FRICTION,
    W_HAND,
    W_INERTIA,
    W_LAT,
    W_LONG,
    W_MAX_LOAD,
    W_RADIUS,
    W_STEER,
    W_X,
    W_Y,
    YAW_INERTIA,
)

SUBSTEP_S = 0.0025
STEERING_SPEED_RAD_S = 4.0
TYRE_B, TYRE_C = 9.5, 1.45
"""Shape of the slip curve at CARLA's default stiffnesses."""
STOP_M, STOP_STIFFNESS = 0.08, 5.0
"""How far a spring gives before the bump stop, and how much harder that is."""
LEAN_PER_S = 6.0
TRACTION_SLIP, RIDER_SLIP = 0.12, 0.04
"""Slip of the driven wheels from which the engine gives way; at twice that it gives nothing. So do a rider's brakes."""
RIDER_GRIP, PEAK_SLIP_RAD = 0.95, 0.2
"""A rider turns the bars no further than to where a tyre pulls most, in a bend that this share of its grip holds."""
RIDER_PER_S = 10.0
"""How fast a rider brings back a machine that turns further than its front wheel points."""
PITCH_SHARE, ROLL_ARM = 0.9, 0.4
"""Pitch inertia over yaw inertia; radius of gyration in roll over the track."""

# the state vector
X, Y, YAW, VX, VY, YAW_RATE = range(6)
WHEEL_SPEED = 6  # four wheels: front left, front right, rear left, rear right
AY, GEAR, SHIFTING, STEER, ROLLED, ENGINE = range(10, 16)
Z, CLIMB, PITCH, PITCH_RATE, ROLL, ROLL_RATE = range(16, 22)
STATE_SIZE = 22
# the driver's controls
THROTTLE, STEERING, BRAKE, HAND_BRAKE, REVERSE, MANUAL, WANTED_GEAR, GRAVITY = range(8)
CONTROLS_SIZE = 8
# columns of the wheels' telemetry (4, 6)
LOAD, LONG_SLIP, LAT_SLIP, TORQUE, LONG_FORCE, LAT_FORCE = range(6)
TELEMETRY_SIZE = 6


@njit("void(float64[::1], float64[::1], float64[:, ::1], float64[::1], float64)", nogil=True, cache=True)
def _shift(state, p, gears, controls, rpm):
    """Choose the gear: the driver's in manual mode, else the box's; a shift opens the clutch for a while."""
    gear = int(state[GEAR])
    wanted = gear
    if controls[MANUAL] > 0.0:
        wanted = int(min(len(gears) - 1.0, max(0.0, controls[WANTED_GEAR] + NEUTRAL)))
    elif controls[REVERSE] > 0.0:
        wanted = 0
    elif gear < NEUTRAL or (gear == NEUTRAL and controls[THROTTLE] > 0.0):
        wanted = NEUTRAL + 1
    elif gear > NEUTRAL and p[AUTOBOX] > 0.0 and state[SHIFTING] <= 0.0:
        if rpm > p[MAX_RPM] * gears[gear, 2] and gear < len(gears) - 1 and controls[THROTTLE] > 0.1:
            wanted = gear + 1
        elif rpm < p[MAX_RPM] * gears[gear, 1] and gear > NEUTRAL + 1:
            wanted = gear - 1
    if wanted != gear and wanted > NEUTRAL and gear > NEUTRAL:
        state[SHIFTING] = p[SHIFT_TIME]
    state[GEAR] = wanted


@njit(
    "float64(float64[::1], float64[::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[::1], float64)",
    nogil=True,
    cache=True,
)
def _drive_torque(state, p, wheels, torque_curve, gears, controls, h):
    """Return the torque at the driven wheels in Nm, engine braking included, and turn the engine."""
    axle_speed = 0.0
    for i in range(4):
        axle_speed += wheels[i, W_DRIVEN] * state[WHEEL_SPEED + i]
    state[SHIFTING] = max(0.0, state[SHIFTING] - h)
    ratio = gears[int(state[GEAR]), 0] * p[FINAL_RATIO]
    # the box goes by the speed over ground: spinning wheels would make it hunt
    _shift(state, p, gears, controls, abs(state[VX] / wheels[2, W_RADIUS] * ratio) * RPM_PER_RAD_S)
    ratio = gears[int(state[GEAR]), 0] * p[FINAL_RATIO]
    throttle, idle, top = controls[THROTTLE], p[IDLE_RPM] / RPM_PER_RAD_S, p[MAX_RPM] / RPM_PER_RAD_S
    # traction control, or a rider who feels the rear wheel slip: a full throttle in a bend must not end every drive
    allowed = RIDER_SLIP if p[LEANS] > 0.0 else TRACTION_SLIP
    slip = (abs(axle_speed) * wheels[2, W_RADIUS] - abs(state[VX])) / max(abs(state[VX]), 1.2)
    throttle *= min(1.0, max(0.0, 2.0 - slip / allowed))
    rpm = state[ENGINE] * RPM_PER_RAD_S
    full = np.interp(rpm, torque_curve[:, 0], torque_curve[:, 1]) if rpm < p[MAX_RPM] else 0.0
    if ratio == 0.0 or state[SHIFTING] > 0.0:
        loss = p[DAMPING_DISENGAGED] * (1.0 - throttle) + p[DAMPING_FULL] * throttle
        state[ENGINE] += (throttle * full - loss * state[ENGINE]) / max(0.01, p[ENGINE_INERTIA]) * h
        state[ENGINE] = min(max(idle, state[ENGINE]), top)
        return 0.25 * throttle * full * p[EFFICIENCY] * ratio
    # below its launch speed the engine turns against a slipping clutch
    wheels_turn = axle_speed * ratio
    launch = idle + throttle * max(0.0, 0.3 * top - idle)
    state[ENGINE] += (max(launch, wheels_turn) - state[ENGINE]) * min(1.0, p[CLUTCH] * h)
    state[ENGINE] = min(state[ENGINE], 1.1 * top)
    torque = throttle * full * p[EFFICIENCY] * ratio if wheels_turn < top else 0.0
    loss = p[DAMPING_ENGAGED] * (1.0 - throttle) + p[DAMPING_FULL] * throttle
    return torque - loss * wheels_turn * ratio


@njit("float64(float64, float64, float64, float64)", nogil=True, cache=True)
def wheel_angle(steer, x_m, y_m, rear_x_m):
    """Return a wheel's angle when the middle of its axle steers by `steer` about the rear axle (Ackermann)."""
    tangent = math.tan(steer)
    across = 1.0 - y_m / max(0.1, x_m - rear_x_m) * tangent
    return math.atan(tangent / max(0.15, across))


@njit(
    "void(float64[::1], float64[::1], float64[:, ::1], float64[:, ::1], float64, float64[:, ::1], float64)",
    nogil=True,
    cache=True,
)
def _spring_loads(state, p, wheels, ground, share, out, gravity):
    """Write the load that each spring puts on its tyre, N; `ground` (4, 3): z, its change in the tick, its speed."""
    front, rear = wheels[0, W_X] - p[CENTRE_X], p[CENTRE_X] - wheels[2, W_X]
    for i in range(4):
        carried = 0.5 * p[MASS] * (rear if i < 2 else front) / (front + rear)
        stiffness = carried * (2.0 * math.pi * p[RIDE_HZ]) ** 2
        arm_x, arm_y = wheels[i, W_X] - p[CENTRE_X], wheels[i, W_Y]
        roll, roll_rate = (0.0, 0.0) if p[LEANS] > 0.0 else (state[ROLL], state[ROLL_RATE])
        height = state[Z] + arm_x * math.sin(state[PITCH]) - arm_y * math.sin(roll)
        rising = state[CLIMB] + arm_x * state[PITCH_RATE] - arm_y * roll_rate
        given = ground[i, 0] + share * ground[i, 1] - height
        load = carried * gravity + stiffness * given
        load += 2.0 * p[DAMPING] * math.sqrt(stiffness * carried) * (ground[i, 2] - rising)
        if given > STOP_M:
            load += STOP_STIFFNESS * stiffness * (given - STOP_M)
        free = given < -carried * GRAVITY_M_S2 / stiffness
        out[i, LOAD] = 0.0 if free else min(max(0.0, load), 8.0 * carried * GRAVITY_M_S2)


@njit(
    "void(float64[::1], float64[::1], float64[:, ::1], int64, float64, float64, float64[::1], float64[:, ::1],"
    " float64[::1], float64)",
    nogil=True,
    cache=True,
)
def _roll_wheel(state, p, wheels, i, angle, drive, controls, out, total, h):
    """Turn one wheel on its tyre, and add its force and moment on the body to `total` (x, y, moment about z)."""
    load, radius = out[i, LOAD], wheels[i, W_RADIUS]
    arm_x, arm_y = wheels[i, W_X] - p[CENTRE_X], wheels[i, W_Y]
    cos, sin = math.cos(angle), math.sin(angle)
    at_x, at_y = state[VX] - state[YAW_RATE] * arm_y, state[VY] + state[YAW_RATE] * arm_x
    along, across = at_x * cos + at_y * sin, -at_x * sin + at_y * cos
    spin = state[WHEEL_SPEED + i]
    reference = max(abs(along), max(abs(spin * radius), 1.2))
    long_slip, lat_slip = (spin * radius - along) / reference, -across / reference
    # a tyre's lateral stiffness stops growing at some load
    rest = 0.25 * p[MASS] * GRAVITY_M_S2 * wheels[i, W_MAX_LOAD]
    soft = min(1.0, rest / max(load, 1.0))
    long_pull = long_slip * math.sqrt(wheels[i, W_LONG] / REFERENCE_LONG_STIFFNESS)
    lat_pull = lat_slip * wheels[i, W_LAT] / REFERENCE_LAT_STIFFNESS * soft
    slip = math.hypot(long_pull, lat_pull) + 1e-9
    friction = wheels[i, W_FRICTION] / REFERENCE_FRICTION
    grip = friction * load * math.sin(TYRE_C * math.atan(TYRE_B * slip))
    long_force, lat_force = grip * long_pull / slip, grip * lat_pull / slip
    torque = wheels[i, W_DRIVEN] * drive - wheels[i, W_DAMPING] * spin
    brakes = controls[BRAKE] * wheels[i, W_BRAKE]
    if p[LEANS] > 0.0:
        # hard braking unloads the rear wheel: locked it would overtake the front one
        brakes *= min(1.0, max(0.0, 2.0 - abs(long_slip) / RIDER_SLIP))
    brakes += controls[HAND_BRAKE] * wheels[i, W_HAND]
    # implicit in the tyre's stiffness: explicit steps of this size would make a slow wheel chatter
    stiffness = friction * load * TYRE_B * TYRE_C / reference
    response = h / (wheels[i, W_INERTIA] + h * stiffness * radius * radius)
    spin += (torque - long_force * radius) * response
    bite = brakes * response
    spin = 0.0 if abs(spin) <= bite else spin - math.copysign(bite, spin)
    state[WHEEL_SPEED + i] = spin
    out[i, LONG_SLIP], out[i, LAT_SLIP], out[i, TORQUE] = long_slip, lat_slip, torque - brakes
    out[i, LONG_FORCE], out[i, LAT_FORCE] = long_force, lat_force
    long_force -= p[ROLLING] * load * max(-1.0, min(1.0, 4.0 * along))
    force_x, force_y = long_force * cos - lat_force * sin, long_force * sin + lat_force * cos
    total[0] += force_x
    total[1] += force_y
    total[2] += arm_x * force_y - arm_y * force_x


@njit(
    "void(float64[::1], float64[::1], float64[:, ::1], float64[:, ::1], float64[::1], float64, float64)",
    nogil=True,
    cache=True,
)
def _move_on_springs(state, p, wheels, out, total, gravity, h):
    """Heave, pitch and roll under the springs and the tyres' pull; what has two wheels leans into the bend."""
    lift, pitch_moment, roll_moment = 0.0, total[0] * p[CENTRE_Z], -total[1] * p[CENTRE_Z]
    for i in range(4):
        lift += out[i, LOAD]
        pitch_moment += out[i, LOAD] * (wheels[i, W_X] - p[CENTRE_X])
        roll_moment -= out[i, LOAD] * wheels[i, W_Y]
    state[CLIMB] += (lift / p[MASS] - gravity) * h
    state[Z] += state[CLIMB] * h
    state[PITCH_RATE] += pitch_moment / (PITCH_SHARE * p[YAW_INERTIA]) * h
    state[PITCH] += state[PITCH_RATE] * h
    if p[LEANS] > 0.0:
        turn = LEAN_PER_S * (math.atan(state[AY] / GRAVITY_M_S2) - state[ROLL])
        state[ROLL_RATE] = turn
        state[ROLL] += turn * min(h, 1.0 / LEAN_PER_S)
        return
    track = ROLL_ARM * max(0.5, wheels[1, W_Y] - wheels[0, W_Y])
    state[ROLL_RATE] += roll_moment / (p[MASS] * track * track) * h
    state[ROLL] += state[ROLL_RATE] * h


@njit(
    "void(float64[::1], float64[::1], float64[::1], float64[::1], float64, float64, float64, boolean, float64)",
    nogil=True,
    cache=True,
)
def _move_over_ground(state, p, total, controls, base, friction, slope_m_s2, stands, h):
    """Move and turn the body under the tyres' forces, air drag and the slope of the ground.

    `base` is the wheelbase in metres, `friction` the tyres' on dry asphalt's scale.
    """
    force_x = total[0] - p[DRAG_N_S2_M2] * state[VX] * abs(state[VX]) - p[MASS] * slope_m_s2
    force_y = total[1] - p[DRAG_N_S2_M2] * state[VY] * abs(state[VY])
    ax, ay = force_x / p[MASS], force_y / p[MASS]
    state[AY] += (ay - state[AY]) * min(1.0, 25.0 * h)
    state[VX] += (ax + state[YAW_RATE] * state[VY]) * h
    state[VY] += (ay - state[YAW_RATE] * state[VX]) * h
    state[YAW_RATE] += total[2] / p[YAW_INERTIA] * h
    if p[LEANS] > 0.0 and stands:
        # braked or pushed too hard, a machine on two wheels would overtake itself: its rider balances that
        held = RIDER_GRIP * GRAVITY_M_S2 * friction / max(0.5, abs(state[VX]))
        along = max(-held, min(held, state[VX] * math.tan(state[STEER]) / base))
        rest = max(min(along, 0.0), min(max(along, 0.0), state[YAW_RATE]))
        state[YAW_RATE] += (rest - state[YAW_RATE]) * min(1.0, RIDER_PER_S * h)
    speed = math.hypot(state[VX], state[VY])
    held = controls[BRAKE] > 0.05 or controls[HAND_BRAKE] > 0.0
    if speed < 0.4 and controls[THROTTLE] < 0.02 and held and stands:
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


@njit(
    "float64(float64[::1], float64[::1], float64[:, ::1], float64[:, ::1], float64[::1], float64, float64)",
    nogil=True,
    cache=True,
)
def _wanted_steer(state, p, wheels, steering_curve, controls, base, friction):
    """Return the angle of the front axle that the driver asks for, less at speed; riders do not ask for a fall."""
    speed = math.hypot(state[VX], state[VY])
    limit = max(wheels[0, W_STEER], wheels[1, W_STEER])
    wanted = controls[STEERING] * limit * np.interp(3.6 * speed, steering_curve[:, 0], steering_curve[:, 1])
    if p[LEANS] > 0.0:
        held = math.atan(RIDER_GRIP * GRAVITY_M_S2 * friction * base / max(0.01, speed * speed)) + PEAK_SLIP_RAD
        wanted = max(-held, min(held, wanted))
    return wanted


@njit(
    "void(float64[::1], float64[::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1],"
    " float64[::1], float64[:, ::1], float64[:, ::1], float64, int64)",
    nogil=True,
    cache=True,
)
def advance(state, p, wheels, torque_curve, steering_curve, gears, controls, ground, out, dt, substeps):
    """Advance one vehicle by `dt` seconds.

    `p`, `wheels`, `torque_curve`, `steering_curve`, `gears` are its model's tables; `ground` (4, 3) says for each wheel
    the ground's z in metres at the tick's beginning, by how much it changes until its end, and how fast; `out` (4, 6)
    receives the last substep's tyres.
    """
    h = dt / substeps
    gravity = controls[GRAVITY]
    base, friction = wheels[0, W_X] - wheels[2, W_X], wheels[0, W_FRICTION] / REFERENCE_FRICTION
    total = np.zeros(3)
    for n in range(substeps):
        share = (n + 1.0) / substeps
        turn = _wanted_steer(state, p, wheels, steering_curve, controls, base, friction) - state[STEER]
        state[STEER] += max(-STEERING_SPEED_RAD_S * h, min(STEERING_SPEED_RAD_S * h, turn))
        drive = _drive_torque(state, p, wheels, torque_curve, gears, controls, h)
        _spring_loads(state, p, wheels, ground, share, out, gravity)
        total[:] = 0.0
        for i in range(4):
            steers = wheels[i, W_STEER] > 0.0
            angle = wheel_angle(state[STEER], wheels[i, W_X], wheels[i, W_Y], wheels[2, W_X]) if steers else 0.0
            _roll_wheel(state, p, wheels, i, angle, drive, controls, out, total, h)
        front = 0.5 * (ground[0, 0] + ground[1, 0] + share * (ground[0, 1] + ground[1, 1]))
        rear = 0.5 * (ground[2, 0] + ground[3, 0] + share * (ground[2, 1] + ground[3, 1]))
        # the ground's slope pulls at what stands on it; a kerb between the axles is a slope, too
        stands = out[0, LOAD] + out[1, LOAD] + out[2, LOAD] + out[3, LOAD] > 0.0
        slope_m_s2 = gravity * (front - rear) / base if stands else 0.0
        _move_on_springs(state, p, wheels, out, total, gravity, h)
        _move_over_ground(state, p, total, controls, base, friction, slope_m_s2, stands, h)


def substeps_of(dt_s: float) -> int:
    """Return how many substeps a tick of `dt_s` needs for the wheels' spin to stay stable."""
    return max(1, math.ceil(dt_s / SUBSTEP_S))
