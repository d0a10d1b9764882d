"""The edit track of a recording: what was edited from which frame on, a JSON line for each change.

The recorded planes are the simulator's own; a replay repeats the track, drops it, or takes other edits. Of the paint a
line holds only what was added to the line before it: `kept_dabs` of those that lay there, and new `dabs`.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec

from bridge.edits.rules import NO_EDITS, Dab, Edits, Rule, load_edits
from bridge.protocol.errors import RecordingError

TRACK_NAME: Final = "edits.jsonl"
RECORDED: Final = "recorded"
NONE: Final = "none"


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of the track: the edits that hold from a frame on."""

    frame_id: int
    rules: tuple[Rule, ...] = ()
    kept_dabs: Annotated[int, msgspec.Meta(ge=0)] = 0
    dabs: tuple[Dab, ...] = ()


class TrackWriter:
    """Makes the lines of a track, frame by frame."""

    def __init__(self) -> None:
        self._edits = NO_EDITS

    def line(self, frame_id: int, edits: Edits) -> bytes:
        """Return the line to append for a frame, b"" where its edits are those of the frame before."""
        before, self._edits = self._edits, edits
        if edits is before or edits == before:
            return b""
        kept = 0
        while kept < min(len(before.dabs), len(edits.dabs)) and before.dabs[kept] == edits.dabs[kept]:
            kept += 1
        change = Change(frame_id=frame_id, rules=edits.rules, kept_dabs=kept, dabs=edits.dabs[kept:])
        return msgspec.json.encode(change) + b"\n"


class EditTrack:
    """The edits of each frame of a recording; of one that was recorded without any, none."""

    def __init__(self, frame_ids: Sequence[int] = (), edits: Sequence[Edits] = ()) -> None:
        self._frame_ids = tuple(frame_ids)
        self._edits = tuple(edits)

    def __bool__(self) -> bool:
        return any(self._edits)

    def at(self, frame_id: int) -> Edits:
        """Return the edits of a frame."""
        index = bisect.bisect_right(self._frame_ids, frame_id) - 1
        return self._edits[index] if index >= 0 else NO_EDITS


def constant_track(edits: Edits) -> EditTrack:
    """Return the track with the same edits at every frame."""
    return EditTrack((0,), (edits,))


def find_track(name: str) -> EditTrack | None:
    """Return the track that a person names: "recorded" None, "none" without edits, else those of a preset or file."""
    if name == RECORDED:
        return None
    return EditTrack() if name == NONE else constant_track(load_edits(name))


def read_track(folder: Path) -> EditTrack:
    """Return the track of a recording; a last line without its end is unfinished and left out.

    Raises RecordingError for one that is damaged.
    """
    path = folder / TRACK_NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return EditTrack()
    except OSError as error:
        raise RecordingError(f"{path} cannot be read ({error.strerror})", "Get the recording again") from None
    frame_ids: list[int] = []
    edits: list[Edits] = []
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            change = msgspec.json.decode(line, type=Change)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RecordingError(
                f"line {number} of {path} is damaged ({error})", "Render or replay with --edits none"
            ) from None
        before = edits[-1].dabs if edits else ()
        frame_ids.append(change.frame_id)
        edits.append(Edits(rules=change.rules, dabs=(*before[: change.kept_dabs], *change.dabs)))
    return EditTrack(frame_ids, edits)
