"""The five habits that keep real clients alive, each provoked by the unmodified carla wheel."""

from __future__ import annotations

import socket
import struct
import time

import msgpack
import pytest

from bridge.carla_wire.rpc import encode_request
from bridge.carla_wire.streams import pack_stream_id
from bridge.town.clock import Clock

pytest.importorskip("carla")


def test_pending_subscription_no_first_frame_is_lost(client) -> None:
    """A tick right after listen() finds the camera's connection not yet made; the town waits for it."""
    seen = client("""
missed = 0
for _ in range(12):
    own = carla.Client("127.0.0.1", port)
    own.set_timeout(5.0)
    world = own.get_world()
    enter_sync(world)
    blueprint = camera_blueprint(world.get_blueprint_library(), "semantic_segmentation")
    camera = world.spawn_actor(blueprint, carla.Transform())
    frames = queue.Queue()
    camera.listen(frames.put)
    frame = world.tick()
    try:
        missed += frames.get(timeout=1.0).frame != frame
    except queue.Empty:
        missed += 1
    camera.stop()
    camera.destroy()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)
answer(missed=missed)
""")
    assert seen == {"missed": 0}


def test_parked_stream_is_never_closed_by_the_server(client, town) -> None:
    """A stream that ends under a listening client stays open: closing it makes the client reconnect without end."""
    seen = client("""
other = carla.Client("127.0.0.1", port)
other.set_timeout(5.0)
mine, theirs = client.get_world(), other.get_world()
camera = mine.spawn_actor(camera_blueprint(mine.get_blueprint_library(), "rgb"), carla.Transform())
theirs.wait_for_tick()
seen_by_both = queue.Queue()
same = theirs.get_actor(camera.id)
same.listen(seen_by_both.put)
seen_by_both.get(timeout=5.0)
camera.destroy()
for _ in range(15):
    mine.wait_for_tick()
answer(alive=client.get_server_version())
""")
    assert seen == {"alive": "0.9.16"}
    assert town.simulation.hub.accepted < 12, "the client reconnects in a loop"
    with socket.create_connection(("127.0.0.1", town.stream_port), timeout=5.0) as stray:
        stray.sendall(pack_stream_id(9999))
        stray.settimeout(0.3)
        with pytest.raises(TimeoutError):
            stray.recv(1)


def ask_settings(connection: socket.socket, msgid: int) -> None:
    connection.sendall(encode_request(msgid, "get_episode_settings", ()))


def test_parked_settings_reply_slows_a_client_that_asks_in_a_loop(town) -> None:
    """A TrafficManager in asynchronous mode asks without pause; an answer a frame, or every 10 ms, is enough."""
    answers = 0
    with socket.create_connection(("127.0.0.1", town.port), timeout=5.0) as connection:
        unpacker = msgpack.Unpacker()
        start = time.monotonic()
        while time.monotonic() - start < 0.5:
            ask_settings(connection, answers)
            replies: list[object] = []
            while not replies:
                unpacker.feed(connection.recv(4096))
                replies = list(unpacker)
            assert replies[0][1] == answers  # pyright: ignore[reportIndexIssue]
            answers += 1
    assert 5 <= answers <= 80, "about one answer each 10 ms or frame"


@pytest.mark.parametrize("mode", ["async", "sync"])
def test_hold_on_load_a_client_with_a_traffic_manager_survives_reloading(client, mode: str) -> None:
    """The TrafficManager's thread must hang in a settings call while its client's episode is replaced."""
    seen = client(
        """
world = client.get_world()
manager = client.get_trafficmanager(int(sys.argv[3]))
library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
vehicle = world.spawn_actor(library.find("vehicle.tesla.model3"), points[0])
vehicle.set_autopilot(True, manager.get_port())
if sys.argv[2] == "sync":
    enter_sync(world)
    manager.set_synchronous_mode(True)
    for _ in range(5):
        world.tick()
else:
    for _ in range(5):
        world.wait_for_tick()
ids = []
for _ in range(3):
    world = client.reload_world(sys.argv[2] == "async")
    ids.append(world.id)
    world.tick() if sys.argv[2] == "sync" else world.wait_for_tick()
    assert {a.type_id.split(".")[0] for a in world.get_actors()} == {"spectator", "traffic"}
world = client.load_world("Town")
answer(ids=ids + [world.id], name=world.get_map().name)
""",
        mode,
        str(free_port()),
        timeout_s=60.0,
    )
    first = seen["ids"][0]
    assert seen["ids"] == [first, first + 1, first + 2, first + 3]
    assert seen["name"] == "Carla/Maps/Town"


def test_snapshot_on_spawn_an_actor_is_where_it_was_put_at_once(client) -> None:
    """In asynchronous mode the spawn is answered after a snapshot that lists the actor."""
    seen = client("""
world = client.get_world()
library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
off, started = 0.0, time.monotonic()
for number in range(12):
    vehicle = world.spawn_actor(library.find("vehicle.audi.tt"), points[3 * number])
    off = max(off, vehicle.get_location().distance_2d(points[3 * number].location))
answer(off=off, seconds=time.monotonic() - started)
""")
    assert seen["off"] < 0.01
    assert seen["seconds"] < 4.0


def test_two_clients_share_a_camera_and_either_may_tick(client) -> None:
    seen = client("""
other = carla.Client("127.0.0.1", port)
other.set_timeout(5.0)
mine, theirs = client.get_world(), other.get_world()
camera = mine.spawn_actor(camera_blueprint(mine.get_blueprint_library(), "rgb"), carla.Transform())
theirs.wait_for_tick()
same = theirs.get_actor(camera.id)
enter_sync(mine)
first, second = queue.Queue(), queue.Queue()
camera.listen(first.put)
same.listen(second.put)
wanted = [mine.tick(), theirs.tick(), mine.tick()]
got = [[q.get(timeout=5.0).frame for _ in wanted] for q in (first, second)]
same.stop()
mine.tick()
alone = first.get(timeout=5.0).frame
answer(wanted=wanted, got=got, alone=alone)
camera.stop()
camera.destroy()
""")
    assert seen["got"] == [seen["wanted"], seen["wanted"]]
    assert seen["alone"] == seen["wanted"][-1] + 1


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_snapshot_is_the_last_message_of_a_tick(town) -> None:
    """Read both streams raw: every sensor message of a frame is sent before the frame's snapshot."""
    with socket.create_connection(("127.0.0.1", town.stream_port), timeout=5.0) as snapshots:
        snapshots.sendall(pack_stream_id(1))
        size = struct.unpack("<I", read_exactly(snapshots, 4))[0]
        message = read_exactly(snapshots, size)
        assert struct.unpack_from("<Q", message)[0] == 17
        assert (size - 84) % 119 == 0


def read_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        assert chunk, "the server closed a stream"
        data += chunk
    return data


def test_time_runs_on_whenever_synchronous_mode_ends(town, monkeypatch) -> None:
    """The change may come just as the clock, which has read the old settings, is about to wait for a cue."""
    optional_dt = [True, 0.001]
    pause, run = (
        encode_request(n, "set_episode_settings", ([mode, False, optional_dt],)) for n, mode in ((1, True), (2, False))
    )
    # a little slower than it is, the clock reads the old settings each time
    take_cue = Clock._take_cue
    monkeypatch.setattr(Clock, "_take_cue", lambda clock: (time.sleep(0.002), take_cue(clock))[1])
    with socket.create_connection(("127.0.0.1", town.port)) as connection:
        for number in range(20):
            answers = msgpack.Unpacker(raw=False)
            connection.sendall(pause)
            answers.feed(connection.recv(4096))
            time.sleep(0.0005 * (number % 6))
            connection.sendall(run)
            count = sum(1 for _ in answers)
            while count < 2:
                answers.feed(connection.recv(4096))
                count += sum(1 for _ in answers)
            frame, deadline = town.simulation.episode.frame, time.monotonic() + 2.0
            while town.simulation.episode.frame == frame:
                assert time.monotonic() < deadline, f"after {number} changes time stood still"
                time.sleep(0.001)
