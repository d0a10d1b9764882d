from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from bridge.protocol.frames import CameraIntrinsics, FramePair, RenderedFrame, SensorFrame
from clients.recorder import Recorder
from clients.sinks import DigestTrace, PairRecorder
from clients.viewer.display import OffscreenDisplay, WindowDisplay
from clients.viewer.hud import HudState


def pair(tick: int, color: int = 0, *, rendered: bool = True) -> FramePair:
    sensor = SensorFrame(
        frame_id=tick,
        time_s=100.0 + tick * 0.05,
        label_map=np.full((48, 64), 1, np.uint8),
        label_space="carla",
        intrinsics=CameraIntrinsics(64, 48, 90.0),
        world_from_camera=np.eye(4),
        captured_s=0.0,
    )
    picture = RenderedFrame(tick, 1, np.full((48, 64, 3), color, np.uint8), {}) if rendered else None
    return FramePair(sensor, picture, 1.0)


def hud(_: FramePair) -> HudState:
    return HudState()


@pytest.mark.parametrize(
    ("ticks", "num_frames"),
    [([1, 2, 3], 3), ([1, 2, 5, 6], 6), ([1, 500, 501], 3), ([7, 3, 4], 3)],
    ids=["every tick", "two dropped", "a new episode", "time ran backwards"],
)
def test_the_video_keeps_simulation_time(tmp_path: Path, ticks: list[int], num_frames: int) -> None:
    with Recorder(tmp_path / "drive.mp4", 20.0, 128, 48) as recorder:
        sink = PairRecorder(recorder, 0.05, OffscreenDisplay(hud).compose)
        for tick in ticks:
            sink.accept(pair(tick))
    with av.open(str(tmp_path / "drive.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == num_frames


def test_the_trace_tells_equal_frames_from_others(tmp_path: Path) -> None:
    trace = DigestTrace(tmp_path / "drive.jsonl")
    for number, shown in enumerate((pair(1, 7), pair(1, 7), pair(1, 8), pair(1, rendered=False))):
        trace.accept(shown)
        trace.frame(1.0, {"number": number})
    trace.close()
    lines = [json.loads(line) for line in (tmp_path / "drive.jsonl").read_text().splitlines()]
    assert [line["number"] for line in lines] == [0, 1, 2, 3]
    assert len({line["labels_sha256"] for line in lines}) == 1
    first, same, other, none = (line["synthesized_sha256"] for line in lines)
    assert first == same != other
    assert none is None


def test_a_pair_is_shown_before_the_drive_goes_on() -> None:
    display = WindowDisplay(hud)
    first = pair(1)
    drive = threading.Thread(target=display.accept, args=(first,))
    drive.start()
    waiting = display.wait(10.0)
    assert waiting is not None
    assert waiting[0] is first
    display.shown(first)
    drive.join(10.0)
    assert not drive.is_alive()
    assert display.wait(0.0) is None


def test_a_window_that_hangs_does_not_hold_the_drive_up_and_gets_the_newest_pair() -> None:
    display = WindowDisplay(hud)
    newest = pair(2)
    display.accept(pair(1))
    display.accept(newest)
    waiting = display.wait(0.0)
    assert waiting is not None
    assert waiting[0] is newest


def test_an_older_pair_that_was_shown_late_does_not_hide_the_newer_one() -> None:
    display = WindowDisplay(hud)
    late, newest = pair(1), pair(2)
    display.accept(late)
    display.accept(newest)
    display.shown(late)
    assert display.wait(0.0) is not None


def test_offscreen_composes_what_a_window_would_show() -> None:
    display = OffscreenDisplay(lambda shown: replace(HudState(), frame_age_ms=shown.age_ms))
    display.accept(pair(1))
    assert display.canvas_bgra.shape == (48, 128, 4)
