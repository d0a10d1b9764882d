"""The one request in flight, and the answer to it: a picture, or why there is none."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.protocol.frames import RenderedFrame
from bridge.protocol.messages import ModelCard, PlaneName, Refusal, Rendered
from bridge.render_memory import RenderMemory

Answer: TypeAlias = RenderedFrame | Refusal


@dataclass(frozen=True)
class RequestInFlight:
    """What was asked, and of which look; `arrays` keeps the planes alive until it is answered.

    `sequence` is the caller's number, `wire_sequence` the one that the server knows; `picture_offset_bytes` is the
    place in shared memory that was kept for the picture, `prepare_ms` what it took until it was sent, and `sent_s`
    when that was, on the monotonic clock.
    """

    frame_id: int
    sequence: int
    wire_sequence: int
    size_hw: tuple[int, int]
    picture_offset_bytes: int | None
    arrays: Sequence[NDArray]
    card: ModelCard
    style: str
    prepare_ms: float
    sent_s: float

    def asked_for(self, message: Rendered) -> bool:
        """Whether a message is the answer to this request, and not to an older one."""
        return (message.sequence, message.frame_id) == (self.wire_sequence, self.frame_id)

    def answer(self, message: Rendered, planes: Mapping[PlaneName, NDArray], memory: RenderMemory) -> Answer:
        """Return the rendered frame of the server's message; a Refusal if its picture is of another shape or type."""
        rgb = planes.get("rgb")
        if rgb is None or rgb.shape != (*self.size_hw, 3) or rgb.dtype != np.uint8:
            return Refusal(code="bad-answer", message="the server's picture does not fit", frame_id=self.frame_id)
        return RenderedFrame(
            frame_id=message.frame_id,
            sequence=self.sequence,
            rgb=memory.keep(rgb, message.planes[0], self.picture_offset_bytes),
            stages_ms={
                "prepare": self.prepare_ms,
                **message.stages_ms,
                "round_trip": (time.monotonic() - self.sent_s) * 1e3,
            },
            occlusion_mask=planes.get("occlusion_mask"),
            reset=message.reset,
            card=self.card,
            style=self.style,
        )
