"""Socket options that client and inference server must agree on, which endpoints stay on one host, and key files."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import zmq

from bridge.protocol.errors import UsageError
from bridge.protocol.wire import MAX_PLANE_BYTES

DEFAULT_ENDPOINT: Final = "tcp://127.0.0.1:5790"
HEARTBEAT_INTERVAL_MS: Final = 200
HEARTBEAT_TIMEOUT_MS: Final = 600
RECONNECT_FIRST_MS: Final = 10
RECONNECT_MAX_MS: Final = 100
QUEUE_LENGTH: Final = 8
KEY_HINT: Final = (
    "Make a pair of key files, the secret one yours alone, with: "
    "python -c \"import os, zmq.auth; os.umask(0o77); zmq.auth.create_certificates('.', 'renderer')\""
)


@dataclass(frozen=True)
class CurveKeys:
    """A CURVE key pair, Z85 text as bytes; `secret` is empty for a public key."""

    public: bytes
    secret: bytes = b""


def set_common_options(socket: zmq.Socket) -> None:
    """Set what both ends need: a bound on message size, short queues, heartbeats, and no waiting at close.

    The queues only guard memory: frames are paced by a credit of one. A message beyond the bound makes libzmq drop
    the connection that sent it and no other.
    """
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, QUEUE_LENGTH)
    socket.setsockopt(zmq.RCVHWM, QUEUE_LENGTH)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_PLANE_BYTES)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_INTERVAL_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)


def set_client_options(socket: zmq.Socket, server_key: CurveKeys | None = None) -> None:
    """Set what a render client needs: nothing is queued for a server that is away, and it is found again quickly."""
    set_common_options(socket)
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_FIRST_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
    if server_key is not None:
        public, secret = zmq.curve_keypair()
        socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
        socket.setsockopt(zmq.CURVE_SERVERKEY, server_key.public)


def set_server_options(socket: zmq.Socket, secret_key: CurveKeys | None = None) -> None:
    """Set what the inference server needs: a reply to a client that is gone is an error instead of silence."""
    set_common_options(socket)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    if secret_key is not None:
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, secret_key.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, secret_key.secret)


def stays_on_host(endpoint: str) -> bool:
    """Tell whether an endpoint cannot be reached from another machine: ipc, inproc, or tcp on loopback."""
    parts = urlsplit(endpoint)
    if parts.scheme in ("ipc", "inproc"):
        return True
    host = parts.netloc.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_endpoint(endpoint: str) -> None:
    """Raise UsageError unless the text is an endpoint: tcp://HOST:PORT or ipc://PATH."""
    parts = urlsplit(endpoint)
    host, _, port = parts.netloc.rpartition(":")
    if parts.scheme == "ipc" and (parts.netloc or parts.path):
        return
    if parts.scheme == "tcp" and host and (port == "*" or (port.isdigit() and int(port) < 65536)):
        return
    raise UsageError(f"{endpoint!r} is not an endpoint", f"Write one as {DEFAULT_ENDPOINT} or ipc:///tmp/renderer")


def check_listen(endpoint: str, secret_key: Path | None) -> None:
    """Raise UsageError for what a server cannot listen at: no endpoint, no key where other machines can connect."""
    check_endpoint(endpoint)
    if secret_key is None and not stays_on_host(endpoint):
        raise UsageError(
            f"{endpoint} can be reached from other machines, and this server has no key",
            f"Listen at {DEFAULT_ENDPOINT}, or give --curve-secret FILE. {KEY_HINT}",
        )
    if secret_key is not None:
        load_secret_key(secret_key)


def load_secret_key(path: Path) -> CurveKeys:
    """Read a CURVE secret key file (NAME.key_secret); raises UsageError with what to do."""
    keys = _load_keys(path)
    if not keys.secret:
        raise UsageError(f"{path} holds no secret key", "Give the file that ends in .key_secret to the server")
    return keys


def load_public_key(path: Path) -> CurveKeys:
    """Read a CURVE public key file (NAME.key); raises UsageError with what to do."""
    return CurveKeys(_load_keys(path).public)


def _load_keys(path: Path) -> CurveKeys:
    import zmq.auth  # only who uses keys pays for it

    try:
        public, secret = zmq.auth.load_certificate(path)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a readable CURVE key file ({error})", KEY_HINT) from None
    return CurveKeys(public, secret or b"")
