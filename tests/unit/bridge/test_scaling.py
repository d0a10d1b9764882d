"""A target rate is held by scale steps that settle: no swinging, no step that does not help."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bridge.loop import FrameLoop
from bridge.protocol.frames import CameraIntrinsics
from bridge.scaling import STEPS, Governor, ScaledRenderer, reduce_frame, steps_of
from tests.unit.bridge.loop_fakes import FakeRenderer, FakeStreet, Pairs, sensor_frame

SHARES = [float(step) ** 2 for step in STEPS]


class Machine:
    """A renderer whose frames take a fixed and a per-pixel time, and a clock that they move."""

    def __init__(self, full_ms: float, fixed_ms: float = 2.0, noise: float = 0.15, seed: int = 0) -> None:
        self.now_s = 0.0
        self.full_ms, self.fixed_ms, self._noise = full_ms, fixed_ms, noise
        self._random = random.Random(seed)

    def frame_ms(self, step: int) -> float:
        took_ms = (self.fixed_ms + self.full_ms * SHARES[step]) * self._random.lognormvariate(0.0, self._noise)
        if self._random.random() < 0.02:
            took_ms *= 4.0
        return took_ms

    def drive(self, governor: Governor, seconds: float) -> list[float]:
        """Return what the frames of that time took, ms."""
        times_ms, until_s = [], self.now_s + seconds
        while self.now_s < until_s:
            took_ms = self.frame_ms(governor.step)
            self.now_s += max(took_ms, 1e3 / 30.0) / 1e3
            times_ms.append(took_ms)
            governor.note(took_ms, SHARES)
        return times_ms


@pytest.mark.parametrize("full_ms", [10.0, 30.0, 45.0, 60.0, 110.0, 200.0, 450.0])
def test_the_rate_is_held_by_the_largest_size_that_holds_it(full_ms: float) -> None:
    machine = Machine(full_ms)
    governor = Governor(20.0, len(STEPS), lambda: machine.now_s)
    machine.drive(governor, 60.0)
    times_ms = machine.drive(governor, 60.0)
    assert np.median(times_ms) <= 1.05 * 50.0
    if governor.step:
        assert 2.0 + full_ms * SHARES[governor.step - 1] > 0.8 * 50.0, "a larger size would have held it too"


@pytest.mark.parametrize("full_ms", np.linspace(20.0, 300.0, 29))
def test_it_settles(full_ms: float) -> None:
    machine = Machine(float(full_ms), noise=0.3, seed=int(full_ms))
    governor = Governor(20.0, len(STEPS), lambda: machine.now_s)
    machine.drive(governor, 60.0)
    before = governor.num_changes
    machine.drive(governor, 600.0)
    assert governor.num_changes - before <= 16, "about one change a minute at most, however unlucky the size"


def test_load_that_comes_and_goes_is_followed() -> None:
    machine = Machine(40.0)
    governor = Governor(20.0, len(STEPS), lambda: machine.now_s)
    machine.drive(governor, 20.0)
    assert governor.step == 0
    machine.full_ms = 160.0
    machine.drive(governor, 5.0)
    assert governor.step == 2
    machine.full_ms = 20.0
    machine.drive(governor, 60.0)
    assert governor.step == 0


def test_one_slow_frame_changes_nothing() -> None:
    governor = Governor(20.0, 3, lambda: 0.0)
    for number in range(100):
        assert not governor.note(900.0 if number % 10 == 5 else 30.0, SHARES)


def test_the_smallest_size_is_the_end() -> None:
    machine = Machine(10_000.0)
    governor = Governor(20.0, 2, lambda: machine.now_s)
    machine.drive(governor, 200.0)
    assert (governor.step, governor.num_changes) == (1, 1)


def test_sizes_keep_the_shape_and_fit_the_model() -> None:
    assert steps_of(512, 256, 16) == [(512, 256), (384, 192), (256, 128), (192, 96), (128, 64)]
    assert steps_of(512, 256, 64) == [(512, 256), (384, 192), (256, 128), (128, 64)]
    assert steps_of(800, 608, 32) == [(800, 608)]
    assert steps_of(100, 50, 16) == [(100, 50)], "what does not fit is refused by the server, with its sentence"


def test_a_reduced_frame_is_the_same_view() -> None:
    frame = sensor_frame(7)
    columns = np.tile(np.arange(32, dtype=np.uint8), (16, 1))
    full = type(frame)(
        **{
            **frame.__dict__,
            "label_map": columns,
            "instance_map": columns.astype(np.uint16) * 300,
            "depth_m": columns.astype(np.float32),
            "flow_px": np.full((16, 32, 2), 6.0, np.float32),
            "rgb": np.repeat(columns[..., None], 3, axis=2),
        }
    )
    half = reduce_frame(full, (16, 8))
    assert half.intrinsics == CameraIntrinsics(16, 8, 90.0)
    assert half.intrinsics.focal_px == full.intrinsics.focal_px / 2
    assert half.instance_map is not None
    assert half.depth_m is not None
    assert half.flow_px is not None
    assert half.label_map.shape == half.depth_m.shape == (8, 16)
    assert (half.instance_map == half.label_map.astype(np.uint16) * 300).all(), "planes are read at the same places"
    assert (half.depth_m == half.label_map).all()
    assert (half.flow_px == 3.0).all()
    assert np.abs(half.label_map[0].astype(int) - (2 * np.arange(16) + 0.5)).max() <= 0.5
    assert half.world_from_camera is full.world_from_camera


class Card:
    name, size_multiple_px = "fake", 4


class SizedRenderer(FakeRenderer):
    """Answers in the size that it was asked, in a time that grows with it."""

    card = Card()

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, int]] = []

    def submit(self, frame: object, sequence: int) -> bool:
        self.sizes.append(frame.label_map.shape)  # pyright: ignore[reportAttributeAccessIssue]
        self.latency_s = frame.label_map.size * 1.2e-5  # pyright: ignore[reportAttributeAccessIssue]
        return super().submit(frame, sequence)  # pyright: ignore[reportArgumentType]

    def poll(self, timeout_s: float = 0.0) -> list:
        height_px, width_px = self.sizes[-1] if self.sizes else (16, 32)
        return [
            type(answer)(answer.frame_id, answer.sequence, np.zeros((height_px, width_px, 3), np.uint8), {})
            for answer in super().poll(timeout_s)
        ]


def test_a_drive_sees_one_size_whatever_is_synthesized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.scaling.SMALLEST_PX", 4)
    renderer, pairs = SizedRenderer(), Pairs()  # 6.1 ms at full size, and 5 are to be had
    scaled = ScaledRenderer(renderer, 200.0)  # pyright: ignore[reportArgumentType]
    with FrameLoop(FakeStreet(), scaled, display=pairs) as loop:
        report = loop.run(60)
    assert report.rendered == 60
    assert {pair.rendered.rgb.shape for pair in pairs.all if pair.rendered is not None} == {(16, 32, 3)}
    assert renderer.sizes[0] == (16, 32)
    assert renderer.sizes[-1] < (16, 32)
    assert scaled.size_wh == renderer.sizes[-1][::-1]
