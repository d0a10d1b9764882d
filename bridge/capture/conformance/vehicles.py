"""Checks: a vehicle under pedals, gears and forces, and what it tells of itself."""

from __future__ import annotations

import math

import carla

from bridge.capture.conformance.stage import Group, Stage, ask, beside, expect, give, speed_m_s

GROUP = Group("vehicles")


def _forward_m_s(vehicle: carla.Vehicle) -> float:
    return vehicle.get_velocity().dot(vehicle.get_transform().get_forward_vector())


@GROUP.check()
def drive_and_brake(stage: Stage) -> None:
    """Throttle drives, the brake stops, and it stays."""
    vehicle = stage.vehicle()
    vehicle.apply_control(carla.VehicleControl(throttle=0.8))
    stage.tick(60)
    expect(_forward_m_s(vehicle) > 3.0, f"3 s of throttle make {_forward_m_s(vehicle):.1f} m/s")
    told = vehicle.get_control()
    expect(abs(told.throttle - 0.8) < 1e-3 and told.gear >= 1, f"get_control says {told}")
    vehicle.apply_control(carla.VehicleControl(brake=1.0))
    stage.tick(80)
    expect(speed_m_s(vehicle) < 0.1, f"after 4 s of braking it goes {speed_m_s(vehicle):.2f} m/s")
    here = vehicle.get_location()
    stage.tick(40)
    expect(vehicle.get_location().distance(here) < 0.05, "it creeps with its brake on")


@GROUP.check()
def reverse(stage: Stage) -> None:
    """Reverse goes backwards."""
    vehicle = stage.vehicle()
    vehicle.apply_control(carla.VehicleControl(throttle=0.6, reverse=True))
    stage.tick(60)
    expect(_forward_m_s(vehicle) < -0.5, f"it goes {_forward_m_s(vehicle):.2f} m/s")
    expect(vehicle.get_control().gear < 0, f"its gear is {vehicle.get_control().gear}")


@GROUP.check()
def gears(stage: Stage) -> None:
    """Gears shift by themselves, or by hand."""
    vehicle = stage.vehicle("vehicle.audi.tt")
    seen = set()
    vehicle.apply_control(carla.VehicleControl(throttle=1.0))
    for _ in range(120):
        stage.tick()
        seen.add(vehicle.get_control().gear)
        if speed_m_s(vehicle) > 14.0:
            break
    expect(len(seen) >= 2, f"at full throttle its gears were {sorted(seen)}")
    vehicle.apply_control(carla.VehicleControl(throttle=0.2, manual_gear_shift=True, gear=1))
    stage.tick(40)
    expect(vehicle.get_control().gear == 1, f"by hand it is in gear {vehicle.get_control().gear}, not in 1")


@GROUP.check()
def steering(stage: Stage) -> None:
    """Steering turns right for positive values, and the wheels tell."""
    vehicle = stage.vehicle()
    yaw = vehicle.get_transform().rotation.yaw
    vehicle.apply_control(carla.VehicleControl(throttle=0.4, steer=0.6))
    stage.tick(50)
    turned = (vehicle.get_transform().rotation.yaw - yaw + 180.0) % 360.0 - 180.0
    expect(turned > 2.0, f"steering 0.6 for 2.5 s turned it by {turned:.1f} degrees")
    place = carla.VehicleWheelLocation
    left, right = vehicle.get_wheel_steer_angle(place.FL_Wheel), vehicle.get_wheel_steer_angle(place.FR_Wheel)
    expect(left > 1.0 and right > 1.0, f"the front wheels stand at {left:.1f} and {right:.1f} degrees")
    expect(abs(vehicle.get_wheel_steer_angle(place.BL_Wheel)) < 1.0, "a rear wheel steers")


@GROUP.check()
def hand_brake(stage: Stage) -> None:
    """The hand brake holds."""
    vehicle = stage.vehicle()
    vehicle.apply_control(carla.VehicleControl(throttle=0.7))
    stage.tick(50)
    before = speed_m_s(vehicle)
    vehicle.apply_control(carla.VehicleControl(hand_brake=True))
    stage.tick(40)
    expect(speed_m_s(vehicle) < 0.6 * before, f"it went {before:.1f} m/s and 2 s later {speed_m_s(vehicle):.1f}")


@GROUP.check()
def ackermann(stage: Stage) -> None:
    """Ackermann control reaches a speed and stops."""
    vehicle = stage.vehicle()
    vehicle.apply_ackermann_control(carla.VehicleAckermannControl(speed=5.0, acceleration=2.0))
    stage.tick(200)
    expect(abs(_forward_m_s(vehicle) - 5.0) < 1.5, f"asked for 5 m/s it goes {_forward_m_s(vehicle):.1f}")
    vehicle.apply_ackermann_control(carla.VehicleAckermannControl(speed=0.0))
    stage.tick(200)
    expect(speed_m_s(vehicle) < 0.5, f"asked to stop it goes {speed_m_s(vehicle):.1f} m/s")
    settings = carla.AckermannControllerSettings(0.2, 0.01, 0.1, 0.02, 0.0, 0.02)
    ask(vehicle, "apply_ackermann_controller_settings", settings)
    stage.tick(2)
    expect(abs(vehicle.get_ackermann_controller_settings().speed_kp - 0.2) < 1e-4, "its gains were not kept")


@GROUP.check()
def physics_control(stage: Stage) -> None:
    """Physics parameters are told, kept and have effect."""
    vehicle = stage.vehicle()
    control = vehicle.get_physics_control()
    expect(len(control.wheels) == 4, f"it has {len(control.wheels)} wheels")
    expect(200.0 < control.mass < 40000.0, f"its mass is {control.mass:.0f} kg")
    expect(len(control.torque_curve) >= 2 and control.max_rpm > 500.0, "its engine has no torque curve or no rpm")
    front, rear = control.wheels[0].position, control.wheels[2].position
    base_m = math.hypot(front.x - rear.x, front.y - rear.y) / 100.0
    expect(1.0 < base_m < 8.0, f"its wheelbase is {base_m:.2f} m by its wheels' places")
    light = _speed_after_push(stage, vehicle)
    mass = control.mass
    give(control, mass=3.0 * mass)
    vehicle.apply_physics_control(control)
    stage.tick(5)
    told = vehicle.get_physics_control().mass
    expect(abs(told - 3.0 * mass) < 1.0, f"set to {3 * mass:.0f} kg it tells {told:.0f}")
    heavy = _speed_after_push(stage, vehicle)
    expect(heavy < 0.6 * light, f"three times the mass goes {heavy:.1f} m/s where it went {light:.1f}")


def _speed_after_push(stage: Stage, vehicle: carla.Vehicle) -> float:
    vehicle.apply_control(carla.VehicleControl(brake=1.0))
    stage.tick(40)
    vehicle.apply_control(carla.VehicleControl(throttle=0.5))
    stage.tick(30)
    reached = speed_m_s(vehicle)
    vehicle.apply_control(carla.VehicleControl(brake=1.0))
    stage.tick(60)
    return reached


@GROUP.check(may_refuse=True)
def telemetry(stage: Stage) -> None:
    """Telemetry agrees with what the vehicle does."""
    vehicle = stage.vehicle()
    vehicle.apply_control(carla.VehicleControl(throttle=0.7))
    stage.tick(40)
    told = ask(vehicle, "get_telemetry_data")
    expect(abs(told.speed - speed_m_s(vehicle)) < 1.0, f"it says {told.speed:.1f} m/s at {speed_m_s(vehicle):.1f}")
    expect(told.engine_rpm > 100.0 and told.gear >= 1, f"it says {told.engine_rpm:.0f} rpm in gear {told.gear}")
    expect(len(told.wheels) == 4 and all(wheel.omega > 0.0 for wheel in told.wheels), "a wheel does not turn")


@GROUP.check()
def lights(stage: Stage) -> None:
    """Lights come back as they were set."""
    vehicle = stage.vehicle()
    state = carla.VehicleLightState
    wanted = state.Position | state.LowBeam | state.RightBlinker
    vehicle.set_light_state(carla.VehicleLightState(wanted))
    stage.tick(2)
    expect(int(vehicle.get_light_state()) & int(wanted) == int(wanted), f"they are {vehicle.get_light_state()}")
    every = stage.world.get_vehicles_light_states()
    expect(vehicle.id in every, "the list of all vehicles' lights lacks it")


@GROUP.check()
def doors(stage: Stage) -> None:
    """Doors are taken."""
    vehicle = stage.vehicle()
    vehicle.open_door(carla.VehicleDoor.All)
    stage.tick(2)
    vehicle.close_door(carla.VehicleDoor.All)
    stage.tick(2)


@GROUP.check()
def pushes(stage: Stage) -> None:
    """Constant and target velocities, impulses, forces and torques act."""
    vehicle = stage.vehicle()
    vehicle.enable_constant_velocity(carla.Vector3D(4.0, 0.0, 0.0))
    stage.tick(20)
    expect(abs(_forward_m_s(vehicle) - 4.0) < 0.5, f"constant 4 m/s is {_forward_m_s(vehicle):.1f}")
    vehicle.disable_constant_velocity()
    vehicle.apply_control(carla.VehicleControl(brake=1.0))
    stage.tick(60)
    vehicle.apply_control(carla.VehicleControl())
    forward = vehicle.get_transform().get_forward_vector()
    vehicle.set_target_velocity(carla.Vector3D(5.0 * forward.x, 5.0 * forward.y, 0.0))
    stage.tick(2)
    expect(_forward_m_s(vehicle) > 3.0, f"a target velocity of 5 m/s made {_forward_m_s(vehicle):.1f}")
    before, mass = _forward_m_s(vehicle), vehicle.get_physics_control().mass
    vehicle.add_impulse(carla.Vector3D(3.0 * mass * forward.x, 3.0 * mass * forward.y, 0.0))
    stage.tick(2)
    gained = _forward_m_s(vehicle) - before
    expect(1.5 < gained < 4.5, f"an impulse of 3 m/s times the mass changed the speed by {gained:.1f}")
    vehicle.set_target_angular_velocity(carla.Vector3D(0.0, 0.0, 40.0))
    stage.tick(1)
    expect(vehicle.get_angular_velocity().z > 3.0, "a target angular velocity did not turn it")


@GROUP.check(may_refuse=True)
def twists(stage: Stage) -> None:
    """Impulses at a place, angular impulses and torques act."""
    vehicle = stage.vehicle()
    mass = vehicle.get_physics_control().mass
    vehicle.add_angular_impulse(carla.Vector3D(0.0, 0.0, 100.0 * mass))
    vehicle.add_torque(carla.Vector3D(0.0, 0.0, 100.0 * mass))
    stage.tick(2)
    expect(vehicle.is_alive, "it is gone")


@GROUP.check()
def gravity(stage: Stage) -> None:
    """Without gravity it floats, with gravity it falls."""
    vehicle = stage.vehicle()
    ground = vehicle.get_location().z
    vehicle.set_enable_gravity(False)
    vehicle.set_location(beside(vehicle.get_location(), z=5.0))
    vehicle.set_target_velocity(carla.Vector3D(0.0, 0.0, 0.0))
    stage.tick(30)
    expect(vehicle.get_location().z > ground + 3.0, "it fell without gravity")
    vehicle.set_enable_gravity(True)
    stage.tick(80)
    expect(vehicle.get_location().z < ground + 0.5, f"it hangs {vehicle.get_location().z - ground:.1f} m high")


@GROUP.check()
def no_physics(stage: Stage) -> None:
    """Without physics it stays where it is put."""
    vehicle = stage.vehicle()
    vehicle.set_simulate_physics(False)
    here = vehicle.get_location()
    vehicle.apply_control(carla.VehicleControl(throttle=1.0))
    stage.tick(30)
    expect(vehicle.get_location().distance(here) < 0.01, "it moved")


@GROUP.check()
def states(stage: Stage) -> None:
    """A vehicle tells its failure state, speed limit and traffic light."""
    vehicle = stage.vehicle()
    expect(int(vehicle.get_failure_state()) == 0, "a sound vehicle tells a failure")
    expect(0.0 <= vehicle.get_speed_limit() < 200.0, f"its speed limit is {vehicle.get_speed_limit():.0f} km/h")
    vehicle.is_at_traffic_light()
    vehicle.get_traffic_light_state()


@GROUP.check()
def other_shapes(stage: Stage) -> None:
    """A motorcycle and a truck drive."""
    for kind in ("vehicle.yamaha.yzf", "vehicle.carlamotors.carlacola"):
        vehicle = stage.vehicle(kind)
        vehicle.apply_control(carla.VehicleControl(throttle=0.8))
        stage.tick(60)
        expect(_forward_m_s(vehicle) > 1.0, f"{kind} goes {_forward_m_s(vehicle):.1f} m/s after 3 s")
        stage.clear()
        stage.tick(2)
