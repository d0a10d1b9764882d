"""Messages to byte frames and back: pure, bounded, no pickle.

A message is a list of byte frames: first `MAGIC`, one byte of protocol version and the msgpack header; then one frame
a plane, in the header's order; the frame of a plane in shared memory is empty. Decoding checks every size against the
header and the limits before it touches data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import cv2
import lz4.block
import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import ForeignProtocol, MessageTooLarge, WireError
from bridge.protocol.messages import (
    PROTOCOL_VERSION,
    Codec,
    Message,
    PlaneHeader,
    PlaneName,
    PlaneType,
    Render,
    Rendered,
)

MAGIC: Final = b"vidrive"
MAX_HEADER_BYTES: Final = 256 * 1024
MAX_PLANE_BYTES: Final = 64 * 1024 * 1024
MAX_PLANES: Final = 8
JPEG_QUALITY: Final = 90

Buffer = bytes | memoryview

_TYPES: Final[dict[PlaneType, np.dtype]] = {
    "u8": np.dtype("u1"),
    "u16": np.dtype("<u2"),
    "f16": np.dtype("<f2"),
    "f32": np.dtype("<f4"),
}
_TYPE_NAMES: Final[dict[np.dtype, PlaneType]] = {dtype: name for name, dtype in _TYPES.items()}
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def plane_header(name: PlaneName, array: NDArray, codec: Codec = "raw", offset_bytes: int = 0) -> PlaneHeader:
    """Describe an array as a plane; raises WireError for an array type this protocol does not carry."""
    type_name = _TYPE_NAMES.get(array.dtype.newbyteorder("<"))
    if type_name is None:
        raise WireError(f"plane {name} has type {array.dtype}", f"Send one of {', '.join(_TYPES)}")
    return PlaneHeader(name=name, type=type_name, shape=array.shape, codec=codec, offset_bytes=offset_bytes)


def encode(message: Message, arrays: Sequence[NDArray] = (), memory: memoryview | None = None) -> list[Buffer]:
    """Return the byte frames of a message; `arrays` are the planes that its headers describe, in that order.

    Raw planes are not copied: they must not change until the message was sent. Shared ones are copied into `memory`.
    Raises MessageTooLarge for a plane that the peer would not take.
    """
    headers = message.planes if isinstance(message, Render | Rendered) else ()
    return [encode_header(message), *encode_planes(headers, arrays, memory)]


def encode_planes(
    headers: Sequence[PlaneHeader], arrays: Sequence[NDArray], memory: memoryview | None = None
) -> list[Buffer]:
    """Return the byte frames of planes alone; `encode` without the header."""
    if len(headers) != len(arrays):
        raise ValueError(f"{len(headers)} plane headers for {len(arrays)} arrays")
    return [_encode_plane(header, array, memory) for header, array in zip(headers, arrays, strict=True)]


def encode_header(message: Message) -> bytes:
    """Return the first byte frame of a message; its planes are not touched."""
    return MAGIC + bytes([PROTOCOL_VERSION]) + _encoder.encode(message)


def decode(frames: Sequence[Buffer], memory: memoryview | None = None) -> tuple[Message, dict[PlaneName, NDArray]]:
    """Return the message and its planes as read-only arrays: views of the byte frames where the codec is raw, and of
    `memory` where it is shared: the peer can write there at any time, so copy before you check and trust.

    Raises ForeignProtocol for bytes that are not this protocol and version, MessageTooLarge beyond the limits, and
    WireError for anything else that does not fit.
    """
    message = decode_header(frames)
    return message, decode_planes(message, frames, memory)


def decode_planes(
    message: Message, frames: Sequence[Buffer], memory: memoryview | None = None
) -> dict[PlaneName, NDArray]:
    """Return the planes of a message whose header was decoded before; the second half of `decode`."""
    headers = message.planes if isinstance(message, Render | Rendered) else ()
    if len(headers) != len(frames) - 1:
        raise WireError(f"a message announces {len(headers)} planes and carries {len(frames) - 1}", "Send both alike")
    if len({header.name for header in headers}) != len(headers):
        raise WireError("a message carries a plane twice", "Send each plane once")
    return {h.name: _decode_plane(h, frame, memory) for h, frame in zip(headers, frames[1:], strict=True)}


def decode_header(frames: Sequence[Buffer]) -> Message:
    """Return the message without its planes; the first half of `decode`."""
    if not frames or len(frames) > MAX_PLANES + 1:
        raise WireError(f"a message of {len(frames)} byte frames", f"Send 1 to {MAX_PLANES + 1}")
    head = memoryview(frames[0])
    if len(head) > MAX_HEADER_BYTES:
        raise MessageTooLarge(f"a header of {len(head)} bytes", f"The limit is {MAX_HEADER_BYTES}")
    if bytes(head[: len(MAGIC)]) != MAGIC or len(head) <= len(MAGIC):
        raise ForeignProtocol("the peer does not speak vidrive's protocol", "Check the endpoint and its port")
    version = head[len(MAGIC)]
    if version != PROTOCOL_VERSION:
        raise ForeignProtocol(
            f"the peer speaks version {version} of the protocol, this is version {PROTOCOL_VERSION}",
            "Install the same version of vidrive on both sides",
        )
    try:
        return _decoder.decode(head[len(MAGIC) + 1 :])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"a header that cannot be read ({error})", "Check what is sent to this port") from None


def _plane_bytes(header: PlaneHeader) -> int:
    if any(side < 1 for side in header.shape) or not 2 <= len(header.shape) <= 3:
        raise WireError(f"plane {header.name} has shape {header.shape}", "Send (height, width) or (height, width, n)")
    num_bytes = math.prod(header.shape) * _TYPES[header.type].itemsize
    if num_bytes > MAX_PLANE_BYTES:
        raise MessageTooLarge(
            f"plane {header.name} of {num_bytes} bytes", f"The limit is {MAX_PLANE_BYTES}: choose a smaller size"
        )
    return num_bytes


def _encode_plane(header: PlaneHeader, array: NDArray, memory: memoryview | None) -> Buffer:
    if array.shape != header.shape or array.dtype.newbyteorder("<") != _TYPES[header.type]:
        raise ValueError(f"plane {header.name} is {array.dtype} {array.shape}, its header says {header}")
    _plane_bytes(header)  # the peer would hang up without a word
    if header.codec == "shared":
        np.copyto(np.frombuffer(_shared(header, memory), _TYPES[header.type]).reshape(header.shape), array)
        return b""
    contiguous = np.ascontiguousarray(array, dtype=_TYPES[header.type])
    if header.codec == "raw":
        return contiguous.data.cast("B")
    if header.codec == "lz4":
        return lz4.block.compress(contiguous.data.cast("B"), store_size=False)
    ok, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(contiguous, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not ok:
        raise WireError(f"plane {header.name} cannot be coded as JPEG", "Ask for raw pictures")
    return jpeg.data.cast("B")


def _shared(header: PlaneHeader, memory: memoryview | None) -> memoryview:
    """The bytes of a plane in shared memory."""
    end_bytes = header.offset_bytes + _plane_bytes(header)
    if memory is None or end_bytes > len(memory) or header.offset_bytes % _TYPES[header.type].itemsize:
        raise WireError(f"plane {header.name} is not in the shared memory that was agreed upon", "Send it as raw bytes")
    return memory[header.offset_bytes : end_bytes]


def _decode_plane(header: PlaneHeader, frame: Buffer, memory: memoryview | None) -> NDArray:
    num_bytes = _plane_bytes(header)
    view = memoryview(frame)
    if header.codec == "shared":
        if len(view):
            raise WireError(f"plane {header.name} has bytes beside the shared memory", "Send it once")
        view = _shared(header, memory)
    if header.codec == "jpeg":
        return _decode_jpeg(header, view)
    if header.codec == "lz4":
        try:
            view = memoryview(lz4.block.decompress(view, uncompressed_size=num_bytes))
        except (lz4.block.LZ4BlockError, ValueError, OverflowError) as error:
            raise WireError(f"plane {header.name} is not valid LZ4 ({error})", "Send it again") from None
    if len(view) != num_bytes:
        raise WireError(
            f"plane {header.name} has {len(view)} bytes instead of {num_bytes}", "Send what the header announces"
        )
    array = np.frombuffer(view, _TYPES[header.type]).reshape(header.shape)
    array.flags.writeable = False
    return array


def _decode_jpeg(header: PlaneHeader, view: memoryview) -> NDArray:
    if header.type != "u8" or len(header.shape) != 3 or header.shape[2] != 3:
        raise WireError(f"plane {header.name} cannot be a JPEG of shape {header.shape}", "Send (height, width, 3) u8")
    if len(view) > _plane_bytes(header) + 65536 or _jpeg_size(view) != header.shape[:2]:
        raise WireError(
            f"plane {header.name} is not a JPEG of size {header.shape[:2]}", "Send what the header announces"
        )
    bgr = cv2.imdecode(np.frombuffer(view, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None or bgr.shape != header.shape:
        raise WireError(f"plane {header.name} is not a readable JPEG", "Send it again")
    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    rgb.flags.writeable = False
    return rgb


def _jpeg_size(view: memoryview) -> tuple[int, int] | None:
    """Height and width from the frame header, read before decoding so that a small file cannot ask for huge memory."""
    position = 2
    if bytes(view[:2]) != b"\xff\xd8":
        return None
    while position + 9 <= len(view) and view[position] == 0xFF:
        marker, length = view[position + 1], (view[position + 2] << 8) | view[position + 3]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return (view[position + 5] << 8) | view[position + 6], (view[position + 7] << 8) | view[position + 8]
        position += 2 + length
    return None
