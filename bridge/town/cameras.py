"""From cameras to messages: cameras that see the same are painted once, and each plane gets CARLA's own coding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from bridge.carla_wire.images import encode_depth, encode_flow, encode_instance, encode_normals, encode_semantic
from bridge.carla_wire.point_clouds import encode_events
from bridge.carla_wire.streams import SensorHeader, SensorType
from bridge.town.debug_drawing import Segment, draw_segments
from bridge.town.event_camera import EventCamera
from bridge.town.pose import Pose
from bridge.town.sensors import Camera
from bridge.town.views import CameraView, Painter, Plane, Planes, StreetState

_T = TypeVar("_T")
DEPTH: frozenset[Plane] = frozenset({"depth"})


@dataclass(frozen=True)
class Shot:
    """One call of the painter: a view, and the cameras that share it, each with its message's header."""

    view: CameraView
    previous_pose: Pose
    planes: frozenset[Plane]
    cameras: tuple[tuple[Camera, bytes], ...]


def plan_shots(cameras: Iterable[tuple[Camera, bytes]]) -> list[Shot]:
    """Group cameras (each with its message's header) by what they see; the order is that of the first of each group."""
    groups: dict[tuple[CameraView, Pose], list[tuple[Camera, bytes]]] = {}
    for camera, header in cameras:
        groups.setdefault((camera.view(), camera.previous_pose), []).append((camera, header))
    return [
        Shot(view, previous, frozenset().union(*(camera.planes for camera, _header in group)), tuple(group))
        for (view, previous), group in groups.items()
    ]


def take(
    shot: Shot, painter: Painter, state: StreetState, drawings: Sequence[Segment] = ()
) -> Iterator[tuple[Camera, bytes, memoryview]]:
    """Paint a shot and yield each camera, its message's header and its pixels; use them before the next painting."""
    if drawings and "rgb" in shot.planes:
        planes = painter.render(shot.view, shot.previous_pose, state, shot.planes | DEPTH)
        drawn = draw_segments(_painted(planes.bgra), _painted(planes.depth_m), shot.view, drawings)
        planes = replace(planes, bgra=drawn)
    else:
        planes = painter.render(shot.view, shot.previous_pose, state, shot.planes)
    for camera, header in shot.cameras:
        if isinstance(camera, EventCamera):
            events = camera.events(_painted(planes.bgra), SensorHeader.unpack(header).timestamp_s)
            if len(events):  # CARLA sends nothing where nothing has changed
                yield camera, header + camera.image_header, memoryview(encode_events(events))
        else:
            yield camera, header + camera.image_header, _pixels(camera, planes)


def _pixels(camera: Camera, planes: Planes) -> memoryview:
    kind, out = camera.kind, camera.pixels
    if kind is SensorType.RGB:
        pixels = np.ascontiguousarray(_painted(planes.bgra))
    elif kind is SensorType.DEPTH:
        pixels = encode_depth(_painted(planes.depth_m), out)
    elif kind is SensorType.SEMANTIC_SEGMENTATION:
        pixels = encode_semantic(_painted(planes.semantic), out)
    elif kind is SensorType.INSTANCE_SEGMENTATION:
        pixels = encode_instance(_painted(planes.semantic), _painted(planes.instance), out)
    elif kind is SensorType.NORMALS:
        pixels = encode_normals(_painted(planes.normals), out)
    else:
        pixels = encode_flow(_painted(planes.flow_px))
    return pixels.data


def _painted(plane: _T | None) -> _T:
    if plane is None:
        raise ValueError("the painter left out a plane that it was asked for")
    return plane
