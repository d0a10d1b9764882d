"""A street drawn by rays, exactly: road, a wall with a parked car before it, sky; recorded as a drive."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.capture.presets import Mount, RigPreset
from bridge.protocol.frames import BodyPose, CameraIntrinsics, FramePair, RenderedFrame, SensorFrame
from bridge.recording.writer import RecordingWriter, prepare_folder
from tests.unit.recording.recorded_drives import make_manifest

HEIGHT_PX, WIDTH_PX = 64, 128
WALL_M, WALL_HEIGHT_M = 30.0, 7.0
ROAD, BUILDING, SKY, CAR = 1, 3, 11, 14
CAR_ID = 5


@dataclass(frozen=True)
class Camera:
    x_m: float = 0.0
    z_m: float = 1.6
    pitch_deg: float = 0.0
    fov_deg: float = 90.0

    @property
    def rays(self) -> tuple[NDArray, NDArray, NDArray]:
        """World direction (x ahead, y right, z up) of each pixel, one long along the optical axis."""
        focal_px = WIDTH_PX / (2 * math.tan(math.radians(self.fov_deg) / 2))
        right = np.broadcast_to((np.arange(WIDTH_PX) + 0.5 - WIDTH_PX / 2) / focal_px, (HEIGHT_PX, WIDTH_PX))
        down = ((np.arange(HEIGHT_PX) + 0.5 - HEIGHT_PX / 2) / focal_px)[:, None]
        c, s = math.cos(math.radians(self.pitch_deg)), math.sin(math.radians(self.pitch_deg))
        return c + s * down + 0 * right, right, s - c * down + 0 * right

    @property
    def world_from_camera(self) -> NDArray[np.float64]:
        c, s = math.cos(math.radians(self.pitch_deg)), math.sin(math.radians(self.pitch_deg))
        pose = np.eye(4)
        pose[:3, :3] = np.array([[0, s, c], [1, 0, 0], [0, -c, s]])
        pose[:3, 3] = self.x_m, 0.0, self.z_m
        return pose


def see(camera: Camera, frame_id: int = 1) -> SensorFrame:
    """What a camera sees: all planes agree exactly."""
    ahead, right, up = camera.rays
    with np.errstate(divide="ignore"):
        to_road = np.where(up < 0, -camera.z_m / up, np.inf)
        to_wall = np.where(ahead > 0, (WALL_M - camera.x_m) / ahead, np.inf)
    wall_up, wall_right = camera.z_m + to_wall * up, to_wall * right
    on_road = to_road < to_wall
    on_wall = ~on_road & (wall_up < WALL_HEIGHT_M)
    on_car = on_wall & (np.abs(wall_right) < 3) & (wall_up < 2.5)
    depth = np.where(on_road, to_road, np.where(on_wall, to_wall, 1000.0)).clip(0, 1000)
    labels = np.select([on_car, on_road, on_wall], [CAR, ROAD, BUILDING], SKY).astype(np.uint8)
    u, v = camera.x_m + depth * ahead, depth * right  # on the road
    light = np.where(on_road, np.sin(u * 1.5) + np.sin(v * 1.5), np.sin(wall_right) + np.sin(wall_up))
    rgb = np.where(on_car[..., None], (160, 60, 60), np.where((on_road | on_wall)[..., None], 110, 200))
    rgb = rgb + 30 * (light * ~on_car * (on_road | on_wall))[..., None]
    return SensorFrame(
        frame_id=frame_id,
        time_s=frame_id * 0.05,
        label_map=labels,
        label_space="carla",
        intrinsics=CameraIntrinsics(WIDTH_PX, HEIGHT_PX, camera.fov_deg),
        world_from_camera=camera.world_from_camera,
        captured_s=0.0,
        rgb=rgb.clip(0, 255).astype(np.uint8),
        instance_map=np.where(on_car, CAR_ID, 0).astype(np.uint16),
        depth_m=depth.astype(np.float32),
        bodies=(BodyPose(CAR_ID, np.eye(4)),),
    )


def record(
    folder: Path,
    num_frames: int,
    *,
    camera: Camera = Camera(),
    step_m: float = 0.2,
    parked: int = 0,
    change: Callable[[NDArray[np.uint8], int], NDArray] = lambda rgb, index: rgb,
) -> Path:
    """Record a drive whose synthesized pictures are the original ones, changed; it stands for `parked` frames first."""
    prepare_folder(folder)
    rig = RigPreset(
        mount=Mount(z_m=camera.z_m, pitch_deg=camera.pitch_deg),
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
        fov_deg=camera.fov_deg,
        planes=("rgb", "labels", "instances", "depth_m"),
    )
    with RecordingWriter(folder, msgspec.structs.replace(make_manifest(), rig=rig)) as writer:
        for index in range(num_frames):
            place = Camera(max(0, index - parked) * step_m, camera.z_m, camera.pitch_deg, camera.fov_deg)
            frame = see(place, 100 + index)
            assert frame.rgb is not None
            rgb = np.clip(change(frame.rgb, index), 0, 255).astype(np.uint8)
            writer.accept(FramePair(frame, RenderedFrame(frame.frame_id, 1, rgb, {}), 0.0))
    return folder
