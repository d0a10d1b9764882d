"""The ledger of a drive's frames: each that was ticked ends once, and says when what happened to it.

Times are seconds of `time.monotonic` on the drive's machine. The inference server has a clock of its own, which may be
another machine's, so that its start and end are placed in the middle of the round trip, as long as it said it took.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final, Literal

import msgspec

from bridge.prefetch import Captured
from bridge.protocol.errors import OutputError, UsageError
from bridge.protocol.frames import RenderedFrame

Outcome = Literal["rendered", "dropped", "failed", "original"]
UNENDED: Final = "the drive ended before this frame did"
_SERVER_EXTRAS: Final = ("prepare", "round_trip")


class FrameRecord(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What happened to one frame, and when; None is what did not happen.

    `outcome`: a picture was synthesized ("rendered"), a newer frame took its place ("dropped"), there was to be a
    picture and the server was lost, busy or refused ("failed"), or nothing was to be synthesized ("original").
    `tick_s` the tick begins · `sample_s` its planes are there · `submit_s` its way to the server begins · `start_s`,
    `end_s` the server's work on it · `answer_s` the picture is here · `present_s` it was shown. `age_ms` is from
    sample to present, `under_way` how many ticked frames had no end yet, this one included, when it was sampled.
    """

    frame_id: int
    time_s: float
    tick_s: float
    sample_s: float
    outcome: Outcome | None = None
    sequence: int | None = None
    submit_s: float | None = None
    start_s: float | None = None
    end_s: float | None = None
    answer_s: float | None = None
    present_s: float | None = None
    age_ms: float | None = None
    under_way: int = 1
    reset: str = ""
    notice: str = ""
    stages_ms: dict[str, float] = {}


class Ledger:
    """Counts frames by how they end, and writes each as a line of JSON to `path`, if there is one.

    At every moment `ticked` is the sum of `counts` and of `under_way`. A line is given to the system when its frame
    ends, so that what was told survives the process.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Raises OutputError for a file that cannot be written."""
        self.ticked = 0
        self.counts: dict[Outcome, int] = {"rendered": 0, "dropped": 0, "failed": 0, "original": 0}
        self.most_under_way = 0
        self._open: dict[int, FrameRecord] = {}
        self._path = path
        self._lines: IO[bytes] | None = None
        self._encoder = msgspec.json.Encoder()
        if path is not None:
            with output_error("telemetry", path):
                self._lines = path.open("wb", buffering=0)

    @property
    def under_way(self) -> int:
        """How many frames were ticked and have not ended."""
        return len(self._open)

    def tick(self, captured: Captured) -> None:
        """Note a new frame."""
        frame = captured.frame
        if frame.frame_id in self._open:  # a simulator that began anew counts from one again
            self.end(frame.frame_id, "failed", UNENDED)
        self.ticked += 1
        self._open[frame.frame_id] = FrameRecord(
            frame_id=frame.frame_id,
            time_s=frame.time_s,
            tick_s=captured.start_s,
            sample_s=frame.captured_s,
            under_way=len(self._open) + 1,
        )
        self.most_under_way = max(self.most_under_way, len(self._open))

    def submit(self, frame_id: int, sequence: int, submit_s: float) -> None:
        """Note that a frame is on its way to the server."""
        record = self._open[frame_id]
        record.sequence, record.submit_s = sequence, submit_s

    def settle(self, frame_id: int, outcome: Outcome) -> None:
        """Count how a frame ends; `end` follows, unless showing it fails."""
        self.counts[outcome] += 1
        self._open[frame_id].outcome = outcome

    def end(
        self,
        frame_id: int,
        outcome: Outcome,
        notice: str = "",
        *,
        rendered: RenderedFrame | None = None,
        present_s: float | None = None,
        stages_ms: Mapping[str, float] | None = None,
    ) -> None:
        """End a frame, and count it if `settle` has not; raises OutputError if the disk is full."""
        if self._open[frame_id].outcome is None:
            self.settle(frame_id, outcome)
        record = self._open.pop(frame_id)
        if self._lines is None or self._path is None:
            return
        record.notice, record.present_s = notice, present_s
        if present_s is not None:
            record.age_ms = round((present_s - record.sample_s) * 1e3, 3)
        if rendered is not None:
            _place_server(record, rendered)
        record.stages_ms = {name: round(duration_ms, 3) for name, duration_ms in (stages_ms or {}).items()}
        with output_error("telemetry", self._path):
            self._lines.write(self._encoder.encode(record) + b"\n")

    def close(self) -> None:
        """End the frames that are under way as failed, and close the file; raises OutputError if the disk is full."""
        try:
            for frame_id in list(self._open):
                self.end(frame_id, "failed", UNENDED)
        finally:
            lines, self._lines = self._lines, None
            if lines is not None and self._path is not None:
                with output_error("telemetry", self._path):
                    lines.close()


def _place_server(record: FrameRecord, rendered: RenderedFrame) -> None:
    """Write when the server worked: in the middle of the round trip, as long as its stages took."""
    record.reset = rendered.reset
    round_trip_ms = rendered.stages_ms.get("round_trip")
    if record.submit_s is None or round_trip_ms is None:
        return
    server_ms = sum(ms for name, ms in rendered.stages_ms.items() if name not in _SERVER_EXTRAS)
    sent_s = record.submit_s + rendered.stages_ms.get("prepare", 0.0) / 1e3
    record.start_s = sent_s + max(0.0, round_trip_ms - server_ms) / 2e3
    record.end_s = record.start_s + min(server_ms, round_trip_ms) / 1e3
    record.answer_s = sent_s + round_trip_ms / 1e3


def read_telemetry(path: Path) -> list[FrameRecord]:
    """Return the records of a file in their order; a last line that was not finished is left out.

    Raises UsageError for a file that cannot be read or is another.
    """
    try:
        *whole, _unfinished = path.read_bytes().split(b"\n")
        decoder = msgspec.json.Decoder(FrameRecord)
        return [decoder.decode(line) for line in whole]
    except OSError as error:
        raise UsageError(f"the telemetry {path} cannot be read ({error.strerror})", "Name another file") from None
    except msgspec.MsgspecError as error:
        raise UsageError(f"{path} is not telemetry of a drive ({error})", "Write one with --telemetry FILE") from None


@contextlib.contextmanager
def output_error(what: str, path: Path) -> Iterator[None]:
    """Turn what the disk refuses into a sentence that says `what` could not be written."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the {what} {path} cannot be written ({error.strerror})", "Name another file, or make room"
        ) from None
