"""Zstandard frames as records: sizes are checked before anything is unpacked."""

from __future__ import annotations

import zstandard

from bridge.protocol.errors import RecordingError


def decompress(record: bytes, num_bytes: int) -> bytes:
    """Return what a record holds; raises RecordingError unless it is whole and holds exactly `num_bytes`."""
    try:
        if zstandard.frame_content_size(record) != num_bytes:
            raise RecordingError("a plane of the recording has another size", "Get the recording again")
        return zstandard.ZstdDecompressor().decompress(record, max_output_size=num_bytes)
    except zstandard.ZstdError:
        raise RecordingError("a plane of the recording is damaged", "Get the recording again") from None
