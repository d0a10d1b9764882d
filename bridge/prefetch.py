"""Capture in a thread of its own, so that the simulator works on the next frame while this one is synthesized."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from bridge.protocol.frames import EgoControl, SensorFrame

_STOP: Final = -1.0


class Street(Protocol):
    """What a loop drives through; `bridge.capture.drive.Drive` is one."""

    @property
    def fixed_delta_s(self) -> float:
        """Simulation time of a tick."""
        ...

    @property
    def stages_ms(self) -> Mapping[str, float]:
        """Durations inside the last `read`, by name."""
        ...

    def tick(self, control: EgoControl | None) -> int:
        """Apply a control (None: autopilot), advance one step, return the frame's id."""
        ...

    def read(self, frame_id: int) -> SensorFrame:
        """Return the planes of that frame."""
        ...

    def respawn(self) -> None:
        """Put the ego vehicle elsewhere."""
        ...


@dataclass(frozen=True)
class ControlSample:
    """A driver's wish (None: autopilot), and when the devices were read that it comes from (monotonic)."""

    control: EgoControl | None
    read_s: float


ControlSource: TypeAlias = Callable[[], ControlSample]


@dataclass(frozen=True)
class Captured:
    """A frame, when its tick began (monotonic), how long it took from tick to planes, and the stages of that in ms.

    `input_age_ms` is how old the reading of the driver's devices was when the tick began; None without devices.
    """

    frame: SensorFrame
    duration_s: float
    stages_ms: Mapping[str, float]
    input_age_ms: float | None = None
    start_s: float = 0.0


class Prefetch:
    """Captures one frame for each `start`; only this thread touches the street until `take` has returned it."""

    def __init__(self, street: Street) -> None:
        self.control: EgoControl | None = None  # read when the tick starts: the newest one counts
        self.source: ControlSource | None = None  # asked instead, at the same moment
        self.outstanding = False
        self._street = street
        self._orders: queue.SimpleQueue[float] = queue.SimpleQueue()
        self._result: Captured | BaseException | None = None
        self._done = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether `take` would return at once."""
        return self._done.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the frame is done, at most `timeout_s`; return whether it is."""
        return self._done.wait(timeout_s)

    def start(self, delay_s: float = 0.0) -> None:
        """Capture the next frame, beginning after `delay_s`."""
        if self.outstanding:
            raise RuntimeError("a capture is outstanding already")
        self.outstanding = True
        self._hurry.clear()
        self._orders.put(max(0.0, delay_s))

    def take(self) -> Captured:
        """Return the frame that was started, when it is done; raises whatever the street raised."""
        if not self.outstanding:
            raise RuntimeError("no capture is outstanding")
        self._done.wait()
        self.outstanding = False
        self._done.clear()
        result, self._result = self._result, None
        if isinstance(result, BaseException):
            raise result
        if result is None:
            raise RuntimeError("the capture thread ended")
        return result

    def close(self) -> None:
        """Let an outstanding capture finish, without its delay, and end the thread."""
        self._hurry.set()
        self._orders.put(_STOP)
        self._thread.join()

    def _run(self) -> None:
        while (delay_s := self._orders.get()) != _STOP:
            if delay_s > 0.0:
                self._hurry.wait(delay_s)
            try:
                self._result = self._capture()
            except BaseException as error:  # noqa: BLE001 - it is raised again where the frame is taken
                self._result = error
            self._done.set()

    def _capture(self) -> Captured:
        source, control, input_age_ms = self.source, self.control, None
        if source is not None:
            sample = source()
            control, input_age_ms = sample.control, (time.monotonic() - sample.read_s) * 1e3
        start_s = time.monotonic()
        frame_id = self._street.tick(control)
        tick_ms = (time.monotonic() - start_s) * 1e3
        frame = self._street.read(frame_id)
        stages_ms = {"tick": tick_ms, **self._street.stages_ms}
        return Captured(frame, time.monotonic() - start_s, stages_ms, input_age_ms, start_s)
