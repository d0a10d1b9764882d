"""Which look the synthesized pictures of a recording have: a JSON line for each change while it was driven.

A recording whose pictures are all of the manifest's model, in its own style, has no such file.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bridge.protocol.errors import RecordingError
from bridge.protocol.frames import RenderedFrame
from bridge.protocol.messages import ModelCard

LOOKS_NAME: Final = "looks.jsonl"


class LookChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line: from this frame on the pictures are of that model, in that style ("" its own)."""

    frame_id: int
    card: ModelCard
    style: str = ""


@dataclass(frozen=True)
class RecordedLook:
    """The model and style of a picture; see `LookChange`."""

    card: ModelCard
    style: str = ""


class LookWriter:
    """Makes the lines, frame by frame; `card` is that of the manifest."""

    def __init__(self, card: ModelCard | None) -> None:
        self._look = None if card is None else RecordedLook(card)

    def line(self, rendered: RenderedFrame | None) -> bytes:
        """Return the line to append for a frame, b"" where its look is that of the frame before."""
        if rendered is None or rendered.card is None:
            return b""
        look = RecordedLook(rendered.card, rendered.style)
        if look == self._look:
            return b""
        self._look = look
        change = LookChange(frame_id=rendered.frame_id, card=look.card, style=look.style)
        return msgspec.json.encode(change) + b"\n"


class LookTrack:
    """The look of each frame of a recording; None where nothing was synthesized."""

    def __init__(self, card: ModelCard | None, changes: Sequence[LookChange] = ()) -> None:
        """`card` is that of the manifest, which holds until the first change."""
        self._first = None if card is None else RecordedLook(card)
        self._frame_ids = tuple(change.frame_id for change in changes)
        self._looks = tuple(RecordedLook(change.card, change.style) for change in changes)

    def __len__(self) -> int:
        """How many changes there are."""
        return len(self._looks)

    def at(self, frame_id: int) -> RecordedLook | None:
        """Return the look of a frame."""
        index = bisect.bisect_right(self._frame_ids, frame_id) - 1
        return self._looks[index] if index >= 0 else self._first


def read_looks(folder: Path, card: ModelCard | None) -> LookTrack:
    """Return the looks of a recording with that card in its manifest; a last line without its end is left out.

    Raises RecordingError for a file that is damaged.
    """
    path = folder / LOOKS_NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return LookTrack(card)
    except OSError as error:
        raise RecordingError(f"{path} cannot be read ({error.strerror})", "Get the recording again") from None
    try:
        changes = [msgspec.json.decode(line, type=LookChange) for line in data.split(b"\n")[:-1]]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path} is damaged ({error})", "Get the recording again") from None
    return LookTrack(card, changes)
