"""Record mode: every tick ends in exactly one pair, in order, whatever the renderer does."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bridge.loop import FrameLoop
from bridge.protocol.errors import LabelError, OutputError, RenderRefused, SensorTimeout, SimulatorLost
from bridge.protocol.frames import EgoControl, FramePair, RenderedFrame
from bridge.protocol.messages import Refusal
from bridge.trace import Trace
from tests.unit.bridge.loop_fakes import FakeRenderer, FakeStreet, Pairs, picture_of


def test_no_frame_is_lost_and_every_pair_is_exact_under_random_delays() -> None:
    street, renderer, pairs = FakeStreet(), FakeRenderer(), Pairs()
    delays = random.Random(1)
    street.before_tick = lambda _: time.sleep(delays.choice((0.0, 0.004)))
    street.before_read = lambda _: setattr(renderer, "latency_s", delays.choice((0.0, 0.002, 0.008)))
    with FrameLoop(street, renderer, display=pairs) as loop:
        report = loop.run(60)
    assert pairs.frame_ids == list(range(100, 160)) == pairs.rendered_ids
    for pair in pairs.all:
        assert pair.rendered is not None
        np.testing.assert_array_equal(pair.rendered.rgb, picture_of(pair.sensor.frame_id))
    assert (report.ticks, report.rendered, report.shown, report.dropped, report.resets) == (60, 60, 60, 0, 0)
    assert street.frame_id == 159, "no tick more than asked for"


def test_simulator_and_renderer_work_at_the_same_time() -> None:
    """Frame N is not answered before tick N+1 has begun: a loop that takes turns would never get past it."""
    street, pairs = FakeStreet(), Pairs()
    begun = {frame_id: threading.Event() for frame_id in range(100, 110)}
    street.before_tick = lambda frame_id: begun[frame_id].set()

    class Patient(FakeRenderer):
        def poll(self, timeout_s: float = 0.0) -> list[RenderedFrame | Refusal]:
            if self.in_flight is not None and self.in_flight < 109:
                assert begun[self.in_flight + 1].wait(5.0), f"tick {self.in_flight + 1} waits for the renderer"
            return super().poll(timeout_s)

    with FrameLoop(street, Patient(latency_s=0.002), display=pairs) as loop:
        loop.run(10)
    assert pairs.rendered_ids == list(range(100, 110))
    assert street.threads == {"capture"}


def test_the_renderer_is_fed_before_the_last_picture_is_shown() -> None:
    street, renderer, shown_while_busy = FakeStreet(), FakeRenderer(latency_s=0.02), []

    class Display:
        def accept(self, pair: FramePair) -> None:
            shown_while_busy.append(renderer.in_flight == pair.sensor.frame_id + 1)

    with FrameLoop(street, renderer, display=Display()) as loop:
        loop.run(20)
    assert sum(shown_while_busy) >= 10, shown_while_busy


def test_a_capture_is_held_back_until_the_renderer_can_use_it() -> None:
    """A slow renderer does not make frames old: a capture starts late enough to be fresh when it is submitted."""
    street, renderer, pairs = FakeStreet(), FakeRenderer(latency_s=0.06), Pairs()
    with FrameLoop(street, renderer, display=pairs) as loop:
        loop.run(24)
    waited_ms = [pair.age_ms - 60.0 for pair in pairs.all[-8:]]
    assert np.median(waited_ms) < 25.0, waited_ms


def test_a_lost_renderer_does_not_stop_the_drive_and_a_restarted_one_is_used_again() -> None:
    street, renderer, pairs = FakeStreet(), FakeRenderer(latency_s=0.001), Pairs()
    renderer.kill_at = 110
    street.before_tick = lambda frame_id: renderer.restart() if frame_id == 120 else None
    with FrameLoop(street, renderer, display=pairs) as loop:
        report = loop.run(40)
    assert pairs.frame_ids == list(range(100, 140)), "the drive went on"
    without = [pair for pair in pairs.all if pair.rendered is None]
    assert next(pair.sensor.frame_id for pair in without) == 110
    assert all(pair.notice == "no inference server answers at fake" for pair in without)
    assert pairs.rendered_ids[-1] == 139
    assert 1 <= len(without) == report.failed <= 12
    assert report.ticks == report.rendered + report.failed
    sequences = dict(renderer.submitted)
    assert sequences[109] == 1
    assert sequences[139] == 2, "temporal state began anew after the loss"
    assert report.resets == 1


def test_waiting_for_a_dead_renderer_does_not_stall_the_drive() -> None:
    street, renderer, pairs = FakeStreet(), FakeRenderer(latency_s=60.0), Pairs()
    renderer.kill_at = 100
    start_s = time.monotonic()
    with FrameLoop(street, renderer, display=pairs) as loop:
        loop.run(5)
    assert time.monotonic() - start_s < 2.0
    assert pairs.frame_ids == [100, 101, 102, 103, 104]


def test_a_stale_answer_is_never_shown() -> None:
    street, renderer, pairs = FakeStreet(), FakeRenderer(), Pairs()
    renderer.stray.extend(
        RenderedFrame(frame_id, sequence, picture_of(frame_id), {}) for frame_id, sequence in ((99, 1), (100, 7))
    )
    with FrameLoop(street, renderer, display=pairs) as loop:
        report = loop.run(5)
    assert pairs.rendered_ids == [100, 101, 102, 103, 104]
    assert report.stale == 2
    assert all(pair.rendered is not None and pair.rendered.sequence == 1 for pair in pairs.all)


def test_without_a_renderer_every_frame_is_shown_alone() -> None:
    street, pairs = FakeStreet(), Pairs()
    with FrameLoop(street, None, display=pairs) as loop:
        report = loop.run(7)
    assert pairs.frame_ids == list(range(100, 107))
    assert pairs.rendered_ids == []
    assert (report.ticks, report.rendered, report.shown, report.dropped) == (7, 0, 7, 0)


@pytest.mark.parametrize("cause", ["respawn", "weather", "jump", "gap"])
def test_temporal_state_begins_anew_where_the_past_is_no_help(cause: str) -> None:
    street, renderer, pairs = FakeStreet(), FakeRenderer(), Pairs()
    with FrameLoop(street, renderer, display=pairs) as loop:
        loop.run(5)
        if cause == "respawn":
            loop.respawn()
        elif cause == "weather":
            loop.new_sequence("the weather changed")
        elif cause == "jump":
            street.x_m += 50.0
        else:
            street.frame_id += 20
        report = loop.run(5)
    sequences = [sequence for _, sequence in renderer.submitted]
    assert sequences == [1] * 5 + [2] * 5
    assert report.resets == 1
    assert len(pairs.rendered_ids) == 10
    assert street.respawned_before == ([105] if cause == "respawn" else [])


def test_a_steady_drive_is_one_sequence() -> None:
    street, renderer = FakeStreet(), FakeRenderer()
    with FrameLoop(street, renderer) as loop:
        report = loop.run(30)
    assert {sequence for _, sequence in renderer.submitted} == {1}
    assert report.resets == 0


def test_a_reset_by_the_server_itself_is_counted() -> None:
    street, renderer = FakeStreet(), FakeRenderer()
    renderer.resets_at = {100, 104}  # the first is the drive's own beginning
    with FrameLoop(street, renderer) as loop:
        assert loop.run(8).resets == 1


def test_controls_reach_the_next_tick() -> None:
    street, control = FakeStreet(), EgoControl(throttle=0.5, steer=-0.25)
    with FrameLoop(street) as loop:
        loop.run(2)
        loop.set_control(control)
        loop.run(2)
        loop.set_control(None)
        loop.run(1)
    assert street.controls == [None, None, control, control, None]


def test_a_missing_sensor_ends_the_drive_by_its_name_after_what_was_in_flight() -> None:
    street, renderer, pairs = FakeStreet(), FakeRenderer(latency_s=0.005), Pairs()

    def fail(frame_id: int) -> None:
        if frame_id == 103:
            raise SensorTimeout("sensor sensor.camera.depth did not send its picture of frame 103")

    street.before_read = fail
    with (
        pytest.raises(SensorTimeout, match=r"sensor\.camera\.depth"),
        FrameLoop(street, renderer, display=pairs) as loop,
    ):
        loop.run(10)
    assert pairs.rendered_ids == [100, 101, 102]


def test_a_lost_simulator_ends_the_drive_after_what_was_in_flight() -> None:
    street, renderer, pairs = FakeStreet(), FakeRenderer(latency_s=0.005), Pairs()

    def fail(frame_id: int) -> None:
        if frame_id == 104:
            raise SimulatorLost("the simulator is gone")

    street.before_tick = fail
    with pytest.raises(SimulatorLost), FrameLoop(street, renderer, display=pairs) as loop:
        loop.run(10)
    assert pairs.rendered_ids == [100, 101, 102, 103]


def test_an_interrupt_leaves_no_capture_behind() -> None:
    street, ticking, release = FakeStreet(), threading.Event(), threading.Event()

    class Interrupt:
        def accept(self, pair: FramePair) -> None:
            ticking.wait(5.0)
            release.set()
            raise KeyboardInterrupt

    def tick(frame_id: int) -> None:
        if frame_id == 101:
            ticking.set()
            assert release.wait(5.0)

    street.before_tick = tick
    with pytest.raises(KeyboardInterrupt), FrameLoop(street, display=Interrupt()) as loop:
        loop.run(10)
    assert not any(thread.name == "capture" for thread in threading.enumerate())
    assert street.frame_id == 101, "the tick under way was finished, no other begun"


def test_what_the_renderer_refuses_from_the_start_ends_the_drive_with_its_sentence() -> None:
    renderer = FakeRenderer()
    renderer.refuse = lambda frame: Refusal(
        code="size", message="too small", hint="Use 512x256", frame_id=frame.frame_id
    )
    with pytest.raises(RenderRefused, match=r"too small\. Use 512x256"), FrameLoop(FakeStreet(), renderer) as loop:
        loop.run(3)
    renderer = FakeRenderer()
    renderer.refuse_submit = LabelError("a label map holds ids", "Name the space")
    with pytest.raises(LabelError, match="holds ids"), FrameLoop(FakeStreet(), renderer) as loop:
        loop.run(3)


def test_a_refusal_in_mid_drive_is_a_notice() -> None:
    street, renderer, pairs = FakeStreet(), FakeRenderer(), Pairs()
    renderer.refuse = lambda frame: (
        Refusal(code="busy", message="too busy", frame_id=frame.frame_id) if frame.frame_id == 103 else None
    )
    with FrameLoop(street, renderer, display=pairs) as loop:
        report = loop.run(6)
    assert pairs.rendered_ids == [100, 101, 102, 104, 105]
    assert pairs.all[3].notice == "too busy"
    assert (report.dropped, report.failed, report.resets) == (0, 1, 1)


def test_real_time_holds_the_simulation_back_to_the_clock() -> None:
    start_s = time.monotonic()
    with FrameLoop(FakeStreet(fixed_delta_s=0.02), real_time=True) as loop:
        loop.run(11)
    assert time.monotonic() - start_s >= 0.2


def test_keep_going_ends_a_run_with_everything_handed_over() -> None:
    street, renderer, pairs = FakeStreet(), FakeRenderer(latency_s=0.002), Pairs()
    with FrameLoop(street, renderer, display=pairs) as loop:
        report = loop.run(keep_going=lambda: len(pairs.all) < 5)
    assert report.ticks == report.rendered == len(pairs.all) >= 5
    assert pairs.frame_ids == list(range(100, street.frame_id + 1))


def test_the_report_has_what_scripts_read() -> None:
    pairs = Pairs()
    with FrameLoop(FakeStreet(), FakeRenderer(latency_s=0.002), display=pairs, sinks=[Pairs()]) as loop:
        loop.run(12)
        report = loop.report().as_dict()
        recent = loop.trace.recent_rates_hz()
    assert set(report["rates_hz"]) == {"simulator", "neural", "display", "control"} == set(recent)
    assert set(report["frame_age_ms"]) == {"p50", "p95", "max"}
    assert 0.0 < report["frame_age_ms"]["p50"] <= report["frame_age_ms"]["p95"] <= report["frame_age_ms"]["max"]
    assert {"tick", "wait", "decode", "submit", "infer", "show", "record"} <= set(report["stages_ms"])
    assert report["rates_hz"]["neural"] > 0
    json.dumps(report)


def test_the_trace_has_a_line_for_every_frame(tmp_path) -> None:
    renderer = FakeRenderer()
    renderer.kill_at = 103
    with FrameLoop(FakeStreet(), renderer, trace=Trace(tmp_path / "trace.jsonl")) as loop:
        loop.run(6)
    lines = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert [line["frame_id"] for line in lines] == list(range(100, 106))
    assert [line["rendered_frame_id"] for line in lines] == [100, 101, 102, None, None, None]
    assert lines[3]["notice"]
    stages_ms = lines[0]["stages_ms"]
    assert (stages_ms["infer"], stages_ms["round_trip"], stages_ms["transport"]) == (1.0, 2.5, 1.0)
    assert (stages_ms["decode"], stages_ms["server_decode"]) == (0.2, 0.5), "two stages of one name stay two"


def test_a_trace_that_cannot_be_written_says_so(tmp_path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        Trace(tmp_path / "missing" / "trace.jsonl")


@pytest.mark.parametrize("num_lines", [1, 1000])
def test_a_full_disk_is_a_sentence_when_the_trace_is_written_or_closed(num_lines: int) -> None:
    trace = Trace(Path("/dev/full"))
    with pytest.raises(OutputError, match=r"the trace /dev/full cannot be written \(No space left on device\)"):
        for _ in range(num_lines):
            trace.frame(1.0, {"notice": "x" * 100})
        trace.close()
    with contextlib.suppress(OutputError):
        trace.close()
    trace.close()


def test_pairs_stay_in_order_when_the_renderer_dies_while_the_next_frame_waits() -> None:
    street, renderer, pairs = FakeStreet(), FakeRenderer(), Pairs()
    renderer.kill_at = 105
    poll = renderer.poll
    with FrameLoop(street, renderer, display=pairs) as loop:

        def poll_when_captured(timeout_s: float = 0.0) -> list[RenderedFrame | Refusal]:
            if renderer.in_flight == 105:
                assert loop._prefetch.wait(10.0)
            return poll(timeout_s)

        renderer.poll = poll_when_captured
        loop.run(12)
    assert pairs.frame_ids == list(range(100, 112))
