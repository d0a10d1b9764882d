"""What a vehicle is to its physics: mass, suspension, engine, gearbox, steering and four wheels, for each class.

The numbers are SI and angles are radians, except where CARLA's own unit is the one that programs know: a tyre's
friction and stiffnesses are those of CARLA's WheelPhysicsControl, at whose defaults a tyre behaves as on dry asphalt.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bridge.town.blueprints import VehicleClass

GRAVITY_M_S2 = 9.81
RPM_PER_RAD_S = 60.0 / (2.0 * math.pi)
AIR_KG_M3 = 1.225
REFERENCE_FRICTION = 3.5
"""CARLA's default tyre friction; the tyre model's friction coefficient is 1 there."""
REFERENCE_LAT_STIFFNESS, REFERENCE_LONG_STIFFNESS = 17.0, 1000.0
NEUTRAL = 1
"""Index of neutral in the table of gears: reverse, neutral, then the forward gears."""

# the parameters as the compiled step reads them, in the order of `VehicleModel.vector`
(
    MASS, YAW_INERTIA, CENTRE_X, CENTRE_Z, RIDE_HZ, DAMPING, LEANS, DRAG_N_S2_M2, ROLLING, MAX_RPM, IDLE_RPM,
    ENGINE_INERTIA, DAMPING_FULL, DAMPING_ENGAGED, DAMPING_DISENGAGED, SHIFT_TIME, CLUTCH, FINAL_RATIO, EFFICIENCY,
    AUTOBOX,
) = range(20)  # fmt: skip
# and the columns of `VehicleModel.wheel_table`
W_X, W_Y, W_RADIUS, W_INERTIA, W_FRICTION, W_LAT, W_LONG, W_MAX_LOAD, W_STEER, W_BRAKE, W_HAND, W_DAMPING, W_DRIVEN = (
    range(13)
)


@dataclass(frozen=True)
class Wheel:
    """One wheel: where its tyre meets the ground (metres from the actor), and what engine and brakes do to it."""

    x_m: float
    y_m: float
    radius_m: float
    inertia_kg_m2: float
    tire_friction: float
    lat_stiff_value: float
    long_stiff_value: float
    lat_stiff_max_load: float
    max_steer_rad: float
    brake_torque_nm: float
    hand_brake_torque_nm: float
    damping_nm_s: float
    driven_share: float


@dataclass(frozen=True)
class Gear:
    """A forward gear: its ratio, and the shares of the maximum rpm at which the box leaves it downwards and upwards."""

    ratio: float
    shift_down_at: float = 0.34
    shift_up_at: float = 0.8


Curve = tuple[tuple[float, float], ...]
"""Points of a curve that is straight in between: (rpm, Nm) or (km/h, share)."""


@dataclass(frozen=True)
class VehicleModel:
    """The parameters of one vehicle; `centre_x_m`, `centre_z_m` say where its mass is, `frontal_area_m2` meets the air.

    `leans` is true for what balances on two wheels. `torque_curve` is the engine's at full throttle.
    """

    mass_kg: float
    yaw_inertia_kg_m2: float
    centre_z_m: float
    wheels: tuple[Wheel, Wheel, Wheel, Wheel]
    torque_curve: Curve
    max_rpm: float
    frontal_area_m2: float
    drag_coefficient: float
    final_ratio: float
    gears: tuple[Gear, ...] = (Gear(3.6), Gear(2.1), Gear(1.45), Gear(1.1), Gear(0.86), Gear(0.7))
    reverse_ratio: float = -3.4
    steering_curve: Curve = ((0.0, 0.5), (12.0, 0.55), (25.0, 0.9), (60.0, 0.8), (120.0, 0.7))
    centre_x_m: float = 0.0
    ride_hz: float = 1.5
    damping_ratio: float = 0.6
    leans: bool = False
    rolling_resistance: float = 0.012
    idle_rpm: float = 900.0
    engine_inertia_kg_m2: float = 1.0
    damping_full_throttle: float = 0.0
    damping_engaged: float = 0.06
    damping_disengaged: float = 0.35
    gear_switch_time_s: float = 0.35
    clutch_strength: float = 10.0
    driveline_efficiency: float = 0.92
    use_gear_autobox: bool = True

    @property
    def wheelbase_m(self) -> float:
        """Distance between the axles."""
        return self.wheels[0].x_m - self.wheels[2].x_m

    @property
    def drag_n_s2_m2(self) -> float:
        """Air drag over the square of the speed."""
        return 0.5 * AIR_KG_M3 * self.drag_coefficient * self.frontal_area_m2

    def vector(self) -> NDArray[np.float64]:
        """Return the scalar parameters as the compiled step reads them."""
        return np.array(
            [
                self.mass_kg,
                self.yaw_inertia_kg_m2,
                self.centre_x_m,
                self.centre_z_m,
                self.ride_hz,
                self.damping_ratio,
                float(self.leans),
                self.drag_n_s2_m2,
                self.rolling_resistance,
                self.max_rpm,
                self.idle_rpm,
                self.engine_inertia_kg_m2,
                self.damping_full_throttle,
                self.damping_engaged,
                self.damping_disengaged,
                self.gear_switch_time_s,
                self.clutch_strength,
                self.final_ratio,
                self.driveline_efficiency,
                float(self.use_gear_autobox),
            ]
        )

    def wheel_table(self) -> NDArray[np.float64]:
        """Return the wheels (4, 13), front left, front right, rear left, rear right."""
        return np.array([astuple(wheel) for wheel in self.wheels])

    def gear_table(self) -> NDArray[np.float64]:
        """Return ratio, shift-down and shift-up share of reverse, neutral and the forward gears, (n, 3)."""
        return np.array([(self.reverse_ratio, 0.0, 9.0), (0.0, 0.0, 9.0), *(astuple(gear) for gear in self.gears)])


def engine_curve(peak_torque_nm: float, max_rpm: float) -> Curve:
    """Return the torque curve of a petrol engine with its peak at about 60 % of the maximum speed."""
    shares = [q / 6.0 for q in range(7)]
    return tuple((q * max_rpm, peak_torque_nm * (0.72 + 1.15 * q - 0.95 * q * q) / 1.068) for q in shares)


def _wheels(
    front_m: float,
    rear_m: float,
    track_m: float,
    radius_m: float,
    inertia_kg_m2: float,
    friction: float,
    brake_nm: float,
    hand_brake_nm: float,
    max_steer_deg: float = 70.0,
) -> tuple[Wheel, Wheel, Wheel, Wheel]:
    """Return four wheels of which the front ones steer and the rear ones drive and hold; the front ones brake more."""

    def wheel(x_m: float, y_m: float) -> Wheel:
        front = x_m > 0.0
        return Wheel(
            x_m,
            y_m,
            radius_m,
            inertia_kg_m2,
            REFERENCE_FRICTION * friction,
            REFERENCE_LAT_STIFFNESS,
            REFERENCE_LONG_STIFFNESS,
            2.0,
            math.radians(max_steer_deg) if front else 0.0,
            (0.62 if front else 0.38) * brake_nm,
            0.0 if front else hand_brake_nm,
            0.03 * inertia_kg_m2,
            0.0 if front else 0.5,
        )

    half = 0.5 * track_m
    return wheel(front_m, -half), wheel(front_m, half), wheel(-rear_m, -half), wheel(-rear_m, half)


_RIDERS_STEERING: Curve = ((0.0, 1.0), (20.0, 0.8), (40.0, 0.6), (80.0, 0.4))
"""Riders turn their bars little at speed."""

_MODELS: dict[VehicleClass, VehicleModel] = {
    "car": VehicleModel(
        1500.0, 2400.0, 0.52, _wheels(1.25, 1.45, 1.56, 0.33, 1.1, 1.0, 2600.0, 3200.0), engine_curve(267.0, 6200.0),
        6200.0, 2.28, 0.30, 3.7,
    ),
    "van": VehicleModel(
        2300.0, 4800.0, 0.75, _wheels(1.5, 1.8, 1.7, 0.36, 1.6, 0.95, 4200.0, 5000.0), engine_curve(363.0, 6200.0),
        6200.0, 3.6, 0.34, 4.1,
    ),
    "truck": VehicleModel(
        4200.0, 13000.0, 0.95, _wheels(1.9, 2.2, 1.9, 0.45, 4.0, 0.9, 9000.0, 10000.0), engine_curve(662.0, 4200.0),
        4200.0, 6.0, 0.44, 5.2,
    ),
    "bus": VehicleModel(
        6500.0, 36000.0, 1.1, _wheels(2.4, 2.6, 2.0, 0.48, 5.0, 0.9, 15000.0, 16000.0, 70.0),
        engine_curve(961.0, 3600.0), 3600.0, 7.5, 0.48, 5.4,
    ),
    "motorcycle": VehicleModel(
        280.0, 60.0, 0.6, _wheels(0.72, 0.78, 0.0, 0.31, 0.5, 1.05, 480.0, 500.0, 40.0), engine_curve(75.0, 9000.0),
        9000.0, 0.7, 0.7, 3.7, steering_curve=_RIDERS_STEERING, leans=True,
    ),
    "bicycle": VehicleModel(
        # a cyclist moves back when he brakes: so does a mass that sits lower
        95.0, 14.0, 0.6, _wheels(0.52, 0.54, 0.0, 0.34, 0.15, 0.9, 130.0, 130.0, 25.0), engine_curve(9.6, 2400.0),
        2400.0, 0.55, 0.74, 3.7, steering_curve=_RIDERS_STEERING, leans=True, engine_inertia_kg_m2=0.05,
        damping_engaged=0.0, damping_disengaged=0.005,
    ),
}  # fmt: skip


_CLASS_HALF_EXTENTS_M: dict[VehicleClass, tuple[float, float, float]] = {
    "car": (2.33, 0.91, 0.74),
    "van": (2.8, 1.0, 1.25),
    "truck": (3.6, 1.25, 1.6),
    "bus": (5.14, 1.3, 1.65),
    "motorcycle": (1.1, 0.37, 0.87),
    "bicycle": (0.87, 0.3, 0.87),
}
"""The box of the vehicle that a class's parameters describe."""


def model_of(kind: VehicleClass, half_extents_m: tuple[float, float, float] | None = None) -> VehicleModel:
    """Return the parameters of a class of vehicle, fitted to a body: a larger one is longer, heavier and stronger."""
    model = _MODELS[kind]
    if half_extents_m is None:
        return model
    length, width, height = (
        mine / usual for mine, usual in zip(half_extents_m, _CLASS_HALF_EXTENTS_M[kind], strict=True)
    )
    heavier = min(3.0, max(0.4, length * width * height))
    front_left, front_right, rear_left, rear_right = (
        replace(
            wheel,
            x_m=length * wheel.x_m,
            y_m=width * wheel.y_m,
            brake_torque_nm=heavier * wheel.brake_torque_nm,
            hand_brake_torque_nm=heavier * wheel.hand_brake_torque_nm,
        )
        for wheel in model.wheels
    )
    return replace(
        model,
        mass_kg=round(heavier * model.mass_kg),
        yaw_inertia_kg_m2=heavier * length * length * model.yaw_inertia_kg_m2,
        frontal_area_m2=width * height * model.frontal_area_m2,
        wheels=(front_left, front_right, rear_left, rear_right),
        torque_curve=tuple((rpm, heavier * torque_nm) for rpm, torque_nm in model.torque_curve),
    )
