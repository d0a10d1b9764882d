"""Messages fuzzed from those of the real wheel: the town answers or closes that client, and serves the next."""

from __future__ import annotations

import json
import random
import socket
import time
from pathlib import Path
from typing import Any

import msgpack
import pytest

from bridge.carla_wire.methods import METHODS
from bridge.carla_wire.rpc import encode_request
from bridge.town.server import TownServer

FIXTURES = Path(__file__).parents[1] / "fixtures" / "carla"
GOLDEN = [
    bytes.fromhex(exchange["request_hex"])
    for exchanges in json.loads((FIXTURES / "golden_rpc.json").read_text()).values()
    for exchange in exchanges
    if len(exchange["request_hex"]) < 6000
]
SENTINEL = 0xFFFFFFF0
LIMIT_S = 10.0
"""So long may an answer take on a machine that does other things besides."""
STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**31,
    2**32 - 1,
    2**64 - 1,
    -(2**63),
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x" * 300,
    "\0../../etc",
    b"\xff" * 24,
    [],
    [[]],
    [[[[[[]]]]]],
    {"a": 1},
)


def flipped(rng: random.Random, data: bytes) -> bytes:
    """Return a message with some bytes changed, left out or doubled."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed))
        kind = rng.random()
        if kind < 0.7:
            changed[at] = rng.randrange(256)
        elif kind < 0.85 and len(changed) > 1:
            del changed[at : at + rng.randint(1, 4)]
        else:
            changed[at:at] = changed[at : at + rng.randint(1, 8)]
        if not changed:
            changed = bytearray(b"\xc0")
    return bytes(changed)


def bent(rng: random.Random, data: bytes) -> bytes:
    """Return a message that is still a request, with strange values in its arguments, or with another's arguments."""
    kind, msgid, method, (metadata, *arguments) = msgpack.unpackb(data, strict_map_key=False)
    if rng.random() < 0.15:
        method = rng.choice(sorted(METHODS))
    for _ in range(rng.randint(1, 3)):
        changed = _bend(rng, arguments)
        arguments = changed if isinstance(changed, list) else [*arguments, changed]
    return msgpack.packb([kind, msgid, method, [metadata, *arguments]])


def _bend(rng: random.Random, value: Any) -> Any:
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        return [*value[:at], _bend(rng, value[at]), *value[at + 1 :]]
    if isinstance(value, list) and rng.random() < 0.5:
        return value[:-1] if rng.random() < 0.5 else [*value, rng.choice(STRANGE)]
    return rng.choice(STRANGE)


def is_whole(data: bytes) -> bool:
    """Tell whether bytes end where a msgpack object ends, or are no msgpack at all: then an answer is due."""
    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False)
    unpacker.feed(data)
    try:
        while unpacker.tell() < len(data):
            unpacker.skip()
    except msgpack.OutOfData:
        return False
    except (msgpack.UnpackException, ValueError):
        return True
    return True


def answered_or_closed(town: TownServer, messages: list[bytes]) -> str:
    """Send messages on a connection of their own and a proper one after them; return what came of it."""
    with socket.create_connection(("127.0.0.1", town.port), timeout=LIMIT_S) as client:
        unpacker, last = msgpack.Unpacker(raw=True, strict_map_key=False), encode_request(SENTINEL, "version", ())
        try:
            client.sendall(b"".join(messages) + last)
            if not all(is_whole(message) for message in messages):
                return "unfinished"
            while chunk := client.recv(1 << 16):
                unpacker.feed(chunk)
                for reply in unpacker:
                    assert isinstance(reply, list) and len(reply) == 4 and reply[0] == 1, reply
                    if reply[1] == SENTINEL:
                        return "answered"
        except ConnectionError:
            pass
        return "closed"


def fuzz(town: TownServer, rng: random.Random, count: int) -> dict[str, int]:
    """Send `count` malformed messages to both ports, and ask a good client of each round whether all is well."""
    outcomes = {"answered": 0, "closed": 0, "unfinished": 0}
    sent, slowest_s = 0, 0.0
    while sent < count:
        for _ in range(25):
            # a message that closes its client would keep those after it from being read
            spoilt = [flipped(rng, rng.choice(GOLDEN))] if rng.random() < 0.5 else []
            messages = spoilt or [bent(rng, rng.choice(GOLDEN)) for _ in range(4)]
            outcomes[answered_or_closed(town, messages)] += len(messages)
            sent += len(messages)
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", town.stream_port), timeout=LIMIT_S) as stray:
                stray.sendall(rng.randbytes(rng.randint(0, 12)))
                sent += 1
        start = time.monotonic()
        assert answered_or_closed(town, []) == "answered", "the next client is served"
        slowest_s = max(slowest_s, time.monotonic() - start)
    print(f"{sent} malformed messages: {outcomes}, the next client waited {1e3 * slowest_s:.0f} ms at most")
    return outcomes


def assert_serves_the_wheel(town: TownServer, client: Any) -> None:
    with town.simulation.lock:
        town.simulation.stop_replayer(keeps_actors=False)
    seen = client("""
client.reload_world()
world = client.get_world()
enter_sync(world)
points = world.get_map().get_spawn_points()
vehicle = world.spawn_actor(world.get_blueprint_library().find("vehicle.tesla.model3"), points[0])
camera = world.spawn_actor(camera_blueprint(world.get_blueprint_library(), "rgb"), carla.Transform(), attach_to=vehicle)
frames = queue.Queue()
camera.listen(frames.put)
frame = world.tick()
answer(same=frames.get(timeout=10.0).frame == frame)
camera.stop(); camera.destroy()
""")
    assert seen["same"] is True


@pytest.mark.parametrize("seed", [4, 5])
def test_malformed_messages_leave_the_town_serving(town, client, caplog, seed: int) -> None:
    caplog.set_level("CRITICAL")
    outcomes = fuzz(town, random.Random(seed), 800)
    assert outcomes["answered"] > 300 and outcomes["closed"] > 50
    assert_serves_the_wheel(town, client)


@pytest.mark.slow
def test_twenty_thousand_malformed_messages_leave_the_town_serving(town, client, caplog) -> None:
    caplog.set_level("CRITICAL")
    outcomes = fuzz(town, random.Random(), 20_000)
    assert outcomes["answered"] > 5_000 and outcomes["closed"] > 1_000
    assert_serves_the_wheel(town, client)
