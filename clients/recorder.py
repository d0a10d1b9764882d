"""Pictures to an H.264 MP4 in simulation time, in a thread of its own.

While it records, the file is a fragmented MP4 with four fragments a second: whatever happens to this process, what is
on the disk plays. On closing it is rewritten (packets are copied, nothing is coded again) as a plain MP4 that starts to
play before it is loaded. Where PyAV is missing OpenCV's MPEG-4 encoder takes its place.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import OutputError

QUEUE_LENGTH: Final = 6  # pictures that wait for the encoder, up to 4 bytes a pixel each


class Encoder(Protocol):
    """Writes pictures of one size at one rate; raises OSError when the disk refuses."""

    def write(self, i420: NDArray[np.uint8]) -> None:
        """Append a picture, (3H/2, W) u8 planar YUV 4:2:0."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


class Recorder:
    """Records pictures to an MP4 file; `write` blocks rather than drop one when the encoder is slower.

    Use it as a context manager: the file is finished on every way out. A full disk shows up as OutputError at the next
    `write` or at `close`; what was written until then plays.
    """

    def __init__(self, path: Path, rate_hz: float, width_px: int, height_px: int) -> None:
        """Prepare `path` for pictures of this size; odd sizes are recorded one pixel larger, as 4:2:0 needs.

        A file that is there already is replaced when the first picture comes, not before. Raises OutputError where no
        file can be written.
        """
        self.path = path
        self.num_frames = 0
        self.rate_hz = rate_hz
        self._size_px = (width_px, height_px)
        self._even_px = (width_px + width_px % 2, height_px + height_px % 2)
        check_writable(path)
        self._make_encoder = _find_encoder()
        self._failure: OSError | None = None
        self._closed = False
        self._pictures: queue.Queue[NDArray[np.uint8] | None] = queue.Queue(QUEUE_LENGTH)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        with contextlib.suppress(OutputError):  # what went wrong before is what must be told
            self.close()

    @property
    def duration_s(self) -> float:
        """Simulation time recorded so far."""
        return self.num_frames / self.rate_hz

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Append a picture, (H,W,3) u8 RGB or (H,W,4) u8 BGRA; it may be changed as soon as this returns.

        A read-only one, which nobody changes, is converted in the recorder's own thread.
        """
        width, height = self._size_px
        if (
            picture.dtype != np.uint8
            or picture.ndim != 3
            or picture.shape not in ((height, width, 3), (height, width, 4))
        ):
            raise ValueError(f"a picture of {picture.dtype} {picture.shape} for a video of {height}x{width}")
        self._raise_failure()
        if self._thread is None:
            self._thread = self._begin()
        if self._even_px != self._size_px:
            even_width, even_height = self._even_px
            border = cv2.copyMakeBorder(picture, 0, even_height - height, 0, even_width - width, cv2.BORDER_REPLICATE)
            picture = np.asarray(border, np.uint8)
        self._pictures.put(_to_i420(picture) if picture.flags.writeable else picture)
        self.num_frames += 1

    def close(self) -> None:
        """Finish the file; does nothing the second time. Raises OutputError if the disk refused."""
        if self._closed:
            return
        self._closed = True
        if self._thread is None:
            return  # a drive that never began leaves no file
        self._pictures.put(None)
        self._thread.join()
        self._raise_failure()

    def _begin(self) -> threading.Thread:
        """Open the file and start the thread that writes it."""
        rate = Fraction(self.rate_hz).limit_denominator(1001)
        try:
            encoder = self._make_encoder(self.path, rate, *self._even_px)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written ({_reason(error)})", "Name another file") from None
        thread = threading.Thread(target=self._encode, args=(encoder,), name="recorder", daemon=True)
        thread.start()
        return thread

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise OutputError(
                f"{self.path} cannot be written any further ({_reason(self._failure)})",
                "Make room on the disk; what was recorded until now plays",
            )

    def _encode(self, encoder: Encoder) -> None:
        """The thread: after a failure it goes on emptying the queue, so that nobody waits for it."""
        while (picture := self._pictures.get()) is not None:
            if self._failure is None:
                try:
                    encoder.write(picture if picture.ndim == 2 else _to_i420(picture))
                except OSError as error:
                    self._failure = error
        try:
            encoder.close()
        except OSError as error:
            self._failure = self._failure or error


def _to_i420(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture of RGB or BGRA as (3H/2, W) u8 planar YUV 4:2:0."""
    code = cv2.COLOR_RGB2YUV_I420 if picture.shape[2] == 3 else cv2.COLOR_BGRA2YUV_I420
    return np.asarray(cv2.cvtColor(picture, code), np.uint8)


def check_writable(path: Path) -> None:
    """Raise OutputError unless a file can be written there; nothing is left behind or changed."""
    is_new = not path.exists()
    try:
        path.open("ab").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({_reason(error)})", "Name another file") from None


class OpenCvEncoder:
    """MPEG-4 part 2 through OpenCV: larger files that browsers do not play, but no further dependency."""

    def __init__(self, path: Path, rate: Fraction, width_px: int, height_px: int) -> None:
        fourcc = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(path), fourcc, float(rate), (width_px, height_px))
        if not self._writer.isOpened():
            raise OSError(None, "OpenCV has no encoder for it")

    def write(self, i420: NDArray[np.uint8]) -> None:
        """Append a picture."""
        self._writer.write(cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420))

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()


def _find_encoder() -> Callable[[Path, Fraction, int, int], Encoder]:
    try:
        from clients.h264 import H264Encoder
    except ImportError:
        return OpenCvEncoder
    return H264Encoder


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
