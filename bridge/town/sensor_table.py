"""Which class simulates which sensor blueprint that has a stream."""

from __future__ import annotations

from bridge.town.event_camera import EventCamera
from bridge.town.ray_sensors import RAY_SENSORS
from bridge.town.sensors import CAMERA_PLANES, Camera, CollisionSensor, GnssSensor, ImuSensor, Sensor

SENSOR_CLASSES: dict[str, type[Sensor]] = {
    **dict.fromkeys(CAMERA_PLANES, Camera),
    "sensor.camera.dvs": EventCamera,
    **RAY_SENSORS,
    "sensor.other.collision": CollisionSensor,
    "sensor.other.gnss": GnssSensor,
    "sensor.other.imu": ImuSensor,
}
"""Lane invasion is computed inside the client from the map: it is an actor without a stream."""
