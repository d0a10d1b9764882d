"""Reads a recording: its manifest, its rows, and any frame's lossless planes.

A recording whose writer was killed, or that was cut short while it was copied, opens with the frames that are whole.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import RecordingError
from bridge.protocol.frames import CameraIntrinsics, SensorFrame
from bridge.recording.carried import CARRIED, CarriedCodec, DepthView
from bridge.recording.codecs import Codec, open_codec
from bridge.recording.manifest import CARRIED_CODECS, TABLE_NAME, Manifest, read_manifest
from bridge.recording.rows import Row, body_poses, pose_matrix
from bridge.recording.writer import PLANE_TYPES

_log: Final = logging.getLogger("vidrive")
_row_decoder: Final = msgspec.json.Decoder(Row)
_CARRIED_PLANES: Final = (
    {},
    {"depth_m": "depth24_carried"},
    {"depth_m": "depth24_carried", "labels": "labels_carried"},
)


class _Carried:
    """The planes whose pictures need each other: their codec, which picture it is at, and that picture's planes."""

    def __init__(self, *, with_labels: bool) -> None:
        self.with_labels = with_labels
        self.codec = CarriedCodec()
        self.index = -1
        self.planes: dict[str, NDArray] = {}


class Recording:
    """A recording that was opened: `manifest`, `rows` of its whole frames, and their planes on demand.

    `note` says in a sentence what is missing of it, "" if nothing is. For one thread.
    """

    def __init__(self, folder: Path) -> None:
        """Open a recording; raises RecordingError for a folder that is none, or that holds no whole frame."""
        self.folder = folder
        self.manifest: Manifest = read_manifest(folder)
        kept = {name: plane for name, plane in self.manifest.planes.items() if plane.codec != "h264"}
        if "labels" not in kept:
            raise RecordingError(f"{folder} has no label maps", "Name a recording that vidrive record made")
        self._codecs: dict[str, Codec] = {
            name: open_codec(plane.codec, PLANE_TYPES[plane.type])
            for name, plane in kept.items()
            if plane.codec not in CARRIED_CODECS
        }
        carried = {name: plane.codec for name, plane in kept.items() if plane.codec in CARRIED_CODECS}
        if carried not in _CARRIED_PLANES:
            raise RecordingError(f"{folder}'s planes are kept in no way that belongs together", "Get it again")
        self._carried = _Carried(with_labels="labels" in carried) if carried else None
        self._paths = {name: folder / plane.file for name, plane in kept.items()}
        rows, self._damage = _read_rows(folder / TABLE_NAME)
        self.rows: Sequence[Row] = self._whole(rows)
        if not self.rows:
            raise RecordingError(f"{folder} holds no whole frame", "Record again")
        self.note = self._missing(len(rows))
        rig = self.manifest.rig
        self.intrinsics = CameraIntrinsics(rig.width_px, rig.height_px, rig.fov_deg)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of all planes."""
        return self.manifest.rig.height_px, self.manifest.rig.width_px

    def plane(self, name: str, index: int) -> NDArray | None:
        """Return a lossless plane of a row, read-only; None where the row has none, or where the plane is a video.

        Raises RecordingError for damaged bytes.
        """
        place = self.rows[index].records.get(name)
        if place is None or name not in self._paths:
            return None
        if name not in self._codecs and self._carried is not None:
            return self._carried_plane(self._carried, name, index)
        record = self._record(name, index)
        try:
            plane = self._codecs[name].decode(record, self.size_hw)
        except RecordingError as error:
            raise self._damaged(name, index, error) from None
        plane.flags.writeable = False
        return plane

    def _carried_plane(self, kept: _Carried, name: str, index: int) -> NDArray:
        """A plane that needs those before it, back to a whole one or to the one that was decoded last."""
        if kept.index == index and kept.planes:
            return kept.planes[name]
        chain = [index]
        while self._record("depth_m", chain[-1], 1) == CARRIED:
            before = next((i for i in range(chain[-1] - 1, -1, -1) if "depth_m" in self.rows[i].records), None)
            if before is None or (before == kept.index and kept.planes):
                break
            chain.append(before)
        for at in reversed(chain):
            kept.planes = self._decode_carried(kept, at)
            kept.index = at
        return kept.planes[name]

    def _decode_carried(self, kept: _Carried, index: int) -> dict[str, NDArray]:
        name = "depth_m"
        kept.planes = {}  # what fails leaves none
        try:
            planes = {name: kept.codec.decode(self._record(name, index), self.size_hw, self._view(index))}
            if kept.with_labels:
                name = "labels"
                planes[name] = kept.codec.decode_labels(self._record(name, index), self.size_hw)
        except RecordingError as error:
            raise self._damaged(name, index, error) from None
        for plane in planes.values():
            plane.flags.writeable = False
        return planes

    def _view(self, index: int) -> DepthView:
        row = self.rows[index]
        return DepthView(
            pose_matrix(row.world_from_camera),
            self.intrinsics.focal_px,
            self.plane("instances", index),
            body_poses(row),
        )

    def _record(self, name: str, index: int, num_bytes: int | None = None) -> bytes:
        row = self.rows[index]
        if name not in row.records:
            raise RecordingError(f"{self.folder} has no {name} of frame {row.frame_id}", "Get the recording again")
        offset, length = row.records[name]
        with self._paths[name].open("rb") as file:
            file.seek(offset)
            return file.read(length if num_bytes is None else num_bytes)

    def _damaged(self, name: str, index: int, error: RecordingError) -> RecordingError:
        what = f"{self._paths[name]} is damaged at frame {self.rows[index].frame_id}: {error.what}"
        return RecordingError(what, error.hint)

    def sensor_frame(self, index: int, rgb: NDArray[np.uint8] | None = None) -> SensorFrame:
        """Return a row's sensor frame; `rgb` is its picture where that is kept in a video."""
        row = self.rows[index]
        labels = self.plane("labels", index)
        if labels is None:
            raise RecordingError(f"{self.folder} has no label map of frame {row.frame_id}", "Get the recording again")
        return SensorFrame(
            frame_id=row.frame_id,
            time_s=row.time_s,
            label_map=labels,
            label_space=self.manifest.label_space,
            intrinsics=self.intrinsics,
            world_from_camera=pose_matrix(row.world_from_camera),
            captured_s=0.0,
            rgb=self.plane("rgb", index) if rgb is None else rgb,
            instance_map=self.plane("instances", index),
            depth_m=self.plane("depth_m", index),
            flow_px=self.plane("flow_px", index),
            bodies=body_poses(row),
            ego=row.ego,
        )

    def _whole(self, rows: Sequence[Row]) -> list[Row]:
        """The rows from the first on whose planes are all there."""
        sizes = {name: path.stat().st_size if path.is_file() else 0 for name, path in self._paths.items()}
        whole: list[Row] = []
        for row in rows:
            ends = {name: offset + num_bytes for name, (offset, num_bytes) in row.records.items()}
            if any(end > sizes.get(name, 0) for name, end in ends.items()):
                break
            whole.append(row)
        return whole

    def _missing(self, num_rows: int) -> str:
        manifest, num_frames = self.manifest, len(self.rows)
        if self._damage and num_frames == num_rows:
            return f"{self._damage}: it opens with the {num_frames} frames before it"
        if num_frames < max(num_rows, manifest.num_frames):
            lost = max(num_rows, manifest.num_frames) - num_frames
            return f"{self.folder} is cut short: its last {lost} frames are missing"
        if not manifest.ended:
            return f"{self.folder} was not closed: it ends with the {num_frames} frames that were whole"
        return f"{self.folder} ended before its time: {manifest.failure}" if manifest.failure else ""


def _read_rows(path: Path) -> tuple[list[Row], str]:
    """The table's rows before the first damaged one, and which that is; a last line without its end is unfinished."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordingError(f"{path} cannot be read ({error.strerror})", "Get the recording again") from None
    rows: list[Row] = []
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            rows.append(_row_decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:  # noqa: PERF203
            return rows, f"line {number} of {path} is damaged ({error})"
    return rows, ""
