"""A recorder's log, opened for reading: an index of its frames, and each frame's records when they are asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.carla_wire import recorder_log as log
from bridge.carla_wire.recorder_log import PacketId, RecorderLogError

EVENTS = frozenset({PacketId.ADDED, PacketId.REMOVED, PacketId.ATTACHED})


@dataclass
class LoggedFrame:
    """One frame: `added` actors, and the records of every other known packet by its id."""

    frame: log.LogFrame
    added: list[log.Added] = field(default_factory=list)
    records: dict[PacketId, list[Any]] = field(default_factory=dict)

    def of(self, packet_id: PacketId) -> list[Any]:
        """Return the records of a packet; none where the frame has no such packet."""
        return self.records.get(packet_id, [])


class RecordedLog:
    """A log file; raises OSError if it cannot be read and RecorderLogError if it is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        try:
            self._size = path.stat().st_size
            self.info, offset = log.decode_info(self._file.read(3 * (log.LONGEST_TEXT_BYTES + 2)))
            self.frames: list[log.LogFrame] = []
            self._starts: list[int] = []
            for packet in log.scan_packets(self._file, offset, self._size):
                if packet.packet_id == PacketId.FRAME_START:
                    self.frames.append(log.decode_frame(self._file.read(packet.size)))
                    self._starts.append(packet.offset + packet.size)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def duration_s(self) -> float:
        """When the last frame begins."""
        return self.frames[-1].elapsed_s if self.frames else 0.0

    def index_at(self, time_s: float) -> int:
        """Return the number (from 0) of the frame in which a moment lies; -1 before the first one."""
        return bisect_right(self.frames, time_s, key=lambda frame: frame.elapsed_s) - 1

    def read(self, index: int, wanted: frozenset[PacketId] | None = None) -> LoggedFrame:
        """Return a frame with the records of the `wanted` packets, of all if None."""
        found = LoggedFrame(self.frames[index])
        for packet in log.scan_packets(self._file, self._starts[index], self._size):
            if packet.packet_id in (PacketId.FRAME_END, PacketId.FRAME_START):
                break
            if packet.packet_id not in PacketId.__members__.values():
                continue
            packet_id = PacketId(packet.packet_id)
            if wanted is not None and packet_id not in wanted:
                continue
            payload = self._file.read(packet.size)
            if packet_id is PacketId.ADDED:
                found.added = log.decode_added(payload)
            elif packet_id in log.RECORDS:
                found.records[packet_id] = log.decode_records(packet_id, payload)
        return found

    def __iter__(self) -> Iterator[LoggedFrame]:
        return (self.read(index) for index in range(len(self.frames)))


def open_log(path: Path) -> RecordedLog:
    """Return an opened log; raises RecorderLogError with a sentence if there is none or it is no log."""
    try:
        return RecordedLog(path)
    except OSError as error:
        raise RecorderLogError(f"File {path} not found on server") from error
    except RecorderLogError as error:
        raise RecorderLogError(f"File {path} is not a CARLA recorder: {error}") from error
