"""Clients that send rubbish hurt nobody else: raw sockets against a town, with a well-behaved one beside them."""

from __future__ import annotations

import contextlib
import json
import random
import resource
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from bridge.carla_wire.methods import METHODS
from bridge.carla_wire.rpc import encode_request
from bridge.carla_wire.streams import StreamToken, pack_stream_id
from bridge.protocol.errors import SimulatorError
from bridge.town import door
from bridge.town.server import TownServer

FIXTURES = Path(__file__).parents[1] / "fixtures" / "carla"


class RawClient:
    """A bare RPC connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5.0)
        self._unpacker = msgpack.Unpacker()
        self._msgid = 0

    def call(self, method: str, *arguments: Any) -> Any:
        """Return a method's raw reply `[1, msgid, error, result]`."""
        self._msgid += 1
        self.socket.sendall(encode_request(self._msgid, method, arguments))
        return self.reply()

    def reply(self) -> Any:
        while True:
            for message in self._unpacker:
                return message
            chunk = self.socket.recv(1 << 16)
            if not chunk:
                raise ConnectionError("the server closed the connection")
            self._unpacker.feed(chunk)

    def is_closed(self) -> bool:
        """Wait for the server to close the connection, skipping what it still sends."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True


@pytest.fixture
def connect(town: TownServer) -> Iterator[Callable[..., RawClient]]:
    """Open raw connections, to the test's town or another port, that are closed when the test ends."""
    with contextlib.ExitStack() as stack:

        def open_one(port: int = town.port) -> RawClient:
            client = RawClient(port)
            stack.callback(client.socket.close)
            return client

        yield open_one


@pytest.fixture
def good(connect: Callable[..., RawClient]) -> RawClient:
    return connect()


def assert_well(good: RawClient) -> None:
    assert good.call("version")[3] == [[1, "0.9.16"]]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\xc1\xc1\xc1",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        msgpack.packb([2, "version", [[False]]]),
        msgpack.packb([0, 1, "version"]),
        msgpack.packb([0, -1, "version", [[False]]]),
        msgpack.packb([0, 1, "version", [False]]),
        msgpack.packb([0, 1, b"\xff\xfe", [[False]]]),
        b"\x91" * 3000 + b"\xc0",
    ],
)
def test_rubbish_closes_that_connection_only(connect, good, rubbish: bytes) -> None:
    bad = connect()
    bad.socket.sendall(rubbish)
    assert bad.is_closed()
    assert_well(good)


def test_half_a_message_waits_and_harms_nobody(connect, good) -> None:
    bad = connect()
    bad.socket.sendall(encode_request(1, "get_map_info", ())[:-3])
    assert_well(good)
    bad.socket.close()
    assert_well(good)


def test_huge_declared_size_is_cut_off_at_the_limit(connect, good) -> None:
    bad = connect()
    bad.socket.sendall(b"\x94\x00\x01\xa7version\x91\xc6" + struct.pack(">I", 2**31 - 1))
    chunk = bytes(1 << 20)
    with pytest.raises(OSError):
        for _ in range(80):
            bad.socket.sendall(chunk)
    assert_well(good)


def test_array_of_four_thousand_million_waits_for_its_items(connect, good) -> None:
    bad = connect()
    bad.socket.sendall(b"\xdd\xff\xff\xff\xff" + b"\xc0" * 1000)
    assert_well(good)


def test_unknown_method_and_wrong_arguments_are_answered_with_errors(good) -> None:
    assert "could not find function 'make_coffee'" in good.call("make_coffee")[2]
    wrong = good.call("spawn_actor", 1, 2)
    assert wrong[2] is None and wrong[3][0][0] == 0 and "spawn_actor" in wrong[3][0][1][0]
    missing = good.call("set_actor_simulate_physics", 5)
    assert missing[3] == [[False]], "a TrafficManager calls it: an error would end the client's process"
    many = good.call("tick_cue", 1, 2, 3)
    assert many[3][0][0] == 0
    assert_well(good)


def test_error_shapes_of_value_and_void_methods(good) -> None:
    assert good.call("destroy_actor", 4242)[3] == [[0, ["unable to destroy actor: not found"]]]
    assert good.call("copy_opendrive_to_file", "<x/>", [2.0, 50.0, 1.0, 0.6, True, True, True])[3][0][0] is True
    assert good.call("get_actor_bounding_box", 4242)[3] == [[1, [[0.0] * 3, [0.0] * 3, [0.0] * 3, 0]]]
    assert good.call("get_actors_by_id", [4242])[3] == [[1, []]]
    assert good.call("apply_batch", [[[16, [4242, True]]], [[99, []]]], False)[3] == [
        [[0, ["There is no actor with the id 4242"]]],
        [[0, ["Batch command 99 does not exist"]]],
    ]


def test_a_handler_that_fails_answers_traffic_managers_with_a_neutral_value(town, good, monkeypatch, caplog) -> None:
    monkeypatch.setattr(type(town.simulation.episode), "of_kind", lambda *_: 1 / 0)
    assert good.call("get_vehicle_light_states")[3] == [[1, []]]
    assert "get_vehicle_light_states failed" in caplog.text


def test_thousands_of_mutated_requests_leave_the_town_serving(town, good) -> None:
    golden = [
        bytes.fromhex(exchange["request_hex"])
        for exchanges in json.loads((FIXTURES / "golden_rpc.json").read_text()).values()
        for exchange in exchanges
        if len(exchange["request_hex"]) < 4000
    ]
    random.seed(4)
    for _ in range(150):
        bad = socket.create_connection(("127.0.0.1", town.port), timeout=5.0)
        try:
            for _ in range(15):
                data = bytearray(random.choice(golden))
                for _ in range(random.randint(1, 4)):
                    data[random.randrange(len(data))] = random.randrange(256)
                bad.sendall(bytes(data[: random.randint(1, len(data))] if random.random() < 0.2 else data))
        except ConnectionError:
            pass
        bad.close()
    assert_well(good)
    assert good.call("set_episode_settings", [False, False, [False]])[3][0][0] == 1
    frame = good.call("tick_cue")[3][0][1]
    assert isinstance(frame, int)


def test_rubbish_on_the_stream_port(town, good) -> None:
    strays = []
    for greeting in (b"", b"\x01", b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", pack_stream_id(1) + bytes(1000)):
        stray = socket.create_connection(("127.0.0.1", town.stream_port), timeout=5.0)
        stray.sendall(greeting)
        strays.append(stray)
    watcher = socket.create_connection(("127.0.0.1", town.stream_port), timeout=5.0)
    watcher.sendall(pack_stream_id(1))
    assert len(watcher.recv(4)) == 4, "snapshots still flow"
    for stray in (*strays, watcher):
        stray.close()
    assert_well(good)


def test_every_refused_call_has_the_shape_its_method_needs(good) -> None:
    from bridge.town.calls import REFUSALS

    for method, why in REFUSALS.items():
        reply = good.call(method)
        with pytest.raises(RuntimeError, match=why.split("'")[0]):
            METHODS[method].decode_reply(msgpack.packb(reply))


def test_a_client_that_never_reads_its_frames_does_not_stop_asynchronous_mode(town, good, client) -> None:
    lazy = socket.create_connection(("127.0.0.1", town.stream_port), timeout=5.0)
    lazy.sendall(pack_stream_id(1))
    seen = client("""
world = client.get_world()
first = world.wait_for_tick().frame
for _ in range(20):
    last = world.wait_for_tick().frame
answer(ticks=last - first)
""")
    assert seen["ticks"] >= 20
    lazy.close()


def test_server_stops_at_once_though_a_client_takes_nothing(painter, connect) -> None:
    server = TownServer(port=0, painter=painter)
    server.start()
    good = connect(server.port)
    good.call("set_episode_settings", [True, False, [True, 0.05]])
    camera = [0, "sensor.camera.rgb", [["image_size_x", 2, "1024"], ["image_size_y", 2, "1024"]]]
    token = good.call("spawn_actor", camera, [[0, 0, 2], [0, 0, 0]])[3][0][1][5]
    with socket.create_connection(("127.0.0.1", server.stream_port), timeout=5.0) as lazy:
        good.call("get_sensor_token", struct.unpack_from("<I", token)[0])
        lazy.sendall(token[:4])
        for msgid in range(100, 112):  # unanswered: a tick is answered when all of it is sent
            good.socket.sendall(encode_request(msgid, "tick_cue", ()))
        lazy.settimeout(5.0)
        assert lazy.recv(4)
        start = time.monotonic()
        server.stop()
        assert time.monotonic() - start < 5.0


def test_a_town_that_is_not_ready_turns_clients_away(painter, connect) -> None:
    server = TownServer(port=0, painter=painter)
    with pytest.raises(ConnectionRefusedError):
        connect(server.port)
    server.start()
    assert_well(connect(server.port))
    server.stop()


def test_a_client_that_reads_no_replies_makes_nobody_wait(town, good, connect) -> None:
    good.call("set_episode_settings", [True, False, [True, 0.05]])
    lazy = connect()
    with contextlib.suppress(BlockingIOError):
        for msgid in range(4000):  # more replies than a socket holds
            lazy.socket.sendall(encode_request(msgid, "get_map_data", ()), socket.MSG_DONTWAIT)
    start = time.monotonic()
    for _ in range(20):
        good.call("tick_cue")
        assert_well(good)
    assert time.monotonic() - start < 4.0


def test_port_in_use_is_one_sentence(town) -> None:
    with pytest.raises(SimulatorError, match=f"port {town.port} on 127.0.0.1 is in use") as caught:
        TownServer(port=town.port)
    assert caught.value.hint


@pytest.mark.parametrize("port", [-1, 65536])
def test_what_is_no_port_is_one_sentence(painter, port: int) -> None:
    with pytest.raises(SimulatorError, match=f"{port} is not a port"):
        TownServer(port=port, painter=painter)


def test_server_stops_and_its_port_is_free_again(painter, connect) -> None:
    server = TownServer(port=0, painter=painter)
    server.start()
    port = server.port
    raw = connect(port)
    assert_well(raw)
    server.stop()
    assert server.wait(1.0)
    assert raw.is_closed()
    again = TownServer(port=port, painter=painter)
    again.start()
    assert_well(connect(port))
    again.stop()


def wait_until_turned_away(sockets: list[socket.socket]) -> None:
    """Wait until the server has closed one of the connections; the test fails if it keeps all of them."""
    watched = select.poll()
    for connection in sockets:
        watched.register(connection, select.POLLIN)
    assert watched.poll(20_000), "nobody was turned away"


def test_whoever_holds_every_connection_harms_nobody_who_comes_later(connect) -> None:
    command = [sys.executable, str(Path(__file__).with_name("capture_town.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as town:
        assert town.stdout is not None
        port = int(town.stdout.readline().split()[1])
        good = connect(port)
        info = METHODS["get_episode_info"].decode_reply(msgpack.packb(good.call("get_episode_info")))
        resource.prlimit(town.pid, resource.RLIMIT_NOFILE, (64, 64))
        for target in (port, StreamToken.unpack(info.token.data).port):
            with contextlib.ExitStack() as greedy:
                held = [greedy.enter_context(socket.create_connection(("127.0.0.1", target), 20.0)) for _ in range(80)]
                wait_until_turned_away(held)
                assert_well(good)
            assert_well_for_a_new_client(connect, port)


def assert_well_for_a_new_client(connect: Callable[..., RawClient], port: int) -> None:
    """Connect until the server has noticed that others have gone; the test fails if it never does."""
    deadline_s = time.monotonic() + 20.0
    while time.monotonic() < deadline_s:
        with contextlib.suppress(ConnectionError):
            return assert_well(connect(port))
    pytest.fail("a new client is not served")


def test_a_port_keeps_so_many_connections_and_no_more(town, good, connect, monkeypatch) -> None:
    monkeypatch.setattr(door, "MOST_CONNECTIONS", 3)
    assert_well(connect())
    assert_well(connect())
    assert connect().is_closed()
    assert_well(good)
