"""The sensors that actors carry: when each is due, and what cameras, GNSS and IMU read."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.carla_wire import layouts
from bridge.carla_wire.images import ImageHeader
from bridge.carla_wire.streams import InertialMeasurement, SensorHeader, SensorType, encode_measurement
from bridge.town.actors import Actor, six_of
from bridge.town.pose import Pose
from bridge.town.views import CameraView, Plane

EARTH_RADIUS_M = 6378137.0
PROJECTION_SCALE = 0.9996
MAX_IMAGE_SIDE_PX = 8192
DUE_TOLERANCE_S = 1e-6

CAMERA_PLANES: dict[str, tuple[SensorType, frozenset[Plane]]] = {
    "sensor.camera.rgb": (SensorType.RGB, frozenset({"rgb"})),
    "sensor.camera.semantic_segmentation": (SensorType.SEMANTIC_SEGMENTATION, frozenset({"semantic"})),
    "sensor.camera.instance_segmentation": (SensorType.INSTANCE_SEGMENTATION, frozenset({"semantic", "instance"})),
    "sensor.camera.depth": (SensorType.DEPTH, frozenset({"depth"})),
    "sensor.camera.normals": (SensorType.NORMALS, frozenset({"normals"})),
    "sensor.camera.optical_flow": (SensorType.OPTICAL_FLOW, frozenset({"flow"})),
    "sensor.camera.dvs": (SensorType.DVS, frozenset({"rgb"})),
}


class BadAttribute(ValueError):
    """A blueprint attribute whose value makes no sense."""


def number(sensor: Actor, name: str, default: float, low: float, high: float) -> float:
    """Return the number in a sensor's attribute, or `default` without it; raises BadAttribute unless low..high."""
    text = sensor.attributes.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise BadAttribute(f"{name} must be a number between {low:g} and {high:g}, not '{text}'")
    return value


@dataclass(eq=False)
class Sensor(Actor):
    """An actor with a stream; raises BadAttribute if an attribute's value makes no sense."""

    stream_id: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.period_s = number(self, "sensor_tick", 0.0, 0.0, 1e6)
        self.due_s = -math.inf

    def is_due(self, now_s: float) -> bool:
        """Tell whether the sensor measures at this moment, and if so note when it does next."""
        if now_s + DUE_TOLERANCE_S < self.due_s:
            return False
        self.due_s = (
            max(self.due_s, now_s - self.period_s) + self.period_s
            if math.isfinite(self.due_s)
            else (now_s + self.period_s)
        )
        return True

    def header(self, kind: SensorType, frame: int, now_s: float) -> bytes:
        """Return the head of a message of this sensor."""
        return SensorHeader(kind, frame, now_s, six_of(self.pose)).pack()


@dataclass(eq=False)
class CollisionSensor(Sensor):
    """Tells when its parent hits something."""


@dataclass(eq=False)
class Camera(Sensor):
    """A camera of any kind; `planes` is what the engine must draw for it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kind, self.planes = CAMERA_PLANES[self.blueprint_id]
        self.width_px = int(number(self, "image_size_x", 800, 1, MAX_IMAGE_SIDE_PX))
        self.height_px = int(number(self, "image_size_y", 600, 1, MAX_IMAGE_SIDE_PX))
        self.fov_deg = number(self, "fov", 90.0, 1.0, 170.0)
        self.image_header = ImageHeader(self.width_px, self.height_px, self.fov_deg).pack()
        # where the label planes are coded; allocated on first use: not every camera is listened to
        self._pixels: NDArray[np.uint8] | None = None

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The camera's own image buffer, (H, W, 4) u8."""
        if self._pixels is None:
            self._pixels = np.empty((self.height_px, self.width_px, 4), np.uint8)
        return self._pixels

    def view(self) -> CameraView:
        """Return what the camera sees now."""
        return CameraView(self.width_px, self.height_px, self.fov_deg, self.pose)


@dataclass(eq=False)
class _NoisySensor(Sensor):
    def __post_init__(self) -> None:
        super().__post_init__()
        self._random = np.random.default_rng(int(number(self, "noise_seed", 0, 0, 2**31 - 1)))

    def noise(self, name: str) -> float:
        """Return a sample of normal noise whose deviation is the attribute `name`; 0 when that is 0."""
        deviation = number(self, name, 0.0, 0.0, 1e6)
        return float(self._random.normal(0.0, deviation)) if deviation > 0.0 else 0.0

    def bias(self, name: str) -> float:
        """Return the constant error that the attribute `name` asks for."""
        return number(self, name, 0.0, -1e6, 1e6)


@dataclass(frozen=True)
class GeoReference:
    """The point of the globe at the map's origin."""

    latitude_deg: float
    longitude_deg: float

    @classmethod
    def of_opendrive(cls, text: str) -> GeoReference:
        """Return the reference in an OpenDRIVE document; 0, 0 where it has none."""
        found = {name: float(value) for name, value in re.findall(r"\+(lat_0|lon_0)=([-+0-9.eE]+)", text)}
        return cls(found.get("lat_0", 0.0), found.get("lon_0", 0.0))

    def locate(self, x_m: float, y_m: float, z_m: float) -> layouts.GeoLocation:
        """Return where a point of CARLA's world is on the globe.

        This is what the 0.9.16 wheel's `Map.transform_to_geolocation` computes, so that both agree: a transverse
        Mercator projection of the sphere, scaled by 0.9996 whatever the map's header says, with y to the north.
        """
        east, north = x_m / (EARTH_RADIUS_M * PROJECTION_SCALE), y_m / (EARTH_RADIUS_M * PROJECTION_SCALE)
        north += math.radians(self.latitude_deg)
        latitude_deg = math.degrees(math.asin(math.sin(north) / math.cosh(east)))
        turned_deg = math.degrees(math.atan2(math.sinh(east), math.cos(north)))
        return layouts.GeoLocation(latitude_deg, self.longitude_deg + turned_deg, z_m)


@dataclass(eq=False)
class GnssSensor(_NoisySensor):
    """A satellite receiver."""

    def measure(self, reference: GeoReference) -> bytes:
        """Return the body of its message."""
        place = reference.locate(self.pose.x_m, self.pose.y_m, self.pose.z_m)
        return encode_measurement(
            layouts.GeoLocation(
                place.latitude_deg + self.noise("noise_lat_stddev") + self.bias("noise_lat_bias"),
                place.longitude_deg + self.noise("noise_lon_stddev") + self.bias("noise_lon_bias"),
                place.altitude_m + self.noise("noise_alt_stddev") + self.bias("noise_alt_bias"),
            )
        )


@dataclass(eq=False)
class ImuSensor(_NoisySensor):
    """An inertial unit: what its carrier feels, in the sensor's own axes."""

    def measure(self, gravity_m_s2: float) -> bytes:
        """Return the body of its message."""
        carrier = self if self.parent is None else self.parent
        to_world = self.pose.matrix()[:3, :3]
        ax, ay, az = carrier.acceleration_m_s2
        felt = (np.array([ax, ay, az + gravity_m_s2]) @ to_world).tolist()
        turning = (np.radians(carrier.angular_velocity_deg_s) @ to_world).tolist()
        for i, axis in enumerate("xyz"):
            felt[i] += self.noise(f"noise_accel_stddev_{axis}")
            turning[i] += self.noise(f"noise_gyro_stddev_{axis}") + self.bias(f"noise_gyro_bias_{axis}")
        return encode_measurement(
            InertialMeasurement(layouts.Vector3D(*felt), layouts.Vector3D(*turning), compass_rad(self.pose))
        )


def compass_rad(pose: Pose) -> float:
    """Return the heading in radians clockwise from north; north is -y in CARLA's world."""
    return math.radians(pose.yaw_deg + 90.0) % (2.0 * math.pi)
