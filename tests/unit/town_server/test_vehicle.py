"""The car: how fast it goes, stops and turns, and that it stands still."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bridge.town import vehicle as dynamics
from bridge.town.blueprints import VehicleClass

CLASSES: tuple[VehicleClass, ...] = ("car", "van", "truck", "bus", "motorcycle", "bicycle")


class Drive:
    """One vehicle on an endless plane."""

    def __init__(self, kind: VehicleClass, speed_m_s: float = 0.0) -> None:
        self.model = dynamics.model_of(kind)
        self.state = np.zeros(dynamics.STATE_SIZE)
        self.state[dynamics.GEAR] = dynamics.NEUTRAL + (1 if speed_m_s < 20.0 else 4)
        self.state[dynamics.VX] = speed_m_s
        self.state[dynamics.WHEEL_SPEED : dynamics.WHEEL_SPEED + 4] = speed_m_s / self.model.wheel_radius_m
        self.wheels = np.zeros((4, 7))

    def go(self, seconds: float, throttle=0.0, steer=0.0, brake=0.0, hand_brake=False, reverse=False) -> Drive:
        for _ in range(round(seconds / 0.05)):
            dynamics.advance(
                self.state, self.model.vector(), self.wheels, throttle, steer, brake, hand_brake, reverse, 0.05,
                dynamics.substeps_of(0.05),
            )  # fmt: skip
        return self

    @property
    def speed_m_s(self) -> float:
        return math.hypot(self.state[dynamics.VX], self.state[dynamics.VY])


def test_car_accelerates_and_brakes_like_a_car() -> None:
    car, seconds = Drive("car"), 0.0
    while car.speed_m_s < 100 / 3.6:
        car.go(0.05, throttle=1.0)
        seconds += 0.05
    assert 8.0 < seconds < 14.0
    stopping = Drive("car", 100 / 3.6).go(6.0, brake=1.0)
    assert stopping.speed_m_s == 0.0
    assert 38.0 < stopping.state[dynamics.X] < 50.0


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_goes_stops_and_stays(kind: VehicleClass) -> None:
    vehicle = Drive(kind).go(12.0, throttle=0.8)
    assert vehicle.speed_m_s > 9.0
    vehicle.go(12.0, brake=1.0)
    assert vehicle.speed_m_s == 0.0
    place = vehicle.state[:3].copy()
    vehicle.go(10.0)
    assert (vehicle.state[:3] == place).all()


@pytest.mark.parametrize("kind", CLASSES)
def test_wild_steering_never_explodes(kind: VehicleClass) -> None:
    vehicle = Drive(kind, 25.0)
    for number in range(200):
        vehicle.go(0.05, throttle=1.0, steer=math.sin(number), hand_brake=number % 40 > 30)
        assert np.isfinite(vehicle.state).all()
        assert vehicle.speed_m_s < 60.0


def test_steering_is_right_positive_and_symmetric() -> None:
    right, left = (
        Drive("car", 8.0).go(2.0, steer=0.5, throttle=0.2),
        Drive("car", 8.0).go(2.0, steer=-0.5, throttle=0.2),
    )
    assert right.state[dynamics.YAW] > 0.5 and right.state[dynamics.Y] > 1.0
    assert right.state[dynamics.YAW] == pytest.approx(-left.state[dynamics.YAW], rel=1e-9)
    assert right.state[dynamics.Y] == pytest.approx(-left.state[dynamics.Y], rel=1e-9)


def test_turning_circle_of_a_car() -> None:
    car, places = Drive("car", 3.0), []
    for _ in range(300):
        car.go(0.05, steer=1.0, throttle=0.1 if car.speed_m_s < 3.0 else 0.0)
        places.append(car.state[dynamics.Y])
    assert 6.0 < max(places) - min(places) < 13.0


def test_reverse_and_hand_brake() -> None:
    back = Drive("car").go(3.0, throttle=0.6, reverse=True)
    assert back.state[dynamics.VX] < -4.0 and back.state[dynamics.GEAR] == 0
    assert Drive("car", 14.0).go(1.5, steer=0.6, hand_brake=True).state[dynamics.YAW] > math.radians(60.0)


def test_same_calls_give_the_same_bits() -> None:
    runs = [Drive("car").go(5.0, throttle=0.8, steer=0.2).go(2.0, brake=0.7).state for _ in range(2)]
    assert runs[0].tobytes() == runs[1].tobytes()


def test_no_engine_braking_below_idle_pushes_backwards() -> None:
    rolling = Drive("car", 2.0).go(40.0)
    assert 0.0 <= rolling.state[dynamics.VX] < 1.0


def test_physics_control_comes_back() -> None:
    for kind in CLASSES:
        model = dynamics.model_of(kind)
        assert dynamics.with_physics_control(model, dynamics.physics_control(model)) == model


def test_telemetry_carries_the_weight() -> None:
    car = Drive("car").go(3.0, throttle=0.5)
    from bridge.carla_wire.layouts import VehicleControl

    told = dynamics.telemetry(car.model, car.state, car.wheels, VehicleControl(throttle=0.5))
    assert sum(wheel.tire_load for wheel in told.wheels) == pytest.approx(car.model.mass_kg * 9.81, rel=1e-6)
    assert told.gear >= 1 and told.engine_rpm > 900.0
    driven = [wheel.torque for wheel in told.wheels]
    assert driven[0] == 0.0 and driven[2] > 0.0
