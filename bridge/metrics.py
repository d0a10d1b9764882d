"""A drive's counters for Prometheus: read off its trace when somebody asks, so that a frame costs nothing more."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from bridge.prometheus import LOOPBACK, QUANTILES, serve_families
from bridge.trace import Trace

RECENT: Final = 400  # frames that quantiles are taken of


@contextlib.contextmanager
def serve_metrics(trace: Trace, port: int, host: str = LOOPBACK) -> Iterator[int]:
    """Answer Prometheus at http://HOST:PORT/metrics meanwhile, port 0 for a free one; yields the port.

    Plain HTTP without a key, and numbers only. Raises UsageError without the package and for a port that is taken.
    """
    with serve_families(lambda core: _Collector(trace, core), port, host) as served_port:
        yield served_port


class _Collector:
    """Reads a trace each time that it is asked; what a drive's thread counts meanwhile comes with the next time."""

    def __init__(self, trace: Trace, core: Any) -> None:
        self._trace = trace
        self._counter: Callable[..., Any] = core.CounterMetricFamily
        self._gauge: Callable[..., Any] = core.GaugeMetricFamily

    def collect(self) -> Iterator[Any]:
        """Yield all families; of each, values as they are now."""
        trace = self._trace
        yield self._counter("vidrive_ticks", "frames that the simulator gave", value=trace.ticks)
        frames = self._counter("vidrive_frames", "frames by how they ended", labels=["outcome"])
        for outcome, count in dict(trace.ledger.counts).items():
            frames.add_metric([outcome], count)
        yield frames
        yield self._gauge("vidrive_frames_under_way", "frames that have not ended", value=trace.ledger.under_way)
        yield self._counter("vidrive_resets", "how often temporal state began anew", value=trace.resets)
        yield self._counter("vidrive_stale_answers", "answers that came too late", value=trace.stale)
        rates = self._gauge("vidrive_rate_hertz", "events a second, of the last two seconds", labels=["rate"])
        for name, rate_hz in trace.recent_rates_hz().items():
            rates.add_metric([name], rate_hz)
        yield rates
        age = self._gauge(
            "vidrive_frame_age_milliseconds", "from a frame's planes to its end on the display", labels=["quantile"]
        )
        for quantile, value in zip(QUANTILES, trace.ages.quantiles("age", QUANTILES, RECENT), strict=True):
            age.add_metric([f"{quantile:g}"], value)
        yield age
        stages = self._gauge("vidrive_stage_milliseconds", "duration of a stage", labels=["stage", "quantile"])
        for name in trace.stages.latest():
            for quantile, value in zip(QUANTILES, trace.stages.quantiles(name, QUANTILES, RECENT), strict=True):
                stages.add_metric([name, f"{quantile:g}"], value)
        yield stages
