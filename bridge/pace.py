"""When to take the next step: not faster than real time, and not earlier than the renderer can use it."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

_REMEMBERED: Final = 8
_MARGIN_S: Final = 0.004


class Ratekeeper:
    """Keeps steps one period apart; a late step is not made up for by a burst of early ones."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._next_s: float | None = None

    def book_s(self) -> float:
        """Book the next step and return how long to wait for it; 0 when it is due or late."""
        now_s = time.monotonic()
        slot_s = now_s if self._next_s is None else max(self._next_s, now_s - self._period_s)
        self._next_s = slot_s + self._period_s
        return max(0.0, slot_s - now_s)


class JustInTime:
    """How long to hold back a capture so that it is done when the renderer is free, and its frame not older than that.

    Cautious on purpose: it takes the fastest of the last renderings and the slowest of the last captures, because a
    capture that comes late costs a whole frame, and one that comes early only a few milliseconds of age.
    """

    def __init__(self) -> None:
        self._captures_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._renderings_s: deque[float] = deque(maxlen=_REMEMBERED)

    def captured(self, duration_s: float) -> None:
        """Note how long a capture took."""
        self._captures_s.append(duration_s)

    def rendered(self, duration_s: float) -> None:
        """Note how long a rendering took, from its request to its answer."""
        self._renderings_s.append(duration_s)

    def delay_s(self) -> float:
        """Return how long a capture that could start together with a rendering should wait."""
        if len(self._captures_s) < _REMEMBERED or len(self._renderings_s) < _REMEMBERED:
            return 0.0
        return max(0.0, min(self._renderings_s) - max(self._captures_s) - _MARGIN_S)
