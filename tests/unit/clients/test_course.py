"""Where a car is taken to be between two ticks: cars that drive known curves, and what a driver does to them."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clients.viewer.course import Course, apart, heading_rad

STEP_S = 0.05
LEVER_M = 2.2
PER_M, SHARE = 0.3, 0.6  # how the cars of these tests answer


def pose(x_m: float, y_m: float, heading: float, lever_m: float = LEVER_M, pitch: float = 0.0) -> NDArray[np.float64]:
    """world_from_camera of a camera before a rear axle at x, y; optical axes right, down, forward."""
    cosine, sine = math.cos(heading), math.sin(heading)
    level = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])  # columns: forward, right, up
    tilt = np.array([[math.cos(pitch), 0, -math.sin(pitch)], [0, 1, 0], [math.sin(pitch), 0, math.cos(pitch)]])
    matrix = np.eye(4)
    matrix[:3, :3] = level @ tilt @ np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    matrix[:3, 3] = (x_m + lever_m * cosine, y_m + lever_m * sine, 1.4)
    return matrix


class Car:
    """A car that answers its wheel as the course supposes cars do, in steps much smaller than a tick."""

    def __init__(self, speed_m_s: float, lever_m: float = LEVER_M) -> None:
        self.x_m = self.y_m = self.heading = self.rate = 0.0
        self.speed_m_s, self.lever_m = speed_m_s, lever_m

    def tick(self, steer: float, share: float = 1.0) -> NDArray[np.float64]:
        rate = SHARE * self.rate + PER_M * self.speed_m_s * steer
        for _ in range(50):
            self.heading += 0.5 * rate * STEP_S * share / 50
            self.x_m += self.speed_m_s * math.cos(self.heading) * STEP_S * share / 50
            self.y_m += self.speed_m_s * math.sin(self.heading) * STEP_S * share / 50
            self.heading += 0.5 * rate * STEP_S * share / 50
        self.rate = rate
        return self.pose()

    def pose(self) -> NDArray[np.float64]:
        return pose(self.x_m, self.y_m, self.heading, self.lever_m)


def driven(car: Car, steers: list[float]) -> Course:
    course = Course.begin(car.pose(), STEP_S)
    for steer in steers:
        course = course.follow(car.tick(steer), steer)
    return course


def weaving(count: int) -> list[float]:
    return [0.3 * math.sin(0.2 * index) for index in range(count)]


@given(steer=st.floats(-1, 1), ahead_s=st.floats(0, 1))
def test_a_car_that_stands_stays(steer: float, ahead_s: float) -> None:
    course = driven(Car(0.0), [steer] * 3)
    np.testing.assert_allclose(course.ahead(ahead_s, steer), pose(0.0, 0.0, 0.0), atol=1e-9)


@given(speed=st.floats(2.0, 20.0), steer=st.floats(-0.4, 0.4), pitch=st.floats(-0.3, 0.3))
def test_a_steady_bend_goes_on_as_it_is(speed: float, steer: float, pitch: float) -> None:
    rate = PER_M * speed * steer
    course = None
    for index in range(80):
        heading = rate * index * STEP_S
        x, y = (math.sin(heading), 1 - math.cos(heading)) if rate else (0.0, 0.0)
        radius = speed / rate if abs(rate) > 1e-6 else 0.0
        at = (radius * x, radius * y) if radius else (speed * index * STEP_S, 0.0)
        now = pose(*at, heading, pitch=pitch)
        course = Course.begin(now, STEP_S) if course is None else course.follow(now, None)
    assert course is not None
    at_next = course.ahead(STEP_S, None)
    heading += rate * STEP_S
    at = (radius * math.sin(heading), radius * (1 - math.cos(heading))) if radius else (speed * 80 * STEP_S, 0.0)
    np.testing.assert_allclose(at_next, pose(*at, heading, pitch=pitch), atol=2e-3)


def test_how_a_car_answers_its_wheel_is_learnt() -> None:
    course = driven(Car(8.0, lever_m=3.1), weaving(200))
    assert abs(course.response.share - SHARE) < 0.05
    assert abs(course.response.per_m - PER_M) < 0.02
    assert abs(course.lever_m - 3.1) < 0.1


@given(speed=st.floats(4.0, 8.0), steer=st.floats(-0.5, 0.5))
def test_a_new_steering_is_foreseen_before_its_tick(speed: float, steer: float) -> None:
    """The next tick's pose is known to a tenth of what not looking ahead misses."""
    car = Car(speed)
    course = driven(car, weaving(200))
    foreseen = course.ahead(STEP_S, steer)
    true = car.tick(steer)
    off_m, off_deg = apart(foreseen, true)
    held_m, held_deg = apart(course.world_from_camera, true)
    assert off_m < 0.1 * held_m
    assert off_deg < 0.1 * held_deg + 0.05


@given(speed=st.floats(3.0, 15.0), turn=st.floats(0.05, 0.7))
def test_who_steers_to_the_right_sees_the_street_go_to_the_left_at_once(speed: float, turn: float) -> None:
    course = driven(Car(speed), weaving(100))
    headings = [heading_rad(course.ahead(0.02, steer)) for steer in (-turn, 0.0, turn)]
    assert headings[0] is not None and headings[1] is not None and headings[2] is not None
    assert headings[0] < headings[1] < headings[2]


@given(ahead_s=st.floats(-1.0, 10.0), steer=st.floats(-1, 1), speed=st.floats(0, 30))
def test_no_more_than_a_tick_is_foreseen(ahead_s: float, steer: float, speed: float) -> None:
    course = driven(Car(speed), weaving(20))
    off_m, off_deg = apart(course.ahead(ahead_s, steer), course.world_from_camera)
    assert off_m <= (speed + 1.0) * STEP_S * 1.1 + 0.5
    assert off_deg <= math.degrees(3.0 * STEP_S) + 1e-6
    if ahead_s <= 0.0:
        assert off_m == 0.0


def test_who_brakes_comes_to_a_stand() -> None:
    course = Course.begin(pose(0.0, 0.0, 0.0), STEP_S)
    for x_m in (0.4, 0.45):  # from 8 m/s to 1 within a tick
        course = course.follow(pose(x_m, 0.0, 0.0), 0.0)
    assert course.ahead(STEP_S, 0.0)[0, 3] >= 0.45 + LEVER_M - 1e-9


def test_a_car_that_was_put_elsewhere_begins_anew() -> None:
    course = driven(Car(10.0), weaving(50))
    there = course.follow(pose(500.0, 20.0, 1.0), 0.1)
    np.testing.assert_array_equal(there.ahead(STEP_S, 0.5), pose(500.0, 20.0, 1.0))
    assert there.response == course.response


def test_a_camera_that_looks_straight_down_is_held() -> None:
    down = pose(0.0, 0.0, 0.0, pitch=-math.pi / 2)
    course = Course.begin(down, STEP_S).follow(down, 0.3)
    np.testing.assert_array_equal(course.ahead(STEP_S, 0.3), down)
