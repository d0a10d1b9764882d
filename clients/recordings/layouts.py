"""A recording as a data set: vid2vid's training layout, and Cityscapes'."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import LabelError, OutputError, UsageError
from bridge.protocol.frames import FramePair, SensorFrame
from bridge.protocol.labels import map_labels
from bridge.recording.manifest import is_recording
from clients.progress import Progress
from clients.recordings.output import make_folder, write_png
from clients.recordings.pairs import RecordedPairs
from clients.viewer.motion import engine_motion
from renderer.train.video.reference_flow import flow_picture

INSTANCES_A_CLASS: Final = 1000  # Cityscapes' instance ids: class id x 1000 + number, or the class id alone
LABEL_SPACE: Final = "cityscapes"

Keep = Callable[[str, int, FramePair, FramePair | None, "SceneIds"], None]
"""Writes a frame: the name of its sequence, its place in it, the frame, the one before it there, and the numbering."""


class SceneIds:
    """Label and instance maps in a data set's numbering; an actor keeps its number through the whole recording."""

    def __init__(self, label_space: str) -> None:
        self.label_space = label_space
        self._numbers: dict[int, int] = {}

    def labels(self, frame: SensorFrame) -> NDArray[np.uint8]:
        """Return the (H,W) u8 label map; raises LabelError for a space that has no place for some of its ids."""
        return map_labels(frame.label_map, frame.label_space, self.label_space)

    def instances(self, frame: SensorFrame, labels: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Return the (H,W) u16 instance map as Cityscapes numbers it, of a frame and its mapped label map.

        Raises LabelError where the class ids are too large for 16 bits of it, or the drive met too many actors.
        """
        ids = labels.astype(np.int32)
        if frame.instance_map is not None:
            numbers = np.zeros(65536, np.int32)
            for actor in np.unique(frame.instance_map[frame.instance_map > 0]).tolist():
                numbers[actor] = self._numbers.setdefault(actor, len(self._numbers))
            moves = frame.instance_map > 0
            ids = np.where(moves, ids * INSTANCES_A_CLASS + numbers[frame.instance_map], ids)
        if len(self._numbers) > INSTANCES_A_CLASS or ids.max(initial=0) > 65535:
            raise LabelError(
                f"the instances do not fit Cityscapes' numbering in label space {self.label_space}",
                f"Export a shorter recording, or use --labels {LABEL_SPACE}",
            )
        return ids.astype(np.uint16)


def export_vid2vid(pairs: RecordedPairs, out: Path, label_space: str) -> int:
    """Write vid2vid's training layout: train_A, train_B, train_inst and train_flow with a folder for each sequence.

    train_A label maps, train_B the simulator's pictures, train_inst instance maps as Cityscapes numbers them,
    train_flow the motion since the frame before as KITTI's flow pictures: by depth and poses, or as recorded; unknown
    where nothing was visible before; none where the recording has neither depth nor flow. Returns the number of frames.
    Raises OutputError, also where `out` is not empty, and UsageError for a recording without pictures.
    """

    def keep(sequence: str, index: int, pair: FramePair, before: FramePair | None, ids: SceneIds) -> None:
        name = f"{sequence}/{index:06d}.png"
        labels = ids.labels(pair.sensor)
        write_png(_place(out / "train_A" / name), labels)
        write_png(_place(out / "train_inst" / name), ids.instances(pair.sensor, labels))
        write_png(_place(out / "train_B" / name), _bgr(pair))
        motion_px = None if before is None else _motion_px(before.sensor, pair.sensor)
        if motion_px is not None:
            write_png(_place(out / "train_flow" / name), flow_picture(motion_px))

    return _export(pairs, out, label_space, keep)


def export_cityscapes(pairs: RecordedPairs, out: Path, label_space: str) -> int:
    """Write Cityscapes' layout: gtFine's labelIds and instanceIds, and leftImg8bit, in the split "train".

    The recording's name stands for the city. Returns the number of frames; errors as `export_vid2vid`.
    """
    city = re.sub(r"[^a-z0-9-]+", "-", out.resolve().name.lower()).strip("-") or "town"

    def keep(sequence: str, index: int, pair: FramePair, _: FramePair | None, ids: SceneIds) -> None:
        stem = f"train/{city}/{city}_{sequence[3:]:0>6}_{index:06d}"
        labels = ids.labels(pair.sensor)
        write_png(_place(out / "gtFine" / f"{stem}_gtFine_labelIds.png"), labels)
        write_png(_place(out / "gtFine" / f"{stem}_gtFine_instanceIds.png"), ids.instances(pair.sensor, labels))
        write_png(_place(out / "leftImg8bit" / f"{stem}_leftImg8bit.png"), _bgr(pair))

    return _export(pairs, out, label_space, keep)


def _export(pairs: RecordedPairs, out: Path, label_space: str, keep: Keep) -> int:
    if is_recording(out):
        raise UsageError(f"{out} is a recording, and the export would lie among its files", "Choose another --out")
    if "rgb" not in pairs.recording.manifest.planes:
        raise UsageError(f"{pairs.recording.folder} has no pictures", "Record with --pictures h264 or lossless")
    if any(make_folder(out).iterdir()):  # frames of an older export would train as part of this one
        raise OutputError(f"{out} is not empty, and an export needs a folder of its own", "Choose another --out")
    ids = SceneIds(label_space or LABEL_SPACE)
    num_frames = sequence = first = 0
    pair: FramePair | None = None
    with Progress(len(pairs)) as progress:
        for index, row in enumerate(pairs.recording.rows):
            last_row = pairs.recording.rows[index - 1] if index else None
            begins = last_row is None or row.sequence != last_row.sequence or row.frame_id != last_row.frame_id + 1
            if begins:
                sequence, first = sequence + 1, index
            before, pair = None if begins else pair, pairs.pair(index)
            if pair.sensor.rgb is not None:  # the last ones of a video whose writer was killed are not there
                keep(f"seq{sequence:04d}", index - first, pair, before, ids)
                num_frames += 1
            progress.advance()
    return num_frames


def _motion_px(before: SensorFrame, frame: SensorFrame) -> NDArray[np.float32] | None:
    """Return the motion since the frame before, (H,W,2) f32, nan where nothing was visible; None if nothing tells."""
    engine = engine_motion(before, frame)
    if engine is None:
        return frame.flow_px
    motion_px, newly_visible = engine
    motion_px = motion_px if frame.flow_px is None else frame.flow_px
    return np.where(newly_visible[..., None] > 0, np.float32(np.nan), motion_px)


def _bgr(pair: FramePair) -> NDArray[np.uint8]:
    assert pair.sensor.rgb is not None
    return np.asarray(cv2.cvtColor(pair.sensor.rgb, cv2.COLOR_RGB2BGR), np.uint8)


def _place(path: Path) -> Path:
    if not path.parent.is_dir():
        make_folder(path.parent)
    return path
