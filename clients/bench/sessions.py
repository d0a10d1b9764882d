"""How long several clients of one inference server wait for their pictures, all of them driving at once."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import RenderServerError
from bridge.protocol.frames import CameraIntrinsics, RenderedFrame, SensorFrame
from bridge.render_client import RenderClient
from clients.processes import READY_DEADLINE_S, Child

RATE_HZ: Final = 30.0
WARM_UP: Final = 10
NUM_DISTINCT: Final = 8
ANSWER_DEADLINE_S: Final = 60.0


@dataclass(frozen=True)
class SessionTimes:
    """From a frame's way to the server to its picture, ms: of each client, and of all."""

    latency_ms: tuple[NDArray[np.float64], ...]

    @property
    def all_ms(self) -> NDArray[np.float64]:
        """Every frame's."""
        return np.concatenate(self.latency_ms)


def measure_sessions(
    num_sessions: int, num_frames: int, size_wh: tuple[int, int], device: str, *, model: str = ""
) -> SessionTimes:
    """Let clients send frames of a street, 30 a second each, to a server that draws what waits together."""
    with tempfile.TemporaryDirectory(prefix="vidrive-bench-") as folder, ExitStack() as stack:
        endpoint = f"ipc://{folder}/renderer"
        words = ["serve", "--listen", endpoint, "--device", device, "--batch", str(min(16, num_sessions))]
        server = stack.enter_context(Child("renderer", [*words, *(["--model", model] if model else [])]))
        server.wait_ready(READY_DEADLINE_S)
        clients = [stack.enter_context(RenderClient(endpoint)) for _ in range(num_sessions)]
        for client in clients:
            client.wait_connected(ANSWER_DEADLINE_S)
        streets = [_street(size_wh, seed) for seed in range(num_sessions)]
        return _drive(clients, streets, num_frames)


def _drive(clients: list[RenderClient], streets: list[list[SensorFrame]], num_frames: int) -> SessionTimes:
    start_s = time.monotonic()
    due_s = [start_s + index / RATE_HZ / len(clients) for index in range(len(clients))]
    sent_s = [0.0] * len(clients)
    counts = [0] * len(clients)
    latency_ms: list[list[float]] = [[] for _ in clients]
    quiet_s = time.monotonic() + ANSWER_DEADLINE_S
    while min(map(len, latency_ms)) < num_frames + WARM_UP:
        now_s = time.monotonic()
        if now_s > quiet_s:
            raise RenderServerError("the inference server does not answer", "Look at its lines above")
        for index, client in enumerate(clients):
            for answer in client.poll():
                if isinstance(answer, RenderedFrame):
                    latency_ms[index].append((time.monotonic() - sent_s[index]) * 1e3)
                    quiet_s = now_s + ANSWER_DEADLINE_S
            if now_s >= due_s[index] and client.ready:
                frame = streets[index][counts[index] % NUM_DISTINCT]
                counts[index] += 1
                sent_s[index] = time.monotonic()
                client.submit(dataclasses.replace(frame, frame_id=counts[index]), 1)
                due_s[index] = max(due_s[index] + 1 / RATE_HZ, now_s - 1 / RATE_HZ)
        time.sleep(2e-4)
    return SessionTimes(tuple(np.array(times[WARM_UP:]) for times in latency_ms))


def _street(size_wh: tuple[int, int], seed: int) -> list[SensorFrame]:
    """Frames of a street: upright regions that drift, ground below, the camera going ahead."""
    width_px, height_px = size_wh
    rng = np.random.default_rng(seed)
    classes = np.repeat(rng.integers(0, 11, width_px // 16 + 2), 16)
    rows = np.arange(height_px, dtype=np.float32)[:, None]
    depth_m = np.broadcast_to(np.where(rows > height_px * 0.55, 900.0 / (rows + 1.0), 30.0), (height_px, width_px))
    frames = []
    for index in range(NUM_DISTINCT):
        label_map = np.broadcast_to(classes[index : index + width_px], (height_px, width_px)).astype(np.uint8)
        pose = np.array([[0, 0, 1, 0.3 * index], [1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1.0]])
        frames.append(
            SensorFrame(
                frame_id=index,
                time_s=index / RATE_HZ,
                label_map=label_map,
                label_space="street",
                intrinsics=CameraIntrinsics(width_px, height_px, 90.0),
                world_from_camera=pose,
                captured_s=0.0,
                instance_map=np.zeros((height_px, width_px), np.uint16),
                depth_m=np.ascontiguousarray(depth_m, np.float32),
            )
        )
    return frames
