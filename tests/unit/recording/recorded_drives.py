"""Made-up drives to record: every plane of every frame is another, and only that frame id can have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bridge.capture.presets import Mount, RigPreset
from bridge.protocol.frames import BodyPose, CameraIntrinsics, EgoState, FramePair, RenderedFrame, SensorFrame
from bridge.protocol.messages import ModelCard
from bridge.recording.depth import metres_of
from bridge.recording.manifest import Manifest, PlaneFormat
from bridge.recording.writer import RecordingWriter, prepare_folder

HEIGHT, WIDTH = 32, 64
PLANES = {
    "labels": PlaneFormat(codec="labels_carried", file="labels.planes", type="u8"),
    "instances": PlaneFormat(codec="ids", file="instances.planes", type="u16"),
    "depth_m": PlaneFormat(codec="depth24_carried", file="depth_m.planes", type="f32"),
    "rgb": PlaneFormat(codec="png", file="rgb.planes", type="u8"),
    "synthesized": PlaneFormat(codec="png", file="synthesized.planes", type="u8"),
}
CARD = ModelCard(
    name="tiny",
    family="live",
    label_space="street",
    planes=("labels", "depth_m", "instances"),
    size_multiple_px=16,
    past_frames=1,
    weights_sha256="0" * 64,
    licence="none",
)


def make_pair(frame_id: int) -> FramePair:
    rng = np.random.default_rng(frame_id)
    pose = np.eye(4)
    pose[:3] = rng.normal(size=(3, 4))
    sensor = SensorFrame(
        frame_id=frame_id,
        time_s=frame_id * 0.05,
        label_map=rng.integers(0, 29, (HEIGHT, WIDTH), np.uint8),
        label_space="carla",
        intrinsics=CameraIntrinsics(WIDTH, HEIGHT, 90.0),
        world_from_camera=pose,
        captured_s=0.0,
        rgb=rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8),
        instance_map=rng.integers(0, 9, (HEIGHT, WIDTH), np.uint16),
        depth_m=metres_of(rng.integers(0, 2**24, (HEIGHT, WIDTH), np.int32)),
        bodies=(BodyPose(7, pose), BodyPose(65535, np.eye(4))),
        ego=EgoState(speed_m_s=1.0 / 3.0, throttle=0.1, steer=-0.3, gear=2, autopilot=False),
    )
    picture = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    return FramePair(sensor, RenderedFrame(frame_id, 3, picture, {"infer": 1.25}, reset="new sequence"), 12.5)


def make_manifest(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "vidrive_version": "0.1.0",
        "simulator_version": "0.9.16",
        "created_utc": "2026-01-01T00:00:00+00:00",
        "seed": 3,
        "mode": "record",
        "fixed_delta_s": 0.05,
        "label_space": "carla",
        "rig": RigPreset(
            mount=Mount(),
            width_px=WIDTH,
            height_px=HEIGHT,
            fov_deg=90.0,
            planes=("rgb", "labels", "instances", "depth_m"),
        ),
        "card": CARD,
        "planes": PLANES,
    }
    return Manifest(**{**fields, **changes})


def record(folder: Path, num_frames: int = 5, first_id: int = 100) -> Path:
    """Record some made-up frames and close the recording."""
    prepare_folder(folder)
    with RecordingWriter(folder, make_manifest()) as writer:
        for frame_id in range(first_id, first_id + num_frames):
            writer.accept(make_pair(frame_id))
    return folder
