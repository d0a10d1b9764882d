"""H.264 in MP4 through PyAV: by NVENC where there is one, else libx264."""

from __future__ import annotations

import logging
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import av
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

OPTIONS: Final = {
    "libx264": {"preset": "ultrafast", "crf": "19"},
    "h264_nvenc": {"preset": "p4", "rc": "vbr", "cq": "19", "bf": "0"},
}
NVIDIA_DEVICE: Final = Path("/dev/nvidia0")
ENCODER_THREADS: Final = 2
_log: Final = logging.getLogger("vidrive")
FRAGMENT_US: Final = "250000"
FRAGMENTED: Final = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    "frag_duration": FRAGMENT_US,
    "flush_packets": "1",
}


@lru_cache(maxsize=1)
def find_encoder() -> Literal["libx264", "h264_nvenc"]:
    """Return the encoder to use: the GPU's where one opens, which its name alone does not tell."""
    if not NVIDIA_DEVICE.exists():
        return "libx264"
    try:
        trial = av.CodecContext.create("h264_nvenc", "w")
        assert isinstance(trial, VideoCodecContext)
        trial.width, trial.height, trial.pix_fmt = 256, 256, "yuv420p"
        trial.time_base = Fraction(1, 30)
        trial.open()
    except (FFmpegError, OSError, ValueError) as error:
        _log.info("the GPU's H.264 encoder does not open (%s): libx264 encodes", error)
        return "libx264"
    return "h264_nvenc"


class H264Encoder:
    """H.264, BT.601 limited range as OpenCV converts to it."""

    def __init__(self, path: Path, rate: Fraction, width_px: int, height_px: int) -> None:
        self._path = path
        self._container = av.open(str(path), "w", format="mp4", options=FRAGMENTED)
        encoder = find_encoder()
        stream = self._container.add_stream(encoder, rate=rate, options=OPTIONS[encoder])
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        stream.time_base = 1 / rate
        context: VideoCodecContext = stream.codec_context
        context.time_base = 1 / rate
        context.thread_count = ENCODER_THREADS
        context.gop_size = max(1, round(rate))
        context.color_range, context.colorspace = ColorRange.MPEG.value, Colorspace.ITU601.value
        self._stream = stream
        self._num_frames = 0

    def write(self, i420: NDArray[np.uint8]) -> None:
        """Append a picture; its time is its number divided by the rate."""
        frame = av.VideoFrame.from_ndarray(i420, format="yuv420p")
        frame.pts = self._num_frames
        frame.time_base = self._stream.codec_context.time_base
        frame.color_range, frame.colorspace = ColorRange.MPEG.value, Colorspace.ITU601.value
        self._num_frames += 1
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the fragments, then rewrite them as a plain MP4 whose index comes first."""
        try:
            for packet in self._stream.encode(None):
                self._container.mux(packet)
        finally:
            self._container.close()
        if self._num_frames:
            _move_index_to_front(self._path)


def _move_index_to_front(path: Path) -> None:
    """Copy the packets of a fragmented MP4 into a plain one in its place; where that fails the fragments stay."""
    plain = path.with_name(f".{path.name}.part")
    try:
        with (
            av.open(str(path)) as source,
            av.open(str(plain), "w", format="mp4", options={"movflags": "faststart"}) as target,
        ):
            stream = source.streams.video[0]
            copy = target.add_stream_from_template(stream)
            for packet in source.demux(stream):
                if packet.dts is not None:
                    packet.stream = copy
                    target.mux(packet)
        plain.replace(path)
    finally:
        plain.unlink(missing_ok=True)
