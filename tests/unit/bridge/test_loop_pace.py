"""When the next step is taken."""

from __future__ import annotations

import pytest

from bridge import pace
from bridge.pace import JustInTime, Ratekeeper


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(pace.time, "monotonic", lambda: self.now_s)


def test_steps_are_a_period_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, keeper = Clock(monkeypatch), Ratekeeper(0.05)
    assert keeper.book_s() == 0.0
    assert keeper.book_s() == pytest.approx(0.05)
    clock.now_s += 0.06  # 10 ms late for the second step
    assert keeper.book_s() == pytest.approx(0.04), "small delays are made up for"


def test_a_long_delay_is_not_followed_by_a_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, keeper = Clock(monkeypatch), Ratekeeper(0.05)
    keeper.book_s()
    clock.now_s += 10.0
    delays_s = [keeper.book_s() for _ in range(4)]
    assert delays_s == pytest.approx([0.0, 0.0, 0.05, 0.10])


def test_a_capture_waits_only_for_a_renderer_that_is_surely_slower() -> None:
    timing = JustInTime()
    for _ in range(8):
        assert timing.delay_s() == 0.0, "too early to know"
        timing.captured(0.020)
        timing.rendered(0.060)
    assert 0.030 <= timing.delay_s() <= 0.040
    timing.captured(0.050)
    assert timing.delay_s() < 0.010, "one slow capture counts"
    timing.rendered(0.015)
    assert timing.delay_s() == 0.0, "one fast rendering counts"
