"""A drive's pairs into a recording: which planes are kept, and how."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

from bridge.capture.presets import RigPreset, SessionPreset
from bridge.protocol.frames import FramePair
from bridge.protocol.messages import ModelCard
from bridge.recording.manifest import Manifest, PlaneFormat
from bridge.recording.writer import RecordingWriter, prepare_folder
from clients.recorder import Recorder

_log: Final = logging.getLogger("vidrive")
Pictures = Literal["h264", "lossless", "none"]
_LOSSLESS: Final = {
    "labels": PlaneFormat(codec="labels_carried", file="labels.planes", type="u8"),
    "instances": PlaneFormat(codec="ids", file="instances.planes", type="u16"),
    "depth_m": PlaneFormat(codec="depth24_carried", file="depth_m.planes", type="f32"),
    "flow_px": PlaneFormat(codec="floats", file="flow_px.planes", type="f32"),
}
_LABELS_ALONE: Final = PlaneFormat(codec="labels", file="labels.planes", type="u8")  # where there is no depth


@dataclass(frozen=True)
class RecordingWish:
    """Where a recording goes, and how its RGB and synthesized pictures are kept."""

    folder: Path
    pictures: Pictures = "h264"


@dataclass(frozen=True)
class RecordedSource:
    """What a manifest says of where the frames come from; `card` is None where nothing is synthesized."""

    label_space: str
    simulator_version: str
    seed: int
    card: ModelCard | None


class OneClock:
    """Hands pairs on to a recording while the simulator's clock goes forward: a recording is of one simulation.

    When another one begins, the recording is closed, and says why it ended before its time.
    """

    def __init__(self, writer: RecordingWriter) -> None:
        self._writer = writer
        self._last_id = -1
        self._ended = False

    def accept(self, pair: FramePair) -> None:
        """Take a pair; raises OutputError when the disk has refused one."""
        if not self._ended and pair.sensor.frame_id <= self._last_id:
            self._ended = True
            self._writer.close("the simulator was lost")
            _log.warning("the recording %s ends here: the simulator is another one", self._writer.folder)
        if not self._ended:
            self._last_id = pair.sensor.frame_id
            self._writer.accept(pair)


@contextlib.contextmanager
def open_recording(
    wish: RecordingWish, session: SessionPreset, rig: RigPreset, source: RecordedSource
) -> Iterator[RecordingWriter]:
    """Begin a recording of all that a rig captures, and close it on every way out.

    Raises OutputError if the folder cannot be one, and when the disk is full.
    """
    prepare_folder(wish.folder)
    planes = {name: _LOSSLESS[name] for name in rig.planes if name in _LOSSLESS}
    if "depth_m" not in planes:
        planes["labels"] = _LABELS_ALONE
    if wish.pictures != "none":
        if "rgb" in rig.planes:
            planes["rgb"] = _picture_format("rgb", wish.pictures)
        if source.card is not None:
            planes["synthesized"] = _picture_format("synthesized", wish.pictures)
    manifest = Manifest(
        vidrive_version=version("vidrive"),
        simulator_version=source.simulator_version,
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seed=source.seed,
        mode=session.mode,
        fixed_delta_s=session.fixed_delta_s,
        label_space=source.label_space,
        rig=rig,
        card=source.card,
        planes=planes,
    )
    videos = {
        name: Recorder(wish.folder / plane.file, 1.0 / session.fixed_delta_s, rig.width_px, rig.height_px)
        for name, plane in planes.items()
        if plane.codec == "h264"
    }
    with RecordingWriter(wish.folder, manifest, videos, waits=session.mode == "record") as writer:
        yield writer


def _picture_format(name: str, pictures: Pictures) -> PlaneFormat:
    if pictures == "h264":
        return PlaneFormat(codec="h264", file=f"{name}.mp4", type="u8")
    return PlaneFormat(codec="png", file=f"{name}.planes", type="u8")
