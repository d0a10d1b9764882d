"""Writes a recording while a drive runs, in a thread of its own behind a bounded queue.

A frame's planes are in their files before its row is in the table, and nothing waits in buffers of this process but
the queue: whoever kills the writer loses at most the frames in it, and what is there opens. Room for the last manifest
is set aside at the beginning, so that a full disk does not keep the recording from being closed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.edits.frames import edits_of, original_of
from bridge.edits.track import TRACK_NAME, TrackWriter
from bridge.protocol.errors import OutputError, VidriveError
from bridge.protocol.frames import FramePair, SensorFrame
from bridge.recording.carried import CarriedCodec, DepthView
from bridge.recording.codecs import open_codec
from bridge.recording.looks import LOOKS_NAME, LookWriter
from bridge.recording.manifest import CARRIED_CODECS, TABLE_NAME, Manifest, write_manifest
from bridge.recording.rows import Place, make_row

QUEUE_LENGTH: Final = 8
RESERVE_BYTES: Final = 256 * 1024
RESERVE_NAME: Final = ".reserve"
PLANE_TYPES: Final = {"u8": np.dtype("u1"), "u16": np.dtype("<u2"), "f16": np.dtype("<f2"), "f32": np.dtype("<f4")}


class PictureFile(Protocol):
    """A video that pictures of one plane go into, one after the other."""

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Append a picture, (H,W,3) u8 RGB; raises OutputError when the disk refuses."""
        ...

    def close(self) -> None:
        """Finish the file; raises OutputError when the disk refuses."""
        ...


class RecordingWriter:
    """Keeps every pair that it is given; use it as a context manager: the recording is closed on every way out.

    Where `waits`, `accept` waits while the queue is full, and no frame is lost; else such a frame is dropped and
    counted in the manifest. A full disk shows up as OutputError at the next `accept` or at the end.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, videos: Mapping[str, PictureFile] | None = None, *, waits: bool = True
    ) -> None:
        """Begin a recording in a folder that `prepare_folder` made; `videos` are the planes of codec "h264"."""
        self.folder = folder
        self.num_frames = 0
        self._manifest = manifest
        self._videos = dict(videos or {})
        self._num_pictures = dict.fromkeys(self._videos, 0)
        self._waits = waits
        self._num_missing = self._num_dropped = 0
        self._last_id: int | None = None
        self._failure: VidriveError | None = None
        self._closed = False
        kept = {name: plane for name, plane in manifest.planes.items() if plane.codec != "h264"}
        if set(manifest.planes) - set(kept) != set(self._videos):
            raise ValueError("the videos are not those that the manifest names")
        self._track_writer = TrackWriter()
        self._look_writer = LookWriter(manifest.card)
        self._tracks: dict[str, _AppendedFile] = {}
        self._codecs = {
            name: open_codec(plane.codec, PLANE_TYPES[plane.type])
            for name, plane in kept.items()
            if plane.codec not in CARRIED_CODECS
        }
        carried = [name for name in kept if name not in self._codecs]
        self._carried = CarriedCodec() if carried else None
        self._carries_labels = "labels" in carried
        self._pairs: queue.Queue[FramePair | None] = queue.Queue(QUEUE_LENGTH)
        with contextlib.ExitStack() as opened, _output_error(folder):
            (folder / RESERVE_NAME).write_bytes(bytes(RESERVE_BYTES))
            self._files = {
                name: opened.enter_context(_AppendedFile(folder / plane.file)) for name, plane in kept.items()
            }
            self._table = opened.enter_context(_AppendedFile(folder / TABLE_NAME))
            write_manifest(folder, manifest)
            self._opened = opened.pop_all()
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        reason = error.what if isinstance(error, VidriveError) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(OutputError):  # what went wrong before is what must be told
            self.close(reason)

    def accept(self, pair: FramePair) -> None:
        """Take a pair, whose arrays must not change any more; raises OutputError when the disk has refused one."""
        self._raise_failure()
        if self._waits:
            self._pairs.put(pair)
            return
        try:
            self._pairs.put_nowait(pair)
        except queue.Full:
            self._num_dropped += 1

    def close(self, failure: str = "") -> None:
        """Finish the recording; `failure` says why it ends before its time. Does nothing the second time.

        Raises OutputError if the disk refused something.
        """
        if self._closed:
            return
        self._closed = True
        self._pairs.put(None)
        self._thread.join()
        for video in self._videos.values():
            self._finish(video)
        (self.folder / RESERVE_NAME).unlink(missing_ok=True)
        self._opened.close()
        if self._failure is not None:
            failure = failure or self._failure.what
        manifest = msgspec.structs.replace(
            self._manifest,
            ended="failed" if failure else "done",
            failure=failure,
            num_frames=self.num_frames,
            num_missing=self._num_missing,
            num_dropped=self._num_dropped,
        )
        write_manifest(self.folder, manifest)
        self._raise_failure()

    def _finish(self, video: PictureFile) -> None:
        try:
            video.close()
        except OutputError as error:
            self._failure = self._failure or error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # -- in the thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """After a failure it goes on emptying the queue, so that nobody waits for it."""
        while (pair := self._pairs.get()) is not None:
            if self._failure is not None:
                continue
            try:
                with _output_error(self.folder):
                    self._keep(pair)
            except VidriveError as error:
                self._failure = error
            except Exception as error:  # noqa: BLE001 - told where the next pair is taken
                self._failure = OutputError(
                    f"frame {pair.sensor.frame_id} cannot be recorded ({error})", "Record other planes"
                )

    def _keep(self, pair: FramePair) -> None:
        planes = planes_of(pair)
        for name in self._manifest.planes:
            if name not in planes and name != "synthesized":
                raise ValueError(f"it has no plane {name}")
        coded = {name: codec.encode(planes[name]) for name, codec in self._codecs.items() if name in planes}
        if self._carried is not None:
            coded["depth_m"] = self._carried.encode(planes["depth_m"], _view_of(pair.sensor))
            if self._carries_labels:
                coded["labels"] = self._carried.encode_labels(planes["labels"])
        pictures: dict[str, int] = {}
        for name, video in self._videos.items():
            if name in planes:
                video.write(planes[name])
                pictures[name] = self._num_pictures[name]
                self._num_pictures[name] += 1
        synthesized = planes.get("synthesized")
        sha256 = "" if synthesized is None else digest(synthesized)
        try:
            records: dict[str, Place] = {name: self._files[name].append(record) for name, record in coded.items()}
            if change := self._track_writer.line(pair.sensor.frame_id, edits_of(pair.sensor)):
                self._track(TRACK_NAME).append(
                    change
                )  # before its row: a frame in the table has its edits in the track
            if change := self._look_writer.line(pair.rendered):
                self._track(LOOKS_NAME).append(change)
            line = msgspec.json.encode(make_row(pair, records, pictures, sha256)) + b"\n"
            self._table.append(line)
        except OSError:
            for file in (*self._files.values(), *self._tracks.values(), self._table):
                file.take_back()
            raise
        for file in (*self._files.values(), *self._tracks.values(), self._table):
            file.settle()
        frame_id = pair.sensor.frame_id
        self._num_missing += max(0, frame_id - self._last_id - 1) if self._last_id is not None else 0
        self._last_id = frame_id
        self.num_frames += 1

    def _track(self, name: str) -> _AppendedFile:
        """The file of edits or of looks, which a recording without any change of them does not have."""
        if name not in self._tracks:
            self._tracks[name] = self._opened.enter_context(_AppendedFile(self.folder / name))
        return self._tracks[name]


class _AppendedFile:
    """A file that grows by whole records, each given to the operating system at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=0)
        self._end = self._settled = 0

    def __enter__(self) -> _AppendedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, record: bytes) -> Place:
        """Write a record and return its offset and length; raises OSError, perhaps after a part of it."""
        offset = self._end
        view = memoryview(record)
        while view:
            written = self._file.write(view)
            self._end += written
            view = view[written:]
        return offset, len(record)

    def settle(self) -> None:
        """Say that what was appended belongs to a whole frame."""
        self._settled = self._end

    def take_back(self) -> None:
        """Remove what was appended since `settle`."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file.fileno(), self._settled)
        self._end = self._settled


def prepare_folder(folder: Path) -> None:
    """Make a new, empty folder for a recording; raises OutputError where there is one with something in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty, and a recording needs a folder of its own", "Name another one")
    except OSError as error:
        raise OutputError(f"{folder} cannot be made ({error.strerror})", "Name another folder") from None


def planes_of(pair: FramePair) -> dict[str, NDArray]:
    """Return the planes that a pair has, as they were captured, by the names that a manifest gives them."""
    sensor, rendered = original_of(pair.sensor), pair.rendered
    planes: dict[str, NDArray | None] = {
        "rgb": sensor.rgb,
        "labels": sensor.label_map,
        "instances": sensor.instance_map,
        "depth_m": sensor.depth_m,
        "flow_px": sensor.flow_px,
        "synthesized": None if rendered is None else rendered.rgb,
    }
    return {name: plane for name, plane in planes.items() if plane is not None}


def _view_of(sensor: SensorFrame) -> DepthView:
    original = original_of(sensor)
    return DepthView(sensor.world_from_camera, sensor.intrinsics.focal_px, original.instance_map, sensor.bodies)


def digest(picture: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of a picture's bytes, row by row."""
    return hashlib.sha256(np.ascontiguousarray(picture).data).hexdigest()


@contextlib.contextmanager
def _output_error(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into a sentence."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the recording {folder} cannot be written any further ({(error.strerror or str(error)).lower()})",
            "Make room on the disk; what was recorded until now opens",
        ) from None
