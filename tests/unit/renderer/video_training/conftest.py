"""A drawn street that moves, as a data set, and a vid2vid that is tiny enough to train on it within seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from renderer.train.video.preset import VideoPreset, find_video_preset

WIDTH_PX, HEIGHT_PX = 96, 64
ROAD, CAR, SKY = 7, 26, 23
STEP_PX = 2  # the street moves so far to the left from frame to frame

Frame = tuple[NDArray[np.uint8], NDArray[np.uint8]]
DrawClip = Callable[..., Path]


def draw_frame(index: int, seed: int = 0) -> Frame:
    """Return picture and label map of a frame: textured sky, road and a car, all moving as one."""
    rng = np.random.default_rng(seed)
    wide = (HEIGHT_PX, WIDTH_PX * 3)
    labels = np.full(wide, SKY, np.uint8)
    labels[36:] = ROAD
    for left in range(20, wide[1], 70):
        labels[30:46, left : left + 22] = CAR
    colours = np.zeros((256, 3), np.float32)
    colours[[SKY, ROAD, CAR]] = (150, 190, 230), (90, 90, 95), (170, 40, 40)
    texture = cv2.GaussianBlur(rng.normal(0, 60, (*wide, 3)).astype(np.float32), (0, 0), 2.5)
    rgb = np.clip(colours[labels] + texture, 0, 255).astype(np.uint8)
    left = index * STEP_PX
    return rgb[:, left : left + WIDTH_PX].copy(), labels[:, left : left + WIDTH_PX].copy()


@pytest.fixture
def draw_clip(tmp_path: Path) -> DrawClip:
    """Return a function that writes sequences of the street in vid2vid's layout, and returns their root."""

    def draw(num_sequences: int = 2, num_frames: int = 12, *, flow: bool = False) -> Path:
        root = tmp_path / "data"
        for sequence in range(num_sequences):
            for index in range(num_frames):
                rgb, labels = draw_frame(index, sequence)
                name = f"seq{sequence:04d}/{index:06d}"
                for part, picture in (("train_A", labels), ("train_B", rgb[:, :, ::-1])):
                    (root / part / f"seq{sequence:04d}").mkdir(parents=True, exist_ok=True)
                    assert cv2.imwrite(str(root / part / f"{name}.png"), picture)
                if flow:
                    motion = np.zeros((HEIGHT_PX, WIDTH_PX, 2), np.float32)
                    motion[..., 0] = -STEP_PX
                    (root / "train_flow" / f"seq{sequence:04d}").mkdir(parents=True, exist_ok=True)
                    np.save(root / "train_flow" / f"{name}.npy", motion)
        return root

    return draw


def changed(part: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(part, **fields)


@pytest.fixture
def tiny() -> VideoPreset:
    """Return the small preset with the least of everything: two spatial stages of three steps."""
    preset = find_video_preset("street-small")
    stages = preset.schedule.stages
    return changed(
        preset,
        name="tiny",
        generator=changed(preset.generator, width=4, num_down=1, num_blocks=2, num_local_blocks=1),
        discriminators=changed(preset.discriminators, width=4),
        perceptual=changed(preset.perceptual, network="none"),
        data=changed(preset.data, width_px=128, height_px=64),
        schedule=changed(
            preset.schedule,
            stages=(
                changed(stages[0], steps=3),
                changed(stages[1], steps=2, decay_steps=1, coarse_frozen_steps=1),
            ),
            num_sequences=2,
            sequence_frames=(4, 8),
            load_frames=(1, 2),
            double_every=1,
            precision="float32",
        ),
        report=changed(preset.report, metrics_every=1, checkpoint_every=2, preview_every=3, preview_frames=3),
    )


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Run tiny networks on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
