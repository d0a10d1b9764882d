"""Delivery of sensor messages over real sockets: whole, in order, dropped only where that is allowed."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from bridge.carla_wire.streams import pack_stream_id
from bridge.town.streams import StreamHub

STREAM = 5
BIG = 3_000_000


@pytest.fixture
def hub() -> Iterator[StreamHub]:
    hub = StreamHub(socket.create_server(("127.0.0.1", 0)), lambda stream_id: b"hello" if stream_id == 1 else None)
    hub.start()
    hub.open(STREAM)
    yield hub
    hub.stop()


@pytest.fixture
def subscribe(hub: StreamHub) -> Iterator:
    sockets = []

    def open_one(stream_id: int = STREAM) -> socket.socket:
        hub.announce(stream_id)
        client = socket.create_connection(hub.address, timeout=10.0)
        sockets.append(client)
        client.sendall(pack_stream_id(stream_id))
        hub.wait_for_announced()
        return client

    yield open_one
    for client in sockets:
        client.close()


def read(client: socket.socket) -> bytes:
    """Read one message."""
    return exactly(client, struct.unpack("<I", exactly(client, 4))[0])


def exactly(client: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = client.recv(size - len(data))
        assert chunk, "the hub closed a stream"
        data += chunk
    return bytes(data)


def test_message_arrives_whole_though_its_buffer_is_used_again(hub: StreamHub, subscribe) -> None:
    client = subscribe()
    pixels = np.arange(BIG, dtype=np.uint32).view(np.uint8)
    wanted = b"head" + pixels.tobytes()
    hub.send(STREAM, b"head", memoryview(pixels), may_drop=False)
    pixels[:] = 0
    assert read(client) == wanted


def test_nothing_is_lost_in_synchronous_mode(hub: StreamHub, subscribe) -> None:
    client, got = subscribe(), []
    reader = threading.Thread(target=lambda: got.extend(read(client)[0] for _ in range(30)))
    reader.start()
    for number in range(30):
        hub.send(STREAM, bytes([number]) * BIG, may_drop=False)
    reader.join(timeout=20.0)
    assert got == list(range(30))


def test_slow_client_misses_frames_in_asynchronous_mode_and_delays_nobody(hub: StreamHub, subscribe) -> None:
    slow, quick = subscribe(), subscribe()
    numbers, start = [], time.monotonic()
    for number in range(10):
        hub.send(STREAM, bytes([number]) * BIG, may_drop=True)
        numbers.append(read(quick)[0])
    assert numbers == list(range(10))
    assert time.monotonic() - start < 10.0
    first = read(slow)
    assert first == bytes(BIG), "what was begun is finished"
    hub.send(STREAM, b"\x0a" * 10, may_drop=False)
    later = [read(slow)[0]]
    while later[-1] != 10:
        later.append(read(slow)[0])
    assert len(later) < 10, "what could not be sent in time is not sent late"


def test_last_snapshot_greets_a_new_subscriber(hub: StreamHub, subscribe) -> None:
    assert read(subscribe(1)) == b"hello"


def test_announced_subscription_is_waited_for_but_not_for_ever(hub: StreamHub, subscribe) -> None:
    hub.announce(STREAM)
    start = time.monotonic()
    hub.wait_for_announced()
    assert 0.8 < time.monotonic() - start < 5.0
    subscribe()
    start = time.monotonic()
    hub.wait_for_announced()
    assert time.monotonic() - start < 0.5
    hub.announce(4242)
    hub.wait_for_announced()
    assert time.monotonic() - start < 0.5, "nobody waits for a stream that does not exist"


def test_retired_stream_stays_open_and_silent(hub: StreamHub, subscribe) -> None:
    client = subscribe()
    hub.retire(STREAM)
    assert not hub.has_subscribers(STREAM)
    hub.send(STREAM, b"lost", may_drop=False)
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(1)


def test_client_that_leaves_is_forgotten(hub: StreamHub, subscribe) -> None:
    client = subscribe()
    client.close()
    deadline = time.monotonic() + 5.0
    while hub.has_subscribers(STREAM):
        assert time.monotonic() < deadline
        hub.send(STREAM, b"anybody there?", may_drop=True)
    hub.send(STREAM, b"nobody", may_drop=False)
