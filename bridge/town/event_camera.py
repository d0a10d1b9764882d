"""The event camera (DVS): which pixels became brighter or darker, and when, between two pictures, as CARLA computes it.

Brightness is taken to change evenly from one picture to the next; each time it crosses a threshold's worth, an event is
told at the moment of the crossing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.carla_wire.point_clouds import EVENT
from bridge.town.sensors import Camera, number

_LUMA_BGR = np.array([0.1140, 0.5870, 0.2989], np.float32)
_UNCHANGED = 1e-6
LEAST_THRESHOLD = 0.01


@dataclass(eq=False)
class EventCamera(Camera):
    """A camera of brightness changes; it remembers its last picture."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._random = np.random.default_rng(int(number(self, "noise_seed", 0, 0, 2**31 - 1)))
        self._brighter = number(self, "positive_threshold", 0.3, LEAST_THRESHOLD, 100.0)
        self._darker = number(self, "negative_threshold", 0.3, LEAST_THRESHOLD, 100.0)
        self._brighter_noise = number(self, "sigma_positive_threshold", 0.0, 0.0, 100.0)
        self._darker_noise = number(self, "sigma_negative_threshold", 0.0, 0.0, 100.0)
        self._refractory_ns = int(number(self, "refractory_period_ns", 0, 0, 1e18))
        self._uses_log = self.attributes.get("use_log", "true").lower() == "true"
        self._log_offset = number(self, "log_eps", 0.001, 1e-9, 1.0)
        self._last: NDArray[np.float32] | None = None
        self._crossed = np.zeros(0, np.float32)
        self._told_ns = np.zeros(0, np.int64)
        self._last_ns = 0

    def events(self, bgra: NDArray[np.uint8], now_s: float) -> NDArray:
        """Return the events (N,) EVENT since the last picture in the order of their times; none for the first one."""
        now_ns = round(now_s * 1e9)
        level = self._brightness(bgra)
        if self._last is None:
            found = np.empty(0, EVENT)
            self._crossed = level.copy()
            self._told_ns = np.full(level.shape, -(2**62), np.int64)
        else:
            found = self._crossings(self._last, level, now_ns)
        self._last, self._last_ns = level, now_ns
        return found

    def _brightness(self, bgra: NDArray[np.uint8]) -> NDArray[np.float32]:
        grey = bgra[..., :3].astype(np.float32) @ _LUMA_BGR
        return np.log(np.float32(self._log_offset) + grey / np.float32(255.0)) if self._uses_log else grey

    def _crossings(self, before: NDArray[np.float32], level: NDArray[np.float32], now_ns: int) -> NDArray:
        change = level - before
        rises = change > 0.0
        threshold = np.where(rises, self._thresholds(rises, self._brighter, self._brighter_noise), 0.0)
        threshold += np.where(rises, 0.0, self._thresholds(rises, self._darker, self._darker_noise))
        ahead = np.where(rises, level - self._crossed, self._crossed - level)
        count = np.floor(np.maximum(ahead, 0.0) / threshold).astype(np.int64)
        count[np.abs(change) <= _UNCHANGED] = 0
        found = []
        for k in range(1, int(count.max(initial=0)) + 1):
            rows, columns = np.nonzero(count >= k)
            step = np.where(rises[rows, columns], k, -k) * threshold[rows, columns]
            share = (self._crossed[rows, columns] + step - before[rows, columns]) / change[rows, columns]
            time_ns = self._last_ns + (np.clip(share, 0.0, 1.0) * (now_ns - self._last_ns)).astype(np.int64)
            told = time_ns - self._told_ns[rows, columns] >= self._refractory_ns
            rows, columns, time_ns = rows[told], columns[told], time_ns[told]
            self._told_ns[rows, columns] = time_ns
            some = np.empty(len(rows), EVENT)
            some["x"], some["y"], some["time_ns"], some["is_brighter"] = columns, rows, time_ns, rises[rows, columns]
            found.append(some)
        self._crossed += (np.where(rises, count, -count) * threshold).astype(np.float32)
        events = np.concatenate(found) if found else np.empty(0, EVENT)
        return events[np.argsort(events["time_ns"], kind="stable")]

    def _thresholds(self, like: NDArray, mean: float, deviation: float) -> NDArray[np.float64] | float:
        if deviation <= 0.0:
            return mean
        return np.maximum(self._random.normal(mean, deviation, like.shape), LEAST_THRESHOLD)
