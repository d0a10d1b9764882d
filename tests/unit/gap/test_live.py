"""The live part of the gap: what it says is what the reports say, and frames do not wait for it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.protocol.frames import FramePair, RenderedFrame
from clients.gap.live import LiveGap, drives_apart, flicker_ratio, thinned
from clients.gap.reference import load_reference
from tests.unit.gap.drawn_drives import Camera, see

DEADLINE_S = 60.0


def pair(index: int, change: Callable[[NDArray, int], NDArray] = lambda rgb, index: rgb) -> FramePair:
    frame = see(Camera(0.2 * index), 100 + index)
    assert frame.rgb is not None
    rgb = np.clip(change(frame.rgb.astype(np.float32), index), 0, 255).astype(np.uint8)
    return FramePair(frame, RenderedFrame(frame.frame_id, 1, rgb, {}), 0.0)


def ratio(change: Callable[[NDArray, int], NDArray]) -> float:
    frames = [thinned(pair(index, change)) for index in range(2)]
    assert frames[0] is not None
    assert frames[1] is not None
    return flicker_ratio(frames[0], frames[1])


def test_the_original_render_flickers_as_itself_and_a_flickering_one_more() -> None:
    assert ratio(lambda rgb, index: rgb) == pytest.approx(1.0)
    assert ratio(lambda rgb, index: rgb + 40 * (index % 2)) > 2.0


def test_what_moves_is_no_flicker() -> None:
    def car_changes(rgb: NDArray, index: int) -> NDArray:
        ids = see(Camera(0.2 * index), 100 + index).instance_map
        assert ids is not None
        return np.where((ids > 0)[..., None], 255 * (index % 2), rgb)

    assert ratio(car_changes) == pytest.approx(1.0, abs=0.05)


def test_frames_without_depth_or_a_synthesized_picture_have_no_flicker() -> None:
    whole = pair(0)
    assert thinned(replace(whole, rendered=None)) is None
    assert thinned(replace(whole, sensor=replace(whole.sensor, depth_m=None))) is None


def test_it_says_what_is_known_of_the_street() -> None:
    with LiveGap(every_s=0.0) as gap:
        deadline_s = time.monotonic() + DEADLINE_S
        index = 0
        while "flicker" not in gap.text:
            assert time.monotonic() < deadline_s
            gap.offer(pair(index % 20, lambda rgb, index: rgb + 40 * (index % 2)))
            index += 1
        said = re.match(r"labels (\d+\.\d)x, objects", gap.text)
        assert said is not None
        bits = float(said[1]) * drives_apart(load_reference().units())
        assert 0.05 < bits <= 1.0, "a wall and a road are no street"
        assert ", objects 0." in gap.text


def test_frames_that_are_not_due_cost_nothing() -> None:
    with LiveGap(every_s=3600.0) as gap:
        frames = [pair(0), pair(1)]
        for frame in frames:
            gap.offer(frame)
        took_s = []
        for _ in range(1000):
            begin_s = time.perf_counter()
            gap.offer(frames[0])
            took_s.append(time.perf_counter() - begin_s)
        assert min(took_s) < 1e-4, "on any machine: a look at the clock"


def test_it_ends_though_nothing_was_offered() -> None:
    LiveGap().close()
