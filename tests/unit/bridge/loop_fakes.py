"""A street, an inference server and a display with the real ones' manners, for tests of the frame loop."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from bridge.protocol.errors import RenderServerUnreachable, VidriveError
from bridge.protocol.frames import CameraIntrinsics, EgoControl, FramePair, RenderedFrame, SensorFrame
from bridge.protocol.messages import Refusal

HEIGHT, WIDTH = 16, 32


def picture_of(frame_id: int) -> np.ndarray:
    """A picture that only this frame id can have."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[..., 0], picture[..., 1] = frame_id & 255, frame_id >> 8
    return picture


def sensor_frame(frame_id: int, *, x_m: float = 0.0, time_s: float | None = None) -> SensorFrame:
    pose = np.eye(4)
    pose[0, 3] = x_m
    return SensorFrame(
        frame_id=frame_id,
        time_s=frame_id * 0.05 if time_s is None else time_s,
        label_map=np.full((HEIGHT, WIDTH), frame_id & 255, np.uint8),
        label_space="carla",
        intrinsics=CameraIntrinsics(WIDTH, HEIGHT, 90.0),
        world_from_camera=pose,
        captured_s=time.monotonic(),
    )


class FakeStreet:
    """Ticks like a simulator: each tick is one frame id; `before_tick` may take its time, or raise."""

    def __init__(self, *, fixed_delta_s: float = 0.05, first_frame_id: int = 100) -> None:
        self.fixed_delta_s = fixed_delta_s
        self.stages_ms = {"wait": 0.1, "decode": 0.2}
        self.frame_id = first_frame_id - 1
        self.x_m = 0.0
        self.controls: list[EgoControl | None] = []
        self.respawned_before: list[int] = []
        self.before_tick: Callable[[int], None] = lambda frame_id: None
        self.before_read: Callable[[int], None] = lambda frame_id: None
        self.threads: set[str] = set()

    def tick(self, control: EgoControl | None) -> int:
        self.threads.add(threading.current_thread().name)
        self.before_tick(self.frame_id + 1)
        self.frame_id += 1
        self.x_m += 0.5
        self.controls.append(control)
        return self.frame_id

    def read(self, frame_id: int) -> SensorFrame:
        assert frame_id == self.frame_id, "a frame must be read before the next tick"
        self.before_read(frame_id)
        return sensor_frame(frame_id, x_m=self.x_m)

    def respawn(self) -> None:
        self.respawned_before.append(self.frame_id + 1)
        self.x_m += 100.0


class FakeRenderer:
    """Keeps `RenderClient`'s promises: a credit of one, an answer after `latency_s`, and None in flight once lost."""

    def __init__(self, latency_s: float = 0.0) -> None:
        self.latency_s = latency_s
        self.alive = True
        self.submitted: list[tuple[int, int]] = []
        self.refuse: Callable[[SensorFrame], Refusal | None] = lambda frame: None
        self.refuse_submit: VidriveError | None = None
        self.stray: deque[RenderedFrame] = deque()
        self.kill_at: int | None = None
        self.has_work = threading.Event()
        self.resets_at: set[int] = set()
        self._request: tuple[SensorFrame, int, float] | None = None

    @property
    def ready(self) -> bool:
        return self.alive and self._request is None

    @property
    def in_flight(self) -> int | None:
        return self._request[0].frame_id if self._request else None

    @property
    def problem(self) -> VidriveError | None:
        return None if self.alive else RenderServerUnreachable("no inference server answers at fake", "Start it")

    def kill(self) -> None:
        self.alive = False
        self._request = None

    def restart(self) -> None:
        self.alive = True

    def submit(self, frame: SensorFrame, sequence: int) -> bool:
        if self.refuse_submit is not None:
            raise self.refuse_submit
        if not self.ready:
            return False
        self.submitted.append((frame.frame_id, sequence))
        self._request = (frame, sequence, time.monotonic() + self.latency_s)
        self.has_work.set()
        return True

    def poll(self, timeout_s: float = 0.0) -> list[RenderedFrame | Refusal]:
        if self.stray:
            return [self.stray.popleft()]
        if self._request is None:
            return []
        frame, sequence, ready_s = self._request
        if frame.frame_id == self.kill_at:
            self.kill_at = None
            self.kill()
            return []
        remaining_s = ready_s - time.monotonic()
        if remaining_s > 0:
            time.sleep(min(remaining_s, timeout_s))
            if time.monotonic() < ready_s:
                return []
        self._request = None
        self.has_work.clear()
        refusal = self.refuse(frame)
        if refusal is not None:
            return [refusal]
        reset = "evicted" if frame.frame_id in self.resets_at else ""
        return [
            RenderedFrame(
                frame.frame_id,
                sequence,
                picture_of(frame.frame_id),
                {"prepare": 0.1, "decode": 0.5, "infer": 1.0, "round_trip": 2.5},
                reset=reset,
            )
        ]


class Pairs:
    """A sink that keeps every pair."""

    def __init__(self) -> None:
        self.all: list[FramePair] = []

    def accept(self, pair: FramePair) -> None:
        self.all.append(pair)

    @property
    def frame_ids(self) -> list[int]:
        return [pair.sensor.frame_id for pair in self.all]

    @property
    def rendered_ids(self) -> list[int]:
        return [pair.rendered.frame_id for pair in self.all if pair.rendered is not None]
