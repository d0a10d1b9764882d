"""What a generator makes of a sequence that it is shown: a sheet of some frames, and a video of all of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
import torch
from av.error import FFmpegError
from numpy.typing import NDArray
from torch import Tensor

from bridge.protocol.errors import OutputError
from bridge.protocol.labels import palette
from renderer.models.vid2vid_networks import Vid2vid
from renderer.train.checkpoint import replacing
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


def write_preview(folder: Path, step: int, frames: NDArray[np.uint8]) -> None:
    """Write preview_STEP.png, some of the frames (N,H,W,3) u8, and preview_STEP.mp4, all of them."""
    places = sorted({round(place) for place in np.linspace(0, len(frames) - 1, _SHEET_ROWS)})
    write_picture(folder / f"preview_{step:06d}.png", np.vstack([frames[place] for place in places]))
    write_video(folder / f"preview_{step:06d}.mp4", frames)


def write_video(path: Path, frames: NDArray[np.uint8]) -> None:
    """Write frames (N,H,W,3) u8 RGB as H.264; raises OutputError where that cannot be."""
    height_px, width_px = (side // 2 * 2 for side in frames.shape[1:3])
    try:
        with replacing(path) as unfinished, av.open(str(unfinished), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(_FRAMES_A_SECOND))
            stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"  # pyright: ignore[reportAttributeAccessIssue]
            for rgb in frames:
                cut = np.ascontiguousarray(rgb[:height_px, :width_px])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(cut, format="rgb24")))  # pyright: ignore[reportAttributeAccessIssue]
            container.mux(stream.encode())  # pyright: ignore[reportAttributeAccessIssue]
    except FFmpegError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", "Choose another --out") from None


def _levels(rgb_B3HW: Tensor) -> NDArray[np.uint8]:
    return picture_of(rgb_B3HW[0].cpu())
