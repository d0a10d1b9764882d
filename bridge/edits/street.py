"""A street whose frames are edited as they are captured, beside the renderer's work on the frame before."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from bridge.edits.editor import Editor
from bridge.edits.rules import Edits
from bridge.prefetch import Street
from bridge.protocol.frames import EgoControl, SensorFrame


class EditedStreet:
    """Ticks and reads another street; `edits` is asked for each frame when it has come, so the newest ones count.

    `stages_ms` has what editing took as "edit".
    """

    def __init__(self, street: Street, edits: Callable[[], Edits]) -> None:
        self._street = street
        self._edits = edits
        self._editor = Editor()
        self._edit_ms = 0.0

    @property
    def fixed_delta_s(self) -> float:
        """Simulation time of a tick."""
        return self._street.fixed_delta_s

    @property
    def stages_ms(self) -> Mapping[str, float]:
        """What the last `read` took."""
        return {**self._street.stages_ms, "edit": self._edit_ms}

    def tick(self, control: EgoControl | None) -> int:
        """Apply a control, tick, and return the frame's id."""
        return self._street.tick(control)

    def read(self, frame_id: int) -> SensorFrame:
        """Return the planes of that frame, edited."""
        frame = self._street.read(frame_id)
        start_s = time.monotonic()
        edited = self._editor.apply(frame, self._edits())
        self._edit_ms = (time.monotonic() - start_s) * 1e3
        return edited

    def respawn(self) -> None:
        """Put the ego vehicle elsewhere."""
        self._street.respawn()
