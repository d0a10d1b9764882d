"""What a frame costs when nothing overlaps: one step after the other, so that no process waits for another's core."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.capture.drive import Drive, open_drive
from bridge.protocol.errors import RenderRefused, RenderServerError
from bridge.protocol.frames import FramePair, RenderedFrame, SensorFrame
from bridge.protocol.messages import Refusal
from bridge.render_client import RenderClient
from bridge.trace import Trace
from clients.drive_plan import DrivePlan
from clients.recorder import Recorder
from clients.viewer.display import OffscreenDisplay
from clients.viewer.meter import HudMeter

WARM_UP: Final = 20
ANSWER_DEADLINE_S: Final = 10.0
INFERENCE: Final = ("warp", "infer", "to_uint8")  # the server's stages that are the generator's own


@dataclass(frozen=True)
class FrameTimes:
    """Wall times in ms, one a frame: the simulator's, the generator's, and everything else (capture's decoding, both
    ways over the wire, pairing, composing, recording). `processor_ms` is the processor time a frame of each process:
    the figure to compare where other programs keep the machine busy."""

    simulator_ms: NDArray[np.float64]
    generator_ms: NDArray[np.float64]
    bridge_ms: NDArray[np.float64]
    processor_ms: Mapping[str, float]


def measure_frames(plan: DrivePlan, num_frames: int, processes: Mapping[str, int]) -> FrameTimes:
    """Drive `num_frames` frames of a plan, one step after the other, and return what each took.

    `processes` are the ids of the processes whose processor time is taken, by name.
    """
    cv2.setNumThreads(1)
    meter = HudMeter(Trace(), plan.session.fixed_delta_s * 1e3, real_time=False)
    display = OffscreenDisplay(lambda pair: meter.state(pair, "", ""))
    with (
        tempfile.TemporaryDirectory(prefix="vidrive-bench-") as folder,
        RenderClient(plan.endpoint) as client,
        open_drive(plan.session, plan.rig, host=plan.carla_host, port=plan.carla_port) as drive,
        Recorder(Path(folder) / "bench.mp4", 20.0, 2 * plan.rig.width_px, plan.rig.height_px) as recorder,
    ):
        client.wait_connected(ANSWER_DEADLINE_S)
        for _ in range(WARM_UP):
            _step(drive, client, display, recorder)
        before_s = {name: processor_s(pid) for name, pid in processes.items()}
        times = np.array([_step(drive, client, display, recorder) for _ in range(num_frames)])
        spent_ms = {name: (processor_s(pid) - before_s[name]) * 1e3 for name, pid in processes.items()}
    simulator_ms, generator_ms, bridge_ms = times.T
    return FrameTimes(simulator_ms, generator_ms, bridge_ms, {name: ms / num_frames for name, ms in spent_ms.items()})


def processor_s(pid: int) -> float:
    """Return the processor time that a process has used so far, user and system; 0 where Linux's /proc is missing."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _step(
    drive: Drive, client: RenderClient, display: OffscreenDisplay, recorder: Recorder
) -> tuple[float, float, float]:
    start_s = time.perf_counter()
    frame_id = drive.tick(None)
    ticked_s = time.perf_counter()
    frame = drive.read(frame_id)
    rendered = _rendered(client, frame)
    display.accept(FramePair(frame, rendered, (time.monotonic() - frame.captured_s) * 1e3))
    recorder.write(display.canvas_bgra)
    end_s = time.perf_counter()
    wait_ms = drive.stages_ms["wait"]
    generator_ms = sum(rendered.stages_ms.get(stage, 0.0) for stage in INFERENCE)
    simulator_ms = (ticked_s - start_s) * 1e3 + wait_ms
    return simulator_ms, generator_ms, (end_s - start_s) * 1e3 - simulator_ms - generator_ms


def _rendered(client: RenderClient, frame: SensorFrame) -> RenderedFrame:
    if not client.submit(frame, 1):
        raise RenderServerError("the inference server does not take a frame", "Look at its lines above")
    deadline_s = time.monotonic() + ANSWER_DEADLINE_S
    while time.monotonic() < deadline_s:
        for answer in client.poll(0.25):
            if isinstance(answer, Refusal):
                raise RenderRefused(answer.code, answer.message, answer.hint)
            if answer.frame_id == frame.frame_id:
                return answer
    raise RenderServerError("the inference server does not answer", "Look at its lines above")
