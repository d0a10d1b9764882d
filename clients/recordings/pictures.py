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

from bridge.protocol.errors import RecordingError

KEPT: Final = 48  # two seconds at 20 Hz and some: one step back does not decode a second again


class VideoPictures:
    """A video's pictures, (H,W,3) u8 RGB. A video that ends early, or cannot be read, has fewer pictures, or none."""

    def __init__(self, path: Path, rate_hz: float, size_hw: tuple[int, int]) -> None:
        """Open a video of pictures of a size; raises RecordingError for one without pictures, or of another size."""
        self._path = path
        self._rate_hz = rate_hz
        self._size_hw = size_hw
        self._kept: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._container: InputContainer | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._next = 0
        try:
            # A stranger's file is MP4 or nothing: other formats may name further files, and addresses.
            self._container = container = av.open(
                f"file:{path.resolve()}", format="mp4", options={"protocol_whitelist": "file"}
            )
        except (FFmpegError, OSError):
            return
        try:
            if not container.streams.video:
                raise RecordingError(f"{path} has no pictures in it", "Get the recording again")
            stream = container.streams.video[0]
            self._check_size(stream.height, stream.width)
            self._frames = container.decode(video=0)
        except RecordingError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def get(self, number: int) -> NDArray[np.uint8] | None:
        """Return a picture by its number, from 0, read-only; None if the video does not have it.

        Raises RecordingError if the video goes on in another size.
        """
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

    def _check_size(self, height: int, width: int) -> None:
        wanted_height, wanted_width = (side + side % 2 for side in self._size_hw)
        if (height, width) != (wanted_height, wanted_width):
            raise RecordingError(
                f"{self._path} has pictures of {width}x{height}, not {wanted_width}x{wanted_height}",
                "Get the recording again",
            )

    def _keep(self, number: int, frame: av.VideoFrame) -> None:
        self._check_size(frame.height, frame.width)
        i420 = frame.to_ndarray(format="yuv420p")
        height, width = self._size_hw
        # Recorded from OpenCV's own conversion, with an odd side made even.
        rgb = np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420), np.uint8)[:height, :width]
        rgb = np.ascontiguousarray(rgb)
        rgb.flags.writeable = False
        self._kept[number] = rgb
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
