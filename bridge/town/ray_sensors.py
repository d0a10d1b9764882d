"""The sensors that look along rays: lidar, semantic lidar, radar and the obstacle detector, as CARLA has them.

A sensor plans a sweep while the world stands still; the engine meets its rays, and the sweep makes the message of what
they hit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.carla_wire import layouts
from bridge.carla_wire.point_clouds import SEMANTIC_POINT, encode_radar, encode_scan
from bridge.carla_wire.streams import ObstacleEvent, SensorType, encode_measurement
from bridge.town.actors import Actor
from bridge.town.sensors import Sensor, number
from bridge.town.views import RayHits

MOST_RAYS = 500_000
"""So many rays at most in one tick of one sensor: about half a second of work."""
OBSTACLE_RAYS = 9
_STATIC_NAMES = {
    1: "road",
    2: "sidewalk",
    3: "building",
    4: "wall",
    5: "fence",
    6: "pole",
    7: "trafficlight",
    8: "trafficsign",
    9: "vegetation",
    10: "terrain",
    14: "car",
    24: "road",
    25: "ground",
}


def static_record(tag: int) -> layouts.Actor:
    """Return how CARLA's events name a part of the static world: an actor with the id 0 and a name for its tag."""
    name = f"static.{_STATIC_NAMES.get(tag, 'unknown')}"
    return layouts.Actor(0, 0, layouts.ActorDescription(0, name), layouts.BoundingBox(), bytes([tag]))


@dataclass(frozen=True)
class Moment:
    """What a sweep must know of the world when it begins: the tick's length, and who moves how (m/s, world axes)."""

    frame: int
    elapsed_s: float
    dt_s: float
    actors: Mapping[int, Actor]


@dataclass(frozen=True)
class Sweep:
    """One measurement by rays; `body_of` makes the message's body of what they hit, or None if there is none to send.

    origins_m (3,) or (N,3), directions (N,3): CARLA's world; `blind_to`: an actor the rays go through (0: none).
    """

    stream_id: int
    header: bytes
    origins_m: NDArray[np.float64]
    directions: NDArray[np.float64]
    reach_m: float
    blind_to: int
    body_of: Callable[[RayHits], bytes | None]


@dataclass(eq=False)
class RaySensor(Sensor):
    """A sensor that looks along rays."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.random = np.random.default_rng(int(number(self, "noise_seed", 0, 0, 2**31 - 1)))

    def plan(self, moment: Moment) -> Sweep | None:
        """Return the sweep of this moment, or None if there is nothing to send for it."""
        raise NotImplementedError

    def _sweep(
        self,
        kind: SensorType,
        moment: Moment,
        local: NDArray[np.float64],
        reach_m: float,
        body_of: Callable[[RayHits], bytes | None],
    ) -> Sweep:
        matrix = self.pose.matrix()
        header = self.header(kind, moment.frame, moment.elapsed_s)
        return Sweep(self.stream_id, header, matrix[:3, 3], local @ matrix[:3, :3].T, reach_m, 0, body_of)

    def _rays_of(self, moment: Moment, per_second: float) -> float:
        """Return how many rays are due; a sensor with a period measures for all of it."""
        return min(per_second * max(moment.dt_s, self.period_s), float(MOST_RAYS))


@dataclass(eq=False)
class SemanticLidar(RaySensor):
    """A rotating lidar whose points carry actor and tag, without noise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.channels = int(number(self, "channels", 32, 1, 512))
        self.range_m = number(self, "range", 10.0, 0.01, 10_000.0)
        self.points_per_s = number(self, "points_per_second", 56000, 1, 1e8)
        self.rotations_hz = number(self, "rotation_frequency", 10.0, 0.0, 1e4)
        self.sweep_deg = number(self, "horizontal_fov", 360.0, 0.01, 360.0)
        upper, lower = (number(self, f"{end}_fov", value, -90, 90) for end, value in (("upper", 10), ("lower", -30)))
        self._pitch = np.radians(np.linspace(upper, lower, self.channels))
        self._turned_deg = 0.0

    def plan(self, moment: Moment) -> Sweep | None:
        """Turn on for this moment; channels from the upper one down, each from left to right."""
        per_channel = round(self._rays_of(moment, self.points_per_s) / self.channels)
        if per_channel <= 0:
            return None
        turn_deg = self.rotations_hz * self.sweep_deg * max(moment.dt_s, self.period_s)
        steps = self._turned_deg + turn_deg / per_channel * np.arange(per_channel)
        yaw = np.radians(np.fmod(steps, self.sweep_deg) - 0.5 * self.sweep_deg)
        angle_rad = math.radians(self._turned_deg)
        self._turned_deg = math.fmod(self._turned_deg + turn_deg, self.sweep_deg)
        cos, sin = np.cos(self._pitch)[:, None], np.sin(self._pitch)[:, None]
        local = np.stack([cos * np.cos(yaw), cos * np.sin(yaw), sin + np.zeros_like(yaw)], -1).reshape(-1, 3)
        channel = np.repeat(np.arange(self.channels), per_channel)
        kept = self._shoots(len(local))
        if kept is not None:
            local, channel = local[kept], channel[kept]
        matrix = self.pose.matrix()[:3, :3]
        return self._sweep(
            self._kind, moment, local, self.range_m, lambda hits: self._scan(angle_rad, channel, local, matrix, hits)
        )

    _kind = SensorType.SEMANTIC_LIDAR

    def _shoots(self, count: int) -> NDArray[np.bool_] | None:
        """Return which rays are shot at all, (count,); None for all."""
        return None

    def _scan(
        self, angle_rad: float, channel: NDArray, local: NDArray[np.float64], axes: NDArray[np.float64], hits: RayHits
    ) -> bytes:
        met = np.isfinite(hits.distance_m)
        points = np.zeros(int(met.sum()), SEMANTIC_POINT)
        place = local[met] * hits.distance_m[met, None]
        points["x"], points["y"], points["z"] = place.T
        points["cos_incidence"] = -((local[met] @ axes.T) * hits.normal[met]).sum(1)
        points["actor"], points["tag"] = hits.actor[met], hits.tag[met]
        return encode_scan(angle_rad, np.bincount(channel[met], minlength=self.channels), points)


@dataclass(eq=False)
class Lidar(SemanticLidar):
    """A rotating lidar with intensity, dropped points and noise along the ray, by CARLA's formulas."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.attenuation_per_m = number(self, "atmosphere_attenuation_rate", 0.004, 0.0, 1e3)
        self.dropped_share = number(self, "dropoff_general_rate", 0.45, 0.0, 1.0)
        self.sure_intensity = number(self, "dropoff_intensity_limit", 0.8, 0.0, 1.0)
        self.dropped_at_zero = number(self, "dropoff_zero_intensity", 0.4, 0.0, 1.0)
        self.noise_m = number(self, "noise_stddev", 0.0, 0.0, 1e3)

    _kind = SensorType.LIDAR

    def _shoots(self, count: int) -> NDArray[np.bool_] | None:
        return None if self.dropped_share <= 0.0 else self.random.random(count) >= self.dropped_share

    def _scan(
        self, angle_rad: float, channel: NDArray, local: NDArray[np.float64], axes: NDArray[np.float64], hits: RayHits
    ) -> bytes:
        met = np.flatnonzero(np.isfinite(hits.distance_m))
        intensity = np.exp(-self.attenuation_per_m * hits.distance_m[met])
        if self.dropped_at_zero > 0.0:
            slope = self.dropped_at_zero / max(self.sure_intensity, 1e-9)
            chance = slope * intensity + 1.0 - self.dropped_at_zero
            kept = (intensity > self.sure_intensity) | (self.random.random(len(met)) < chance)
            met, intensity = met[kept], intensity[kept]
        distance = hits.distance_m[met].astype(np.float64)
        if self.noise_m > 0.0:
            distance += self.random.normal(0.0, self.noise_m, len(met))
        points = np.concatenate([local[met] * distance[:, None], intensity[:, None]], 1)
        return encode_scan(angle_rad, np.bincount(channel[met], minlength=self.channels), points)


@dataclass(eq=False)
class Radar(RaySensor):
    """A radar: random rays in an elliptic cone, and how fast what they hit goes away."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.range_m = number(self, "range", 100.0, 0.01, 10_000.0)
        self.points_per_s = number(self, "points_per_second", 1500, 1, 1e8)
        self._half = tuple(
            math.tan(math.radians(0.5 * number(self, f"{axis}_fov", 30.0, 0.01, 179.0)))
            for axis in ("horizontal", "vertical")
        )

    def plan(self, moment: Moment) -> Sweep | None:
        """Look about; the radar's own speed is how far it has moved in this tick."""
        own = (self.pose.matrix()[:3, 3] - self.previous_pose.matrix()[:3, 3]) / moment.dt_s
        count = int(self._rays_of(moment, self.points_per_s))
        radius, angle = self.random.random(count), self.random.uniform(0.0, 2.0 * math.pi, count)
        aside, up = self._half[0] * radius * np.cos(angle), self._half[1] * radius * np.sin(angle)
        local = np.stack([np.ones(count), aside, up], 1)
        local /= np.linalg.norm(local, axis=1, keepdims=True)
        velocity = {actor_id: actor.velocity_m_s for actor_id, actor in moment.actors.items()}
        axes = self.pose.matrix()[:3, :3]

        def body_of(hits: RayHits) -> bytes | None:
            met = np.isfinite(hits.distance_m)
            if not met.any():
                return None
            theirs = np.array([velocity.get(actor, (0.0, 0.0, 0.0)) for actor in hits.actor[met].tolist()])
            away = ((theirs - own) * (local[met] @ axes.T)).sum(1)
            azimuth = np.arctan2(local[met, 1], local[met, 0])
            altitude = np.arcsin(np.clip(local[met, 2], -1.0, 1.0))
            return encode_radar(np.stack([away, azimuth, altitude, hits.distance_m[met]], 1))

        return self._sweep(SensorType.RADAR, moment, local, self.range_m, body_of)


@dataclass(eq=False)
class ObstacleDetector(RaySensor):
    """Tells what stands ahead: nine parallel rays over a disc stand for CARLA's sphere."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.range_m = number(self, "distance", 5.0, 0.01, 10_000.0)
        self.radius_m = number(self, "hit_radius", 0.5, 0.0, 100.0)
        self.only_dynamics = self.attributes.get("only_dynamics", "false").lower() == "true"

    def plan(self, moment: Moment) -> Sweep | None:
        """Look straight ahead, through the actor that carries the detector."""
        carrier = self if self.parent is None else self.parent
        around = np.arange(OBSTACLE_RAYS - 1) * (2.0 * math.pi / (OBSTACLE_RAYS - 1))
        disc = np.zeros((OBSTACLE_RAYS, 3))
        disc[1:, 1], disc[1:, 2] = self.radius_m * np.cos(around), self.radius_m * np.sin(around)
        matrix = self.pose.matrix()
        me = carrier.record()
        others = {actor_id: actor.record() for actor_id, actor in moment.actors.items() if actor is not carrier}

        def body_of(hits: RayHits) -> bytes | None:
            distance = np.where((hits.actor == 0) & self.only_dynamics, np.inf, hits.distance_m)
            nearest = int(np.argmin(distance))
            if not math.isfinite(distance[nearest]):
                return None
            other = others.get(int(hits.actor[nearest])) or static_record(int(hits.tag[nearest]))
            return encode_measurement(ObstacleEvent(me, other, float(distance[nearest])))

        return Sweep(
            self.stream_id,
            self.header(SensorType.OBSTACLE, moment.frame, moment.elapsed_s),
            disc @ matrix[:3, :3].T + matrix[:3, 3],
            np.broadcast_to(matrix[:3, 0], (OBSTACLE_RAYS, 3)),
            self.range_m,
            carrier.actor_id,
            body_of,
        )


RAY_SENSORS: dict[str, type[Sensor]] = {
    "sensor.lidar.ray_cast": Lidar,
    "sensor.lidar.ray_cast_semantic": SemanticLidar,
    "sensor.other.radar": Radar,
    "sensor.other.obstacle": ObstacleDetector,
}
