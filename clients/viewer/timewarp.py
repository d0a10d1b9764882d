"""Asynchronous timewarp: the newest synthesized picture, moved to where the camera is now, while the next one is made.

Depth and poses say exactly where each surface of the newest frame was in the picture that was synthesized last; what
was not visible there is taken from the picture before it, and what neither saw from the nearest surface of its class.
A tick's poses are known before its cameras have drawn: until they have, the newest frame's surfaces are carried on.
Where somebody drives, the poses are carried on to now, by the steering as it was read just before each picture.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.breaks import break_between
from bridge.prefetch import ControlSample, ControlSource, Street
from bridge.protocol.frames import EgoControl, FramePair, SensorFrame
from clients.viewer.reprojection import Geometry, Places, carried, nearest_source, places_in, places_nearby, visible_in
from clients.viewer.ticks import Pose, Tick
from clients.viewer.timewarp_figures import TimewarpFigures

LONGEST_S: Final = 1.0  # of simulation time: older pictures show nothing of the street ahead
FURTHEST_TICKS: Final = 3
FURTHEST_M: Final = 5.0  # that surfaces are carried ahead of their frame
HISTORY_SHARE: Final = 0.002  # of the picture that must be missing before an older picture is asked
CLASS_SHARE: Final = 5e-4  # of the picture that must be missing of a class for it to be filled from its own kind
TOLD_EVERY_S: Final = 0.5
EDGES: Final = cv2.BORDER_REPLICATE  # what was beyond a picture looks like its outermost pixels


def warp(
    pictures: list[tuple[NDArray[np.uint8], Geometry]], here: Geometry
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return pictures (H,W,3) u8, the newest first, as one picture seen from another geometry, and (H,W) where none of
    them saw what is there: those pixels have the colour of the nearest surface of their class.
    """
    rgb, missing = _moved(*pictures[0], here)
    for older in pictures[1:]:
        if np.count_nonzero(missing) <= HISTORY_SHARE * missing.size:
            break
        moved, unseen = _moved(*older, here)
        found = missing & ~unseen
        rgb[found] = moved[found]
        missing &= unseen
    fill_from_class(rgb, missing, _at_size(here.label_map, missing.shape))
    return rgb, missing


def fill_from_class(rgb: NDArray[np.uint8], missing: NDArray[np.bool_], label_map: NDArray[np.uint8]) -> None:
    """Give missing pixels the colour of the nearest one of their class that is not, in place; of any without one.

    Looked for at half the size, and class by class only for those of which much is missing: a quarter of the time.
    """
    rows, columns = np.nonzero(missing)
    labels = label_map[rows, columns]
    present = np.ascontiguousarray(~missing[::2, ::2])
    small_labels = np.ascontiguousarray(label_map[::2, ::2])
    counts = np.bincount(labels, minlength=256)
    classes = np.flatnonzero(counts > CLASS_SHARE * missing.size).tolist()
    for label in classes:
        counts[label] = 0
        of_label = labels == label
        sources = present & (small_labels == label)
        _fill_from(rgb, sources if sources.any() else present, rows[of_label], columns[of_label])
    rest = counts[labels] > 0
    _fill_from(rgb, present, rows[rest], columns[rest])


def _fill_from(
    rgb: NDArray[np.uint8], sources: NDArray[np.bool_], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> None:
    """Give pixels the colour of the nearest source; sources are told for every second row and column."""
    if rows.size == 0 or not sources.any():
        return
    nearest, pixels = nearest_source(sources)
    source_rows, source_columns = np.divmod(pixels[nearest[rows // 2, columns // 2]], sources.shape[1])
    rgb[rows, columns] = rgb[source_rows * 2, source_columns * 2]


@dataclass(frozen=True)
class _Made:
    """A pair made of others, the geometry that it is seen from, and the id of the frame or tick whose pose that is."""

    pair: FramePair
    here: Geometry
    pose_id: int


@dataclass(frozen=True)
class _Foreseen:
    """A pair as it is seen from where the car is by now: the tick that was known last, and when the devices had been
    read that it was carried on by (monotonic)."""

    pair: FramePair
    pose_id: int
    read_s: float


class Timewarp:
    """Makes a pair for the newest pose out of the newest synthesized ones; `enabled` may change at any time.

    `watch` and what it returns belong to the capture thread, all else to the window's.
    """

    def __init__(self, *, enabled: bool = False) -> None:
        self.enabled = enabled
        self._frame: SensorFrame | None = None
        self._tick: Tick | None = None
        self._looked_at: tuple[SensorFrame | None, Tick | None] = None, None
        self._sampled = ControlSample(None, 0.0)
        self._step_s = 0.0
        self._ticks: deque[Tick] = deque(maxlen=64)
        self._pairs: list[tuple[FramePair, Geometry]] = []
        self._geometry: tuple[SensorFrame, Geometry | None] | None = None
        self._made_of: tuple[object, ...] = ()
        self._made: _Made | None = None
        self._devices: ControlSource | None = None
        self._foreseen: _Foreseen | None = None
        self._shown_id = 0
        self._figures = TimewarpFigures()
        self._told, self._told_s = "", 0.0

    # -- in the capture thread -----------------------------------------------------------------------------------

    def watch(self, street: Street, pose: Callable[[], Pose | None]) -> Street:
        """Return a street that tells of each tick's poses (`pose` is asked after each) and of each frame."""
        self._step_s = street.fixed_delta_s
        return _WatchedStreet(street, pose, self)

    def watch_controls(self, source: ControlSource) -> ControlSource:
        """Return the same driver; what was wished, and when the devices were read, is remembered."""

        def sample() -> ControlSample:
            self._sampled = source()
            return self._sampled

        return sample

    def ticked(self, frame_id: int, pose: Callable[[], Pose | None], began_s: float) -> None:
        """Take the poses of a tick that began then."""
        sampled, here = self._sampled, pose() if self.enabled else None
        read_s = sampled.read_s if 0.0 <= began_s - sampled.read_s < LONGEST_S else began_s
        steer = None if sampled.control is None else sampled.control.steer
        last, now_s = self._tick, time.monotonic()
        tick = Tick(frame_id, here, read_s, now_s) if last is None else last.next(frame_id, here, read_s, now_s, steer)
        if last is not None and last.course is not None and tick.course is not None and here is not None:
            self._figures.foresaw(last.course, here[0], steer)
        tick = tick.beginning(self._step_s)
        self._ticks.append(tick)
        self._tick = tick

    def captured(self, frame: SensorFrame) -> None:
        """Take the newest frame."""
        self._frame = frame

    # -- in the window's thread ----------------------------------------------------------------------------------

    def follow_devices(self, source: ControlSource) -> None:
        """Ask this what the driver wishes now, before each picture, and show the street from where that leads to."""
        self._devices = source

    def take(self, pair: FramePair) -> None:
        """Keep a pair that the drive handed over; one without a synthesized picture ends what was kept."""
        geometry = Geometry.of(pair.sensor)
        if pair.rendered is None or geometry is None:
            self._pairs.clear()
            return
        if self._pairs and break_between(self._pairs[0][0].sensor, pair.sensor) not in ("", "frames are missing"):
            self._pairs.clear()
        self._pairs[1:] = self._pairs[:1]
        self._pairs[:1] = [(pair, geometry)]

    def pair(self) -> FramePair | None:
        """Return the newest frame with the newest picture moved to the newest pose; None where there is none to move.

        The same object comes again until something newer has come.
        """
        frame, tick = self._looked_at = self._frame, self._tick
        if not self.enabled or not self._pairs or frame is None or self._reason_not_to(frame):
            return None
        ahead = tick if tick is not None and _follows(tick, frame) else None
        wish = self._wish(frame, tick)
        if wish is not None:
            ahead = None  # the way from the frame's pose to now is one, with or without a tick in between
        sources = (self._pairs[0][0], frame, None if ahead is None else ahead.frame_id)
        if self._made is None or any(a is not b and a != b for a, b in zip(sources, self._made_of, strict=True)):
            start_s = time.perf_counter()
            self._made, self._made_of = self._make(frame, ahead), sources
            self._figures.add("warp_ms", (time.perf_counter() - start_s) * 1e3)
        if self._made is None:
            return None
        self._foreseen = None if wish is None or tick is None else self._foresee(self._made, tick, wish)
        return self._made.pair if self._foreseen is None else self._foreseen.pair

    @property
    def shown_id(self) -> int:
        """The frame id whose pose is on the screen."""
        return self._shown_id

    @property
    def stale(self) -> bool:
        """Whether there is something newer to show than what was shown; no, where every picture is of now anyway."""
        return (
            self.enabled
            and self._foreseen is None
            and (self._frame is not self._looked_at[0] or self._tick is not self._looked_at[1])
        )

    def shown(self, pair: FramePair) -> None:
        """Say that a pair is on the screen now."""
        foreseen, made, figures = self._foreseen, self._made, self._figures
        of_now = foreseen is not None and pair is foreseen.pair
        frame_id = made.pose_id if made is not None and pair is made.pair else pair.sensor.frame_id
        now_s, newest = time.monotonic(), self._tick
        figures.num_drawn += 1
        if newest is not None:
            figures.add("lag_ticks", max(0, newest.frame_id - frame_id))
        if foreseen is not None and of_now:
            frame_id = foreseen.pose_id
            figures.foreseen_shown(foreseen.read_s, now_s)
        if frame_id > self._shown_id:
            figures.num_poses += 1
            tick = next((tick for tick in tuple(self._ticks) if tick.frame_id == frame_id), None)
            if tick is not None:
                figures.add("pose_to_display_ms", (now_s - tick.known_s) * 1e3)
                if not of_now:
                    figures.add("input_to_display_ms", (now_s - tick.read_s) * 1e3)
        self._shown_id = frame_id

    def told(self) -> str:
        """Return what the HUD says: how far the picture was moved; changes twice a second."""
        now_s = time.monotonic()
        if not self.enabled:
            self._told, self._told_s = "", 0.0
        elif now_s - self._told_s >= TOLD_EVERY_S:
            moved = self._made.pose_id - self._pairs[0][0].sensor.frame_id if self._pairs and self._made else 0
            self._told, self._told_s = f"{moved} ticks in {self._figures.median('warp_ms'):.0f} ms", now_s
        return self._told

    def report(self) -> Mapping[str, float]:
        """Return what was shown and what it cost; see `TimewarpFigures.report`."""
        return self._figures.report()

    def _reason_not_to(self, frame: SensorFrame) -> str:
        source = self._pairs[0][0].sensor
        if frame.frame_id < source.frame_id or frame.time_s - source.time_s > LONGEST_S:
            return "the picture is of another time"
        if frame.frame_id == source.frame_id:
            return ""
        reason = break_between(source, frame)
        return "" if reason in ("", "frames are missing", "the edits changed") else reason

    def _make(self, frame: SensorFrame, ahead: Tick | None) -> _Made | None:
        if self._geometry is None or self._geometry[0] is not frame:
            self._geometry = frame, Geometry.of(frame)
        here = self._geometry[1]
        newest, _ = self._pairs[0]
        if here is None or newest.rendered is None:
            return None
        pose_id = frame.frame_id
        if ahead is not None and ahead.pose is not None:
            here, pose_id = carried(here, *ahead.pose), ahead.frame_id
        elif frame.frame_id == newest.sensor.frame_id:
            return _Made(newest, here, pose_id)
        pictures = [(pair.rendered.rgb, geometry) for pair, geometry in self._pairs if pair.rendered is not None]
        rgb, missing = warp(pictures, here)
        mask = np.where(missing, np.uint8(255), np.uint8(0))
        rendered = replace(newest.rendered, frame_id=frame.frame_id, rgb=rgb, occlusion_mask=mask)
        return _Made(FramePair(frame, rendered, newest.age_ms, newest.notice), here, pose_id)

    def _wish(self, frame: SensorFrame, tick: Tick | None) -> ControlSample | None:
        """Return what the driver wishes now, if that says where a frame's camera will be; None for an autopilot's."""
        if self._devices is None or tick is None or tick.course is None:
            return None
        if tick.frame_id != frame.frame_id and not _follows(tick, frame):
            return None
        sampled = self._devices()
        return sampled if sampled.control is not None else None

    def _foresee(self, made: _Made, tick: Tick, wish: ControlSample) -> _Foreseen | None:
        """Return a pair moved on to where the driver has got to by now."""
        start_s, rendered = time.perf_counter(), made.pair.rendered
        poses = tick.foreseen(time.monotonic(), None if wish.control is None else wish.control.steer)
        if poses is None or rendered is None:
            return None
        places = _places_at_size(places_nearby(made.here, *poses), rendered.rgb.shape)
        moved = cv2.remap(rendered.rgb, places.column_px, places.row_px, cv2.INTER_LINEAR, borderMode=EDGES)
        pair = replace(made.pair, rendered=replace(rendered, rgb=np.asarray(moved, np.uint8)))
        self._figures.add("foresee_ms", (time.perf_counter() - start_s) * 1e3)
        return _Foreseen(pair, tick.frame_id, wish.read_s)


class _WatchedStreet:
    """Ticks and reads another street, and tells a timewarp what comes of it."""

    def __init__(self, street: Street, pose: Callable[[], Pose | None], timewarp: Timewarp) -> None:
        self._street = street
        self._pose = pose
        self._timewarp = timewarp

    @property
    def fixed_delta_s(self) -> float:
        """Simulation time of a tick."""
        return self._street.fixed_delta_s

    @property
    def stages_ms(self) -> Mapping[str, float]:
        """What the last `read` took."""
        return self._street.stages_ms

    def tick(self, control: EgoControl | None) -> int:
        """Apply a control, tick, and return the frame's id."""
        began_s = time.monotonic()
        frame_id = self._street.tick(control)
        self._timewarp.ticked(frame_id, self._pose, began_s)
        return frame_id

    def read(self, frame_id: int) -> SensorFrame:
        """Return the planes of that frame."""
        frame = self._street.read(frame_id)
        self._timewarp.captured(frame)
        return frame

    def respawn(self) -> None:
        """Put the ego vehicle elsewhere."""
        self._street.respawn()


def _follows(tick: Tick, frame: SensorFrame) -> bool:
    """Whether a tick's poses are those of a frame that comes right after this one."""
    if tick.pose is None or not frame.frame_id < tick.frame_id <= frame.frame_id + FURTHEST_TICKS:
        return False
    return float(np.linalg.norm(tick.pose[0][:3, 3] - frame.world_from_camera[:3, 3])) < FURTHEST_M


def _moved(rgb: NDArray[np.uint8], geometry: Geometry, here: Geometry) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a picture moved to another geometry, at its own size, and where it did not see what is there."""
    places = places_in(geometry, here)
    missing = ~visible_in(geometry, here, places)
    places, missing = _places_at_size(places, rgb.shape), _at_size(missing.view(np.uint8), rgb.shape).view(np.bool_)
    moved = cv2.remap(rgb, places.column_px, places.row_px, cv2.INTER_CUBIC, borderMode=EDGES)
    return np.asarray(moved, np.uint8), missing


def _places_at_size(places: Places, shape: tuple[int, ...]) -> Places:
    """The same places for a picture of another size than the planes'."""
    height, width = places.row_px.shape
    if (height, width) == shape[:2]:
        return places
    size = shape[1], shape[0]
    columns, rows, inverse = (
        np.asarray(cv2.resize(plane, size), np.float32)
        for plane in (places.column_px, places.row_px, places.inverse_depth)
    )
    half, across, down = np.float32(0.5), np.float32(shape[1] / width), np.float32(shape[0] / height)
    return Places((columns + half) * across - half, (rows + half) * down - half, inverse)


def _at_size(plane: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if plane.shape == shape[:2]:
        return plane
    return np.asarray(cv2.resize(plane, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST), np.uint8)
