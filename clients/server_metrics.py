"""The inference server's counters for Prometheus: read when somebody asks, so that a frame costs nothing more."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from bridge.prometheus import LOOPBACK, QUANTILES, serve_families
from renderer.counts import ServerCounts


def serve_server_metrics(
    counts: ServerCounts, port: int, host: str = LOOPBACK
) -> contextlib.AbstractContextManager[int]:
    """Answer Prometheus at http://HOST:PORT/metrics meanwhile; see `bridge.metrics.serve_metrics`."""
    return serve_families(lambda core: _Collector(counts, core), port, host)


class _Collector:
    def __init__(self, counts: ServerCounts, core: Any) -> None:
        self._counts = counts
        self._counter: Callable[..., Any] = core.CounterMetricFamily
        self._gauge: Callable[..., Any] = core.GaugeMetricFamily

    def collect(self) -> Iterator[Any]:
        """Yield all families; of each, values as they are now."""
        counts = self._counts
        yield self._counter("vidrive_server_requests", "frames that clients asked for", value=counts.requests)
        yield self._counter("vidrive_server_rendered", "pictures that were answered", value=counts.rendered)
        yield self._by("refusals", "frames that were refused, by why", "code", counts.refusals)
        yield self._by("resets", "how often temporal state began anew, by why", "reason", counts.resets)
        yield self._gauge("vidrive_server_sessions", "clients with a session", value=counts.num_sessions)
        batch = self._gauge("vidrive_server_batch_frames", "frames that are drawn at once", labels=["quantile"])
        stages = self._gauge(
            "vidrive_server_stage_milliseconds", "duration of a stage of a frame", labels=["stage", "quantile"]
        )
        if sizes := counts.batches():
            for quantile, value in zip(QUANTILES, np.quantile(sizes, QUANTILES), strict=True):
                batch.add_metric([f"{quantile:g}"], float(value))
        for name, values_ms in counts.stages_ms().items():
            for quantile, value in zip(QUANTILES, np.quantile(values_ms, QUANTILES), strict=True):
                stages.add_metric([name, f"{quantile:g}"], float(value))
        yield batch
        yield stages

    def _by(self, name: str, what: str, label: str, found: Mapping[str, int]) -> Any:
        family = self._counter(f"vidrive_server_{name}", what, labels=[label])
        for kind, count in dict(found).items():
            family.add_metric([kind], count)
        return family
