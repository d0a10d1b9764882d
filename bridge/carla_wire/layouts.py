"""CARLA 0.9.16's msgpack layouts: one frozen, typed struct a type, encoded as the plain array that the wheel expects.

Units are CARLA's own (metres, degrees, seconds, m/s) unless a field says otherwise. The strictness of msgspec is that
of the wheel: floats accept integers, integers reject floats, booleans reject integers, `bytes` travels as msgpack bin.
Missing trailing fields take their defaults, surplus ones are ignored, as in the wheel.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

U8 = Annotated[int, msgspec.Meta(ge=0, le=0xFF)]
U16 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
U32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
U64 = Annotated[int, msgspec.Meta(ge=0)]
I32 = Annotated[int, msgspec.Meta(ge=-0x80000000, le=0x7FFFFFFF)]
Optional = list[bool | int | float]
"""CARLA's optional<T>: `[False]` or `[True, value]`."""


def optional(value: float | None) -> Optional:
    """Return the wire form of an optional number."""
    return [False] if value is None else [True, value]


def optional_value(wire: Optional) -> float | None:
    """Return the number in an optional, or None; the inverse of `optional`."""
    return None if len(wire) < 2 or not wire[0] else wire[1]


class Layout(msgspec.Struct, array_like=True, frozen=True):
    """Base of every layout: an immutable struct that travels as an array of its fields in order."""


class Vector2D(Layout, frozen=True):
    """A point of a curve."""

    x: float = 0.0
    y: float = 0.0


class Vector3D(Layout, frozen=True):
    """A vector or location."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0


class Rotation(Layout, frozen=True):
    """A rotation in degrees; the order differs from Transform's constructor in the wheel."""

    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0


class Transform(Layout, frozen=True):
    """Where something is and how it is turned, in world axes."""

    location: Vector3D = Vector3D()
    rotation: Rotation = Rotation()


class BoundingBox(Layout, frozen=True):
    """Centre in the actor's own axes, half sizes, rotation; an all-zero extent means "no such actor" to the wheel."""

    location: Vector3D = Vector3D()
    extent: Vector3D = Vector3D()
    rotation: Rotation = Rotation()
    actor_id: U32 = 0


class GeoLocation(Layout, frozen=True):
    """A position on the globe."""

    latitude_deg: float
    longitude_deg: float
    altitude_m: float


class ColorRgb(Layout, frozen=True):
    """A colour, 0..255."""

    r: U8 = 0
    g: U8 = 0
    b: U8 = 0


class Token(Layout, frozen=True):
    """A stream token of 24 bytes; see `streams.StreamToken` for what is inside."""

    data: bytes


class EpisodeInfo(Layout, frozen=True):
    """The current episode and the token of its snapshot stream."""

    episode_id: U64
    token: Token


class EpisodeSettings(Layout, frozen=True):
    """The world's settings; `fixed_delta_seconds` is an optional number."""

    synchronous_mode: bool = False
    no_rendering_mode: bool = False
    fixed_delta_seconds: Optional = msgspec.field(default_factory=lambda: [False])
    substepping: bool = True
    max_substep_delta_time: float = 0.01
    max_substeps: I32 = 10
    max_culling_distance: float = 0.0
    deterministic_ragdolls: bool = False
    tile_stream_distance: float = 3000.0
    actor_active_distance: float = 2000.0
    spectator_as_ego: bool = True


class MapInfo(Layout, frozen=True):
    """The map's name and where vehicles may be spawned."""

    name: str
    spawn_points: list[Transform]


class WeatherParameters(Layout, frozen=True):
    """CARLA's fourteen weather numbers; the defaults are the preset ClearNoon."""

    cloudiness: float = 5.0
    precipitation: float = 0.0
    precipitation_deposits: float = 0.0
    wind_intensity: float = 10.0
    sun_azimuth_angle: float = -1.0
    sun_altitude_angle: float = 45.0
    fog_density: float = 2.0
    fog_distance: float = 0.75
    fog_falloff: float = 0.1
    wetness: float = 0.0
    scattering_intensity: float = 1.0
    mie_scattering_scale: float = 0.03
    rayleigh_scattering_scale: float = 0.0331
    dust_storm: float = 0.0


class ActorAttribute(Layout, frozen=True):
    """An attribute of a blueprint; type 1 bool, 2 int, 3 float, 4 string, 5 colour "r,g,b"."""

    id: str
    type: Annotated[int, msgspec.Meta(ge=1, le=5)]
    value: str
    recommended_values: list[str]
    is_modifiable: bool
    restrict_to_recommended: bool


class ActorDefinition(Layout, frozen=True):
    """A blueprint; `tags` is a comma separated list."""

    uid: U32
    id: str
    tags: str
    attributes: list[ActorAttribute]


class AttributeValue(Layout, frozen=True):
    """The value that a client gives to an attribute of a blueprint."""

    id: str
    type: U8
    value: str


class ActorDescription(Layout, frozen=True):
    """Which blueprint to spawn, with every attribute's value."""

    uid: U32
    id: str
    attributes: list[AttributeValue] = msgspec.field(default_factory=list)


class Actor(Layout, frozen=True):
    """What a client learns of an actor once; `stream_token` is empty unless the actor is a sensor with a stream."""

    id: U32
    parent_id: U32
    description: ActorDescription
    bounding_box: BoundingBox
    semantic_tags: bytes = b""
    stream_token: bytes = b""


class VehicleControl(Layout, frozen=True):
    """What the driver does: throttle and brake 0..1, steer -1..1 (right positive)."""

    throttle: float = 0.0
    steer: float = 0.0
    brake: float = 0.0
    hand_brake: bool = False
    reverse: bool = False
    manual_gear_shift: bool = False
    gear: I32 = 0


class VehicleAckermannControl(Layout, frozen=True):
    """Steer in radians (right positive), its speed in rad/s, speed in m/s, acceleration in m/s2, jerk in m/s3."""

    steer: float = 0.0
    steer_speed: float = 0.0
    speed: float = 0.0
    acceleration: float = 0.0
    jerk: float = 0.0


class AckermannControllerSettings(Layout, frozen=True):
    """Gains of the two controllers that turn an Ackermann target into pedals."""

    speed_kp: float = 0.15
    speed_ki: float = 0.0
    speed_kd: float = 0.25
    accel_kp: float = 0.01
    accel_ki: float = 0.0
    accel_kd: float = 0.01


class WalkerControl(Layout, frozen=True):
    """Where a walker goes (unit vector) and how fast, m/s."""

    direction: Vector3D = Vector3D(1.0, 0.0, 0.0)
    speed: float = 0.0
    jump: bool = False


class GearPhysicsControl(Layout, frozen=True):
    """One forward gear: its ratio and the shares of maximum rpm at which the box shifts."""

    ratio: float = 1.0
    down_ratio: float = 0.5
    up_ratio: float = 0.65


class WheelPhysicsControl(Layout, frozen=True):
    """One wheel; angles in degrees, radius and position in centimetres, torques in Nm."""

    tire_friction: float = 3.5
    damping_rate: float = 0.25
    max_steer_angle: float = 70.0
    radius: float = 30.0
    max_brake_torque: float = 1500.0
    max_handbrake_torque: float = 3000.0
    lat_stiff_max_load: float = 2.0
    lat_stiff_value: float = 17.0
    long_stiff_value: float = 1000.0
    position: Vector3D = Vector3D()


class VehiclePhysicsControl(Layout, frozen=True):
    """A vehicle's physical parameters, in CARLA's units."""

    torque_curve: list[Vector2D]
    max_rpm: float
    moi: float
    damping_rate_full_throttle: float
    damping_rate_zero_throttle_clutch_engaged: float
    damping_rate_zero_throttle_clutch_disengaged: float
    use_gear_autobox: bool
    gear_switch_time: float
    clutch_strength: float
    final_ratio: float
    forward_gears: list[GearPhysicsControl]
    mass: float
    drag_coefficient: float
    center_of_mass: Vector3D
    steering_curve: list[Vector2D]
    wheels: list[WheelPhysicsControl]
    use_sweep_wheel_collision: bool


class WheelTelemetryData(Layout, frozen=True):
    """What one wheel does now: rad/s, N and Nm."""

    tire_friction: float = 0.0
    lat_slip: float = 0.0
    long_slip: float = 0.0
    omega: float = 0.0
    tire_load: float = 0.0
    normalized_tire_load: float = 0.0
    torque: float = 0.0
    long_force: float = 0.0
    lat_force: float = 0.0
    normalized_long_force: float = 0.0
    normalized_lat_force: float = 0.0


class VehicleTelemetryData(Layout, frozen=True):
    """What a vehicle does now."""

    speed: float
    steer: float
    throttle: float
    brake: float
    engine_rpm: float
    gear: I32
    drag: float
    wheels: list[WheelTelemetryData]


class VehicleLightState(Layout, frozen=True):
    """A vehicle's lights as a bit mask."""

    flags: U32 = 0


class VehicleLights(Layout, frozen=True):
    """One vehicle's lights in the list of all."""

    actor_id: U32
    flags: U32


class EnvironmentObject(Layout, frozen=True):
    """A thing of the static world."""

    transform: Transform
    bounding_box: BoundingBox
    id: U64
    name: str
    label: U8


class LightState(Layout, frozen=True):
    """A street light; group 0 none, 1 vehicle, 2 street, 3 building, 4 other."""

    id: U32
    location: Vector3D
    intensity: float
    group: U8
    color: ColorRgb
    active: bool


class LabelledPoint(Layout, frozen=True):
    """Where a ray met the world, and the semantic tag there."""

    location: Vector3D
    label: U8


class ProjectedPoint(Layout, frozen=True):
    """Whether a ray met something, and what."""

    found: bool
    point: LabelledPoint


class OpendriveGenerationParameters(Layout, frozen=True):
    """How a world is built from an OpenDRIVE file."""

    vertex_distance: float = 2.0
    max_road_length: float = 50.0
    wall_height: float = 1.0
    additional_width: float = 0.6
    smooth_junctions: bool = True
    enable_mesh_visibility: bool = True
    enable_pedestrian_navigation: bool = True


class TrafficManagerAddress(Layout, frozen=True):
    """Where a TrafficManager listens."""

    host: str
    port: U16


class DebugShape(Layout, frozen=True):
    """A debug drawing; `debug_shapes` decodes primitive and colour. A life time of 0 or less is for ever."""

    primitive: msgspec.Raw
    color: msgspec.Raw
    life_time: float
    persistent_lines: bool
