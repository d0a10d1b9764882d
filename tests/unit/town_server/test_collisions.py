"""Bodies that meet: momentum, walls, and nobody inside anybody."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.carla_wire import layouts
from bridge.town.actors import Vehicle
from bridge.town.collisions import StaticWorld, collide, event_of, footprint
from bridge.town.footprints import overlaps
from bridge.town.pose import Pose
from bridge.town.walkers import Walker

FLAT = (0.0, 0.0, 0.0, 0.0)
BUILDING_TAG = 3
NO_BOXES = StaticWorld(np.empty((0, 5)), np.empty(0, np.uint8))
WALL = StaticWorld(np.array([[20.0, 0.0, 1.0, 30.0, 0.0]]), np.array([BUILDING_TAG], np.uint8))


def car(actor_id: int, x_m: float, y_m: float = 0.0, yaw_deg: float = 0.0, forward_m_s: float = 0.0) -> Vehicle:
    vehicle = Vehicle(actor_id, layouts.ActorDescription(0, "vehicle.audi.tt"), Pose(x_m, y_m, yaw_deg=yaw_deg))
    yaw = math.radians(yaw_deg)
    vehicle.set_velocity((forward_m_s * math.cos(yaw), forward_m_s * math.sin(yaw), 0.0))
    return vehicle


def go(vehicles: list[Vehicle], boxes: StaticWorld, seconds: float) -> list:
    events = []
    for _ in range(round(seconds / 0.05)):
        for vehicle in vehicles:
            vehicle.advance(0.05, FLAT)
        events += collide(vehicles, [], boxes, 0.05)
    return events


def test_a_car_stops_at_a_wall_and_says_so() -> None:
    driver = car(1, 0.0, forward_m_s=12.0)
    events = go([driver], WALL, 2.0)
    assert driver.pose.x_m + driver.half_extents_m[0] <= 19.0 + 1e-6
    assert abs(driver.velocity_m_s[0]) < 2.0
    first = events[0]
    assert first.actor is driver and first.other is None
    assert first.impulse_n_s[0] == pytest.approx(-driver.model.mass_kg * 12.0 * 1.1, rel=0.1)
    told = event_of(first)
    assert told.actor.id == 1 and told.other.description.id == "static.buildings"
    assert told.other.id == 0 and told.other.semantic_tags == bytes([BUILDING_TAG])


def test_pushing_against_a_wall_stays_outside() -> None:
    driver = car(1, 10.0, forward_m_s=3.0)
    driver.control = layouts.VehicleControl(throttle=1.0, steer=0.3)
    go([driver], WALL, 6.0)
    assert not overlaps(footprint(driver), type(footprint(driver))(20.0, 0.0, 0.99, 30.0, 0.0))
    assert math.hypot(*driver.velocity_m_s[:2]) < 15.0 and np.isfinite(driver.chassis.state).all()


def test_rear_end_collision_hands_momentum_on() -> None:
    behind, ahead = car(1, 0.0, forward_m_s=10.0), car(2, 6.0)
    events = go([behind, ahead], NO_BOXES, 0.5)
    assert [(event.actor.actor_id, event.other.actor_id) for event in events[:2]] == [(1, 2), (2, 1)]
    assert events[0].impulse_n_s[0] == -events[1].impulse_n_s[0] < 0.0
    assert ahead.velocity_m_s[0] > 3.0 > 0.0
    assert behind.velocity_m_s[0] < 7.0


def test_frozen_and_ghostly_vehicles() -> None:
    frozen, driver = car(1, 6.0), car(2, 0.0, forward_m_s=10.0)
    frozen.simulates_physics = False
    go([frozen, driver], NO_BOXES, 1.0)
    assert frozen.pose.x_m == 6.0 and driver.pose.x_m < 6.0
    ghost, wall_breaker = car(1, 6.0), car(2, 0.0, forward_m_s=10.0)
    wall_breaker.collides = False
    assert go([ghost, wall_breaker], NO_BOXES, 1.0) == []


def test_walkers_are_noticed() -> None:
    driver = car(1, 0.0, forward_m_s=8.0)
    walker = Walker(2, layouts.ActorDescription(0, "walker.pedestrian.0001"), Pose(2.0, 0.0, 0.9))
    driver.advance(0.05, FLAT)
    events = collide([driver], [walker], NO_BOXES, 0.05)
    assert [(event.actor.actor_id, event.other.actor_id) for event in events] == [(1, 2), (2, 1)]
    assert not overlaps(footprint(driver), footprint(walker)), "pushed aside"
    walker.lead(Pose(2.0, 0.0), 1.0)
    collide([driver], [walker], NO_BOXES, 0.05)
    assert (walker.pose.x_m, walker.pose.y_m) == (2.0, 0.0), "the client's pedestrian AI places its walkers"
    walker.collides = False
    assert collide([driver], [walker], NO_BOXES, 0.05) == []


def test_the_dead_fall_down_and_are_gone_after_ten_seconds() -> None:
    walker = Walker(2, layouts.ActorDescription(0, "walker.pedestrian.0001"), Pose(2.0, 0.0, 0.9, yaw_deg=30.0))
    walker.walk(layouts.WalkerControl(layouts.Vector3D(1.0, 0.0, 0.0), 1.4))
    walker.begin_tick()
    walker.die()
    walker.walk(layouts.WalkerControl(layouts.Vector3D(1.0, 0.0, 0.0), 1.4))
    heights = []
    for _ in range(20):
        walker.begin_tick()
        walker.advance(0.05, 0.14)
        heights.append(walker.pose.z_m)
        walker.end_tick()
    assert max(heights) < 1.1 and heights[5] < 0.95 and heights[-1] == pytest.approx(0.14 + 0.22)
    assert (walker.pose.x_m, walker.pose.y_m) == (2.0, 0.0) and walker.velocity_m_s == (0.0, 0.0, 0.0)
    head = walker.body().pose.compose(Pose(z_m=1.8))
    assert head.z_m == pytest.approx(walker.pose.z_m, abs=1e-6), "it lies"
    assert not walker.is_gone
    for _ in range(180):
        walker.advance(0.05, 0.14)
    assert walker.is_gone


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.floats(-180, 180), st.floats(-20, 20)), min_size=2, max_size=5
    )
)
def test_a_heap_of_cars_neither_explodes_nor_gains_energy(starts: list[tuple[float, float, float, float]]) -> None:
    cars = [car(i, x, y, yaw, speed) for i, (x, y, yaw, speed) in enumerate(starts)]
    go(cars, WALL, 3.0)
    for vehicle in cars:
        assert np.isfinite(vehicle.chassis.state).all()
        assert math.hypot(*vehicle.velocity_m_s[:2]) < 45.0
        assert abs(vehicle.pose.x_m) < 80.0 and abs(vehicle.pose.y_m) < 80.0
