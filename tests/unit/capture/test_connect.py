"""What `connect` refuses before CARLA's client library gets to see it."""

from __future__ import annotations

import socket
import threading

import msgpack
import pytest

pytest.importorskip("carla", reason="there is no carla wheel for this platform")

from bridge.capture.world import connect
from bridge.protocol.errors import ForeignSimulator, SimulatorUnreachable
from bridge.protocol.memory import keep_freed_memory


@pytest.mark.parametrize("version", ["0.9.13", "0.10.0"])
def test_a_server_of_a_foreign_version(version: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        calls: list[list] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                unpacker = msgpack.Unpacker()
                while piece := connection.recv(4096):
                    unpacker.feed(piece)
                    for call in unpacker:
                        calls.append(call)
                        connection.sendall(msgpack.packb([1, call[1], None, [[1, version]]]))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(ForeignSimulator, match=rf"the simulator is CARLA {version}.*vidrive town"):
            connect("127.0.0.1", listener.getsockname()[1], timeout_s=5.0)
        thread.join(5.0)
    assert [call[2] for call in calls] == ["version"], "nothing was asked but the version"


def test_a_web_server() -> None:
    """CARLA's library would abort this process at the first byte of such an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(SimulatorUnreachable, match="is not a CARLA server"):
            connect("127.0.0.1", listener.getsockname()[1], timeout_s=5.0)
        thread.join(5.0)


def test_freed_memory_is_kept_where_the_c_library_can() -> None:
    assert isinstance(keep_freed_memory(), bool)
