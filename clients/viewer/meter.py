"""What the HUD says of a drive: measured all the time, told a few times a second, so that people can read it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Mapping
from statistics import median
from typing import Final

from bridge.protocol.frames import FramePair
from bridge.trace import Trace
from clients.viewer.state import HudState

TOLD_EVERY_S: Final = 0.25
REMEMBERED: Final = 60  # frames in the sparkline
SLOW_SHARE: Final = 1.05  # of its time, from which on a stage is what limits the rate
SIMULATOR: Final = ("tick", "wait", "decode")
VIEWER: Final = ("show", "record")


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
            num_dropped=self._trace.dropped,
            num_resets=self._trace.resets,
            model=model,
            notice=notice,
            verdict=verdict(self._history, self._period_ms if self._real_time else 0.0),
            history=tuple(self._history),
            period_ms=self._period_ms,
        )
        return self._told


def stage_groups(pair: FramePair, own_ms: Mapping[str, float]) -> tuple[float, ...]:
    """Return what a frame took in each of `STAGE_COLORS`, ms: `own_ms` are the last stages of the bridge's own."""
    neural_ms = transport_ms = 0.0
    if pair.rendered is not None:
        stages_ms = pair.rendered.stages_ms
        neural_ms = sum(ms for name, ms in stages_ms.items() if name not in ("prepare", "round_trip"))
        transport_ms = max(0.0, stages_ms.get("round_trip", neural_ms) - neural_ms) + stages_ms.get("prepare", 0.0)
    simulator_ms = sum(own_ms.get(name, 0.0) for name in SIMULATOR)
    return simulator_ms, neural_ms, transport_ms, sum(own_ms.get(name, 0.0) for name in VIEWER)


def verdict(history: Collection[tuple[float, ...]], period_ms: float) -> str:
    """Return which stage limits the rate, a sentence; `period_ms` is what a frame may take, 0 for as fast as it goes.

    The simulator works beside the renderer, so the slower of the two sets the pace; what the renderer waits for is its
    own work and the way there and back.
    """
    if not any(map(any, history)):
        return ""
    simulator_ms, neural_ms, transport_ms, viewer_ms = (median(stage) for stage in zip(*history, strict=True))
    sides = {"the simulator": simulator_ms, "the viewer": viewer_ms}
    if neural_ms or transport_ms:
        renderer = "the network between renderer and viewer" if transport_ms > neural_ms else "the generator"
        sides[renderer] = neural_ms + transport_ms
    slowest = max(sides, key=lambda name: sides[name])
    took_ms = sides[slowest]
    if not period_ms:
        return f"{slowest} limits: {took_ms:.0f} ms a frame"
    if took_ms <= SLOW_SHARE * period_ms:
        return f"keeps up: {slowest} takes {took_ms:.0f} of {period_ms:.0f} ms"
    return f"{slowest} limits: {took_ms:.0f} ms a frame, and there are {period_ms:.0f}"
