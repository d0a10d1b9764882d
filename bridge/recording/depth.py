"""CARLA's depth, 24-bit steps of 1000 m / (2^24 - 1), without a bit lost."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from bridge.protocol.errors import RecordingError
from bridge.recording.records import decompress

METRES_PER_STEP: Final = np.float32(1000.0 / (2**24 - 1))
LEVEL: Final = 3
_RAW: Final = b"r"
_STEPS: Final = b"s"


class Depth24Codec:
    """Depth planes, (H,W) f32 metres; depth that is no whole number of steps is kept as plain floats."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)

    def encode(self, plane: NDArray) -> bytes:
        """Return a plane as bytes."""
        if plane.ndim != 2 or plane.dtype != np.float32:
            raise ValueError(f"a plane of {plane.dtype} {plane.shape} where (H,W) float32 was to come")
        steps = steps_of(plane)
        if steps is None:
            return _RAW + self._compressor.compress(_shuffle(np.ascontiguousarray(plane, "<f4").view("<u4")))
        residual = steps.copy()
        residual[:, 1:] -= steps[:, :-1]
        residual[1:] -= residual[:-1].copy()
        return _STEPS + self._compressor.compress(_shuffle(residual.view(np.uint32).astype("<u4")))

    def decode(self, record: bytes, size_hw: tuple[int, int]) -> NDArray:
        """Return the (H,W) plane."""
        words = _unshuffle(decompress(record[1:], math.prod(size_hw) * 4), size_hw)
        if record[:1] == _RAW:
            return words.view("<f4")
        if record[:1] != _STEPS:
            raise RecordingError("a depth plane of the recording is damaged", "Get the recording again")
        residual = words.view("<i4")
        steps = np.cumsum(np.cumsum(residual, 0, dtype=np.int32), 1, dtype=np.int32)
        return metres_of(steps)


def steps_of(depth_m: NDArray[np.float32]) -> NDArray[np.int32] | None:
    """Return the (H,W) i32 steps that `metres_of` makes exactly this depth of; None if there are none."""
    with np.errstate(invalid="ignore"):
        steps = np.rint(depth_m.astype(np.float64) / np.float64(METRES_PER_STEP)).astype(np.int32)
    same = np.array_equal(metres_of(steps).view(np.uint32), np.ascontiguousarray(depth_m).view(np.uint32))
    return steps if same and steps.min() >= 0 and steps.max() < 2**24 else None


def metres_of(steps: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return (H,W) f32 metres of steps, as `bridge.capture.decode` makes them."""
    return steps.astype(np.float32) * METRES_PER_STEP


def _shuffle(words: NDArray) -> bytes:
    return np.ascontiguousarray(words.view(np.uint8).reshape(-1, 4).T).tobytes()


def _unshuffle(data: bytes, size_hw: tuple[int, int]) -> NDArray:
    shuffled = np.frombuffer(data, np.uint8).reshape(4, -1)
    return np.ascontiguousarray(shuffled.T).view("<u4").reshape(size_hw)
