"""Ask what listens at an address for CARLA's version, before CARLA's own client library does.

That library aborts the whole process when it is answered by something that is not CARLA, and waits its full timeout
for a server that died. So the first question is asked over a plain socket, and the socket is kept as a lifeline: the
system closes it in the moment in which the server's process ends.
"""

from __future__ import annotations

import select
import socket
import time
from typing import Final

import msgpack

from bridge.protocol.errors import ForeignSimulator, SimulatorAbsent, SimulatorUnreachable

SUPPORTED_VERSIONS: Final = ((0, 9, 14), (0, 9, 16))
_ASK_VERSION: Final = b"\x94\x00\x01\xa7version\x91\x91\xc2"  # msgpack of [0, 1, "version", [[False]]]
_MAX_ANSWER_BYTES: Final = 4096
_RETRY_S: Final = 0.2


class Lifeline:
    """An open connection to a simulator of a known version that tells at once when the simulator is gone."""

    def __init__(self, connection: socket.socket, version: str) -> None:
        self._connection = connection
        self.version = version

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the simulator is gone."""
        return self._connection.fileno()

    @property
    def lost(self) -> bool:
        """Whether the simulator closed the connection."""
        if self._connection.fileno() < 0:
            return True
        try:
            return self._connection.recv(_MAX_ANSWER_BYTES) == b""
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    def answers(self, timeout_s: float) -> bool:
        """Whether the simulator answers a question within that time."""
        if self.lost:  # which also reads what it answered too late
            return False
        try:
            self._connection.sendall(_ASK_VERSION)
            ready = select.select([self._connection], [], [], timeout_s)[0]
        except OSError:
            return False
        return bool(ready) and not self.lost

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def probe(host: str, port: int, timeout_s: float, wait_s: float = 0.0) -> Lifeline:
    """Return a lifeline to the CARLA server at an address, retrying for `wait_s` while nothing listens there.

    Raises SimulatorUnreachable for an address where no CARLA server answers within `timeout_s`, SimulatorAbsent where
    nothing listens.
    """
    if not 1 <= port <= 65535:
        raise SimulatorUnreachable(f"{port} is not a port", "Give a port of 1 to 65535 in --carla HOST:PORT")
    give_up_s = time.monotonic() + wait_s
    while True:
        try:
            connection = socket.create_connection((host, port), timeout=timeout_s)
            break
        except (OSError, UnicodeError) as error:
            if isinstance(error, ConnectionRefusedError) and time.monotonic() < give_up_s:
                time.sleep(_RETRY_S)
                continue
            raise _unreachable(host, port, timeout_s, error) from None
    try:
        version = _ask_version(connection, host, port, timeout_s)
    except BaseException:
        connection.close()
        raise
    connection.setblocking(False)
    return Lifeline(connection, version)


def check_version(version: str) -> None:
    """Raise ForeignSimulator for a server's version that this bridge does not know."""
    digits = version.split("-")[0].split(".")
    numbers = tuple(int(part) for part in digits if part.isdigit())
    first, last = SUPPORTED_VERSIONS
    if len(numbers) < 3 or len(numbers) != len(digits) or not first <= numbers[:3] <= last:
        raise ForeignSimulator(
            f"the simulator is CARLA {version or 'of an unknown version'}, and this bridge knows "
            f"{'.'.join(map(str, first))} to {'.'.join(map(str, last))}",
            "Start a CARLA server of such a version, or the town with: vidrive town",
        )


def _unreachable(host: str, port: int, timeout_s: float, error: Exception) -> SimulatorUnreachable:
    if isinstance(error, socket.gaierror | UnicodeError):
        return SimulatorUnreachable(f"the host {host!r} cannot be found", "Check the name in --carla HOST:PORT")
    if isinstance(error, ConnectionRefusedError):
        return SimulatorAbsent(
            f"nothing listens at {host}:{port}",
            "Start CARLA there, or the town with: vidrive town; or name another address with --carla HOST:PORT",
        )
    if isinstance(error, TimeoutError):
        return SimulatorUnreachable(
            f"{host}:{port} does not answer within {timeout_s:g} s", "Check the address and any firewall between"
        )
    return SimulatorUnreachable(f"{host}:{port} cannot be reached ({error})", "Check the address and the network")


def _ask_version(connection: socket.socket, host: str, port: int, timeout_s: float) -> str:
    """Ask by CARLA's remote procedure call and return the answer; anything else raises SimulatorUnreachable."""
    not_carla = SimulatorUnreachable(
        f"what listens at {host}:{port} is not a CARLA server",
        "Give the port of CARLA's remote procedure calls, 2000 by default, in --carla HOST:PORT",
    )
    deadline_s = time.monotonic() + timeout_s
    unpacker = msgpack.Unpacker(raw=False, max_buffer_size=_MAX_ANSWER_BYTES)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(_ASK_VERSION)
        while True:
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0 or not select.select([connection], [], [], remaining_s)[0]:
                raise SimulatorUnreachable(
                    f"what listens at {host}:{port} does not answer as a CARLA server within {timeout_s:g} s",
                    "Give the port of CARLA's remote procedure calls, 2000 by default; or wait until it has started",
                )
            piece = connection.recv(_MAX_ANSWER_BYTES)
            if not piece:
                raise not_carla
            unpacker.feed(piece)
            for answer in unpacker:
                return _read_version(answer, not_carla)
    except (OSError, ValueError, msgpack.UnpackException):
        raise not_carla from None


def _read_version(answer: object, not_carla: SimulatorUnreachable) -> str:
    match answer:
        case [1, 1, None, [[1, str(version)]]]:
            return version
        case [1, 1, None, str(version)]:  # servers older than 0.9 answer the bare text
            return version
    raise not_carla
