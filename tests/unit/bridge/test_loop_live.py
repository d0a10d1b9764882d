"""Live mode: simulation time keeps to the clock, the newest frame wins, and skipped frames are counted."""

from __future__ import annotations

import time

import pytest

from bridge.loop import FrameLoop
from bridge.protocol.errors import SimulatorLost
from tests.unit.bridge.loop_fakes import FakeRenderer, FakeStreet, Pairs


def test_the_newest_frame_wins_and_the_rest_is_counted() -> None:
    street, renderer, pairs = FakeStreet(fixed_delta_s=0.01), FakeRenderer(latency_s=0.035), Pairs()
    with FrameLoop(street, renderer, mode="live", display=pairs) as loop:
        report = loop.run(40)
    assert report.ticks == 40
    assert pairs.rendered_ids == sorted(set(pairs.rendered_ids)), "in order, none twice"
    assert pairs.rendered_ids == pairs.frame_ids
    assert len(pairs.all) + report.dropped == 40, "every frame is either shown or counted"
    assert 5 <= report.dropped <= 35
    assert pairs.rendered_ids[-1] == 139, "the newest one is not forgotten at the end"
    assert {sequence for _, sequence in renderer.submitted} == {1}, "skipped frames do not break the sequence"


def test_a_fast_renderer_gets_every_frame() -> None:
    street, renderer, pairs = FakeStreet(fixed_delta_s=0.01), FakeRenderer(latency_s=0.0), Pairs()
    with FrameLoop(street, renderer, mode="live", display=pairs) as loop:
        report = loop.run(30)
    assert (report.rendered, report.dropped) == (30, 0)


def test_a_picture_is_shown_when_it_comes_not_at_the_next_tick() -> None:
    street, renderer, pairs = FakeStreet(fixed_delta_s=0.2), FakeRenderer(latency_s=0.005), Pairs()
    with FrameLoop(street, renderer, mode="live", display=pairs) as loop:
        report = loop.run(4)
    assert report.frame_age_ms.p50 < 100.0


def test_live_keeps_to_the_clock() -> None:
    start_s = time.monotonic()
    with FrameLoop(FakeStreet(fixed_delta_s=0.02), mode="live") as loop:
        report = loop.run(11)
    elapsed_s = time.monotonic() - start_s
    assert elapsed_s >= 0.2
    assert report.rates_hz["simulator"] <= 60.0


def test_a_lost_renderer_in_live_mode() -> None:
    street, renderer, pairs = FakeStreet(fixed_delta_s=0.005), FakeRenderer(), Pairs()
    renderer.kill_at = 110
    street.before_tick = lambda frame_id: renderer.restart() if frame_id == 120 else None
    with FrameLoop(street, renderer, mode="live", display=pairs) as loop:
        report = loop.run(40)
    assert report.ticks == 40
    assert pairs.all[-1].rendered is not None
    assert any(pair.notice == "no inference server answers at fake" for pair in pairs.all)
    assert renderer.submitted[-1] == (139, 2)
    assert report.resets == 1


def test_a_lost_simulator_in_live_mode_ends_after_what_was_in_flight() -> None:
    street, renderer, pairs = FakeStreet(fixed_delta_s=0.005), FakeRenderer(latency_s=0.02), Pairs()

    def fail(frame_id: int) -> None:
        if frame_id == 103:
            raise SimulatorLost("the simulator is gone")

    street.before_tick = fail
    with pytest.raises(SimulatorLost), FrameLoop(street, renderer, mode="live", display=pairs) as loop:
        loop.run(10)
    assert pairs.rendered_ids


def test_a_lost_simulator_loses_no_frame_that_waited() -> None:
    street, renderer, pairs = FakeStreet(fixed_delta_s=0.005), FakeRenderer(latency_s=0.05), Pairs()

    def lose(frame_id: int) -> None:
        if frame_id == 125:
            raise SimulatorLost("the simulator is gone")

    street.before_tick = lose
    with pytest.raises(SimulatorLost), FrameLoop(street, renderer, mode="live", display=pairs) as loop:
        loop.run()
    report = loop.report()
    assert report.ticks == 25
    assert pairs.frame_ids[-1] == 124, "the last one that was captured"
    assert report.ticks == len(pairs.all) + report.dropped, "every frame is either shown or counted"
