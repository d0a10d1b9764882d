"""Where a recording's pictures go: a folder of PNGs named by frame id, or a video in simulation time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import OutputError, UsageError
from bridge.recording.manifest import is_recording
from clients.recorder import Recorder
from clients.sinks import LONGEST_HOLD_S

PNG_COMPRESSION: Final = 1


class PictureSink(Protocol):
    """Takes one picture a frame, in order."""

    def write(self, frame_id: int, time_s: float, picture: NDArray[np.uint8]) -> None:
        """Keep an (H,W,3) u8 RGB picture; raises OutputError if that cannot be."""
        ...


@contextlib.contextmanager
def open_pictures(out: Path, fixed_delta_s: float, size_hw: tuple[int, int]) -> Iterator[PictureSink]:
    """Open a folder, or a video where `out` ends in .mp4; a video appears under its name when it is whole.

    Raises OutputError before any work is done, if that cannot be.
    """
    if out.suffix.lower() != ".mp4":
        yield FolderOfPictures(out)
        return
    with open_video(out, fixed_delta_s, size_hw) as recorder:
        yield VideoOfPictures(recorder, fixed_delta_s)


@contextlib.contextmanager
def open_video(out: Path, picture_s: float, size_hw: tuple[int, int]) -> Iterator[Recorder]:
    """Open an .mp4 whose pictures stand that long each; it appears under its name when it is whole."""
    unfinished = out.with_name(f".{out.name}.unfinished.mp4")
    try:
        with Recorder(unfinished, 1.0 / picture_s, size_hw[1], size_hw[0]) as recorder:
            yield recorder
        unfinished.replace(out)
    except OutputError as error:  # the recorder's: it knows the unfinished file alone, of which nothing stays
        raise OutputError(error.what.replace(str(unfinished), str(out)), "Choose another --out, or make room") from None
    except OSError as error:
        raise output_error(out, error) from None
    finally:
        unfinished.unlink(missing_ok=True)


class VideoOfPictures:
    """A video in simulation time: where frames are missing, a picture stands until the next one."""

    def __init__(self, recorder: Recorder, fixed_delta_s: float) -> None:
        self._recorder = recorder
        self._fixed_delta_s = fixed_delta_s
        self._last_time_s: float | None = None

    def write(self, frame_id: int, time_s: float, picture: NDArray[np.uint8]) -> None:
        """Append a picture at its time."""
        for _ in range(self._num_steps(time_s)):
            self._recorder.write(picture)
        self._last_time_s = time_s

    def _num_steps(self, time_s: float) -> int:
        if self._last_time_s is None or not 0.0 < time_s - self._last_time_s < LONGEST_HOLD_S:
            return 1
        return max(1, round((time_s - self._last_time_s) / self._fixed_delta_s))


class FolderOfPictures:
    """A PNG a frame, in a folder of their own; a file is whole or it is not there.

    Raises UsageError for a folder with something in it: whose its pictures are cannot be told from their names.
    """

    def __init__(self, out: Path) -> None:
        if is_recording(out):
            raise UsageError(f"{out} is a recording, and pictures would lie among its files", "Choose another --out")
        self._out = make_folder(out)
        if any(self._out.iterdir()):
            raise UsageError(
                f"{out} is not empty, and two runs' pictures would mix", "Choose another --out, or empty it"
            )

    def write(self, frame_id: int, time_s: float, picture: NDArray[np.uint8]) -> None:
        """Write `FRAME_ID.png`, eight digits."""
        write_png(self._out / f"{frame_id:08d}.png", np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8))


def make_folder(folder: Path) -> Path:
    """Make a folder that can be written to, and return it; raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise output_error(folder, error) from None
    return folder


def write_png(path: Path, picture: NDArray) -> None:
    """Write (H,W) u8 or u16, or (H,W,3) u8 BGR, beside its place, then put it there; raises OutputError."""
    ok, png = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])
    if not ok:
        raise OutputError(f"{path} cannot be coded as PNG", "Choose another size")
    write_file(path, png.tobytes())


def write_file(path: Path, data: bytes) -> None:
    """Write a file beside its place, then put it there; raises OutputError."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise output_error(path, error) from None


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the sentence for a path that the disk refuses."""
    return OutputError(f"{path} cannot be written ({error.strerror or error})", "Choose another --out, or make room")
