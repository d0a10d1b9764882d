"""What the HUD says of a drive: measured all the time, told a few times a second, so that people can read it."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from bridge.bottleneck import stage_groups, verdict
from bridge.protocol.frames import FramePair
from bridge.trace import Trace
from clients.viewer.state import HudState

TOLD_EVERY_S: Final = 0.25
REMEMBERED: Final = 60  # frames in the sparkline


class HudMeter:
    """Makes the HUD of each pair; figures change a few times a second, notices at once."""

    def __init__(self, trace: Trace, period_ms: float, *, real_time: bool) -> None:
        """`period_ms` is the simulation time of a tick, which is what a frame may take in real time."""
        self._trace = trace
        self._period_ms = period_ms
        self._real_time = real_time
        self._history: deque[tuple[float, ...]] = deque(maxlen=REMEMBERED)
        self._told: HudState | None = None
        self._told_at_s = 0.0

    def state(self, pair: FramePair, notice: str, model: str) -> HudState:
        """Take a pair's times; return a new state where it is time to tell one, the last one until then."""
        self._history.append(stage_groups(pair, self._trace.stages.latest()))
        now_s = time.monotonic()
        told = self._told
        if told is not None and now_s - self._told_at_s < TOLD_EVERY_S and (told.notice, told.model) == (notice, model):
            return told
        self._told_at_s = now_s
        rates_hz = self._trace.recent_rates_hz()
        self._told = HudState(
            simulator_hz=rates_hz["simulator"],
            neural_hz=rates_hz["neural"],
            display_hz=rates_hz["display"],
            control_hz=rates_hz["control"],
            frame_age_ms=pair.age_ms,
            input_age_ms=self._trace.input_age_ms,
            num_dropped=self._trace.dropped + self._trace.failed,
            num_resets=self._trace.resets,
            model=model,
            notice=notice,
            verdict=verdict(self._history, self._period_ms if self._real_time else 0.0),
            history=tuple(self._history),
            period_ms=self._period_ms,
        )
        return self._told
