"""What is said about an address where no CARLA server, or a foreign one, answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import msgpack
import pytest

from bridge.capture.probe import check_version, probe
from bridge.protocol.errors import ForeignSimulator, SimulatorUnreachable

Answer = Callable[[socket.socket], None]


@contextlib.contextmanager
def listening(answer: Answer) -> Iterator[int]:
    """A server on a free port that answers its first caller."""
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                answer(connection)
                done.wait(10.0)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10.0)


def answering_version(version: object) -> Answer:
    def answer(connection: socket.socket) -> None:
        request = msgpack.unpackb(connection.recv(4096))
        assert request == [0, 1, "version", [[False]]], "what the client library itself would ask"
        connection.sendall(msgpack.packb([1, 1, None, version]))

    return answer


def say(data: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(data)

    return answer


def test_a_carla_server_tells_its_version_and_stays_on_the_line() -> None:
    hang_up = threading.Event()

    def answer(connection: socket.socket) -> None:
        answering_version([[1, "0.9.15-169-g063cc9d90"]])(connection)
        hang_up.wait(10.0)
        connection.shutdown(socket.SHUT_RDWR)

    with listening(answer) as port:
        lifeline = probe("127.0.0.1", port, timeout_s=5.0)
        assert lifeline.version == "0.9.15-169-g063cc9d90"
        assert not lifeline.lost
        hang_up.set()
        lifeline_socket = socket.fromfd(lifeline.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        with lifeline_socket:
            lifeline_socket.settimeout(5.0)
            assert lifeline_socket.recv(1, socket.MSG_PEEK) == b""  # the end has arrived
        assert lifeline.lost
        lifeline.close()
        assert lifeline.lost


def test_a_simulator_that_is_there_but_does_not_answer() -> None:
    def answer(connection: socket.socket) -> None:
        answering_version([[1, "0.9.16"]])(connection)
        answering_version([[1, "0.9.16"]])(connection)  # and never again

    with listening(answer) as port:
        lifeline = probe("127.0.0.1", port, timeout_s=5.0)
        with contextlib.closing(lifeline):
            assert lifeline.answers(5.0)
            assert not lifeline.answers(0.05)
            assert not lifeline.lost


def test_an_answer_in_pieces() -> None:
    whole = msgpack.packb([1, 1, None, [[1, "0.9.16"]]])

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        for byte in whole:
            connection.sendall(bytes([byte]))

    with listening(answer) as port:
        lifeline = probe("127.0.0.1", port, timeout_s=5.0)
        assert lifeline.version == "0.9.16"
        lifeline.close()


def test_nothing_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, but nobody listens
        port = unused.getsockname()[1]
        with pytest.raises(SimulatorUnreachable, match=f"nothing listens at 127.0.0.1:{port}.*vidrive town"):
            probe("127.0.0.1", port, timeout_s=2.0)


def test_a_server_that_has_yet_to_start_is_waited_for() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    ready: list[object] = []

    def start_late() -> None:
        ready.append(True)  # before it listens: a client may be through before the next line of this thread
        with listening_at(port, answering_version([[1, "0.9.16"]])):
            finished.wait(10.0)

    finished = threading.Event()
    thread = threading.Timer(0.3, start_late)
    thread.start()
    try:
        probe("127.0.0.1", port, timeout_s=2.0, wait_s=10.0).close()
        assert ready
    finally:
        finished.set()
        thread.join()


@contextlib.contextmanager
def listening_at(port: int, answer: Answer) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)) as listener:
        connection, _ = listener.accept()
        with connection:
            answer(connection)
            yield


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\xc1\xc1\xc1",
        msgpack.packb([1, 1, "rpclib: server could not find function 'version'", None]),
        msgpack.packb([1, 1, None, [[0, ["no"]]]]),
        msgpack.packb({"version": "0.9.16"}),
        b"\x94" + b"\xdb\xff\xff\xff\xff" + b"a" * 5000,
    ],
)
def test_something_else_listens(data: bytes) -> None:
    with listening(say(data)) as port, pytest.raises(SimulatorUnreachable, match=r"is not a CARLA server.*2000"):
        probe("127.0.0.1", port, timeout_s=2.0)


def test_something_that_hangs_up() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.shutdown(socket.SHUT_RDWR)

    with listening(answer) as port, pytest.raises(SimulatorUnreachable, match="is not a CARLA server"):
        probe("127.0.0.1", port, timeout_s=2.0)


def test_something_silent_like_carlas_own_streaming_port() -> None:
    with listening(lambda connection: None) as port, pytest.raises(SimulatorUnreachable, match="does not answer as a"):
        probe("127.0.0.1", port, timeout_s=0.3)


def test_hosts_and_ports_that_cannot_be() -> None:
    with pytest.raises(SimulatorUnreachable, match=r"'no-such-host\.invalid' cannot be found"):
        probe("no-such-host.invalid", 2000, timeout_s=2.0)
    with pytest.raises(SimulatorUnreachable, match="cannot be found"):
        probe("a" * 70 + ".example", 2000, timeout_s=2.0)
    with pytest.raises(SimulatorUnreachable, match="99999 is not a port"):
        probe("127.0.0.1", 99999, timeout_s=2.0)


@pytest.mark.parametrize("version", ["0.9.14", "0.9.15", "0.9.16", "0.9.16-dirty", "0.9.15-169-g063cc9d90"])
def test_known_versions(version: str) -> None:
    check_version(version)


@pytest.mark.parametrize("version", ["0.9.13", "0.10.0", "0.8.4", "1.0.0", "", "latest", "0.9"])
def test_foreign_versions(version: str) -> None:
    with pytest.raises(ForeignSimulator, match=r"this bridge knows 0\.9\.14 to 0\.9\.16"):
        check_version(version)
