"""Clips made of single photos: made-up motion, and the stream that cuts them."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch

from renderer.rough_depth import nearness
from renderer.train import motion
from renderer.train.clips import Clip, ClipStream
from renderer.train.data import LabelledPhoto
from renderer.train.preset import TrainPreset

from .conftest import CAR, ROAD, SHIPPED, SKY, changed, street


def test_depth_follows_from_where_things_stand() -> None:
    labels = np.full((100, 120), SKY, np.uint8)
    labels[60:] = ROAD
    labels[40:80, 50:70] = CAR
    near = nearness(labels, SHIPPED.clips.ground)
    assert near[10, 10] == 0
    assert near[97, 10] > near[80, 10] > near[65, 10] > 0
    assert near[50, 60] == pytest.approx(near[82, 60], rel=0.1)  # a car is as near as the road that it stands on
    focal_px, height_m = 1.2 * 120, 1.5
    assert near[97, 10] == pytest.approx((97 - 49) / (focal_px * height_m), rel=0.05)


def path_in(speed_m: float, start_m: float = 0.0, pan_px: tuple[float, float] = (0.0, 0.0)) -> motion.CameraPath:
    return motion.CameraPath(speed_m, pan_px, start_m, (128.0, 78.0))


@pytest.mark.parametrize("path", [path_in(0.4), path_in(-0.4, 1.2), path_in(0.0, pan_px=(3.0, -1.0))])
def test_last_frame_moved_by_the_source_grid_is_this_frame(path: motion.CameraPath) -> None:
    rows, columns = np.mgrid[0:160, 0:256].astype(np.float32)
    photo = np.stack([128 + 100 * np.sin(rows / 17), 128 + 100 * np.cos(columns / 13), rows + 30], -1)
    labels = np.full((160, 256), ROAD, np.uint8)
    labels[:78] = SKY
    near = nearness(labels, SHIPPED.clips.ground)
    pixels = np.stack([columns, rows], -1)
    before, now = (
        cv2.remap(photo, *cv2.split(motion.look(pixels, near, path, frame, 0.4)), cv2.INTER_LINEAR) for frame in (1, 2)
    )
    previous, valid = motion.look_back(pixels, near, path, 2, 0.4)
    moved = cv2.remap(before, *cv2.split(previous), cv2.INTER_LINEAR)
    inside = valid > 0
    assert inside.mean() > 0.8
    assert np.abs(moved - now)[inside].mean() < 1.0
    assert np.abs(before - now)[inside].mean() > 4 * np.abs(moved - now)[inside].mean()


def test_parked_camera_sees_the_same_again() -> None:
    config = changed(SHIPPED.clips.motion, parked_share=1.0)
    path, num_frames = motion.draw_path(np.random.default_rng(0), 5, (120, 100), 0.49, config)
    assert num_frames == 5
    pixels = np.stack(np.meshgrid(np.arange(120), np.arange(100)), -1).astype(np.float32)
    near = np.full((100, 120), 0.1, np.float32)
    previous, valid = motion.look_back(pixels, near, path, 3, 0.4)
    assert np.array_equal(previous, pixels)
    assert valid.all()


def test_camera_does_not_drive_farther_than_it_may() -> None:
    config = changed(SHIPPED.clips.motion, speed_m=(0.4, 0.5), longest_drive_m=1.0, parked_share=0.0)
    for seed in range(20):
        path, num_frames = motion.draw_path(np.random.default_rng(seed), 16, (120, 100), 0.49, config)
        driven_m = [path.at(frame)[0] for frame in range(num_frames)]
        assert 0 <= min(driven_m) <= max(driven_m) <= 1.0


def test_holes_are_where_the_past_is_struck_out() -> None:
    labels = np.full((40, 60), ROAD, np.uint8)
    labels[10:20, 20:30] = CAR
    valid = np.ones((40, 60), np.float32)
    always = changed(SHIPPED.clips.holes, chance=1.0, class_ids=(CAR,), farthest_px=0)
    holed = motion.punch_holes(np.random.default_rng(1), valid, labels, always)
    assert valid.all()
    assert not holed[labels == CAR].any()
    struck = (holed == 0) & (labels != CAR)
    assert 0 < struck.sum() < 40 * 60 / 2
    never = changed(always, chance=0.0)
    assert motion.punch_holes(np.random.default_rng(1), valid, labels, never).all()


def test_shaken_borders_move_a_little_and_bring_no_new_ids() -> None:
    labels = street(0)[1]
    shaken = motion.shake_borders(np.random.default_rng(0), labels, 1.0, 6)
    assert 0 < (shaken != labels).mean() < 0.2
    assert set(np.unique(shaken)) <= set(np.unique(labels))


def test_clip_is_repeated_by_its_seed(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    config = changed(tiny.clips, single_share=0.0)
    first, second = (Clip(np.random.default_rng(4), photos[0], 4, config) for _ in range(2))
    assert first.num_frames == second.num_frames >= 2
    for index in range(first.num_frames):
        assert not first.finished
        frame, again = first.next_frame(), second.next_frame()
        assert frame.rgb.shape == (32, 48, 3)
        assert frame.labels.shape == frame.valid_HW.shape == (32, 48)
        assert frame.place_2HW.shape == (2, 32, 48)
        assert np.array_equal(frame.rgb, again.rgb)
        assert np.array_equal(frame.valid_HW, again.valid_HW)
        assert np.abs(frame.place_2HW).max() <= 1
        assert bool(frame.valid_HW.any()) == (index > 0)
    assert first.finished


def test_stream_goes_on_from_any_moment_and_shows_every_photo(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    def assert_same_batches(first: ClipStream, second: ClipStream) -> None:
        for _ in range(4):
            one, two = first.next_batch(4), second.next_batch(4)
            assert torch.equal(one.photo_B3HW, two.photo_B3HW)
            assert torch.equal(one.source_BHW2, two.source_BHW2)
            assert torch.equal(one.valid_B1HW, two.valid_B1HW)

    stream, other = (ClipStream(photos, 3, 5, tiny.clips) for _ in range(2))
    for _ in range(3):
        batch = stream.next_batch(4)
    assert batch.photo_B3HW.shape == (3, 3, 32, 48)
    assert batch.photo_B3HW.abs().max() <= 1
    assert batch.labels_BHW.dtype == torch.uint8
    other.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    assert_same_batches(stream, other)
    singles = ClipStream(photos, 1, 5, changed(tiny.clips, shaken_share=0.0, exposure=(1.0, 1.0)))
    assert len({singles.next_batch(1).photo_B3HW.numpy().tobytes() for _ in photos}) == len(photos)
    with pytest.raises(ValueError, match="3 clips side by side, not of 1"):
        singles.load_state_dict(stream.state_dict())
