"""Sensor frames whose label map was edited, with the frame that the simulator gave."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.edits.rules import NO_EDITS, Edits
from bridge.protocol.frames import SensorFrame


@dataclass(frozen=True)
class EditedFrame(SensorFrame):
    """A frame as the generator is to see it; `original` as it was captured, and the `edits` between the two.

    `rgb` and `bodies` are the simulator's own: a removed car is gone from labels, instances, depth and flow.
    """

    original: SensorFrame = field(kw_only=True)
    edits: Edits = field(kw_only=True)


def original_of(frame: SensorFrame) -> SensorFrame:
    """Return the frame as it was captured."""
    return frame.original if isinstance(frame, EditedFrame) else frame


def edits_of(frame: SensorFrame) -> Edits:
    """Return the edits of a frame."""
    return frame.edits if isinstance(frame, EditedFrame) else NO_EDITS
