"""A recording's frames as the pairs that the drive had: sensor frame and recorded synthesized picture."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from bridge.edits.editor import Editor
from bridge.edits.track import EditTrack, read_track
from bridge.protocol.frames import FramePair, RenderedFrame, SensorFrame
from bridge.recording.looks import read_looks
from bridge.recording.reader import Recording
from clients.recordings.pictures import VideoPictures


class RecordedPairs:
    """Pairs by their place in a recording. A context manager, for one thread."""

    def __init__(self, folder: Path, track: EditTrack | None = None) -> None:
        """Open a recording; raises RecordingError for a folder that is none.

        `track` are the edits of its frames, None for those that it was recorded with.
        """
        self.recording = Recording(folder)
        self._track = read_track(folder) if track is None else track
        self._editor = Editor()
        self._lacking: dict[str, set[int]] = {}
        manifest = self.recording.manifest
        self.looks = read_looks(folder, manifest.card)
        self._videos = {
            name: VideoPictures(folder / plane.file, 1.0 / manifest.fixed_delta_s, self.recording.size_hw)
            for name, plane in manifest.planes.items()
            if plane.codec == "h264"
        }

    def __len__(self) -> int:
        return len(self.recording)

    def __enter__(self) -> RecordedPairs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the videos."""
        for video in self._videos.values():
            video.close()

    @property
    def num_ready(self) -> int:
        """How many pairs, from the first, can be had: all of them."""
        return len(self.recording)

    def wait_pair(self, index: int) -> FramePair:
        """Return the pair of a row, which is there already; see `clients.recordings.render_ahead.RenderAhead`."""
        return self.pair(index)

    def pair(self, index: int) -> FramePair:
        """Return the pair of a row; raises RecordingError for damaged planes."""
        row = self.recording.rows[index]
        sensor = self.sensor_frame(index)
        synthesized = self.picture("synthesized", index)
        rendered = None
        if synthesized is not None and row.sequence is not None:
            look = self.looks.at(row.frame_id)
            rendered = RenderedFrame(
                row.frame_id,
                row.sequence,
                synthesized,
                row.stages_ms,
                reset=row.reset,
                card=None if look is None else look.card,
                style="" if look is None else look.style,
            )
        return FramePair(sensor, rendered, row.age_ms, row.notice)

    @property
    def lacking(self) -> tuple[str, ...]:
        """What videos turned out to lack of the pictures that were asked for, a sentence each."""
        planes = self.recording.manifest.planes
        return tuple(
            f"{planes[name].file} lacks {len(numbers)} of the {len(self)} pictures that were recorded"
            for name, numbers in self._lacking.items()
        )

    def sensor_frame(self, index: int) -> SensorFrame:
        """Return the sensor frame of a row with its picture and its edits."""
        frame = self.recording.sensor_frame(index, self.picture("rgb", index))
        return self._editor.apply(frame, self._track.at(frame.frame_id))

    def picture(self, name: str, index: int) -> NDArray[np.uint8] | None:
        """Return the "rgb" or "synthesized" picture of a row, (H,W,3) u8; None where it was not kept."""
        picture = self._video_picture(name, index)
        return self.recording.plane(name, index) if picture is None else picture

    def _video_picture(self, name: str, index: int) -> NDArray[np.uint8] | None:
        number = self.recording.rows[index].pictures.get(name)
        if number is None or name not in self._videos:
            return None
        picture = self._videos[name].get(number)
        if picture is None:
            self._lacking.setdefault(name, set()).add(number)
        return picture
