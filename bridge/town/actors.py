"""The actors of an episode: what each kind knows, how it moves, and how it shows in snapshots and pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from bridge.carla_wire import layouts
from bridge.carla_wire.snapshot import ActorState, Triple, VehicleTail
from bridge.town.ackermann import AckermannDriver
from bridge.town.blueprints import vehicle_class
from bridge.town.chassis import Chassis
from bridge.town.pose import Pose
from bridge.town.vehicle_model import GRAVITY_M_S2 as GRAVITY_M_S2
from bridge.town.vehicle_model import VehicleModel, model_of
from bridge.town.views import BRAKE, REVERSE, Body

KERB_CLIMB_M_S = 1.5
"""How fast feet rise where the ground is higher than they are."""
GREEN, OFF = 2, 3
NO_FAILURE, ROLLED_OVER = 0, 1
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


def transform_of(pose: Pose) -> layouts.Transform:
    """Return a pose as a wire transform; the inverse of `pose_of`."""
    return layouts.Transform(
        layouts.Vector3D(pose.x_m, pose.y_m, pose.z_m),
        layouts.Rotation(pose.pitch_deg, pose.yaw_deg, pose.roll_deg),
    )


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
    """A vehicle: `chassis` is its physics, `control` what its driver does, `light_id` the traffic light it obeys."""

    half_extents_m: tuple[float, float, float] = (2.3, 0.95, 0.75)
    control: layouts.VehicleControl = STANDING_PEDALS
    ackermann: AckermannDriver | None = None
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
        self._velocity_before = ZERO
        self.chassis = Chassis(model_of(kind, self.half_extents_m), self.pose, self.half_extents_m)

    @property
    def model(self) -> VehicleModel:
        """The physical parameters."""
        return self.chassis.model

    def move_to(self, pose: Pose) -> None:
        """Put the vehicle somewhere; its speed along its own axes stays."""
        super().move_to(pose)
        self.chassis.place(self.pose)

    def follow_parent(self) -> None:
        """Take the place that an attached vehicle has now."""
        if self.parent is not None:
            super().follow_parent()
            self.chassis.place(self.pose)

    def set_velocity(self, velocity_m_s: Triple) -> None:
        """Give the vehicle a velocity in world axes, its wheels rolling along."""
        self.chassis.set_velocity(velocity_m_s)

    def push(self, impulse_n_s: Triple) -> None:
        """Change the vehicle's momentum, world axes."""
        if self.simulates_physics:
            self.chassis.hit(impulse_n_s)

    def spin(self, moment_n_m_s: float) -> None:
        """Change the vehicle's turning about its upright axis."""
        if self.simulates_physics:
            self.chassis.hit(ZERO, moment_n_m_s)

    def push_at(self, impulse_n_s: Triple, x_m: float, y_m: float) -> None:
        """Take an impulse, world axes, at a place: off the middle it turns the vehicle as well."""
        arm = (x_m - self.pose.x_m) * impulse_n_s[1] - (y_m - self.pose.y_m) * impulse_n_s[0]
        if self.simulates_physics:
            self.chassis.hit(impulse_n_s, arm)

    def velocity_at(self, x_m: float, y_m: float) -> tuple[float, float]:
        """Return the velocity of the vehicle's point at a place, m/s in world axes."""
        yaw_rate = math.radians(self.angular_velocity_deg_s[2])
        vx, vy, _ = self.velocity_m_s
        return vx - yaw_rate * (y_m - self.pose.y_m), vy + yaw_rate * (x_m - self.pose.x_m)

    def be_hit(self, impulse_x_n_s: float, impulse_y_n_s: float, x_m: float, y_m: float) -> None:
        """Take a collision's impulse at a place, and show its effect at once."""
        self.push_at((impulse_x_n_s, impulse_y_n_s, 0.0), x_m, y_m)
        self.velocity_m_s = self.chassis.velocity_m_s()
        self.angular_velocity_deg_s = self.chassis.angular_velocity_deg_s()

    def be_shoved(self, dx_m: float, dy_m: float, dt_s: float) -> None:
        """Be moved out of another body at the end of a tick of `dt_s`."""
        self.chassis.shove(dx_m, dy_m)
        self.pose = replace(self.pose, x_m=self.pose.x_m + dx_m, y_m=self.pose.y_m + dy_m)
        self.acceleration_m_s2 = change_per_s(self._velocity_before, self.velocity_m_s, dt_s)

    def advance(self, dt_s: float, ground_m: Sequence[float]) -> None:
        """Drive for one tick; `ground_m` is the ground's z at the places of `chassis.wheel_places(dt_s)`."""
        if not self.simulates_physics:
            self.velocity_m_s = self.angular_velocity_deg_s = self.acceleration_m_s2 = ZERO
            return
        self._velocity_before = self.velocity_m_s
        if self.ackermann is not None:
            self.control = self._ackermann_control(self.ackermann, dt_s)
        self.chassis.advance(dt_s, self.control, ground_m, has_gravity=self.has_gravity)
        if self.constant_velocity_m_s is not None:
            self.chassis.set_local_velocity(self.constant_velocity_m_s[0], self.constant_velocity_m_s[1])
        self.pose = self.chassis.pose()
        self.velocity_m_s = self.chassis.velocity_m_s()
        self.angular_velocity_deg_s = self.chassis.angular_velocity_deg_s()
        self.acceleration_m_s2 = change_per_s(self._velocity_before, self.velocity_m_s, dt_s)

    def _ackermann_control(self, driver: AckermannDriver, dt_s: float) -> layouts.VehicleControl:
        yaw = math.radians(self.pose.yaw_deg)
        ax, ay, _ = self.acceleration_m_s2
        along = ax * math.cos(yaw) + ay * math.sin(yaw)
        max_steer_rad = max(wheel.max_steer_rad for wheel in self.model.wheels)
        return driver.drive(self.chassis.forward_speed_m_s, along, max_steer_rad, self.ackermann_settings, dt_s)

    def tail(self) -> bytes:
        """Return control, speed limit, traffic light and failure as a snapshot carries them."""
        c = self.control
        return VehicleTail(
            c.throttle,
            c.steer,
            c.brake,
            c.hand_brake,
            c.reverse,
            c.manual_gear_shift,
            self.chassis.gear,
            self.speed_limit_kmh,
            self.light_state,
            self.light_id != 0,
            self.light_id,
            ROLLED_OVER if self.chassis.is_overturned else NO_FAILURE,
        ).pack()

    def shown_lights(self) -> int:
        """Return the lights that shine: those that are switched on, and those that the pedals switch."""
        shown = self.lights
        if self.control.brake > FULL_LIGHT_BRAKE:
            shown |= BRAKE
        return shown | REVERSE if self.chassis.gear < 0 else shown

    def body(self) -> Body:
        """Return the vehicle as the engine draws it."""
        return Body(
            self.actor_id,
            self.blueprint_id,
            self.pose,
            self.previous_pose,
            self.color_rgb,
            steer_deg=self.chassis.steer_deg,
            wheel_turn_rad=self.chassis.rolled_rad,
            lights=self.shown_lights(),
        )
