"""A recording's frames with the pictures of another model, rendered ahead of whoever looks at them."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np

from bridge.edits.track import EditTrack
from bridge.protocol.frames import FramePair, RenderedFrame
from bridge.recording.codecs import PngCodec
from clients.recordings.pairs import RecordedPairs

_NO_PICTURE: Final = np.zeros((0, 0, 3), np.uint8)


class RenderAhead:
    """Renders a recording from its beginning in a thread; `pair` gives what is ready, in any order.

    The pictures wait in a temporary file, because an hour of them does not fit into memory. A context manager.
    """

    def __init__(
        self,
        folder: Path,
        render: Callable[[RecordedPairs], Iterable[FramePair]],
        track: EditTrack | None = None,
    ) -> None:
        """Open the recording and begin; `render` yields its pairs from the first one on, with the edits of `track`."""
        self._pairs = RecordedPairs(folder, track)
        self._render_pairs = RecordedPairs(folder, track)
        self._render = render
        self._codec = PngCodec()
        self._pictures = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._places: list[tuple[int, int, RenderedFrame]] = []
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._stopping = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="render-ahead", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._pairs)

    def __enter__(self) -> RenderAhead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def num_ready(self) -> int:
        """How many pairs, from the first, are ready; raises what ended the rendering."""
        with self._lock:
            if self._error is not None:
                raise self._error
            return len(self._places)

    def wait_pair(self, index: int) -> FramePair:
        """Return a pair as soon as it is ready; raises what ended the rendering."""
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or len(self._places) > index)
        return self.pair(index)

    def pair(self, index: int) -> FramePair:
        """Return a pair that is ready."""
        if index >= self.num_ready:
            raise IndexError(f"frame {index} is not rendered yet")
        with self._lock:
            offset, num_bytes, rendered = self._places[index]
            self._pictures.seek(offset)
            record = self._pictures.read(num_bytes)
        recorded = self._pairs.pair(index)
        picture = self._codec.decode(record, self._size_hw)
        return FramePair(recorded.sensor, replace(rendered, rgb=picture), 0.0)

    def close(self) -> None:
        """End the rendering after the frame it works on."""
        self._stopping = True
        self._thread.join()
        self._pictures.close()
        self._pairs.close()
        self._render_pairs.close()

    def _run(self) -> None:
        try:
            for pair in self._render(self._render_pairs):
                assert pair.rendered is not None
                record = self._codec.encode(pair.rendered.rgb)
                with self._changed:
                    self._size_hw = pair.rendered.rgb.shape[:2]
                    offset = self._pictures.seek(0, 2)
                    self._pictures.write(record)
                    self._places.append((offset, len(record), replace(pair.rendered, rgb=_NO_PICTURE, stages_ms={})))
                    self._changed.notify_all()
                if self._stopping:
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised again where a pair is asked for
            with self._changed:
                self._error = error
                self._changed.notify_all()
