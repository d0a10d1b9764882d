"""What a generator makes of a sequence that it is shown: a sheet of some frames, and a video of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.protocol.errors import OutputError
from bridge.protocol.labels import palette
from renderer.models.vid2vid_networks import Vid2vid
from renderer.train.preview import picture_of, write_picture
from renderer.train.video.preset import VideoPreset
from renderer.train.video.rolling import draw_load
from renderer.train.video.sequences import Load, TrainSequence, read_load

_SHEET_ROWS: Final = 4
_FRAMES_A_SECOND: Final = 10


@torch.no_grad()
def draw_sequence(
    generator: Vid2vid, sequence: TrainSequence, preset: VideoPreset, num_scales: int, num_frames: int
) -> tuple[NDArray[np.uint8], float]:
    """Return (N,H,3W,3) u8, label colours | real | drawn of a sequence's first frames, and the PSNR of those drawn.

    The PSNR is in dB, of all pixels of all frames.
    """
    past = generator.config.num_frames - 1
    coarser = preset.schedule.stages[-1].num_scales - num_scales
    size_hw = preset.data.height_px >> coarser, preset.data.width_px >> coarser
    count = min(num_frames, len(sequence.frames.labels) - past)
    device = next(generator.parameters()).device
    load = Load(0, past, past, count, True, False, size_hw)
    frames = read_load([sequence], load, preset.data, preset.generator.instance_edges).to(device)
    drawn, _ = draw_load(generator, frames, load, None, num_scales, 1)
    colours = palette(preset.label_space)
    rows: list[NDArray[np.uint8]] = []
    errors: list[float] = []
    for number, frame in enumerate(drawn):
        picture = frame.drawing.picture_B3HW.clamp(-1, 1)
        errors.append(float(((picture - frame.real_B3HW) / 2).square().mean()))
        labels = colours[frames.labels_THW[past + number].cpu().numpy()]
        rows.append(np.hstack([labels, _levels(frame.real_B3HW), _levels(picture)]))
    return np.stack(rows), float(-10 * np.log10(max(float(np.mean(errors)), 1e-12)))


def write_preview(folder: Path, step: int, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Write preview_STEP.png, some of the frames (N,H,W,3) u8, and preview_STEP.mp4, all of them; return the former."""
    places = sorted({round(place) for place in np.linspace(0, len(frames) - 1, _SHEET_ROWS)})
    sheet = np.vstack([frames[place] for place in places])
    write_picture(folder / f"preview_{step:06d}.png", sheet)
    write_video(folder / f"preview_{step:06d}.mp4", frames)
    return sheet


def write_video(path: Path, frames: NDArray[np.uint8]) -> None:
    """Write frames (N,H,W,3) u8 RGB as an .mp4 (MPEG-4 Part 2); raises OutputError where that cannot be."""
    unfinished = path.with_name(f".{path.name}")  # of the same suffix: OpenCV chooses the container by it
    size_px = (frames.shape[2], frames.shape[1])
    writer = cv2.VideoWriter(str(unfinished), cv2.VideoWriter.fourcc(*"mp4v"), _FRAMES_A_SECOND, size_px)
    try:
        if not writer.isOpened():
            raise OutputError(f"{path} cannot be written", "Choose another --out")
        for rgb in frames:
            writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    finally:
        writer.release()
    unfinished.replace(path)


def _levels(rgb_B3HW: Tensor) -> NDArray[np.uint8]:
    return picture_of(rgb_B3HW[0].cpu())
