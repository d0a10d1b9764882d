"""What a timewarp did, in figures: how far behind its pictures were, how soon an input was seen, what it cost."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

import numpy as np

from clients.viewer.course import Course, Matrix, apart

REMEMBERED: Final = 4096  # of each figure's values
INSTANTS: Final = (0.125, 0.375, 0.625, 0.875)  # of the time between two readings, at which an input may come


class TimewarpFigures:
    """Counts what was shown and keeps durations; each method belongs to one thread, `report` to any."""

    def __init__(self) -> None:
        self.num_drawn = self.num_poses = self.num_foreseen = 0
        self._values: dict[str, deque[float]] = {}
        self._last_read_s = 0.0

    def add(self, name: str, value: float) -> None:
        """Take one more value of a figure."""
        self._values.setdefault(name, deque(maxlen=REMEMBERED)).append(value)

    def median(self, name: str) -> float:
        """Return a figure's median, 0 where it has no value yet."""
        values = tuple(self._values.get(name, ()))
        return float(np.median(values)) if values else 0.0

    def foreseen_shown(self, read_s: float, now_s: float) -> None:
        """Take a picture that follows the devices as they were read then and is on the screen now (monotonic).

        An input may have come at any time since the reading before: it has waited for this one as well.
        """
        self.num_foreseen += 1
        if self._last_read_s and read_s > self._last_read_s:
            for instant in INSTANTS:
                came_s = self._last_read_s + instant * (read_s - self._last_read_s)
                self.add("input_to_display_ms", (now_s - came_s) * 1e3)
        self._last_read_s = read_s

    def foresaw(self, course: Course, world_from_camera: Matrix, steer: float | None) -> None:
        """Take how far a tick's pose was from what its course had foreseen, and from the tick before."""
        foreseen = apart(course.ahead(course.step_s, steer), world_from_camera)
        held = apart(course.world_from_camera, world_from_camera)
        for name, (off_m, off_deg) in (("foreseen", foreseen), ("held", held)):
            self.add(f"{name}_off_m", off_m)
            self.add(f"{name}_off_deg", off_deg)

    def report(self) -> Mapping[str, float]:
        """Return what was shown: pictures drawn, ticks' poses among them, and how many were foreseen; how many ticks
        the shown pose was behind the newest one (mean, p95); from an input to the first picture that shows it, and
        from a tick's poses to the display, which is the viewer's own part of it (ms, p50, p95); what a warp and what
        foreseeing cost (ms, median); how far the next tick's pose was from the foreseen one, and from the one before
        (p95).
        """
        figures: dict[str, float] = {"drawn": self.num_drawn, "poses": self.num_poses, "foreseen": self.num_foreseen}
        values = {name: np.array(tuple(kept)) for name, kept in tuple(self._values.items()) if kept}
        if "lag_ticks" in values:
            lags = values["lag_ticks"]
            figures |= {"lag_ticks": float(lags.mean()), "lag_ticks_p95": _p95(lags)}
        for name in ("input_to_display_ms", "pose_to_display_ms"):
            if name in values:
                figures |= {f"{name}_p50": float(np.median(values[name])), f"{name}_p95": _p95(values[name])}
        figures |= {name: float(np.median(values[name])) for name in ("warp_ms", "foresee_ms") if name in values}
        for name in ("foreseen_off_m", "held_off_m", "foreseen_off_deg", "held_off_deg"):
            if name in values:
                figures[f"{name}_p95"] = _p95(values[name])
        return {name: round(value, 3) for name, value in figures.items()}


def _p95(values: np.ndarray) -> float:
    return float(np.percentile(values, 95))
