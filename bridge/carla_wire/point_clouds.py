"""Bodies of the messages that are lists of points: lidar, semantic lidar, radar and event camera.

Points lie in the sensor's own axes (x forward, y right, z up, metres); everything is little-endian and packed.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_SCAN = struct.Struct("<fI")
SEMANTIC_POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("cos_incidence", "<f4"), ("actor", "<u4"), ("tag", "<u4")]
)
"""One point of a semantic lidar: place, cosine of the angle of incidence, actor id (0: none), CARLA's tag."""
EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("time_ns", "<i8"), ("is_brighter", "?")])
"""One event of an event camera: pixel, simulation time, and whether the pixel became brighter; 13 bytes."""
LIDAR_COLUMNS = 4  # x, y, z, intensity
RADAR_COLUMNS = 4  # velocity m/s (away positive), azimuth rad, altitude rad, depth m


def encode_scan(horizontal_angle_rad: float, points_per_channel: NDArray[np.integer], points: NDArray) -> bytes:
    """Return a lidar's body: the angle it has turned to, the number of points of each channel, and the points.

    `points` (N,4) f32 x, y, z, intensity, or (N,) SEMANTIC_POINT; channel after channel. Raises ValueError if the
    numbers do not add up: a client would read beyond the end.
    """
    counts = np.ascontiguousarray(points_per_channel, "<u4")
    if points.dtype != SEMANTIC_POINT:
        points = np.ascontiguousarray(points, "<f4").reshape(-1, LIDAR_COLUMNS)
    if int(counts.sum()) != len(points):
        raise ValueError(f"{int(counts.sum())} points are announced, but there are {len(points)}")
    return _SCAN.pack(horizontal_angle_rad, len(counts)) + counts.tobytes() + points.tobytes()


def _decode_head(body: bytes) -> tuple[float, NDArray[np.uint32], int]:
    angle_rad, channels = _SCAN.unpack_from(body)
    counts = np.frombuffer(body, "<u4", channels, _SCAN.size)
    return angle_rad, counts, _SCAN.size + 4 * channels


def decode_lidar(body: bytes) -> tuple[float, NDArray[np.uint32], NDArray[np.float32]]:
    """Return angle, points per channel and points (N,4) f32 of a lidar's body; an inverse of `encode_scan`."""
    angle_rad, counts, offset = _decode_head(body)
    return angle_rad, counts, np.frombuffer(body, "<f4", offset=offset).reshape(-1, LIDAR_COLUMNS)


def decode_semantic_lidar(body: bytes) -> tuple[float, NDArray[np.uint32], NDArray]:
    """Return angle, points per channel and points (N,) SEMANTIC_POINT; an inverse of `encode_scan`."""
    angle_rad, counts, offset = _decode_head(body)
    return angle_rad, counts, np.frombuffer(body, SEMANTIC_POINT, offset=offset)


def encode_radar(detections: NDArray[np.floating]) -> bytes:
    """Return a radar's body from (N,4): velocity m/s, azimuth rad, altitude rad, depth m."""
    return np.ascontiguousarray(detections, "<f4").reshape(-1, RADAR_COLUMNS).tobytes()


def decode_radar(body: bytes) -> NDArray[np.float32]:
    """Return the detections (N,4) f32; the inverse of `encode_radar`."""
    return np.frombuffer(body, "<f4").reshape(-1, RADAR_COLUMNS)


def encode_events(events: NDArray) -> bytes:
    """Return an event camera's pixels, which follow the image header, from (N,) EVENT."""
    if events.dtype != EVENT:
        raise ValueError(f"events have the type {EVENT}, not {events.dtype}")
    return events.tobytes()


def decode_events(pixels: bytes) -> NDArray:
    """Return the events (N,) EVENT; the inverse of `encode_events`."""
    return np.frombuffer(pixels, EVENT)
