"""The pictures of a video by their number, in any order; fast in the order in which they were recorded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from numpy.typing import NDArray

KEPT: Final = 48  # two seconds at 20 Hz and some: one step back does not decode a second again


class VideoPictures:
    """A video's pictures, (H,W,3) u8 RGB. A video that ends early, or cannot be read, has fewer pictures, or none."""

    def __init__(self, path: Path, rate_hz: float, size_hw: tuple[int, int]) -> None:
        self._path = path
        self._rate_hz = rate_hz
        self._size_hw = size_hw
        self._kept: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._container: InputContainer | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._next = 0
        try:
            self._container = container = av.open(str(path))
            self._frames = container.decode(video=0)
        except (FFmpegError, IndexError, OSError):
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def get(self, number: int) -> NDArray[np.uint8] | None:
        """Return a picture by its number, from 0, read-only; None if the video does not have it."""
        if number in self._kept:
            return self._kept[number]
        if self._container is None:
            return None
        try:
            if not self._next <= number <= self._next + KEPT:
                self._seek(number)
            for frame in self._frames:
                found = self._number(frame)
                self._next = found + 1
                self._keep(found, frame)
                if found >= number:
                    break
        except (FFmpegError, OSError):
            pass  # what the disk lost of the last second
        return self._kept.get(number)

    def _seek(self, number: int) -> None:
        assert self._container is not None
        stream = self._container.streams.video[0]
        assert stream.time_base is not None
        self._container.seek(round(number / self._rate_hz / float(stream.time_base)), stream=stream, backward=True)
        self._frames = self._container.decode(video=0)

    def _number(self, frame: av.VideoFrame) -> int:
        return round((frame.time or 0.0) * self._rate_hz)

    def _keep(self, number: int, frame: av.VideoFrame) -> None:
        i420 = frame.to_ndarray(format="yuv420p")
        height, width = self._size_hw
        # Recorded from OpenCV's own conversion, with an odd side made even.
        rgb = np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420), np.uint8)[:height, :width]
        rgb = np.ascontiguousarray(rgb)
        rgb.flags.writeable = False
        self._kept[number] = rgb
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
