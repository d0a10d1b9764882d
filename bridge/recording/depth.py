"""CARLA's depth, 24-bit steps of 1000 m / (2^24 - 1), without a bit lost.

A record is a letter that says how it is coded, a CRC-32 (little-endian) of height and width (u32 each), letter and
rest, and the rest:
`p` the range coder's bytes of `bridge.recording.depth_kernels`, `r` plain floats in a Zstandard frame, all first bytes,
then all second ones and so on.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from bridge.protocol.errors import RecordingError
from bridge.recording.depth_kernels import (
    EVEN_ODDS,
    MAX_STEPS,
    MAX_TRIED,
    NUM_COLUMNS,
    NUM_CONTEXTS,
    code_steps,
    finish,
    new_decoder,
    new_encoder,
)
from bridge.recording.records import decompress

METRES_PER_STEP: Final = np.float32(1000.0 / MAX_STEPS)
RAW_LEVEL: Final = 3
_SURFACES: Final = b"p"
_RAW: Final = b"r"
_HEAD_BYTES: Final = 5
_PIXELS_A_SURFACE: Final = 4  # room for surfaces: a picture that has more of them is noise


class Depth24Codec:
    """Depth planes, (H,W) f32 metres; depth that is no whole number of steps is kept as plain floats."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=RAW_LEVEL)
        self._scratch: _Scratch | None = None
        self.encode(np.zeros((2, 2), np.float32))  # so that nobody waits for the compiler in the middle of a drive

    def encode(self, plane: NDArray) -> bytes:
        """Return a plane as bytes."""
        if plane.ndim != 2 or plane.dtype != np.float32:
            raise ValueError(f"a plane of {plane.dtype} {plane.shape} where (H,W) float32 was to come")
        steps = steps_of(plane)
        coded = None if steps is None else self._encode_steps(steps)
        if coded is not None:
            return _sealed(_SURFACES, coded, (plane.shape[0], plane.shape[1]))
        return _sealed(_RAW, self._compressor.compress(pack_floats(plane)), (plane.shape[0], plane.shape[1]))

    def decode(self, record: bytes, size_hw: tuple[int, int]) -> NDArray:
        """Return the (H,W) plane."""
        letter, coded = _unsealed(record, size_hw)
        if letter == _RAW:
            return unpack_floats(coded, size_hw)
        data = np.frombuffer(bytearray(coded), np.uint8)  # one compiled function serves both: its buffer is writable
        steps = np.zeros(size_hw, np.int32)
        scratch = self._scratch_for(size_hw)
        code_steps(new_decoder(data), data, scratch.odds, steps, *scratch.rest)
        return metres_of(steps)

    def _encode_steps(self, steps: NDArray[np.int32]) -> bytes | None:
        state, scratch = new_encoder(), self._scratch_for((steps.shape[0], steps.shape[1]))
        code_steps(state, scratch.buffer, scratch.odds, steps, *scratch.rest)
        return finish(state, scratch.buffer)

    def _scratch_for(self, size_hw: tuple[int, int]) -> _Scratch:
        if self._scratch is None or self._scratch.size_hw != size_hw:
            self._scratch = _Scratch(size_hw)
        self._scratch.clear()
        return self._scratch


class _Scratch:
    """The memory that a picture of a size is coded in, kept from one to the next; see `code_steps`."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        num_pixels = math.prod(size_hw)
        self.size_hw = size_hw
        self.buffer = np.empty(num_pixels * 4 + 64, np.uint8)  # what would need more is kept as floats
        self.odds = np.empty((NUM_CONTEXTS, 2), np.int64)
        self._surfaces = np.empty((num_pixels // _PIXELS_A_SURFACE + 16, NUM_COLUMNS))
        self._owner = np.empty(size_hw, np.int32)
        self._errors = np.empty((2, size_hw[1] + 1), np.int64)
        self._tried = np.empty(MAX_TRIED + 1, np.int64)

    @property
    def rest(self) -> tuple[NDArray, ...]:
        """What `code_steps` takes after the steps."""
        return self._surfaces, self._owner, self._errors, self._tried

    def clear(self) -> None:
        """Make it as if no picture had been coded in it."""
        self.odds.fill(EVEN_ODDS)
        self._owner.fill(-1)
        self._errors.fill(0)


def steps_of(depth_m: NDArray[np.float32]) -> NDArray[np.int32] | None:
    """Return the (H,W) i32 steps that `metres_of` makes exactly this depth of; None if there are none."""
    with np.errstate(invalid="ignore"):
        steps = np.rint(depth_m.astype(np.float64) / np.float64(METRES_PER_STEP)).astype(np.int32)
    same = np.array_equal(metres_of(steps).view(np.uint32), np.ascontiguousarray(depth_m).view(np.uint32))
    return steps if same and steps.min() >= 0 and steps.max() <= MAX_STEPS else None


def metres_of(steps: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return (H,W) f32 metres of steps, as `bridge.capture.decode` makes them."""
    return steps.astype(np.float32) * METRES_PER_STEP


def pack_floats(plane: NDArray[np.float32]) -> bytes:
    """Return the four bytes of all numbers one after the other, exponents with exponents."""
    return np.ascontiguousarray(plane, "<f4").view(np.uint8).reshape(-1, 4).T.tobytes()


def unpack_floats(coded: bytes, size_hw: tuple[int, int]) -> NDArray:
    """Return the (H,W) f32 plane of a Zstandard frame of `pack_floats`; raises RecordingError for any other."""
    shuffled = np.frombuffer(decompress(coded, math.prod(size_hw) * 4), np.uint8).reshape(4, -1)
    return np.ascontiguousarray(shuffled.T).view("<f4").reshape(size_hw)


def _sealed(letter: bytes, coded: bytes, size_hw: tuple[int, int]) -> bytes:
    return letter + _crc(letter, coded, size_hw) + coded


def _unsealed(record: bytes, size_hw: tuple[int, int]) -> tuple[bytes, bytes]:
    letter, coded = record[:1], record[_HEAD_BYTES:]
    if letter not in (_SURFACES, _RAW) or _crc(letter, coded, size_hw) != record[1:_HEAD_BYTES]:
        raise RecordingError("a plane of the recording is damaged", "Get the recording again")
    return letter, coded


def _crc(letter: bytes, coded: bytes, size_hw: tuple[int, int]) -> bytes:
    return zlib.crc32(coded, zlib.crc32(struct.pack("<II", *size_hw) + letter)).to_bytes(4, "little")
