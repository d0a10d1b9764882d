"""Lossless codecs of single planes: bytes of one frame, each readable without any other.

Most records are one Zstandard frame that knows its size and carries a checksum.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Final, Protocol

import cv2
import numpy as np
import zstandard
from numpy.typing import NDArray

from bridge.protocol.errors import RecordingError
from bridge.recording.depth import Depth24Codec
from bridge.recording.depth_kernels import EVEN_ODDS, finish, new_decoder, new_encoder
from bridge.recording.label_kernels import NUM_LABEL_CONTEXTS, code_labels
from bridge.recording.manifest import PlaneCodec
from bridge.recording.records import decompress

IDS_LEVEL: Final = 9  # 512x256 labels: 3.5 kB in 0.8 ms; level 3 makes 4.3 kB in 0.1 ms, level 12 3.4 kB in 3.7 ms
FLOATS_LEVEL: Final = 3
_LABEL_BYTES: Final = 18  # of a pixel: twelve questions at most, each answered at the worst odds of 1 to 2047
PNG_COMPRESSION: Final = 1


class Codec(Protocol):
    """Codes planes of one kind, in one thread; what `encode` returns `decode` gives back bit for bit."""

    def encode(self, plane: NDArray) -> bytes:
        """Return a plane as bytes."""
        ...

    def decode(self, record: bytes, size_hw: tuple[int, int]) -> NDArray:
        """Return the plane of a frame of that height and width; raises RecordingError for bytes that are none."""
        ...


def open_codec(name: PlaneCodec, dtype: np.dtype) -> Codec:
    """Return the codec of that name for planes of a type."""
    if name == "ids":
        return IdsCodec(dtype)
    if name == "labels":
        return LabelsCodec()
    if name == "depth24":
        return Depth24Codec()
    if name == "floats":
        return FloatsCodec()
    if name == "png":
        return PngCodec()
    raise ValueError(f"codec {name} is no codec of single planes")


class IdsCodec:
    """Label and instance maps, (H,W) u8 or u16: little-endian rows."""

    def __init__(self, dtype: np.dtype) -> None:
        self._dtype = dtype.newbyteorder("<")
        self._compressor = zstandard.ZstdCompressor(level=IDS_LEVEL, write_checksum=True)

    def encode(self, plane: NDArray) -> bytes:
        """Return a plane as bytes."""
        if plane.ndim != 2 or plane.dtype.newbyteorder("<") != self._dtype:
            raise ValueError(f"a plane of {plane.dtype} {plane.shape} where (H,W) {self._dtype} was to come")
        return self._compressor.compress(np.ascontiguousarray(plane, self._dtype).data.cast("B"))

    def decode(self, record: bytes, size_hw: tuple[int, int]) -> NDArray:
        """Return the (H,W) plane."""
        data = decompress(record, math.prod(size_hw) * self._dtype.itemsize)
        return np.frombuffer(data, self._dtype).reshape(size_hw)


class LabelsCodec:
    """Label maps, (H,W) u8: a CRC-32 (little-endian) of height and width (u32 each) and the rest, then a coder's bytes.

    Of 2.7 kB as `ids` 1.6 kB are left.
    """

    def __init__(self) -> None:
        self._odds = np.empty((NUM_LABEL_CONTEXTS, 2), np.int64)
        self.encode(np.zeros((2, 2), np.uint8))  # so that nobody waits for the compiler in the middle of a drive

    def encode(self, plane: NDArray) -> bytes:
        """Return a plane as bytes."""
        if plane.ndim != 2 or plane.dtype != np.uint8:
            raise ValueError(f"a plane of {plane.dtype} {plane.shape} where (H,W) uint8 was to come")
        self._odds.fill(EVEN_ODDS)
        state = new_encoder()
        buffer = np.empty(plane.size * _LABEL_BYTES + 64, np.uint8)
        code_labels(state, buffer, self._odds, plane.astype(np.int32))
        coded = finish(state, buffer)
        if coded is None:
            raise AssertionError("a label took more bytes than it can")
        return _label_crc(coded, (plane.shape[0], plane.shape[1])) + coded

    def decode(self, record: bytes, size_hw: tuple[int, int]) -> NDArray:
        """Return the (H,W) plane."""
        if _label_crc(record[4:], size_hw) != record[:4]:
            raise RecordingError("a plane of the recording is damaged", "Get the recording again")
        self._odds.fill(EVEN_ODDS)
        data = np.frombuffer(bytearray(record[4:]), np.uint8)
        labels = np.zeros(size_hw, np.int32)
        code_labels(new_decoder(data), data, self._odds, labels)
        return labels.astype(np.uint8)


def _label_crc(coded: bytes, size_hw: tuple[int, int]) -> bytes:
    return zlib.crc32(coded, zlib.crc32(struct.pack("<II", *size_hw))).to_bytes(4, "little")


class FloatsCodec:
    """Optical flow, (H,W,2) f32: the four bytes of all numbers one after the other, exponents with exponents."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=FLOATS_LEVEL, write_checksum=True)

    def encode(self, plane: NDArray) -> bytes:
        """Return a plane as bytes."""
        if plane.ndim != 3 or plane.shape[2] != 2 or plane.dtype != np.float32:
            raise ValueError(f"a plane of {plane.dtype} {plane.shape} where (H,W,2) float32 was to come")
        shuffled = np.ascontiguousarray(plane, "<f4").view(np.uint8).reshape(-1, 4).T
        return self._compressor.compress(np.ascontiguousarray(shuffled).data.cast("B"))

    def decode(self, record: bytes, size_hw: tuple[int, int]) -> NDArray:
        """Return the (H,W,2) plane."""
        data = decompress(record, math.prod(size_hw) * 8)
        shuffled = np.frombuffer(data, np.uint8).reshape(4, -1)
        return np.ascontiguousarray(shuffled.T).view("<f4").reshape(*size_hw, 2)


class PngCodec:
    """Pictures, (H,W,3) u8 RGB, as PNG: large, but nothing is lost and everything reads it."""

    def encode(self, plane: NDArray) -> bytes:
        """Return a picture as bytes."""
        if plane.ndim != 3 or plane.shape[2] != 3 or plane.dtype != np.uint8:
            raise ValueError(f"a picture of {plane.dtype} {plane.shape} where (H,W,3) uint8 was to come")
        bgr = cv2.cvtColor(plane, cv2.COLOR_RGB2BGR)
        ok, png = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])
        if not ok:
            raise ValueError(f"a picture of {plane.shape} cannot be coded as PNG")
        return png.tobytes()

    def decode(self, record: bytes, size_hw: tuple[int, int]) -> NDArray:
        """Return the (H,W,3) picture."""
        header = record[
            :24
        ]  # signature, then IHDR with width and height: read first, a small file can be a huge picture
        stated_hw = (int.from_bytes(header[20:24], "big"), int.from_bytes(header[16:20], "big"))
        bgr = None
        if header[:8] == b"\x89PNG\r\n\x1a\n" and stated_hw == size_hw:
            bgr = cv2.imdecode(np.frombuffer(record, np.uint8), cv2.IMREAD_COLOR)
        if bgr is None or bgr.shape != (*size_hw, 3):
            raise RecordingError("a picture of the recording is damaged", "Get the recording again")
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
