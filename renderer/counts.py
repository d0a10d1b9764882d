"""What the inference server counts: frames by how they were answered, clients, stages, batches; for whoever asks."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

REMEMBERED: Final = 400  # durations of a stage, and sizes of batches
MAX_KINDS: Final = 32  # of refusals and of resets: what comes over the wire does not fill the memory


class ServerCounts:
    """Written by the server's thread, read from any: whoever reads gets values as they are now.

    Each request for a frame ends once: `rendered`, or refused with a code. `resets` are by their reason.
    """

    def __init__(self) -> None:
        self.requests = self.rendered = 0
        self.refusals: Counter[str] = Counter()
        self.resets: Counter[str] = Counter()
        self.num_sessions = 0
        self._stages: dict[str, deque[float]] = {}
        self._batches: deque[float] = deque(maxlen=REMEMBERED)

    def note_rendered(self, stages_ms: Mapping[str, float], reset: str) -> None:
        """A picture went out, which took that long, stage by stage."""
        self.rendered += 1
        for name, value_ms in stages_ms.items():
            self._stages.setdefault(name, deque(maxlen=REMEMBERED)).append(value_ms)
        if reset:
            _count(self.resets, "frames are missing" if reset.endswith("are missing") else reset)

    def note_refused(self, code: str) -> None:
        """A request for a frame was refused."""
        _count(self.refusals, code)

    def note_batch(self, size: int) -> None:
        """Frames of so many clients went through the network at once."""
        self._batches.append(float(size))

    def stages_ms(self) -> dict[str, tuple[float, ...]]:
        """Return the last durations of each stage."""
        return {name: tuple(values) for name, values in tuple(self._stages.items())}

    def batches(self) -> tuple[float, ...]:
        """Return the sizes of the last batches."""
        return tuple(self._batches)


def _count(counter: Counter[str], kind: str) -> None:
    counter[kind if kind in counter or len(counter) < MAX_KINDS else "other"] += 1
