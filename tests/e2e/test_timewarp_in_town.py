"""A window on a drive whose generator is held to five frames a second: what it shows is where the car is now."""

from __future__ import annotations

import argparse
import threading
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("carla", reason="there is no carla wheel for this platform")

import torch

from bridge.prefetch import ControlSample
from bridge.protocol.frames import EgoControl, FramePair, SensorFrame
from bridge.protocol.labels import map_labels
from clients.commands.drive import add_drive_arguments
from clients.drive_plan import make_plan
from clients.driving import DriveThread
from clients.processes import Child
from clients.viewer.cockpit import Cockpit
from clients.viewer.seat import Seat
from renderer.inputs import ModelInput
from renderer.models import registry
from renderer.models.base import ModelOutput, Nothing
from renderer.server import RenderServer

READY_S = 180.0
HELD_S = 0.2
NUM_TICKS = 120
SHADES = 10  # grey levels between two classes


class HeldGenerator:
    """Paints labels as shades of grey, five frames a second."""

    def __init__(self) -> None:
        preset = registry.find_preset(registry.DEFAULT_MODEL)
        self.card = registry.make_card(preset, "", preset.licence, torch.device("cpu"), "float32")
        self.card = msgspec.structs.replace(self.card, planes=("labels",), past_frames=0)
        self.device = torch.device("cpu")
        self.summary = "held"
        self._never = threading.Event()

    def step(self, frame: ModelInput, state: Nothing | None) -> tuple[ModelOutput, Nothing]:
        self._never.wait(HELD_S)
        return ModelOutput(shades(frame.labels_BHW[0].numpy()), {"network": HELD_S * 1e3}), Nothing()


def shades(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat((labels * np.uint8(SHADES))[..., None], 3, 2)


def right(shown: NDArray[np.uint8], frame: SensorFrame, label_space: str) -> float:
    """The share of pixels that have the shade of what is there."""
    expected = shades(map_labels(frame.label_map, frame.label_space, label_space))
    return float(np.mean(np.abs(shown[..., 0].astype(int) - expected[..., 0]) < SHADES // 2))


def test_the_window_shows_where_the_car_is_at_five_neural_frames_a_second(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr(Seat, "sample", lambda seat: turning())
    monkeypatch.setattr(Seat, "glance", lambda seat: turning())
    generator = HeldGenerator()
    frames: dict[int, SensorFrame] = {}
    shown: dict[int, FramePair] = {}
    with Child("town", ["town", "--port", "0", "--seed", "1"]) as town:
        port = int(town.wait_ready(READY_S)[-1].rpartition(":")[2])
        with RenderServer(generator, f"ipc://{tmp_path}/held") as server:
            serving = threading.Thread(target=server.serve)
            serving.start()
            parser = argparse.ArgumentParser()
            add_drive_arguments(parser)
            args = parser.parse_args(["--size", "256x128", "--timewarp"])
            plan = make_plan("drive", args, carla=("127.0.0.1", port), endpoint=server.endpoint, num_ticks=NUM_TICKS)
            plan = replace(plan, session=msgspec.structs.replace(plan.session, num_vehicles=4, num_walkers=0))
            drive = DriveThread(plan)
            watch(drive, frames, shown)
            assert drive.window_display is not None
            drive.start()
            try:
                Cockpit(drive, drive.window_display).run()
            finally:
                drive.stop()
                drive.wait()
                server.stop()
                serving.join()
    drive.result()
    report, pictures = drive.timewarp.report(), drive.trace.report().as_dict()["rendered"]
    moved = {frame_id: pair for frame_id, pair in shown.items() if pair.rendered is not None and frame_id in frames}
    space = generator.card.label_space
    shares = [right(synthesized(pair), frames[frame_id], space) for frame_id, pair in moved.items()]
    print(f"{report}, {pictures} pictures; right where they are shown: {np.mean(shares):.3f}")
    assert np.ptp([heading_deg(frame) for frame in frames.values()]) > 20.0, "the car goes straight"
    assert report["poses"] >= 1.5 * pictures, "the window shows no more poses than there are pictures"
    assert report["lag_ticks"] <= 1
    assert np.mean(shares) > 0.93
    assert report["foreseen"] > 1.5 * NUM_TICKS, "between two ticks the window stands still"
    assert report["foreseen_off_m_p95"] < 0.5 * report["held_off_m_p95"]
    assert report["foreseen_off_deg_p95"] < 0.5 * report["held_off_deg_p95"]


def turning() -> ControlSample:
    """Full speed ahead and to the right; the devices were read just now."""
    return ControlSample(EgoControl(throttle=0.6, steer=0.5), time.monotonic())


def watch(drive: DriveThread, frames: dict[int, SensorFrame], shown: dict[int, FramePair]) -> None:
    """Keep all frames that come, and the first picture that is shown of each pose."""
    captured, was_shown = drive.timewarp.captured, drive.timewarp.shown

    def keep(frame: SensorFrame) -> None:
        frames[frame.frame_id] = frame
        captured(frame)

    def note(pair: FramePair) -> None:
        was_shown(pair)
        shown.setdefault(drive.timewarp.shown_id, pair)

    drive.timewarp.captured, drive.timewarp.shown = keep, note  # type: ignore[method-assign]


def synthesized(pair: FramePair) -> NDArray[np.uint8]:
    assert pair.rendered is not None
    return pair.rendered.rgb


def heading_deg(frame: SensorFrame) -> float:
    return float(np.degrees(np.arctan2(frame.world_from_camera[1, 2], frame.world_from_camera[0, 2])))
