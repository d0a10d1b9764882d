"""One connection to an inference server: the socket that messages pass, and what ZeroMQ says of it."""

from __future__ import annotations

import math
from typing import Final

import zmq
from zmq.utils.monitor import parse_monitor_message

from bridge.protocol import sockets, wire
from bridge.protocol.errors import UsageError
from bridge.protocol.sockets import CurveKeys

_POLL_MAX_MS: Final = 50
_BYE_MS: Final = 100
_EVENTS: Final = (
    zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
)


class RenderLink:
    """Connects in the background, and again whenever the server was away; nothing here waits but `wait`."""

    def __init__(self, context: zmq.Context, endpoint: str, server_key: CurveKeys | None) -> None:
        """Begin to connect; raises UsageError for what cannot be connected to."""
        self._socket: zmq.Socket = context.socket(zmq.DEALER)
        sockets.set_client_options(self._socket, server_key)
        self._monitor: zmq.Socket = self._socket.get_monitor_socket(_EVENTS)
        self._poller = zmq.Poller()
        self._poller.register(self._monitor, zmq.POLLIN)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise UsageError(
                f"{endpoint} cannot be connected to ({error})", f"Write it as {sockets.DEFAULT_ENDPOINT}"
            ) from None

    def next_event(self) -> int | None:
        """Return what happened to the connection next, a `zmq.Event`; None if nothing did."""
        if not _has_message(self._monitor):
            return None
        return parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))["event"]

    def receive(self) -> list[zmq.Frame] | None:
        """Return the next message that has come."""
        return self._socket.recv_multipart(zmq.NOBLOCK, copy=False) if _has_message(self._socket) else None

    def send(self, frames: list[wire.Buffer]) -> bool:
        """Send a message and return True; False where it cannot be sent now."""
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        return True

    def wait(self, seconds: float, *, until_it_sends: bool = False) -> bool:
        """Wait for a message or an event, or until `send` would send; return whether there is an event."""
        self._poller.register(self._socket, zmq.POLLIN | (zmq.POLLOUT if until_it_sends else 0))
        ready = self._poller.poll(min(math.ceil(max(seconds, 0.0) * 1e3), _POLL_MAX_MS))
        return any(socket is self._monitor for socket, _ in ready)

    def linger(self) -> None:
        """Let `close` take a moment for what was sent last; a server that is gone does not get to hold the end up."""
        self._socket.setsockopt(zmq.LINGER, _BYE_MS)

    def close(self) -> None:
        """Free the sockets."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close()


def _has_message(socket: zmq.Socket) -> bool:
    """Whether a receive would find one: costs half of a receive that raises, and a fifth of a poll."""
    return bool(int(socket.get(zmq.EVENTS)) & zmq.POLLIN)
