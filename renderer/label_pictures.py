"""Label maps in PNG files: 8 or 16 bits of class id a pixel, or a palette whose indices are the class ids."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import LabelError

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_GREY: Final = 0
_PALETTE: Final = 3
_READ_AGAIN: Final = "Get or write the file again"


@dataclass(frozen=True)
class PngHeader:
    """What the first chunk of a PNG says; `color_type` and `bit_depth` as in its specification."""

    width_px: int
    height_px: int
    bit_depth: int
    color_type: int

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height_px, self.width_px

    @property
    def is_colour(self) -> bool:
        """Whether a pixel is a colour of its own: not grey, and not an index of a palette."""
        return self.color_type not in (_GREY, _PALETTE)


def read_header(path: Path) -> PngHeader:
    """Return a label map's header without reading its pixels.

    Raises LabelError for what is no PNG, or holds colours where class ids belong.
    """
    header = read_any_header(path)
    if header.is_colour:
        raise LabelError(f"{path} holds colours, not class ids", "Give pictures of one channel, a class id a pixel")
    if header.bit_depth < 8:
        raise LabelError(f"{path} has {header.bit_depth} bits a pixel", "Write label maps with 8 bits a pixel")
    return header


def read_any_header(path: Path) -> PngHeader:
    """Return a PNG's header without reading its pixels; raises LabelError for what is none."""
    try:
        with path.open("rb") as file:
            start = file.read(33)
    except OSError as error:
        raise LabelError(f"{path} cannot be read ({error.strerror})", "Check the file") from None
    if len(start) < 33 or not start.startswith(_SIGNATURE) or start[12:16] != b"IHDR":
        raise LabelError(f"{path} is not a PNG", _READ_AGAIN)
    return PngHeader(*struct.unpack(">IIBB", start[16:26]))


def read_label_map(path: Path) -> NDArray[np.uint8]:
    """Return the class ids of a PNG as (H,W) u8; raises LabelError for a damaged file or ids above 255."""
    ids = read_ids(path)
    if ids.dtype != np.uint8 and ids.max() > 255:
        raise LabelError(f"{path} holds the id {ids.max()}, and class ids end at 255", "Is it an instance map?")
    return ids.astype(np.uint8, copy=False)


def read_ids(path: Path) -> NDArray[np.unsignedinteger]:
    """Return the ids of a PNG as (H,W) u8 or u16, of a palette picture its indices; raises LabelError."""
    header = read_header(path)
    data = path.read_bytes()
    try:
        if header.color_type == _PALETTE:
            data = _as_grey(data)
        else:
            list(_chunks(data))  # OpenCV would return what it can of a truncated file
        ids = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (ValueError, struct.error, cv2.error):  # OpenCV's: a header that claims more pixels than it takes
        raise LabelError(f"{path} is a damaged PNG", _READ_AGAIN) from None
    if ids is None or ids.shape != header.size_hw:
        raise LabelError(f"{path} is a damaged PNG", _READ_AGAIN)
    return np.asarray(ids, np.uint16 if ids.dtype == np.uint16 else np.uint8)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each chunk up to the end; raises ValueError if one is damaged or missing."""
    position = len(_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        content = data[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
        if zlib.crc32(kind + content) != checksum:
            raise ValueError("checksum")
        yield kind, content
        position += length + 12


def _as_grey(data: bytes) -> bytes:
    """Return a palette PNG as a grey one of the same numbers: a decoder would put its colours in their place."""
    kept = []
    for kind, content in _chunks(data):
        if kind == b"IHDR":
            kept.append((kind, content[:9] + bytes([_GREY]) + content[10:]))
        elif kind in (b"IDAT", b"IEND"):
            kept.append((kind, content))
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in kept
    )
