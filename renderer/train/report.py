"""What a run tells while it goes on: the same for every trainer."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import msgspec


class ReportConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the numbers of a run go to TensorBoard's files too; metrics.jsonl always has them."""

    tensorboard: bool = False


class Pace:
    """How fast a run goes and how long the rest of it takes, by the steps of this process."""

    def __init__(self, first_step: int, num_steps: int | None, limit_s: float | None = None) -> None:
        """A run without a number of steps ends after `limit_s`."""
        self._limit_s = limit_s
        self._first_step = first_step
        self._num_steps = num_steps
        self._start_s = time.monotonic()
        self._start_processor_s = time.process_time()

    def elapsed_s(self) -> float:
        """Return the seconds since this process began to train."""
        return time.monotonic() - self._start_s

    def left_s(self, step: int) -> float:
        """Return the seconds that the steps after `step` will take at the pace so far."""
        if self._num_steps is None:
            return max((self._limit_s or 0.0) - self.elapsed_s(), 0.0)
        return self.elapsed_s() / max(step - self._first_step, 1) * (self._num_steps - step)

    def per_second(self, count: int) -> float:
        """Return how many of what was counted since the begin there were a second."""
        return count / max(self.elapsed_s(), 1e-9)

    def throughput(self, frames: int) -> dict[str, float]:
        """Return frames since the begin for the run's numbers: a second, and a second of all its processor time, which
        says the same on a machine that others use too."""
        processor_s = time.process_time() - self._start_processor_s
        return {
            "frames_a_second": self.per_second(frames),
            "frames_a_processor_second": frames / max(processor_s, 1e-9),
        }

    def line(self, step: int, frames_a_second: float, terms: Mapping[str, float]) -> str:
        """Return the line of a step: how far, how long, how fast, and the values of its terms."""
        values = " ".join(f"{name} {value:.3f}" for name, value in terms.items())
        left = f"{math.ceil(self.left_s(step) / 60)} min left, {frames_a_second:.2f} frames/s"
        steps = str(step) if self._num_steps is None else f"{step}/{self._num_steps}"
        return f"step {steps}, {left}: {values}"
