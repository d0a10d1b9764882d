"""What takes pairs beside the display: the video in simulation time, and the trace with a digest of every frame."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.protocol.frames import FramePair
from bridge.trace import Trace
from clients.recorder import Recorder

LONGEST_HOLD_S: Final = 5.0  # a longer gap is a new episode, not a picture to hold


class PairRecorder:
    """Records every pair at its simulation time: where ticks were dropped, the next picture stands for them too."""

    def __init__(self, recorder: Recorder, fixed_delta_s: float, picture: Callable[[FramePair], NDArray[np.uint8]]):
        """`picture` composes a pair, (H,W,4) u8 BGRA."""
        self._recorder = recorder
        self._fixed_delta_s = fixed_delta_s
        self._picture = picture
        self._last_time_s: float | None = None

    def accept(self, pair: FramePair) -> None:
        """Append a pair to the video; raises OutputError when the disk is full."""
        picture = self._picture(pair)
        for _ in range(self._num_steps(pair.sensor.time_s)):
            self._recorder.write(picture)
        self._last_time_s = pair.sensor.time_s

    def _num_steps(self, time_s: float) -> int:
        if self._last_time_s is None or not 0.0 < time_s - self._last_time_s < LONGEST_HOLD_S:
            return 1
        return max(1, round((time_s - self._last_time_s) / self._fixed_delta_s))


class DigestTrace(Trace):
    """A trace whose lines also carry SHA-256 digests of the label map and of the synthesized picture.

    It is a sink of the same loop, so that two drives can be compared frame by frame without keeping their pictures.
    """

    def __init__(self, path: Path, telemetry: Path | None = None) -> None:
        super().__init__(path, telemetry)
        self._digests: dict[str, str | None] = {}

    def accept(self, pair: FramePair) -> None:
        """Take the digests of a pair, for the line that follows."""
        rendered = pair.rendered
        self._digests = {
            "labels_sha256": _digest(pair.sensor.label_map),
            "synthesized_sha256": None if rendered is None else _digest(rendered.rgb),
        }

    def frame(self, age_ms: float, line: Mapping[str, Any]) -> None:
        """Write the line of the frame whose digests were taken last."""
        super().frame(age_ms, {**line, **self._digests})


def _digest(array: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
