"""The inference server and planes in memory that a client shares with it: the same pictures, checked bounds."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bridge.protocol import wire
from bridge.protocol.frames import SensorFrame
from bridge.protocol.messages import Hello, Refusal, Render, Rendered, Welcome
from bridge.protocol.shared_memory import NUM_BYTES, NUM_PICTURES, MemoryOffer, SharedMemory
from bridge.render_request import make_request
from renderer.server import RenderServer
from tests.unit.renderer.conftest import CARD
from tests.unit.renderer.server_peers import StartServer, ask, connected, raw_peer, rendered, request, street

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has sealed anonymous files")


def serve(start_server: StartServer, folder: Path) -> RenderServer:
    return start_server(f"ipc://{folder / 'renderer'}")


def shared_request(memory: SharedMemory, frame: SensorFrame) -> Render:
    message, arrays = make_request(CARD, frame, 0, "shared")
    wire.encode(message, arrays, memory.buffer)
    return message


def test_a_client_on_this_host_gets_the_pictures_that_one_over_tcp_gets(
    start_server: StartServer, tmp_path: Path
) -> None:
    with connected(serve(start_server, tmp_path)) as near, connected(start_server()) as far:
        for frame_id in range(5):
            ours, theirs = rendered(near, street(frame_id)), rendered(far, street(frame_id))
            np.testing.assert_array_equal(ours.rgb, theirs.rgb)
            assert not ours.rgb.flags.writeable


def test_an_earlier_picture_is_not_overwritten(start_server: StartServer, tmp_path: Path) -> None:
    with connected(serve(start_server, tmp_path)) as client:
        first = rendered(client, street(1)).rgb
        before = first.copy()
        assert (rendered(client, street(2)).rgb != before).any()
        np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("part", [slice(None), (slice(3, 9), slice(None), 1)], ids=["pictures", "parts of them"])
def test_pictures_that_are_kept_stay_as_they_were(start_server: StartServer, tmp_path: Path, part) -> None:
    """However many there are, and however little of each is kept: their memory is not used again."""
    with connected(serve(start_server, tmp_path)) as client:
        kept, before = [], []
        for frame_id in range(2 * NUM_PICTURES):
            kept.append(rendered(client, street(frame_id)).rgb[part])
            before.append(kept[-1].copy())
        for ours, theirs in zip(kept, before, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert any((one != before[0]).any() for one in before[1:])


def test_the_memory_of_pictures_that_nobody_keeps_is_used_again(start_server: StartServer, tmp_path: Path) -> None:
    with connected(serve(start_server, tmp_path)) as client:
        places = {rendered(client, street(i)).rgb.__array_interface__["data"][0] for i in range(4 * NUM_PICTURES)}
        assert len(places) <= NUM_PICTURES


def test_planes_and_picture_do_not_travel(start_server: StartServer, tmp_path: Path) -> None:
    memory = SharedMemory()
    with raw_peer(serve(start_server, tmp_path)) as peer:
        welcome = ask(peer, Hello(client="test", memory=memory.offer))
        assert isinstance(welcome, Welcome)
        assert welcome.shares_memory
        message = shared_request(memory, street(1))
        peer.send_multipart([wire.encode_header(message), b"", b"", b""])
        answer = peer.recv_multipart()
        assert answer[1:] == [b""]
        _, planes = wire.decode(answer, memory.buffer)
        ours = planes["rgb"].copy()
        ask(peer, Hello(client="test"))
        plain, arrays = make_request(CARD, street(1), 0, "raw")
        peer.send_multipart(wire.encode(plain, arrays))
        np.testing.assert_array_equal(ours, wire.decode(peer.recv_multipart())[1]["rgb"])
    memory.close()


def test_over_tcp_no_memory_is_shared(start_server: StartServer) -> None:
    """Even if both ends are on one host: who can be reached by others opens nothing that a message names."""
    memory = SharedMemory()
    with raw_peer(start_server()) as peer:
        welcome = ask(peer, Hello(client="test", memory=memory.offer))
        assert isinstance(welcome, Welcome)
        assert not welcome.shares_memory
    memory.close()


def test_an_offer_that_cannot_be_opened_is_done_without(start_server: StartServer, tmp_path: Path) -> None:
    """As from a client in another container."""
    with raw_peer(serve(start_server, tmp_path)) as peer:
        for process_id in (1 << 30, 1):
            offer = MemoryOffer(process_id=process_id, file_descriptor=0, token=b"")
            welcome = ask(peer, Hello(client="test", memory=offer))
            assert isinstance(welcome, Welcome)
            assert not welcome.shares_memory
        assert isinstance(ask(peer, *request(street(1))), Rendered)


def test_what_does_not_lie_in_the_memory_is_refused(start_server: StartServer, tmp_path: Path) -> None:
    memory = SharedMemory()
    with raw_peer(serve(start_server, tmp_path)) as peer:
        ask(peer, Hello(client="test", memory=memory.offer))
        message = shared_request(memory, street(1))
        beyond = msgspec.structs.replace(message.planes[0], offset_bytes=1 << 40)
        for bad in (
            msgspec.structs.replace(message, planes=(beyond, *message.planes[1:])),
            msgspec.structs.replace(message, picture_offset_bytes=NUM_BYTES - 5),
        ):
            peer.send_multipart([wire.encode_header(bad), b"", b"", b""])
            refusal = wire.decode(peer.recv_multipart())[0]
            assert isinstance(refusal, Refusal)
            assert "not in the shared memory" in refusal.message
        ask(peer, Hello(client="test"))  # this session has none
        peer.send_multipart([wire.encode_header(message), b"", b"", b""])
        assert "not in the shared memory" in getattr(wire.decode(peer.recv_multipart())[0], "message", "")
        assert isinstance(ask(peer, *request(street(1))), Rendered)
    memory.close()
