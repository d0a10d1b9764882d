"""What a recording says of itself: `manifest.json`, written when it begins and again when it ends.

The format of the whole folder is described in docs/recordings.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from bridge.capture.presets import RigPreset
from bridge.protocol.errors import OutputError, RecordingError
from bridge.protocol.messages import ModelCard, PlaneType

FORMAT: Final = "vidrive recording"
FORMAT_VERSION: Final = 3
READ_VERSIONS: Final = (1, 3)  # 2 was never released
MANIFEST_NAME: Final = "manifest.json"
TABLE_NAME: Final = "frames.jsonl"

PlaneCodec = Literal["ids", "labels", "labels_carried", "depth24", "depth24_carried", "floats", "png", "h264"]
CARRIED_CODECS: Final = ("depth24_carried", "labels_carried")  # whose pictures need those before them
Ended = Literal["", "done", "failed"]


class PlaneFormat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a plane is kept: its codec, its file in the folder, and the type of one element."""

    codec: PlaneCodec
    file: str
    type: PlaneType

    def __post_init__(self) -> None:
        taken = ("", ".", "..", MANIFEST_NAME, TABLE_NAME)
        if Path(self.file).name != self.file or ":" in self.file or self.file in taken:  # "http:" is an address
            raise ValueError(f"file {self.file!r} is not a name in the recording's own folder")


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recording's manifest.

    `fixed_delta_s` simulation time of a tick · `card` of the model that made the synthesized pictures, None without ·
    `planes` by name: those of `SensorFrame`, and "synthesized" · `ended` "" while it is being written (or when its
    writer was killed), "done", or "failed" with the reason in `failure` · `num_frames` rows of the table ·
    `num_missing` frame ids between the first and the last that are not in it · `num_dropped` frames that came and could
    not be kept in time (live mode only).
    """

    format: Literal["vidrive recording"] = "vidrive recording"
    version: Literal[1, 3] = FORMAT_VERSION
    vidrive_version: str
    simulator_version: str
    created_utc: str
    seed: int
    mode: Literal["record", "live"]
    fixed_delta_s: Annotated[float, msgspec.Meta(gt=0.0)]
    label_space: str
    rig: RigPreset
    card: ModelCard | None
    planes: dict[str, PlaneFormat]
    ended: Ended = ""
    failure: str = ""
    num_frames: int = 0
    num_missing: int = 0
    num_dropped: int = 0


class _Head(msgspec.Struct, frozen=True):
    """What every version of the format begins with."""

    format: str = ""
    version: int = 0
    vidrive_version: str = ""


def is_recording(folder: Path) -> bool:
    """Return whether a folder looks like a recording, of whatever version."""
    return (folder / MANIFEST_NAME).is_file()


def read_manifest(folder: Path) -> Manifest:
    """Return a recording's manifest; raises RecordingError for folders that are none, damaged or of another version."""
    path = folder / MANIFEST_NAME
    if not folder.is_dir():
        raise RecordingError(f"there is no folder {folder}", "Name a recording, which vidrive record makes")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise RecordingError(
            f"{folder} is not a recording: it has no {MANIFEST_NAME}", "Name a recording, which vidrive record makes"
        ) from None
    except OSError as error:
        raise RecordingError(f"{path} cannot be read ({error.strerror})", "Look at its permissions") from None
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format == FORMAT and head.version not in READ_VERSIONS:
            maker = f" {head.vidrive_version}" if head.vidrive_version else ""
            known = " and ".join(map(str, READ_VERSIONS))
            raise RecordingError(
                f"{folder} is a recording of format version {head.version}, and this vidrive reads {known}",
                f"Use the vidrive{maker} that made it",
            )
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path} is damaged ({error})", "Get the recording again") from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in a recording's folder; the one that is there stays until the new one is whole."""
    path = folder / MANIFEST_NAME
    unfinished = folder / f".{MANIFEST_NAME}.unfinished"
    try:
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        unfinished.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", "Name another folder, or make room") from None
