"""How many frames are done and how long the rest will take, on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final

TERMINAL_INTERVAL_S: Final = 0.1
LINES_INTERVAL_S: Final = 5.0


class Progress:
    """A line that renews itself on a terminal, one every few seconds elsewhere; a context manager."""

    def __init__(self, num_frames: int) -> None:
        self._num_frames = num_frames
        self._num_done = 0
        self._start_s = self._shown_s = time.monotonic()
        self._live = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def advance(self, num_frames: int = 1) -> None:
        """Count frames that are done."""
        self._num_done += num_frames
        now_s = time.monotonic()
        if now_s - self._shown_s < (TERMINAL_INTERVAL_S if self._live else LINES_INTERVAL_S):
            return
        self._shown_s = now_s
        rate_hz = self._num_done / (now_s - self._start_s)
        left_s = (self._num_frames - self._num_done) / rate_hz
        line = f"frame {self._num_done} of {self._num_frames}, {rate_hz:.1f} a second, {left_s:.0f} s left"
        print(f"\r{line}\x1b[K" if self._live else line, end="" if self._live else "\n", file=sys.stderr, flush=True)
