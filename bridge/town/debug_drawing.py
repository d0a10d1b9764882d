"""Debug drawings in the pictures of colour cameras: lines with a width, hidden by what stands before them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.carla_wire import layouts
from bridge.carla_wire.debug_shapes import DebugArrow, DebugBox, DebugLine, DebugPoint, DebugString, Primitive
from bridge.town.pose import Pose
from bridge.town.views import CameraView

NEAR_M = 0.1
MOST_STEPS = 8192
WIDEST_PX = 48.0
HIDDEN_BEHIND = 1.01
"""A drawing on a surface is seen: only what is this much further away than the surface is hidden."""
MOST_DRAWINGS = 20_000
"""More drawings than this push out the oldest."""
MOST_SEGMENTS = 40_000
"""Of more segments than this a picture shows the newest: a box has twelve."""


@dataclass(frozen=True)
class Segment:
    """A line in the world: ends (3,) in metres, width in metres, colour 0..255."""

    begin_m: NDArray[np.float64]
    end_m: NDArray[np.float64]
    width_m: float
    color_rgb: tuple[int, int, int]


@dataclass(frozen=True)
class Drawing:
    """The segments of one debug shape, and until when (simulation seconds) they are shown."""

    segments: tuple[Segment, ...]
    until_s: float


def _point(vector: layouts.Vector3D) -> NDArray[np.float64]:
    return np.array([vector.x, vector.y, vector.z])


def segments_of(primitive: Primitive, color: layouts.ColorRgb) -> tuple[Segment, ...]:
    """Return the lines that a primitive is made of; none for a text."""
    rgb = (color.r, color.g, color.b)
    if isinstance(primitive, DebugPoint):
        place = _point(primitive.location)
        return (Segment(place, place, primitive.size, rgb),)
    if isinstance(primitive, DebugLine):
        return (Segment(_point(primitive.begin), _point(primitive.end), primitive.thickness, rgb),)
    if isinstance(primitive, DebugArrow):
        return _arrow(primitive, rgb)
    if isinstance(primitive, DebugBox):
        return _box(primitive, rgb)
    assert isinstance(primitive, DebugString)
    return ()


def _arrow(arrow: DebugArrow, rgb: tuple[int, int, int]) -> tuple[Segment, ...]:
    begin, end = _point(arrow.line.begin), _point(arrow.line.end)
    length = float(np.linalg.norm(end - begin))
    shaft = Segment(begin, end, arrow.line.thickness, rgb)
    if length <= 0.0:
        return (shaft,)
    way = (end - begin) / length
    aside = np.cross(way, [0.0, 0.0, 1.0] if abs(way[2]) < 0.9 else [1.0, 0.0, 0.0])
    aside /= np.linalg.norm(aside)
    up = np.cross(aside, way)
    barbs = [end + arrow.arrow_size * (0.5 * turned - way) for turned in (aside, -aside, up, -up)]
    return (shaft, *(Segment(end, barb, arrow.line.thickness, rgb) for barb in barbs))


def _box(box: DebugBox, rgb: tuple[int, int, int]) -> tuple[Segment, ...]:
    turn = Pose(pitch_deg=box.rotation.pitch, yaw_deg=box.rotation.yaw, roll_deg=box.rotation.roll).matrix()[:3, :3]
    middle, half = _point(box.box.location), _point(box.box.extent)
    corners = [np.array(signs) for signs in itertools.product((-1.0, 1.0), repeat=3)]
    placed = [middle + turn @ (corner * half) for corner in corners]
    return tuple(
        Segment(placed[i], placed[j], box.thickness, rgb)
        for i, j in itertools.combinations(range(8), 2)
        if np.abs(corners[i] - corners[j]).sum() == 2.0
    )


class DrawingBoard:
    """The debug drawings of an episode."""

    def __init__(self) -> None:
        self._drawings: list[Drawing] = []

    def draw(self, primitive: Primitive, color: layouts.ColorRgb, until_s: float) -> None:
        """Add a shape that is shown until a moment."""
        segments = segments_of(primitive, color)
        if segments:
            self._drawings = [*self._drawings[1 - MOST_DRAWINGS :], Drawing(segments, until_s)]

    def clear(self) -> None:
        """Take everything away."""
        self._drawings = []

    def shown(self, now_s: float) -> tuple[Segment, ...]:
        """Return what is to be seen now, and forget what is over."""
        if self._drawings:
            self._drawings = [drawing for drawing in self._drawings if drawing.until_s >= now_s]
        return tuple(segment for drawing in self._drawings for segment in drawing.segments)


def draw_segments(
    bgra: NDArray[np.uint8], depth_m: NDArray[np.float32], view: CameraView, segments: Sequence[Segment]
) -> NDArray[np.uint8]:
    """Return a picture (H,W,4) u8 with segments drawn where nothing nearer hides them; `depth_m` (H,W) f32."""
    picture = bgra.copy()
    matrix = view.pose.matrix()
    eye, axes = matrix[:3, 3], matrix[:3, :3]
    focal_px = 0.5 * view.width_px / math.tan(math.radians(0.5 * view.fov_deg))
    for segment in segments[-MOST_SEGMENTS:]:
        ends = _clipped((segment.begin_m - eye) @ axes, (segment.end_m - eye) @ axes)
        if ends is not None:
            _draw(picture, depth_m, ends, focal_px, segment)
    return picture


def _clipped(
    begin: NDArray[np.float64], end: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the part of a segment (camera axes, x forward) before the camera; None if there is none."""
    if begin[0] < NEAR_M and end[0] < NEAR_M:
        return None
    if begin[0] < NEAR_M:
        begin = begin + (end - begin) * ((NEAR_M - begin[0]) / (end[0] - begin[0]))
    elif end[0] < NEAR_M:
        end = end + (begin - end) * ((NEAR_M - end[0]) / (begin[0] - end[0]))
    return begin, end


def _draw(
    picture: NDArray[np.uint8],
    depth_m: NDArray[np.float32],
    ends: Iterable[NDArray[np.float64]],
    focal_px: float,
    segment: Segment,
) -> None:
    height, width = depth_m.shape
    (u0, v0, w0), (u1, v1, w1) = (
        (0.5 * width + focal_px * y / x, 0.5 * height - focal_px * z / x, 1.0 / x) for x, y, z in ends
    )
    steps = int(min(MOST_STEPS, 2.0 + max(abs(u1 - u0), abs(v1 - v0))))
    share = np.linspace(0.0, 1.0, steps)
    u, v, inverse = u0 + (u1 - u0) * share, v0 + (v1 - v0) * share, w0 + (w1 - w0) * share
    half_px = 0.5 * np.clip(segment.width_m * focal_px * inverse, 1.0, WIDEST_PX)
    seen = (u > -WIDEST_PX) & (u < width + WIDEST_PX) & (v > -WIDEST_PX) & (v < height + WIDEST_PX)
    u, v, inverse, half_px = u[seen], v[seen], inverse[seen], half_px[seen]
    if not len(u):
        return
    reach = math.ceil(float(half_px.max()))
    b, g, r = segment.color_rgb[2], segment.color_rgb[1], segment.color_rgb[0]
    for dx, dy in itertools.product(range(-reach, reach + 1), repeat=2):
        column, row = np.floor(u).astype(np.int64) + dx, np.floor(v).astype(np.int64) + dy
        inside = (max(abs(dx), abs(dy)) <= half_px) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        column, row, near = column[inside], row[inside], inverse[inside]
        open_to_view = 1.0 / near <= depth_m[row, column] * HIDDEN_BEHIND + 0.02
        picture[row[open_to_view], column[open_to_view]] = (b, g, r, 255)
