"""Where each surface of one frame is in another, by depth and poses, as maps that OpenCV resamples with.

The same geometry as `renderer.temporal`, without torch: for the window's thread, in a few passes over a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.frames import BodyPose, SensorFrame

SKY_DEPTH_M: Final = 999.0  # CARLA's far plane is 1000 m: depths from here on are the sky, infinitely far
NEAREST_DEPTH_M: Final = 1e-3
NEAREST_RATIO: Final = 1e-3  # of a surface's depth there to its depth here, to be in front of that camera
RELATIVE_TOLERANCE: Final = 0.05  # of inverse depth, between where a surface must be and what was seen there
ABSOLUTE_TOLERANCE_PER_M: Final = 2e-4  # the same near the sky, where inverse depth goes to zero

ROUNDS: Final = 2
GROWS_PX: Final = 15  # across: what comes nearer is looked for this far around where it was
SPREAD_PX: Final = ((-0.25, -0.25), (-0.25, 0.25), (0.25, -0.25), (0.25, 0.25))  # closes the gaps of what comes nearer

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Geometry:
    """The surfaces of a frame: inverse_depth (H,W) f32 in 1/m, 0 = sky · label_map (H,W) u8 · owners (H,W) u16, the
    instance id of what moves by itself, 0 elsewhere, None where a rig does not tell · world_from_camera (4,4) f64,
    optical axes to world · `bodies` maps instance id to world_from_body.
    """

    inverse_depth: Floats
    label_map: NDArray[np.uint8]
    owners: NDArray[np.uint16] | None
    world_from_camera: Matrix
    focal_px: float
    bodies: Mapping[int, Matrix]

    @classmethod
    def of(cls, frame: SensorFrame) -> Geometry | None:
        """Return a frame's geometry; None without depth."""
        if frame.depth_m is None:
            return None
        inverse = np.reciprocal(np.maximum(frame.depth_m, np.float32(NEAREST_DEPTH_M)))
        cv2.threshold(inverse, 1.0 / SKY_DEPTH_M, 0.0, cv2.THRESH_TOZERO, dst=inverse)
        return cls(
            inverse,
            frame.label_map,
            frame.instance_map,
            frame.world_from_camera,
            frame.intrinsics.focal_px,
            _by_id(frame.bodies),
        )

    def with_poses(self, world_from_camera: Matrix, bodies: tuple[BodyPose, ...]) -> Geometry:
        """Return the same planes with other poses."""
        return replace(self, world_from_camera=world_from_camera, bodies=_by_id(bodies))


@dataclass(frozen=True)
class Places:
    """Where each pixel's surface is in another picture: column and row (H,W) f32, 0 at the centre of the first pixel,
    and its inverse depth there, (H,W) f32, not positive and not zero for what is behind that camera."""

    column_px: Floats
    row_px: Floats
    inverse_depth: Floats


def places_in(other: Geometry, here: Geometry) -> Places:
    """Return where the surfaces of one frame are in another of the same size and focal length.

    With the ray (x, y, 1) of a pixel and its inverse depth q, the other camera's ray times depth is R (x, y, 1) + t q:
    each of its parts is a row, a column and a multiple of q. Bodies that both frames know move with their own step.
    """
    height_px, width_px = here.inverse_depth.shape
    x = ((np.arange(width_px) + 0.5 - width_px / 2) / here.focal_px)[None, :]
    y = ((np.arange(height_px) + 0.5 - height_px / 2) / here.focal_px)[:, None]
    step = np.linalg.inv(other.world_from_camera) @ here.world_from_camera
    parts = [
        _floats(cv2.scaleAdd(here.inverse_depth, float(t), (a * x + c).astype(np.float32) + (b * y).astype(np.float32)))
        for a, b, c, t in step[:3]
    ]
    if here.owners is not None:
        _move_bodies(parts, other, here)
    ahead = np.maximum(parts[2], np.float32(NEAREST_RATIO))
    scale = np.float32(here.focal_px) / ahead
    column, row = parts[0] * scale, parts[1] * scale
    column += np.float32((width_px - 1) / 2)
    row += np.float32((height_px - 1) / 2)
    inverse = np.where(parts[2] > NEAREST_RATIO, here.inverse_depth / ahead, np.float32(-1.0))
    return Places(column, row, inverse)


def visible_in(other: Geometry, here: Geometry, places: Places) -> NDArray[np.bool_]:
    """Return where the surfaces of one frame were seen in another, (H,W): inside it, not hidden, of the same owner."""
    seen = _between(other.inverse_depth, places)
    height_px, width_px = seen.shape
    visible = cv2.absdiff(seen, places.inverse_depth) <= (
        np.float32(RELATIVE_TOLERANCE) * places.inverse_depth + np.float32(ABSOLUTE_TOLERANCE_PER_M)
    )
    visible &= places.inverse_depth >= 0.0
    visible &= cv2.absdiff(places.column_px, _like(seen, (width_px - 1) / 2)) <= width_px / 2
    visible &= cv2.absdiff(places.row_px, _like(seen, (height_px - 1) / 2)) <= height_px / 2
    if here.owners is not None and other.owners is not None:
        visible &= picked(other.owners, places) == here.owners
    return visible


def carried(geometry: Geometry, world_from_camera: Matrix, bodies: tuple[BodyPose, ...]) -> Geometry:
    """Return what a frame's surfaces look like from another pose close by, as far as they were seen.

    What stands still is looked up backward, by iteration: each pixel asks where it would be in the frame if it had the
    depth that was found last, and takes what lies there. Bodies are drawn over it, each pixel where its own step puts
    it. What was hidden has the nearest background.
    """
    moved = geometry.with_poses(world_from_camera, bodies)
    still = geometry if geometry.owners is None else _without_bodies(geometry)
    # What each pixel of the frame will have as inverse depth at the new pose, before it is known where it goes.
    to_come = np.maximum(places_in(moved, still).inverse_depth, np.float32(0.0))
    # What is nearer grows over what is behind it: it is asked first whether it is there.
    nearer = _floats(cv2.dilate(still.inverse_depth, np.ones((GROWS_PX, GROWS_PX), np.uint8)))
    guess = replace(moved, inverse_depth=nearer, owners=None)
    for _ in range(ROUNDS):
        guess = replace(guess, inverse_depth=picked(to_come, places_in(still, guess)))
    places = places_in(still, guess)
    # Between pixels of one surface inverse depth is linear; across edges it must not be mixed.
    nearest = picked(to_come, places)
    between = _between(to_come, places)
    smooth = cv2.absdiff(between, nearest) <= np.float32(RELATIVE_TOLERANCE) * nearest
    background = replace(
        guess, inverse_depth=np.where(smooth, between, nearest), label_map=picked(still.label_map, places)
    )
    return background if geometry.owners is None else _with_bodies(background, geometry, moved)


def places_nearby(geometry: Geometry, world_from_camera: Matrix, bodies: tuple[BodyPose, ...]) -> Places:
    """Return where what a camera sees from a pose very close by is in a frame: `carried`, and then `places_in`, in one.

    For less than a tick's motion: each pixel takes the surface that one look-up finds, so that beside what is near a
    few pixels are stretched instead of hidden.
    """
    there = geometry.with_poses(world_from_camera, bodies)
    places = places_in(geometry, there)
    owners = None if geometry.owners is None else picked(geometry.owners, places)
    return places_in(geometry, replace(there, inverse_depth=picked(geometry.inverse_depth, places), owners=owners))


def nearest_source(sources: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Return, for a plane of (H,W), which source is nearest to each pixel, as a number, and the sources' pixels.

    Sources are numbered from 0 in the order of rows; there must be one.
    """
    _, nearest = cv2.distanceTransformWithLabels(
        np.where(sources, np.uint8(0), np.uint8(255)), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest -= 1  # OpenCV counts from 1
    return np.asarray(nearest, np.int32), np.flatnonzero(sources)


def _without_bodies(geometry: Geometry) -> Geometry:
    """The same surfaces with the nearest background in the place of what moves by itself."""
    assert geometry.owners is not None
    background = geometry.owners == 0
    if background.all() or not background.any():
        return replace(geometry, owners=None)
    nearest, pixels = nearest_source(background)
    hidden = np.flatnonzero(~background)
    source = pixels[nearest.ravel()[hidden]]
    inverse, label_map = geometry.inverse_depth.copy(), geometry.label_map.copy()
    # The street before a body may be the nearest, and is nearer than the body: what is behind it cannot be.
    inverse.ravel()[hidden] = np.minimum(inverse.ravel()[source], inverse.ravel()[hidden])
    label_map.ravel()[hidden] = label_map.ravel()[source]
    return replace(geometry, inverse_depth=inverse, label_map=label_map, owners=None)


def _with_bodies(background: Geometry, geometry: Geometry, moved: Geometry) -> Geometry:
    """Draw a frame's bodies over a background, where they are at its poses."""
    assert geometry.owners is not None
    owners = np.zeros_like(geometry.owners)
    pixels = np.flatnonzero(geometry.owners)
    if pixels.size:
        places = places_in(moved, geometry)
        inverse = places.inverse_depth.ravel()[pixels]
        near_last = np.argsort(inverse)
        pixels, inverse = pixels[near_last], inverse[near_last]
        columns, rows = places.column_px.ravel()[pixels], places.row_px.ravel()[pixels]
        height_px, width_px = owners.shape
        for down, right in SPREAD_PX:
            column, row = np.rint(columns + right).astype(np.intp), np.rint(rows + down).astype(np.intp)
            inside = (inverse > 0) & (column >= 0) & (column < width_px) & (row >= 0) & (row < height_px)
            at, of = (row * width_px + column)[inside], pixels[inside]
            front = inverse[inside] >= (1.0 - RELATIVE_TOLERANCE) * background.inverse_depth.ravel()[at]
            at, of = at[front], of[front]
            background.inverse_depth.ravel()[at] = inverse[inside][front]
            background.label_map.ravel()[at] = geometry.label_map.ravel()[of]
            owners.ravel()[at] = geometry.owners.ravel()[of]
    return replace(background, owners=owners)


def picked(plane: NDArray, places: Places) -> NDArray:
    """Return the nearest pixel of a plane at each place, of its outermost ones beyond them."""
    return cv2.remap(plane, places.column_px, places.row_px, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def _move_bodies(parts: list[Floats], other: Geometry, here: Geometry) -> None:
    """Overwrite what of the other camera's rays belongs to bodies by their own step from here to there."""
    assert here.owners is not None
    pixels = np.flatnonzero(here.owners)
    if pixels.size == 0:
        return
    height_px, width_px = here.owners.shape
    ids = here.owners.ravel()[pixels]
    for body in np.unique(ids).tolist():
        if body not in here.bodies or body not in other.bodies:
            continue
        of_body = pixels[ids == body]
        step = (
            np.linalg.inv(other.world_from_camera)
            @ other.bodies[body]
            @ np.linalg.inv(here.bodies[body])
            @ here.world_from_camera
        )
        x = (of_body % width_px + 0.5 - width_px / 2) / here.focal_px
        y = (of_body // width_px + 0.5 - height_px / 2) / here.focal_px
        q = here.inverse_depth.ravel()[of_body]
        for part, (a, b, c, t) in zip(parts, step[:3], strict=True):
            part.ravel()[of_body] = a * x + b * y + c + t * q


def _between(plane: Floats, places: Places) -> Floats:
    """A plane at each place, linear between its pixels."""
    return _floats(cv2.remap(plane, places.column_px, places.row_px, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _floats(plane: cv2.typing.MatLike) -> Floats:
    return np.asarray(plane, np.float32)


def _by_id(bodies: tuple[BodyPose, ...]) -> dict[int, Matrix]:
    return {body.instance_id: body.world_from_body for body in bodies}


def _like(plane: Floats, value: float) -> Floats:
    return np.full_like(plane, value)
