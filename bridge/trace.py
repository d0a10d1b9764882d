"""What a drive's loop counts and measures: totals, rates, durations, and one JSON line a pair for who wants it."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec
import numpy as np

from bridge.protocol.frames import FramePair, RenderedFrame
from bridge.telemetry import Ledger, output_error

_REMEMBERED: Final = 20_000  # durations kept for the percentiles: the last quarter of an hour at 20 Hz
_RECENT_S: Final = 2.0
CLIENT_STAGES: Final = ("prepare", "round_trip")  # what `RenderClient` adds to the stages of the server
RATES: Final = ("simulator", "neural", "display", "control")


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Median, 95th percentile and maximum of some durations, ms; all 0 when there were none."""

    p50: float = 0.0
    p95: float = 0.0
    max: float = 0.0


class LoopReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a drive's loop did so far; `frame_age_ms` is the time from a frame's capture to its end on the display.

    `dropped` are ticks whose place a newer one took, `failed` those for which the inference server was lost, busy or
    refused: with a server, ticks = rendered + dropped + failed once the drive has ended. `resets` is how often temporal
    state began anew after the start, `stale` counts answers that came too late and were thrown away. `input_age_ms` is
    how old the reading of keyboard, pad or wheel was at each tick; all 0 where nobody can drive.
    """

    ticks: int
    rendered: int
    shown: int
    dropped: int
    failed: int
    resets: int
    stale: int
    rates_hz: dict[str, float]
    frame_age_ms: Spread
    input_age_ms: Spread
    stages_ms: dict[str, Spread]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, in the order of its fields."""
        return msgspec.to_builtins(self)


class Durations:
    """The last durations by name, ms."""

    def __init__(self) -> None:
        self._values: dict[str, deque[float]] = {}

    def add(self, name: str, duration_ms: float) -> None:
        """Note one duration."""
        self._values.setdefault(name, deque(maxlen=_REMEMBERED)).append(duration_ms)

    def latest(self) -> dict[str, float]:
        """Return the last duration of every name."""
        return {name: values[-1] for name, values in tuple(self._values.items())}

    def quantiles(self, name: str, shares: Sequence[float], num_recent: int) -> list[float]:
        """Return quantiles (shares 0..1) of the last durations of a name; zeros without any. From any thread."""
        values = tuple(self._values.get(name, ()))[-num_recent:]
        return [float(value) for value in np.quantile(values, shares)] if values else [0.0] * len(shares)

    def spread(self, name: str) -> Spread:
        """Return the spread of one name."""
        values = self._values.get(name)
        if not values:
            return Spread()
        p50, p95, most = np.percentile(np.fromiter(values, np.float64), (50, 95, 100))
        return Spread(p50=round(float(p50), 3), p95=round(float(p95), 3), max=round(float(most), 3))

    def spreads(self) -> dict[str, Spread]:
        """Return the spread of every name, in the order in which they first came."""
        return {name: self.spread(name) for name in self._values}


class Trace:
    """Counts what a loop does; writes a JSON line a pair to `path` and one a frame to `telemetry`, if there are any."""

    def __init__(self, path: Path | None = None, telemetry: Path | None = None) -> None:
        self.ledger = Ledger(telemetry)
        self.shown = self.resets = self.stale = 0
        self.input_age_ms = 0.0
        self.stages = Durations()
        self.ages = Durations()
        self._recent: dict[str, deque[float]] = {name: deque() for name in RATES}
        self._totals: dict[str, int] = dict.fromkeys(RATES, 0)
        self._start_s: float | None = None
        self._end_s = 0.0
        self._lines: TextIO | None = None
        if path is not None:
            with output_error("trace", path):
                self._lines = path.open("w", encoding="utf-8")

    @property
    def ticks(self) -> int:
        """How many frames the simulator gave."""
        return self.ledger.ticked

    @property
    def rendered(self) -> int:
        """How many frames were synthesized."""
        return self.ledger.counts["rendered"]

    @property
    def dropped(self) -> int:
        """How many frames gave way to a newer one."""
        return self.ledger.counts["dropped"]

    @property
    def failed(self) -> int:
        """How many frames were to be synthesized and could not be."""
        return self.ledger.counts["failed"]

    def begin(self) -> None:
        """Start the clock of the rates; only the first call counts."""
        if self._start_s is None:
            self._start_s = self._end_s = time.monotonic()

    def happened(self, rate: str) -> None:
        """Note one event of a rate ("simulator", "neural", "display" or "control")."""
        now_s = self._end_s = time.monotonic()
        self._totals[rate] += 1
        recent = self._recent[rate]
        recent.append(now_s)
        while recent[0] < now_s - _RECENT_S:
            recent.popleft()

    def frame(self, age_ms: float, line: Mapping[str, Any]) -> None:
        """Note that a frame has been through all of it, and write its line; raises OutputError if the disk is full."""
        self.ages.add("age", age_ms)
        if self._lines is not None:
            with output_error("trace", Path(self._lines.name)):
                self._lines.write(json.dumps({**line, "age_ms": round(age_ms, 3)}) + "\n")

    def add_input_age(self, age_ms: float) -> None:
        """Note how old the reading of the driver's devices was when a tick began."""
        self.input_age_ms = age_ms
        self.ages.add("input", age_ms)

    def recent_rates_hz(self) -> dict[str, float]:
        """Return the rates of the last two seconds, for a display."""
        now_s = time.monotonic()
        started_s = now_s if self._start_s is None else self._start_s
        span_s = min(_RECENT_S, max(now_s - started_s, 1e-3))
        return {name: sum(t > now_s - span_s for t in tuple(times)) / span_s for name, times in self._recent.items()}

    def report(self) -> LoopReport:
        """Return the totals, rates and spreads since `begin`."""
        span_s = max(self._end_s - self._start_s, 1e-9) if self._start_s is not None else 1.0
        return LoopReport(
            ticks=self.ticks,
            rendered=self.rendered,
            shown=self.shown,
            dropped=self.dropped,
            failed=self.failed,
            resets=self.resets,
            stale=self.stale,
            rates_hz={name: round(total / span_s, 2) for name, total in self._totals.items()},
            frame_age_ms=self.ages.spread("age"),
            input_age_ms=self.ages.spread("input"),
            stages_ms=self.stages.spreads(),
        )

    def close(self) -> None:
        """End the frames that are under way and close the files; raises OutputError when the disk is full."""
        lines, self._lines = self._lines, None
        try:
            self.ledger.close()
        finally:
            if lines is not None:
                with output_error("trace", Path(lines.name)):
                    lines.close()


def server_stages(rendered: RenderedFrame, own_ms: Mapping[str, float]) -> dict[str, float]:
    """Return the server's stages, none under a name of the bridge's own, and "transport": both ways over the wire."""
    server_ms = {name: ms for name, ms in rendered.stages_ms.items() if name not in CLIENT_STAGES}
    stages_ms = {f"server_{name}" if name in own_ms else name: ms for name, ms in server_ms.items()}
    round_trip_ms = rendered.stages_ms.get("round_trip")
    if round_trip_ms is not None:
        stages_ms["transport"] = max(0.0, round_trip_ms - sum(server_ms.values()))
        stages_ms["round_trip"] = round_trip_ms
    return stages_ms


def pair_line(pair: FramePair, stages_ms: dict[str, float]) -> dict[str, Any]:
    """Return what a trace says of one pair."""
    return {
        "frame_id": pair.sensor.frame_id,
        "time_s": round(pair.sensor.time_s, 6),
        "sequence": pair.rendered.sequence if pair.rendered else None,
        "rendered_frame_id": pair.rendered.frame_id if pair.rendered else None,
        "reset": pair.rendered.reset if pair.rendered else "",
        "notice": pair.notice,
        "stages_ms": {name: round(duration_ms, 3) for name, duration_ms in stages_ms.items()},
    }
