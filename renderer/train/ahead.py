"""Batches made beside the step that learns from the one before, so that data and network each have cores to fill."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from renderer.train.clips import ClipBatch, Stream


class Ahead:
    """A stream of which one batch is made ahead in a thread; what comes out, and in which order, is the stream's."""

    def __init__(self, stream: Stream[Any]) -> None:
        self._stream = stream
        self._thread = ThreadPoolExecutor(1, "batches")
        self._coming: Future[tuple[ClipBatch, dict[str, Any]]] | None = None
        self._state = stream.state_dict()

    def next_batch(self, longest_frames: int, then_longest_frames: int) -> ClipBatch:
        """Return the next batch and begin the one after it; see `Stream.next_batch` for the lengths of both."""
        coming = self._coming or self._begin(longest_frames)
        batch, self._state = coming.result()
        self._coming = self._begin(then_longest_frames)
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream was behind the batch that was given out last."""
        return self._state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to such a state; raises KeyError or ValueError for another stream's."""
        if self._coming is not None:
            self._coming.result()
            self._coming = None
        self._stream.load_state_dict(state)
        self._state = self._stream.state_dict()

    def _begin(self, longest_frames: int) -> Future[tuple[ClipBatch, dict[str, Any]]]:
        return self._thread.submit(self._make, longest_frames)

    def _make(self, longest_frames: int) -> tuple[ClipBatch, dict[str, Any]]:
        return self._stream.next_batch(longest_frames), self._stream.state_dict()
