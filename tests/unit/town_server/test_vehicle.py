"""The vehicle: how fast it goes, stops and turns, what its springs and gears do, and that it stands still."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bridge.carla_wire.layouts import VehicleControl
from bridge.town import vehicle as dynamics
from bridge.town.ackermann import AckermannDriver
from bridge.town.blueprints import VehicleClass
from bridge.town.chassis import Chassis
from bridge.town.pose import Pose
from bridge.town.vehicle_model import VehicleModel, model_of
from bridge.town.vehicle_reports import physics_control, with_physics_control

CLASSES: tuple[VehicleClass, ...] = ("car", "van", "truck", "bus", "motorcycle", "bicycle")
STANDARD_GRAVITY = 9.81


class Drive:
    """One vehicle on an endless plane, on which `kerb_at_m` may be a step of `kerb_m`."""

    def __init__(self, kind: VehicleClass, speed_m_s: float = 0.0, model: VehicleModel | None = None) -> None:
        self.chassis = Chassis(model or model_of(kind), Pose(), (2.3, 0.95, 0.75))
        self.state = self.chassis.state
        self.chassis.set_local_velocity(speed_m_s, 0.0)
        self.kerb_at_m, self.kerb_m = math.inf, 0.0
        self.control = VehicleControl()
        self.heights: list[float] = []

    def go(self, seconds: float, **pedals: Any) -> Drive:
        self.control = VehicleControl(**pedals)
        for _ in range(round(seconds / 0.05)):
            places = self.chassis.wheel_places(0.05)
            ground = [self.kerb_m if x > self.kerb_at_m else 0.0 for x in places[:, 0]]
            self.chassis.advance(0.05, self.control, ground, has_gravity=True)
            self.heights.append(self.chassis.pose().z_m)
        return self

    @property
    def speed_m_s(self) -> float:
        return math.hypot(self.state[dynamics.VX], self.state[dynamics.VY])

    @property
    def x_m(self) -> float:
        return float(self.state[dynamics.X])

    def told(self):
        return self.chassis.telemetry(self.control)


def seconds_to(speed_m_s: float, drive: Drive) -> float:
    seconds = 0.0
    while drive.speed_m_s < speed_m_s and seconds < 60.0:
        drive.go(0.05, throttle=1.0)
        seconds += 0.05
    return seconds


def test_car_accelerates_and_brakes_like_a_car() -> None:
    assert 8.0 < seconds_to(100 / 3.6, Drive("car")) < 14.0
    stopping = Drive("car", 100 / 3.6).go(6.0, brake=1.0)
    assert stopping.speed_m_s == 0.0
    assert 38.0 < stopping.x_m < 50.0


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_goes_stops_and_stays(kind: VehicleClass) -> None:
    vehicle = Drive(kind).go(12.0, throttle=0.8)
    assert vehicle.speed_m_s > 9.0
    vehicle.go(12.0, brake=1.0)
    assert vehicle.speed_m_s == 0.0
    place = vehicle.state[:3].copy()
    vehicle.go(10.0)
    assert (vehicle.state[:3] == place).all()
    assert vehicle.chassis.pose().z_m == pytest.approx(0.0, abs=0.002)


@pytest.mark.parametrize("kind", CLASSES)
def test_wild_steering_never_explodes(kind: VehicleClass) -> None:
    vehicle = Drive(kind, 25.0)
    for number in range(200):
        vehicle.go(0.05, throttle=1.0, steer=math.sin(number), hand_brake=number % 40 > 30)
        assert np.isfinite(vehicle.state).all()
        assert vehicle.speed_m_s < 60.0
    assert not vehicle.chassis.is_overturned


def test_steering_is_right_positive_and_symmetric() -> None:
    right, left = (
        Drive("car", 8.0).go(2.0, steer=0.5, throttle=0.2),
        Drive("car", 8.0).go(2.0, steer=-0.5, throttle=0.2),
    )
    assert right.state[dynamics.YAW] > 0.5 and right.state[dynamics.Y] > 1.0
    assert right.state[dynamics.YAW] == pytest.approx(-left.state[dynamics.YAW], rel=1e-6)
    assert right.state[dynamics.Y] == pytest.approx(-left.state[dynamics.Y], rel=1e-6)


def test_the_inner_wheel_of_a_bend_turns_more() -> None:
    right = Drive("car", 5.0).go(1.0, steer=0.7)
    angles = [right.chassis.wheel_steer_deg(i) for i in range(4)]
    assert angles[1] > angles[0] > 15.0
    assert angles[2:] == [0.0, 0.0]
    cot = [1.0 / math.tan(math.radians(angle)) for angle in angles[:2]]
    assert cot[0] - cot[1] == pytest.approx(1.56 / 2.7, rel=1e-6), "both front wheels turn about one point"


def test_turning_circle_of_a_car() -> None:
    car, places = Drive("car", 3.0), []
    for _ in range(300):
        car.go(0.05, steer=1.0, throttle=0.1 if car.speed_m_s < 3.0 else 0.0)
        places.append(car.state[dynamics.Y])
    assert 6.0 < max(places) - min(places) < 13.0


def test_reverse_and_hand_brake() -> None:
    back = Drive("car").go(3.0, throttle=0.6, reverse=True)
    assert back.state[dynamics.VX] < -4.0 and back.chassis.gear == -1
    assert Drive("car", 14.0).go(1.5, steer=0.6, hand_brake=True).state[dynamics.YAW] > math.radians(60.0)


def test_same_calls_give_the_same_bits() -> None:
    runs = [Drive("car").go(5.0, throttle=0.8, steer=0.2).go(2.0, brake=0.7).state for _ in range(2)]
    assert runs[0].tobytes() == runs[1].tobytes()


def test_no_engine_braking_below_idle_pushes_backwards() -> None:
    rolling = Drive("car", 2.0).go(40.0)
    assert 0.0 <= rolling.state[dynamics.VX] < 1.0


def test_the_box_shifts_up_and_down_and_the_driver_may_shift_himself() -> None:
    car = Drive("car")
    assert car.chassis.gear == 0, "a car that nobody has driven yet is in neutral"
    gears = []
    for _ in range(300):
        car.go(0.05, throttle=1.0)
        gears.append(car.chassis.gear)
        assert 800.0 < car.told().engine_rpm < 7000.0
    assert gears == sorted(gears) and gears[0] == 1 and gears[-1] >= 4
    car.go(8.0, brake=0.6)
    assert car.chassis.gear == 1
    first = Drive("car").go(12.0, throttle=1.0, manual_gear_shift=True, gear=1)
    assert first.chassis.gear == 1 and first.speed_m_s < 20.0, "it runs into the limiter"
    assert first.told().engine_rpm > 5500.0
    idle = Drive("car").go(3.0, throttle=1.0, manual_gear_shift=True, gear=0)
    assert idle.speed_m_s < 0.01 and idle.told().engine_rpm > 3000.0, "in neutral the engine turns alone"
    assert Drive("car").go(2.0, throttle=0.5, manual_gear_shift=True, gear=-1).state[dynamics.VX] < -1.0


def test_bodies_pitch_and_roll_and_riders_lean() -> None:
    braking = Drive("car", 25.0).go(0.8, brake=1.0).chassis.pose()
    assert -6.0 < braking.pitch_deg < -0.5
    bend = Drive("car", 15.0).go(1.5, steer=0.25, throttle=0.3).chassis.pose()
    assert -8.0 < bend.roll_deg < -1.0, "in a bend to the right the left side sinks"
    leaning = Drive("motorcycle", 12.0).go(1.5, steer=0.1, throttle=0.3).chassis.pose()
    assert 5.0 < leaning.roll_deg < 60.0, "a rider leans into the bend"


def test_a_kerb_lifts_the_car_and_takes_its_speed() -> None:
    car = Drive("car", 3.0)
    car.kerb_at_m, car.kerb_m = 4.0, 0.12
    car.go(6.0)
    assert car.chassis.pose().z_m == pytest.approx(0.12, abs=0.01)
    assert max(car.heights) < 0.25
    assert 0.0 < car.speed_m_s < math.sqrt(9.0 - 2.0 * STANDARD_GRAVITY * 0.12) + 0.1


def test_a_fall_ends_on_the_ground_and_an_overturned_car_stays_down() -> None:
    fallen = Drive("car")
    fallen.chassis.place(Pose(z_m=2.0))
    fallen.go(0.5)
    assert 0.0 < fallen.heights[-1] < 2.0 - 0.8
    fallen.go(4.0)
    assert fallen.heights[-1] == pytest.approx(0.0, abs=0.003)
    roof = Drive("car", 10.0)
    roof.chassis.place(Pose(z_m=2.0, roll_deg=180.0))
    roof.go(5.0, throttle=1.0)
    assert roof.chassis.is_overturned and roof.speed_m_s == 0.0
    assert roof.chassis.pose().z_m == pytest.approx(1.5, abs=1e-6), "its roof lies on the ground"


def test_physics_control_comes_back() -> None:
    for kind in CLASSES:
        model = model_of(kind)
        again = with_physics_control(model, physics_control(model, Pose()))
        assert again.vector() == pytest.approx(model.vector())
        assert again.wheel_table() == pytest.approx(model.wheel_table())
        assert (again.gears, again.torque_curve) == (model.gears, model.torque_curve)


def test_physics_parameters_have_effect() -> None:
    car = model_of("car")

    def with_wheels(**changed: float) -> VehicleModel:
        first, second, third, fourth = (replace(wheel, **changed) for wheel in car.wheels)
        return replace(car, wheels=(first, second, third, fourth))

    def stops_in(model: VehicleModel) -> float:
        return Drive("car", 20.0, model).go(15.0, brake=1.0).x_m

    def top_speed(model: VehicleModel) -> float:
        return Drive("car", 20.0, model).go(40.0, throttle=1.0).speed_m_s

    asphalt = stops_in(car)
    assert stops_in(with_wheels(tire_friction=1.0)) > 2.0 * asphalt
    assert stops_in(with_wheels(brake_torque_nm=400.0)) > 1.5 * asphalt
    to_100 = seconds_to(27.8, Drive("car"))
    assert seconds_to(27.8, Drive("car", 0.0, replace(car, mass_kg=4000.0))) > 1.8 * to_100
    low_torque = tuple((rpm, 0.5 * torque) for rpm, torque in car.torque_curve)
    assert seconds_to(27.8, Drive("car", 0.0, replace(car, torque_curve=low_torque))) > 1.6 * to_100
    assert top_speed(replace(car, drag_coefficient=3.0)) < 0.7 * top_speed(car)
    limited = Drive("car", 0.0, replace(car, max_rpm=2500.0)).go(3.0, throttle=1.0)
    assert limited.told().engine_rpm < 2900.0
    tight, wide = (
        Drive("car", 4.0, with_wheels(max_steer_rad=math.radians(angle))).go(2.0, steer=1.0) for angle in (40.0, 15.0)
    )
    assert tight.state[dynamics.YAW] > 1.5 * wide.state[dynamics.YAW]
    one_gear = Drive("car", 0.0, replace(car, use_gear_autobox=False)).go(10.0, throttle=1.0)
    assert one_gear.chassis.gear == 1


def test_telemetry_carries_the_weight() -> None:
    car = Drive("car").go(3.0, throttle=0.5)
    told = car.told()
    assert sum(wheel.tire_load for wheel in told.wheels) == pytest.approx(car.chassis.model.mass_kg * 9.81, rel=0.01)
    assert told.gear >= 1 and told.engine_rpm > 900.0
    driven = [wheel.torque for wheel in told.wheels]
    assert abs(driven[0]) < 10.0 and driven[2] > 50.0
    assert told.wheels[2].tire_load > told.wheels[0].tire_load * 1.25 / 1.45 * 1.02, "the tail squats"
    assert told.speed == pytest.approx(car.speed_m_s)


@pytest.mark.parametrize(("target_m_s", "acceleration"), [(8.0, 0.0), (-3.0, 0.0), (12.0, 1.0)])
def test_ackermann_control_reaches_its_speed(target_m_s: float, acceleration: float) -> None:
    from bridge.carla_wire.layouts import AckermannControllerSettings, VehicleAckermannControl

    car = Drive("car")
    driver = AckermannDriver(VehicleAckermannControl(speed=target_m_s, acceleration=acceleration, steer=0.0))
    before, fastest = 0.0, 0.0
    for _ in range(600):
        speed = car.chassis.forward_speed_m_s
        gained = (speed - before) / 0.05
        before = speed
        control = driver.drive(speed, gained, math.radians(40.0), AckermannControllerSettings(), 0.05)
        car.control = control
        car.chassis.advance(0.05, control, (0.0,) * 4, has_gravity=True)
        fastest = max(fastest, gained)
    assert car.chassis.forward_speed_m_s == pytest.approx(target_m_s, abs=0.8)
    driver.target = VehicleAckermannControl(speed=0.0)
    for _ in range(600):
        control = driver.drive(car.chassis.forward_speed_m_s, 0.0, 0.7, AckermannControllerSettings(), 0.05)
        car.chassis.advance(0.05, control, (0.0,) * 4, has_gravity=True)
    assert car.speed_m_s < 0.1


def test_a_larger_body_is_longer_heavier_and_no_slower_to_stop() -> None:
    small, large = (model_of("car", extents) for extents in ((1.25, 0.75, 0.75), (2.6, 1.0, 0.95)))
    assert small.mass_kg < 0.6 * large.mass_kg and small.wheelbase_m < 0.5 * large.wheelbase_m + 0.1
    stops = [Drive("car", 20.0, model).go(8.0, brake=1.0).x_m for model in (small, large)]
    assert stops[0] == pytest.approx(stops[1], rel=0.25)
    assert Drive("car", 0.0, small).go(4.0, throttle=1.0).speed_m_s > 8.0


def test_traction_control_keeps_a_car_in_its_bend_and_the_hand_brake_does_not() -> None:
    def slide_deg(**pedals: Any) -> float:
        car = Drive("car", 12.0).go(2.0, steer=0.25, **pedals)
        return abs(math.degrees(math.atan2(car.state[dynamics.VY], car.state[dynamics.VX])))

    assert slide_deg(throttle=1.0) < 12.0 < slide_deg(hand_brake=True)


@pytest.mark.parametrize("kind", ["motorcycle", "bicycle"])
@pytest.mark.parametrize("speed_m_s", [5.0, 10.0])
def test_riders_neither_slide_out_of_a_bend_nor_under_their_brakes(kind: VehicleClass, speed_m_s: float) -> None:
    def slide_deg(rider: Drive) -> float:
        return abs(math.degrees(math.atan2(rider.state[dynamics.VY], rider.state[dynamics.VX])))

    turning = Drive(kind, speed_m_s)
    slides = [slide_deg(turning.go(0.05, steer=-0.8, throttle=0.85)) for _ in range(60)]
    assert max(slides) < 20.0, "full lock asks for no more than the tyres hold"
    assert turning.state[dynamics.YAW] < -1.0, "and yet it turns"
    braking = Drive(kind, speed_m_s).go(0.3, steer=0.1)
    while braking.speed_m_s > 1.0:
        assert slide_deg(braking.go(0.05, brake=0.7, steer=0.02)) < 10.0, "the rear wheel stays behind the front one"
    assert braking.x_m < 3.0 + speed_m_s**2 / 6.0, "and yet it stops"
