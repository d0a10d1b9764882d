"""One vehicle's physics at work: its model, its state of motion, and what pushes it about."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bridge.carla_wire import layouts
from bridge.carla_wire.snapshot import Triple
from bridge.town import vehicle as dynamics
from bridge.town.pose import Pose
from bridge.town.vehicle_model import GRAVITY_M_S2, NEUTRAL, VehicleModel
from bridge.town.vehicle_reports import telemetry, wheel_steer_deg

MAX_STEP_M = 0.5
"""A wheel is lifted by no more than this in a tick; what is deeper in the ground is put on top of it."""
TIPPED = 0.35
"""Below this cosine between the vehicle's up and the world's, the wheels are out of the game."""
SCRAPING = 0.6
"""Friction of bodywork on asphalt."""


class Chassis:
    """The moving body of a vehicle; `half_extents_m` is its box, whose lowest face stands on the ground."""

    def __init__(self, model: VehicleModel, pose: Pose, half_extents_m: tuple[float, float, float]) -> None:
        self._half_extents_m = half_extents_m
        self.state: NDArray[np.float64] = np.zeros(dynamics.STATE_SIZE)
        self.state[dynamics.GEAR] = NEUTRAL
        self.tyres = np.zeros((4, dynamics.TELEMETRY_SIZE))
        self._controls = np.zeros(dynamics.CONTROLS_SIZE)
        self._ground = np.zeros((4, 3))
        self._ground_before: list[float] | None = None
        self.is_overturned = False
        self.set_model(model)
        self.place(pose)

    def set_model(self, model: VehicleModel) -> None:
        """Give the vehicle other physical parameters."""
        self.model = model
        self._vector, self._wheels, self._gears = model.vector(), model.wheel_table(), model.gear_table()
        self._torque_curve, self._steering_curve = np.array(model.torque_curve), np.array(model.steering_curve)
        self.state[dynamics.GEAR] = min(self.state[dynamics.GEAR], len(self._gears) - 1.0)

    def place(self, pose: Pose) -> None:
        """Put the vehicle somewhere; its speed along its own axes stays."""
        state = self.state
        state[dynamics.X], state[dynamics.Y], state[dynamics.Z] = pose.x_m, pose.y_m, pose.z_m
        state[dynamics.YAW] = math.radians(pose.yaw_deg)
        pitch, roll = _upright_rad(pose.pitch_deg), _upright_rad(pose.roll_deg)
        state[dynamics.PITCH], state[dynamics.ROLL] = pitch, roll
        state[dynamics.PITCH_RATE] = state[dynamics.ROLL_RATE] = 0.0
        self.is_overturned = math.cos(pitch) * math.cos(roll) < TIPPED
        self._ground_before = None

    def pose(self) -> Pose:
        """Return where the vehicle is."""
        x_m, y_m, yaw = self.state[: dynamics.VX].tolist()
        z_m, _climb, pitch, _, roll, _ = self.state[dynamics.Z :].tolist()
        yaw_deg = (math.degrees(yaw) + 180.0) % 360.0 - 180.0
        return Pose(x_m, y_m, z_m, math.degrees(pitch), yaw_deg, math.degrees(roll))

    def velocity_m_s(self) -> Triple:
        """Return the velocity in world axes."""
        yaw, vx, vy = self.state[dynamics.YAW : dynamics.YAW_RATE].tolist()
        cos, sin = math.cos(yaw), math.sin(yaw)
        return (vx * cos - vy * sin, vx * sin + vy * cos, float(self.state[dynamics.CLIMB]))

    def angular_velocity_deg_s(self) -> Triple:
        """Return the angular velocity in world axes; a nose that rises and a right side that sinks turn negatively."""
        yaw, yaw_rate = float(self.state[dynamics.YAW]), float(self.state[dynamics.YAW_RATE])
        roll, pitch = -float(self.state[dynamics.ROLL_RATE]), -float(self.state[dynamics.PITCH_RATE])
        cos, sin = math.cos(yaw), math.sin(yaw)
        return (
            math.degrees(roll * cos - pitch * sin),
            math.degrees(roll * sin + pitch * cos),
            math.degrees(yaw_rate),
        )

    def set_velocity(self, velocity_m_s: Triple) -> None:
        """Give the vehicle a velocity in world axes, its wheels rolling along."""
        yaw = float(self.state[dynamics.YAW])
        cos, sin = math.cos(yaw), math.sin(yaw)
        self.set_local_velocity(
            velocity_m_s[0] * cos + velocity_m_s[1] * sin, -velocity_m_s[0] * sin + velocity_m_s[1] * cos
        )
        self.state[dynamics.CLIMB] = velocity_m_s[2]

    def set_local_velocity(self, forward_m_s: float, right_m_s: float) -> None:
        """Give the vehicle a velocity along its own axes, its wheels rolling along."""
        self.state[dynamics.VX], self.state[dynamics.VY] = forward_m_s, right_m_s
        self.state[dynamics.WHEEL_SPEED : dynamics.WHEEL_SPEED + 4] = forward_m_s / self._wheels[:, 2]

    def hit(self, impulse_n_s: Triple, moment_n_m_s: float = 0.0) -> None:
        """Change momentum and spin about the upright axis, world axes; the wheels keep their speed."""
        state, mass = self.state, self.model.mass_kg
        cos, sin = math.cos(float(state[dynamics.YAW])), math.sin(float(state[dynamics.YAW]))
        x, y, z = impulse_n_s
        state[dynamics.VX] += (x * cos + y * sin) / mass
        state[dynamics.VY] += (y * cos - x * sin) / mass
        state[dynamics.CLIMB] += z / mass
        state[dynamics.YAW_RATE] += moment_n_m_s / self.model.yaw_inertia_kg_m2

    def shove(self, dx_m: float, dy_m: float) -> None:
        """Move the body aside, as when it is pushed out of another one."""
        self.state[dynamics.X] += dx_m
        self.state[dynamics.Y] += dy_m

    def wheel_places(self, dt_s: float) -> NDArray[np.float64]:
        """Return where the tyres will be at the end of a tick if nothing changes, (4, 2) x and y in the world."""
        x_m, y_m, yaw, vx, vy, yaw_rate = self.state[:6].tolist()
        cos, sin = math.cos(yaw), math.sin(yaw)
        x_m, y_m = x_m + (vx * cos - vy * sin) * dt_s, y_m + (vx * sin + vy * cos) * dt_s
        cos, sin = math.cos(yaw + yaw_rate * dt_s), math.sin(yaw + yaw_rate * dt_s)
        return np.array([(x_m + w.x_m * cos - w.y_m * sin, y_m + w.x_m * sin + w.y_m * cos) for w in self.model.wheels])

    def advance(
        self, dt_s: float, control: layouts.VehicleControl, ground_m: Sequence[float], *, has_gravity: bool
    ) -> None:
        """Drive for one tick; `ground_m` is the ground's z at the places of `wheel_places`."""
        gravity = GRAVITY_M_S2 if has_gravity else 0.0
        if self.is_overturned:
            self._slide(dt_s, max(ground_m), gravity)
            return
        before = list(ground_m) if self._ground_before is None else self._ground_before
        self._ground_before = list(ground_m)
        state = self.state
        if state[dynamics.Z] < min(before) - MAX_STEP_M:
            state[dynamics.Z], state[dynamics.CLIMB] = max(before), 0.0
        self._ground[:, 0] = before
        self._ground[:, 1] = self._ground_before
        self._ground[:, 1] -= self._ground[:, 0]
        self._ground[:, 2] = self._ground[:, 1] / dt_s
        self._controls[:] = (
            min(1.0, max(0.0, control.throttle)),
            min(1.0, max(-1.0, control.steer)),
            min(1.0, max(0.0, control.brake)),
            float(control.hand_brake),
            float(control.reverse),
            float(control.manual_gear_shift),
            float(control.gear),
            gravity,
        )
        dynamics.advance(
            state, self._vector, self._wheels, self._torque_curve, self._steering_curve, self._gears, self._controls,
            self._ground, self.tyres, dt_s, dynamics.substeps_of(dt_s),
        )  # fmt: skip
        if not self.model.leans and math.cos(state[dynamics.PITCH]) * math.cos(state[dynamics.ROLL]) < TIPPED:
            self.is_overturned = True

    def _slide(self, dt_s: float, ground_m: float, gravity: float) -> None:
        """Fall to the ground and scrape along it, wheels in the air."""
        state, pose = self.state, self.pose()
        half_x, half_y, half_z = self._half_extents_m
        up_x, up_y, up_z = pose.matrix()[2, :3].tolist()
        lowest_m = up_z * half_z - abs(up_x) * half_x - abs(up_y) * half_y - abs(up_z) * half_z
        state[dynamics.CLIMB] -= gravity * dt_s
        state[dynamics.Z] += state[dynamics.CLIMB] * dt_s
        if state[dynamics.Z] + lowest_m <= ground_m:
            state[dynamics.Z], state[dynamics.CLIMB] = ground_m - lowest_m, 0.0
            speed = math.hypot(state[dynamics.VX], state[dynamics.VY])
            kept = max(0.0, 1.0 - SCRAPING * gravity * dt_s / speed) if speed > 0.0 else 0.0
            state[dynamics.VX : dynamics.YAW_RATE + 1] *= kept
        vx, vy, _ = self.velocity_m_s()
        state[dynamics.X] += vx * dt_s
        state[dynamics.Y] += vy * dt_s
        state[dynamics.YAW] += state[dynamics.YAW_RATE] * dt_s
        state[dynamics.WHEEL_SPEED : dynamics.WHEEL_SPEED + 4] = 0.0
        self.tyres[:] = 0.0

    def show_driven(self, moved_m: float, control: layouts.VehicleControl) -> None:
        """Turn wheels and gears as if the vehicle had driven so far by itself: a replay moves it."""
        wheels = self.model.wheels
        self.state[dynamics.STEER] = control.steer * max(wheel.max_steer_rad for wheel in wheels)
        self.state[dynamics.ROLLED] += moved_m / wheels[0].radius_m
        self.state[dynamics.GEAR] = max(0, min(len(self._gears) - 1, control.gear + NEUTRAL))

    # ---- what is told of it

    @property
    def gear(self) -> int:
        """The gear: -1 reverse, 0 neutral."""
        return int(self.state[dynamics.GEAR]) - NEUTRAL

    @property
    def forward_speed_m_s(self) -> float:
        """Speed along the vehicle."""
        return float(self.state[dynamics.VX])

    @property
    def steer_deg(self) -> float:
        """The front axle's steering angle, right positive."""
        return math.degrees(float(self.state[dynamics.STEER]))

    @property
    def rolled_rad(self) -> float:
        """How far the front wheels have turned."""
        return float(self.state[dynamics.ROLLED])

    def wheel_steer_deg(self, index: int) -> float:
        """Return how far a wheel is turned, right positive."""
        return wheel_steer_deg(self.model, self.state, index)

    def telemetry(self, control: layouts.VehicleControl) -> layouts.VehicleTelemetryData:
        """Return what engine and tyres do now."""
        return telemetry(self.model, self.state, self.tyres, control)


def _upright_rad(angle_deg: float) -> float:
    """Return an angle in radians between -pi and pi."""
    return math.radians((angle_deg + 180.0) % 360.0 - 180.0)
