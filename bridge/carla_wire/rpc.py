"""CARLA's dialect of msgpack-rpc: requests off a byte stream, replies in the only shapes that the wheel survives.

A request is `[0, msgid, method, [[async], *arguments]]`, a reply `[1, msgid, error | nil, result]`; both are bare
msgpack objects one after the other on a TCP stream. Every result but a batch's is wrapped once more, see `Returns`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack
import msgspec

from bridge.carla_wire.layouts import U32

MAX_REQUEST_BYTES = 64 * 1024 * 1024
"""A connection that sends a longer request is closed."""


class MalformedRequest(ValueError):
    """Bytes that are no request; nothing after them on that connection can be trusted."""


class Returns(enum.Enum):
    """How a method's result is wrapped."""

    VALUE = "value"  # [[1, value]] or [[0, [message]]]
    VOID = "void"  # [[false]] or [[true, [message]]]
    BARE = "bare"  # the value alone; it has no error shape of its own


@dataclass(frozen=True)
class Request:
    """One call: `arguments` holds the encoded argument array, the leading metadata included."""

    msgid: int
    method: str
    arguments: msgspec.Raw
    is_async: bool


class _Envelope(msgspec.Struct, array_like=True, frozen=True):
    kind: int
    msgid: U32
    method: str
    arguments: msgspec.Raw


class _Metadata(msgspec.Struct, array_like=True, frozen=True):
    is_async: bool = False


class _FirstArgument(msgspec.Struct, array_like=True, frozen=True):
    metadata: _Metadata


_envelope = msgspec.msgpack.Decoder(_Envelope)
_first_argument = msgspec.msgpack.Decoder(_FirstArgument)
_encoder = msgspec.msgpack.Encoder()


class RequestReader:
    """Cuts a byte stream into requests; holds at most `max_bytes` of an unfinished one."""

    def __init__(self, max_bytes: int = MAX_REQUEST_BYTES) -> None:
        self._max_bytes = max_bytes
        self._cutter = msgpack.Unpacker(raw=True, max_buffer_size=max_bytes)
        self._pending = bytearray()
        self._cut_at = 0

    def feed(self, chunk: bytes) -> Iterator[Request]:
        """Yield the requests that `chunk` completes; raises MalformedRequest where the stream is none or too long."""
        self._pending += chunk
        if len(self._pending) > self._max_bytes:
            raise MalformedRequest(f"a request is longer than {self._max_bytes} bytes")
        try:
            self._cutter.feed(chunk)
        except msgpack.BufferFull as error:
            raise MalformedRequest(f"a request is longer than {self._max_bytes} bytes") from error
        while True:
            try:
                self._cutter.skip()
            except msgpack.OutOfData:
                return
            except (msgpack.UnpackException, ValueError) as error:
                raise MalformedRequest(f"no msgpack object: {error!r}") from error
            end = self._cutter.tell()
            message = bytes(memoryview(self._pending)[: end - self._cut_at])
            del self._pending[: end - self._cut_at]
            self._cut_at = end
            yield decode_request(message)


def decode_request(message: bytes) -> Request:
    """Return the call in one whole msgpack object; raises MalformedRequest when it is none."""
    try:
        envelope = _envelope.decode(message)
        is_async = _first_argument.decode(envelope.arguments).metadata.is_async
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedRequest(f"no request: {error}") from error
    if envelope.kind != 0:
        raise MalformedRequest(f"message kind {envelope.kind} is no request")
    return Request(envelope.msgid, envelope.method, envelope.arguments, is_async)


def encode_request(msgid: int, method: str, arguments: tuple[Any, ...], *, is_async: bool = False) -> bytes:
    """Return the bytes of a call, as the wheel sends them; the inverse of `decode_request`."""
    return _encoder.encode([0, msgid, method, [[is_async], *arguments]])


class MethodLayout:
    """The wire contract of one method: argument types, how its result is wrapped, and the result's type."""

    def __init__(self, name: str, arguments: tuple[Any, ...], returns: Any = None, *, bare: bool = False) -> None:
        self.name = name
        self.argument_types = arguments
        self.returns = Returns.BARE if bare else Returns.VOID if returns is None else Returns.VALUE
        self._arguments = msgspec.msgpack.Decoder(tuple[(_Metadata, *arguments)])
        self._result = msgspec.msgpack.Decoder(Any if returns is None else returns)

    def decode_arguments(self, arguments: msgspec.Raw) -> tuple[Any, ...]:
        """Return the typed arguments without the metadata; raises msgspec.ValidationError where they do not fit."""
        return self._arguments.decode(arguments)[1:]

    def encode_value(self, value: Any) -> bytes:
        """Return a result's own bytes, not wrapped; raises msgspec.ValidationError if the wheel could not read them."""
        encoded = _encoder.encode(value)
        self._result.decode(encoded)
        return encoded

    def encode_reply(self, msgid: int, value: Any) -> bytes:
        """Return the reply that carries `value` (None for a void method); raises msgspec.ValidationError as above.

        Every result goes through here: a reply of the wrong shape kills the client's process, so it never leaves.
        """
        if self.returns is Returns.VOID:
            return _encoder.encode([1, msgid, None, [[False]]])
        result = msgspec.Raw(self.encode_value(value))
        return _encoder.encode([1, msgid, None, result if self.returns is Returns.BARE else [[1, result]]])

    def encode_error(self, msgid: int, message: str) -> bytes:
        """Return the reply that raises RuntimeError(message) in the client's calling thread."""
        if self.returns is Returns.BARE:
            return encode_rpc_error(msgid, message)
        failed = True if self.returns is Returns.VOID else 0
        return _encoder.encode([1, msgid, None, [[failed, [message]]]])

    def decode_reply(self, reply: bytes) -> Any:
        """Return the value of a reply; raises RuntimeError(message) for an error; the inverse of the two above."""
        _kind, _msgid, error, result = msgspec.msgpack.decode(reply)
        if error is not None:
            raise RuntimeError(error)
        if self.returns is Returns.BARE:
            return self._result.decode(_encoder.encode(result))
        (variant,) = result
        failed = variant[0] is True if self.returns is Returns.VOID else variant[0] == 0
        if failed:
            raise RuntimeError(variant[1][0])
        return None if self.returns is Returns.VOID else self._result.decode(_encoder.encode(variant[1]))


def encode_acknowledgement(msgid: int) -> bytes:
    """Return the reply to an asynchronous call, which carries nothing."""
    return _encoder.encode([1, msgid, None, None])


def encode_rpc_error(msgid: int, message: str) -> bytes:
    """Return msgpack-rpc's own error, for calls that do not exist or do not decode."""
    return _encoder.encode([1, msgid, message, None])
