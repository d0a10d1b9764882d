"""The last picture moved to newer poses, on a street that is drawn exactly."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from bridge.prefetch import ControlSample
from bridge.protocol.frames import EgoControl, FramePair, RenderedFrame, SensorFrame
from clients.viewer import timewarp as timewarp_module
from clients.viewer.reprojection import Geometry, carried
from clients.viewer.timewarp import Pose, Timewarp, fill_from_class, warp
from tests.unit.gap.drawn_drives import CAR, CAR_ID, Camera, see

STEP_M = 0.5
WALL = 3


def at(index: int) -> SensorFrame:
    return see(Camera(index * STEP_M), index)


def geometry(frame: SensorFrame) -> Geometry:
    found = Geometry.of(frame)
    assert found is not None
    return found


def picture(frame: SensorFrame) -> np.ndarray:
    assert frame.rgb is not None
    return frame.rgb


def pair(frame: SensorFrame) -> FramePair:
    return FramePair(frame, RenderedFrame(frame.frame_id, 1, picture(frame), {}), 10.0)


def error(rgb: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(rgb.astype(float) - expected).mean())


def synthesized(shown: FramePair | None) -> np.ndarray:
    assert shown is not None
    assert shown.rendered is not None
    return shown.rendered.rgb


class Street:
    """Ticks through the drawn street; poses are known after each tick."""

    fixed_delta_s = 0.05

    def __init__(self, index: int = 0) -> None:
        self.index = index
        self.stages_ms: dict[str, float] = {}

    def tick(self, control: EgoControl | None) -> int:
        self.index += 1
        return self.index

    def read(self, frame_id: int) -> SensorFrame:
        return at(frame_id)

    def respawn(self) -> None:
        self.index += 100

    def pose(self) -> Pose:
        frame = at(self.index)
        return frame.world_from_camera, frame.bodies


def test_a_picture_moved_forward_is_the_newer_picture() -> None:
    before, now = at(0), at(4)
    moved, missing = warp([(picture(before), geometry(before))], geometry(now))
    assert missing.mean() < 0.05
    assert error(moved, picture(now)) < 0.35 * error(picture(before), picture(now))


def test_nothing_moved_is_the_picture_itself() -> None:
    moved, missing = warp([(picture(at(1)), geometry(at(1)))], geometry(at(1)))
    assert not missing.any()
    np.testing.assert_array_equal(moved, picture(at(1)))


def test_a_picture_of_another_size_is_moved_at_its_own() -> None:
    before, now = at(0), at(4)
    large = [np.repeat(np.repeat(picture(frame), 2, 0), 2, 1) for frame in (before, now)]
    moved, missing = warp([(large[0], geometry(before))], geometry(now))
    assert missing.shape == moved.shape[:2] == (128, 256)
    assert error(moved, large[1]) < 0.4 * error(large[0], large[1])


def test_what_the_last_picture_hid_is_taken_from_the_one_before() -> None:
    """Going back uncovers the border, which an older picture from further back saw."""
    older, last, now = at(0), at(6), at(1)
    alone, missing_alone = warp([(picture(last), geometry(last))], geometry(now))
    both, missing = warp([(picture(last), geometry(last)), (picture(older), geometry(older))], geometry(now))
    assert missing_alone.mean() > 0.05
    assert missing.mean() < 0.2 * missing_alone.mean()
    assert error(both, picture(now)) < error(alone, picture(now))


def test_what_nothing_saw_has_the_colour_of_its_class_nearby() -> None:
    labels = np.repeat(np.array([[1, 2]], np.uint8), 32, 1).repeat(32, 0)
    rgb = np.where(labels[..., None] == 1, np.uint8(50), np.uint8(200)).repeat(3, 2)
    expected = rgb.copy()
    missing = np.zeros(labels.shape, bool)
    missing[8:20, 25:40] = True
    rgb[missing] = 0
    fill_from_class(rgb, missing, labels)
    np.testing.assert_array_equal(rgb, expected)
    rgb[:], missing[:] = 7, True
    fill_from_class(rgb, missing, labels)  # nothing to take colours from
    assert np.all(rgb == 7)


def test_a_frames_surfaces_are_carried_to_the_pose_of_the_next() -> None:
    now, to_come = at(2), at(5)
    guess = carried(geometry(now), to_come.world_from_camera, to_come.bodies)
    assert np.mean(guess.label_map == to_come.label_map) > 0.97
    wall = (now.label_map == to_come.label_map) & (to_come.label_map == WALL)
    expected = geometry(to_come).inverse_depth[wall]
    off, unmoved = (np.abs(known.inverse_depth[wall] - expected).mean() for known in (guess, geometry(now)))
    assert off < 0.2 * unmoved


def test_a_body_that_moves_by_itself_is_carried_with_its_own_step() -> None:
    now = at(2)
    shift = np.eye(4)
    shift[1, 3] = 3.0  # to the right
    (car,) = now.bodies
    guess = carried(geometry(now), now.world_from_camera, (replace(car, world_from_body=shift),))
    assert guess.owners is not None
    moved_px = np.nonzero(guess.owners == CAR_ID)[1].mean() - np.nonzero(now.label_map == CAR)[1].mean()
    assert moved_px == pytest.approx(3.0 * now.intrinsics.focal_px / 29.0, abs=1.0)


def test_each_newer_frame_and_pose_is_shown_with_the_last_picture() -> None:
    timewarp, street = Timewarp(enabled=True), Street()
    watched = timewarp.watch(street, street.pose)
    drive = timewarp.watch_controls(lambda: ControlSample(None, 0.0))
    drive()
    watched.tick(None)
    assert timewarp.pair() is None
    timewarp.take(pair(watched.read(1)))
    first = timewarp.pair()
    assert first is not None
    np.testing.assert_array_equal(synthesized(first), picture(at(1)))
    timewarp.shown(first)
    watched.tick(None)
    assert timewarp.stale
    ahead = timewarp.pair()
    assert ahead is not None
    assert ahead.sensor.frame_id == 1  # its own planes have not come
    assert error(synthesized(ahead), picture(at(2))) < 0.5 * error(picture(at(1)), picture(at(2)))
    assert timewarp.pair() is ahead
    assert not timewarp.stale
    timewarp.shown(ahead)
    assert timewarp.shown_id == 2
    watched.read(2)
    moved = timewarp.pair()
    assert moved is not None
    assert moved.sensor.frame_id == 2
    assert error(synthesized(moved), picture(at(2))) < 0.5 * error(picture(at(1)), picture(at(2)))
    assert timewarp.told()
    report = timewarp.report()
    assert (report["drawn"], report["poses"], report["lag_ticks"]) == (2, 2, 0)
    assert 0.0 < report["pose_to_display_ms_p95"] <= report["input_to_display_ms_p95"]
    timewarp.enabled = False
    assert timewarp.pair() is None
    assert not timewarp.told()


def test_after_a_jump_or_without_a_server_nothing_old_is_moved() -> None:
    timewarp, street = Timewarp(enabled=True), Street()
    watched = timewarp.watch(street, street.pose)
    timewarp.take(pair(watched.read(watched.tick(None))))
    assert timewarp.pair() is not None
    watched.respawn()
    watched.read(watched.tick(None))
    assert timewarp.pair() is None
    timewarp.take(FramePair(at(street.index), None, 0.0, "the inference server was lost"))
    watched.read(watched.tick(None))
    assert timewarp.pair() is None


def test_without_depth_pictures_are_shown_as_they_come() -> None:
    timewarp = Timewarp(enabled=True)
    timewarp.take(pair(replace(at(1), depth_m=None)))
    timewarp.captured(replace(at(2), depth_m=None))
    assert timewarp.pair() is None


class Clock:
    """The time, that passes when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(timewarp_module.time, "monotonic", lambda: self.now_s)


class Driven:
    """A drive at 10 m/s and 20 ticks a second whose newest picture is on the screen, by a driver who steers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.steer = Clock(monkeypatch), 0.0
        self.timewarp, street = Timewarp(enabled=True), Street()
        self.watched = self.timewarp.watch(street, street.pose)
        self.sample = self.timewarp.watch_controls(self.glance)
        self.timewarp.follow_devices(self.glance)
        for _ in range(4):
            self.tick()

    def glance(self) -> ControlSample:
        return ControlSample(EgoControl(throttle=0.5, steer=self.steer), self.clock.now_s)

    def tick(self) -> None:
        self.clock.now_s += self.watched.fixed_delta_s
        self.sample()
        self.frame = self.watched.read(self.watched.tick(None))
        self.timewarp.take(pair(self.frame))

    def shown(self) -> np.ndarray:
        shown = self.timewarp.pair()
        assert shown is not None
        self.timewarp.shown(shown)
        return synthesized(shown)


def test_between_two_ticks_the_street_comes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Driven(monkeypatch)
    np.testing.assert_array_equal(drive.shown(), picture(drive.frame))
    drive.clock.now_s += 0.025
    half_way = picture(see(Camera((drive.frame.frame_id + 0.5) * STEP_M), drive.frame.frame_id))
    assert error(drive.shown(), half_way) < 0.5 * error(picture(drive.frame), half_way)
    drive.clock.now_s += 0.025
    at_next = drive.shown()
    assert error(at_next, picture(at(drive.frame.frame_id + 1))) < 0.5 * error(at_next, picture(drive.frame))
    drive.clock.now_s += 3.0  # the simulator stands still: no further than its next tick
    np.testing.assert_array_equal(drive.shown(), at_next)


def test_steering_is_seen_before_the_simulator_has_ticked(monkeypatch: pytest.MonkeyPatch) -> None:
    drive, seen = Driven(monkeypatch), []
    for steer in (-0.5, 0.5):
        drive.clock.now_s += 0.02
        drive.steer = steer
        seen.append(cv2.cvtColor(drive.shown(), cv2.COLOR_RGB2GRAY).astype(np.float32))
    (right_px, _), _ = cv2.phaseCorrelate(*seen, cv2.createHanningWindow(seen[0].shape[::-1], cv2.CV_32F))
    assert right_px < -0.5, "who steers to the right sees the street go to the left"


def test_how_long_an_input_waits_counts_from_when_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Driven(monkeypatch)
    for _ in range(20):
        drive.clock.now_s += 0.016
        shown = drive.timewarp.pair()
        assert shown is not None
        drive.clock.now_s += 0.004  # to draw it
        drive.timewarp.shown(shown)
    report = drive.timewarp.report()
    assert report["foreseen"] == 20
    assert report["input_to_display_ms_p50"] == pytest.approx(4.0 + 10.0, abs=0.1), "the mean wait is half of 20 ms"
    assert report["input_to_display_ms_p95"] == pytest.approx(4.0 + 20.0 * 0.875, abs=0.1)


def test_an_autopilots_street_stays_until_its_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Driven(monkeypatch)
    drive.timewarp.follow_devices(lambda: ControlSample(None, drive.clock.now_s))
    drive.clock.now_s += 0.025
    np.testing.assert_array_equal(drive.shown(), picture(drive.frame))
