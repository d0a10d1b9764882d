"""The actors of an episode: what each kind knows, how it moves, and how it shows in snapshots and pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bridge.carla_wire import layouts
from bridge.carla_wire.snapshot import ActorState, Triple, VehicleTail
from bridge.town import vehicle as dynamics
from bridge.town.blueprints import vehicle_class
from bridge.town.pose import Pose
from bridge.town.views import BRAKE, Body

GRAVITY_M_S2 = dynamics.GRAVITY_M_S2
KERB_CLIMB_M_S = 1.5
"""How fast wheels and feet rise where the ground is higher than they are."""
TOUCHING_M = 0.05
GREEN, OFF = 2, 3
FULL_LIGHT_BRAKE = 0.05
STANDING_PEDALS = layouts.VehicleControl()
ZERO: Triple = (0.0, 0.0, 0.0)

HalfExtents = Callable[[str], tuple[float, float, float]]
"""Half length, half width and half height in metres of the body of a blueprint."""

_CLASS_EXTENTS: dict[str, tuple[float, float, float]] = {
    "car": (2.3, 0.95, 0.75),
    "van": (2.8, 1.0, 1.2),
    "truck": (3.6, 1.25, 1.5),
    "bus": (5.2, 1.3, 1.6),
    "motorcycle": (1.1, 0.4, 0.8),
    "bicycle": (0.85, 0.3, 0.8),
}
_CLASS_TAGS = {"car": 14, "van": 14, "truck": 15, "bus": 16, "motorcycle": 18, "bicycle": 19}


def default_half_extents_m(blueprint_id: str) -> tuple[float, float, float]:
    """Return the half sizes of a class of body, for painters that do not say how large theirs are."""
    if blueprint_id.startswith("walker."):
        return (0.22, 0.28, 0.9)
    return _CLASS_EXTENTS[vehicle_class(blueprint_id)]


def pose_of(transform: layouts.Transform) -> Pose:
    """Return a wire transform as a pose."""
    place, turn = transform.location, transform.rotation
    return Pose(place.x, place.y, place.z, turn.pitch, turn.yaw, turn.roll)


def six_of(pose: Pose) -> tuple[float, float, float, float, float, float]:
    """Return a pose as the six numbers of snapshots and sensor headers."""
    return (pose.x_m, pose.y_m, pose.z_m, pose.pitch_deg, pose.yaw_deg, pose.roll_deg)


def wrapped_deg(angle_deg: float) -> float:
    """Return the same direction between -180 and 180 degrees."""
    return (angle_deg + 180.0) % 360.0 - 180.0


@dataclass(eq=False)
class Actor:
    """Anything with an id: `pose` is its world pose now, `shown_pose` the one in the last frame (None: never shown)."""

    actor_id: int
    description: layouts.ActorDescription
    pose: Pose
    bounding_box: layouts.BoundingBox = field(default_factory=layouts.BoundingBox)
    semantic_tags: bytes = b""
    parent: Actor | None = None
    relative_pose: Pose = field(default_factory=Pose)
    previous_pose: Pose = field(default_factory=Pose)
    shown_pose: Pose | None = None
    velocity_m_s: Triple = ZERO
    angular_velocity_deg_s: Triple = ZERO
    acceleration_m_s2: Triple = ZERO
    stream_token: bytes = b""

    def __post_init__(self) -> None:
        self.attributes = {a.id: a.value for a in self.description.attributes}
        self.previous_pose = self.pose

    @property
    def blueprint_id(self) -> str:
        """The id of the blueprint, such as "vehicle.tesla.model3"."""
        return self.description.id

    def record(self) -> layouts.Actor:
        """Return what a client is told of the actor once."""
        return layouts.Actor(
            self.actor_id,
            0 if self.parent is None else self.parent.actor_id,
            self.description,
            self.bounding_box,
            self.semantic_tags,
            self.stream_token,
        )

    def state(self) -> ActorState:
        """Return the actor's place in a snapshot."""
        return ActorState(
            self.actor_id,
            six_of(self.pose),
            self.velocity_m_s,
            self.angular_velocity_deg_s,
            self.acceleration_m_s2,
            self.tail(),
        )

    def tail(self) -> bytes:
        """Return what the snapshot says of this kind of actor alone."""
        return b""

    def move_to(self, pose: Pose) -> None:
        """Put the actor somewhere: in the world, or relative to its parent when it has one."""
        if self.parent is None:
            self.pose = pose
        else:
            self.relative_pose = pose
            self.follow_parent()

    def follow_parent(self) -> None:
        """Take the place that an attached actor has now."""
        if self.parent is not None:
            self.pose = self.parent.pose.compose(self.relative_pose)
            self.velocity_m_s = self.parent.velocity_m_s

    def begin_tick(self) -> None:
        """Remember where the last frame showed the actor, for optical flow."""
        self.previous_pose = self.pose if self.shown_pose is None else self.shown_pose

    def end_tick(self) -> None:
        """Note that this frame shows the actor where it is."""
        self.shown_pose = self.pose


def _color_of(attributes: dict[str, str]) -> tuple[int, int, int]:
    parts = attributes.get("color", "").split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        return (128, 128, 128)
    r, g, b = (min(255, int(part)) for part in parts)
    return (r, g, b)


def change_per_s(before: Triple, now: Triple, dt_s: float) -> Triple:
    """Return how fast a vector has changed."""
    return ((now[0] - before[0]) / dt_s, (now[1] - before[1]) / dt_s, (now[2] - before[2]) / dt_s)


def box_of(actor_id: int, half: tuple[float, float, float], centre_z_m: float) -> layouts.BoundingBox:
    """Return an actor's box from its half sizes in metres."""
    return layouts.BoundingBox(layouts.Vector3D(0.0, 0.0, centre_z_m), layouts.Vector3D(*half), actor_id=actor_id)


@dataclass(eq=False)
class Vehicle(Actor):
    """A vehicle: `model` and `dynamics` are its physics, `control` what its driver does, `light` the one it obeys."""

    half_extents_m: tuple[float, float, float] = (2.3, 0.95, 0.75)
    control: layouts.VehicleControl = STANDING_PEDALS
    ackermann: layouts.VehicleAckermannControl | None = None
    ackermann_settings: layouts.AckermannControllerSettings = field(default_factory=layouts.AckermannControllerSettings)
    lights: int = 0
    simulates_physics: bool = True
    collides: bool = True
    has_gravity: bool = True
    constant_velocity_m_s: Triple | None = None
    light_id: int = 0
    light_state: int = GREEN
    speed_limit_kmh: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = vehicle_class(self.blueprint_id)
        self.bounding_box = box_of(self.actor_id, self.half_extents_m, self.half_extents_m[2])
        self.semantic_tags = bytes([_CLASS_TAGS[kind]])
        self.color_rgb = _color_of(self.attributes)
        self.reach_m = math.hypot(*self.half_extents_m[:2])
        self.climb_m_s = 0.0
        self._velocity_before = ZERO
        self.wheels = np.zeros((4, 7))
        self.dynamics: NDArray[np.float64] = np.zeros(dynamics.STATE_SIZE)
        self.dynamics[dynamics.GEAR] = dynamics.NEUTRAL + 1
        self.set_model(dynamics.model_of(kind))
        self.move_to(self.pose)

    def set_model(self, model: dynamics.VehicleModel) -> None:
        """Give the vehicle other physical parameters."""
        self.model = model
        self._parameters = model.vector()

    def move_to(self, pose: Pose) -> None:
        """Put the vehicle somewhere; its speed along its own axes stays."""
        super().move_to(pose)
        self.dynamics[dynamics.X] = self.pose.x_m
        self.dynamics[dynamics.Y] = self.pose.y_m
        self.dynamics[dynamics.YAW] = math.radians(self.pose.yaw_deg)

    def set_velocity(self, velocity_m_s: Triple) -> None:
        """Give the vehicle a velocity in world axes, its wheels rolling along."""
        yaw = float(self.dynamics[dynamics.YAW])
        cos, sin = math.cos(yaw), math.sin(yaw)
        self._set_local_velocity(
            velocity_m_s[0] * cos + velocity_m_s[1] * sin, -velocity_m_s[0] * sin + velocity_m_s[1] * cos
        )
        self.climb_m_s = velocity_m_s[2]

    def _set_local_velocity(self, forward_m_s: float, right_m_s: float) -> None:
        self.dynamics[dynamics.VX], self.dynamics[dynamics.VY] = forward_m_s, right_m_s
        self.dynamics[dynamics.WHEEL_SPEED : dynamics.WHEEL_SPEED + 4] = forward_m_s / self.model.wheel_radius_m

    def push(self, impulse_n_s: Triple) -> None:
        """Change the vehicle's momentum, world axes."""
        vx, vy, _ = self.velocity_m_s
        mass = self.model.mass_kg
        self.set_velocity(
            (vx + impulse_n_s[0] / mass, vy + impulse_n_s[1] / mass, self.climb_m_s + impulse_n_s[2] / mass)
        )

    def velocity_at(self, x_m: float, y_m: float) -> tuple[float, float]:
        """Return the velocity of the vehicle's point at a place, m/s in world axes."""
        yaw_rate = math.radians(self.angular_velocity_deg_s[2])
        vx, vy, _ = self.velocity_m_s
        return vx - yaw_rate * (y_m - self.pose.y_m), vy + yaw_rate * (x_m - self.pose.x_m)

    def be_hit(self, impulse_x_n_s: float, impulse_y_n_s: float, x_m: float, y_m: float) -> None:
        """Take an impulse, world axes, at a place; unlike `push` it leaves the wheels' spin alone and turns."""
        state, mass = self.dynamics, self.model.mass_kg
        yaw = float(state[dynamics.YAW])
        cos, sin = math.cos(yaw), math.sin(yaw)
        state[dynamics.VX] += (impulse_x_n_s * cos + impulse_y_n_s * sin) / mass
        state[dynamics.VY] += (impulse_y_n_s * cos - impulse_x_n_s * sin) / mass
        arm = (x_m - self.pose.x_m) * impulse_y_n_s - (y_m - self.pose.y_m) * impulse_x_n_s
        state[dynamics.YAW_RATE] += arm / self.model.yaw_inertia_kg_m2
        vx, vy, vz = self.velocity_m_s
        self.velocity_m_s = (vx + impulse_x_n_s / mass, vy + impulse_y_n_s / mass, vz)
        self.angular_velocity_deg_s = (0.0, 0.0, math.degrees(float(state[dynamics.YAW_RATE])))

    def be_shoved(self, dx_m: float, dy_m: float, dt_s: float) -> None:
        """Be moved out of another body at the end of a tick of `dt_s`."""
        self.dynamics[dynamics.X] += dx_m
        self.dynamics[dynamics.Y] += dy_m
        self.pose = replace(self.pose, x_m=self.pose.x_m + dx_m, y_m=self.pose.y_m + dy_m)
        self.acceleration_m_s2 = change_per_s(self._velocity_before, self.velocity_m_s, dt_s)

    def advance(self, dt_s: float, ground_m: float) -> None:
        """Drive for one tick over ground that is `ground_m` high here."""
        if not self.simulates_physics:
            self.velocity_m_s = self.angular_velocity_deg_s = self.acceleration_m_s2 = ZERO
            return
        self._velocity_before = self.velocity_m_s
        z_m = self._advance_height(dt_s, ground_m)
        state, control = self.dynamics, self.control
        if z_m <= ground_m + TOUCHING_M:
            control = self._pedals(dt_s)
            dynamics.advance(
                state,
                self._parameters,
                self.wheels,
                min(1.0, max(0.0, control.throttle)),
                min(1.0, max(-1.0, control.steer)),
                min(1.0, max(0.0, control.brake)),
                control.hand_brake,
                control.reverse,
                dt_s,
                dynamics.substeps_of(dt_s),
            )
        else:
            self._fly(dt_s)
        if self.constant_velocity_m_s is not None:
            self._set_local_velocity(self.constant_velocity_m_s[0], self.constant_velocity_m_s[1])
        yaw, vx, vy = float(state[dynamics.YAW]), float(state[dynamics.VX]), float(state[dynamics.VY])
        cos, sin = math.cos(yaw), math.sin(yaw)
        self.pose = Pose(
            float(state[dynamics.X]), float(state[dynamics.Y]), z_m, yaw_deg=wrapped_deg(math.degrees(yaw))
        )
        self.velocity_m_s = (vx * cos - vy * sin, vx * sin + vy * cos, self.climb_m_s)
        self.angular_velocity_deg_s = (0.0, 0.0, math.degrees(float(state[dynamics.YAW_RATE])))
        self.acceleration_m_s2 = change_per_s(self._velocity_before, self.velocity_m_s, dt_s)

    def _advance_height(self, dt_s: float, ground_m: float) -> float:
        z_m = self.pose.z_m
        if z_m > ground_m:
            if self.has_gravity:
                self.climb_m_s -= GRAVITY_M_S2 * dt_s
            z_m += self.climb_m_s * dt_s
            if z_m > ground_m:
                return z_m
            self.climb_m_s = 0.0
            return ground_m
        self.climb_m_s = 0.0
        return min(ground_m, z_m + KERB_CLIMB_M_S * dt_s) if z_m > ground_m - 0.5 else ground_m

    def _fly(self, dt_s: float) -> None:
        """Move without tyres: nothing turns or slows a vehicle in the air."""
        state = self.dynamics
        yaw, vx, vy = float(state[dynamics.YAW]), float(state[dynamics.VX]), float(state[dynamics.VY])
        state[dynamics.X] += (vx * math.cos(yaw) - vy * math.sin(yaw)) * dt_s
        state[dynamics.Y] += (vx * math.sin(yaw) + vy * math.cos(yaw)) * dt_s
        state[dynamics.YAW_RATE] = 0.0

    def _pedals(self, dt_s: float) -> layouts.VehicleControl:
        """Return what the driver does; with an Ackermann target, what its controller makes of it."""
        target = self.ackermann
        if target is None:
            return self.control
        speed = float(self.dynamics[dynamics.VX])
        missing = target.speed - speed
        limit = abs(target.acceleration) or 3.0
        wanted = max(-limit, min(limit, missing / max(dt_s, 0.5)))
        reverse = target.speed < 0.0 and speed < 0.5
        along = -wanted if reverse else wanted
        standing = abs(target.speed) < 0.05 and abs(speed) < 0.5
        self.control = layouts.VehicleControl(
            throttle=max(0.0, min(1.0, along / 4.0 + 0.02 * abs(speed))) if along > 0.0 and not standing else 0.0,
            steer=max(-1.0, min(1.0, target.steer / self.model.max_steer_rad)),
            brake=1.0 if standing else max(0.0, min(1.0, -along / 9.0)),
            reverse=reverse,
        )
        return self.control

    def tail(self) -> bytes:
        """Return control, speed limit and traffic light as a snapshot carries them."""
        c = self.control
        gear = int(self.dynamics[dynamics.GEAR]) - dynamics.NEUTRAL
        return VehicleTail(
            c.throttle,
            c.steer,
            c.brake,
            c.hand_brake,
            c.reverse,
            c.manual_gear_shift,
            gear,
            self.speed_limit_kmh,
            self.light_state,
            self.light_id != 0,
            self.light_id,
        ).pack()

    def body(self) -> Body:
        """Return the vehicle as the engine draws it."""
        return Body(
            self.actor_id,
            self.blueprint_id,
            self.pose,
            self.previous_pose,
            self.color_rgb,
            steer_deg=math.degrees(float(self.dynamics[dynamics.STEER])),
            wheel_turn_rad=float(self.dynamics[dynamics.ROLLED]),
            lights=self.lights | (BRAKE if self.control.brake > FULL_LIGHT_BRAKE else 0),
        )
