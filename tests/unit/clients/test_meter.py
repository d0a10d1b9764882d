from __future__ import annotations

import pytest

from bridge.bottleneck import GROUPS, stage_groups, told_groups, verdict
from bridge.protocol.frames import FramePair, RenderedFrame
from bridge.trace import Trace, server_stages
from clients.viewer import meter
from clients.viewer.meter import REMEMBERED, HudMeter
from clients.viewer.state import STAGE_COLORS
from tests.unit.clients.test_composer import pair


def with_stages(**stages_ms: float) -> FramePair:
    shown = pair()
    assert shown.rendered is not None
    return FramePair(shown.sensor, RenderedFrame(7, 1, shown.rendered.rgb, stages_ms), 40.0)


@pytest.mark.parametrize(
    ("stages_ms", "period_ms", "said"),
    [
        ((30.0, 20.0, 2.0, 1.0), 50.0, "keeps up: the simulator takes 30 of 50 ms"),
        ((30.0, 70.0, 2.0, 1.0), 50.0, "the generator limits: 72 ms a frame, and there are 50"),
        (
            (30.0, 10.0, 90.0, 1.0),
            50.0,
            "the network between renderer and viewer limits: 100 ms a frame, and there are 50",
        ),
        ((30.0, 20.0, 2.0, 99.0), 0.0, "the viewer limits: 99 ms a frame"),
        ((0.0, 0.0, 0.0, 0.0), 50.0, ""),
    ],
)
def test_the_verdict_names_what_sets_the_pace(stages_ms: tuple[float, ...], period_ms: float, said: str) -> None:
    assert verdict([stages_ms] * 5, period_ms) == said


def test_one_slow_frame_is_no_verdict() -> None:
    assert verdict([(10.0, 20.0, 1.0, 1.0)] * 9 + [(900.0, 20.0, 1.0, 1.0)], 50.0).startswith("keeps up: the generator")


def test_a_frames_time_is_told_apart_by_who_spent_it() -> None:
    shown = with_stages(prepare=1.0, decode=0.5, warp=2.0, infer=20.0, encode=0.5, round_trip=26.0)
    own_ms = {"tick": 10.0, "wait": 5.0, "decode": 1.0, "submit": 0.3, "show": 2.0, "record": 3.0}
    assert stage_groups(shown, own_ms) == pytest.approx((16.0, 23.0, 4.0, 5.0))
    assert stage_groups(pair(rendered=False), {}) == (0.0, 0.0, 0.0, 0.0)


def test_the_groups_are_those_of_the_hud_and_of_telemetry() -> None:
    assert tuple(STAGE_COLORS) == GROUPS
    shown = with_stages(prepare=1.0, decode=0.5, warp=2.0, infer=20.0, encode=0.5, round_trip=26.0)
    own_ms = {"tick": 10.0, "wait": 5.0, "decode": 1.0, "submit": 0.3, "show": 2.0, "record": 3.0}
    assert shown.rendered is not None
    told_ms = {**own_ms, **server_stages(shown.rendered, own_ms), "prepare": 1.0}
    assert told_groups(told_ms) == pytest.approx(stage_groups(shown, own_ms))


def test_figures_are_told_a_few_times_a_second_and_notices_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(meter.time, "monotonic", lambda: now_s)
    told = HudMeter(Trace(), 50.0, real_time=True)
    first = told.state(with_stages(infer=20.0, round_trip=21.0), "", "street-photo")
    assert (first.model, first.frame_age_ms, len(first.history)) == ("street-photo", 40.0, 1)
    now_s += 0.1
    assert told.state(with_stages(), "", "street-photo") is first
    lost = told.state(with_stages(), "the server was lost", "street-photo")
    assert lost.notice == "the server was lost"
    for _ in range(2 * REMEMBERED):
        now_s += 0.05
        last = told.state(with_stages(infer=60.0, round_trip=61.0), "the server was lost", "street-photo")
    assert len(last.history) == REMEMBERED
    assert last.verdict == "the generator limits: 61 ms a frame, and there are 50"
