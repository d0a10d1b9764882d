"""The inference server over real sockets: sessions, resets, refusals, garbage."""

from __future__ import annotations

import os
import re
import socket
import time

import msgspec
import numpy as np
import pytest
import zmq
import zmq.auth

from bridge.protocol import wire
from bridge.protocol.errors import LabelError, RenderRefused
from bridge.protocol.frames import CameraIntrinsics, RenderedFrame, SensorFrame
from bridge.protocol.messages import PROTOCOL_VERSION, Bye, Hello, Refusal, Rendered, Welcome
from bridge.render_client import RenderClient
from bridge.render_request import make_request
from renderer.inputs import ModelInput
from renderer.models.base import ModelOutput
from renderer.models.reprojecting import ReprojectingModel
from renderer.sessions import MAX_FRAME_GAP
from renderer.temporal import TemporalState
from tests.unit.renderer.server_peers import (
    DEADLINE_S,
    HEIGHT_PX,
    WIDTH_PX,
    StartServer,
    answer,
    ask,
    connected,
    raw_peer,
    rendered,
    request,
    street,
)


def test_a_drive_is_rendered_frame_by_frame(start_server: StartServer) -> None:
    with connected(start_server()) as client:
        assert client.card is not None
        assert client.card.name == "tiny"
        for frame_id in range(5, 9):
            frame = rendered(client, street(frame_id))
            assert (frame.frame_id, frame.rgb.shape, frame.rgb.dtype) == (frame_id, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)
            assert frame.reset == ("first frame" if frame_id == 5 else "")
            assert {"prepare", "decode", "warp", "infer", "to_uint8", "encode", "round_trip"} == set(frame.stages_ms)
            assert min(frame.stages_ms.values()) >= 0


def test_the_last_picture_matters(start_server: StartServer) -> None:
    """Without this the tests of isolation below would pass for a model that has no history."""
    with connected(start_server()) as client:
        rendered(client, street(1))
        with_history = rendered(client, street(2))
        without = rendered(client, street(2), sequence=1)
        assert without.reset == "new sequence"
        assert (with_history.rgb != without.rgb).any()


def test_two_clients_get_what_each_would_get_alone(start_server: StartServer) -> None:
    drives = {seed: [street(i, seed) for i in range(6)] for seed in (1, 2)}
    alone = {}
    for seed, frames in drives.items():
        with connected(start_server()) as client:
            alone[seed] = [rendered(client, frame).rgb for frame in frames]
    server = start_server()
    with connected(server) as first, connected(server) as second:
        for i in range(6):
            assert first.submit(drives[1][i], 0)
            assert second.submit(drives[2][i], 0)
            for seed, client in ((1, first), (2, second)):
                result = answer(client)
                assert isinstance(result, RenderedFrame)
                np.testing.assert_array_equal(result.rgb, alone[seed][i])


def test_credit_is_one(start_server: StartServer) -> None:
    with connected(start_server()) as client:
        assert client.submit(street(1), 0)
        assert client.in_flight in (1, None)
        second = client.submit(street(2), 0)
        assert not second or client.in_flight == 2
        answer(client)
        assert client.ready


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ((street(1), street(2, size_hw=(48, 48))), "size changed"),
        ((street(1), street(2, intrinsics=CameraIntrinsics(WIDTH_PX, HEIGHT_PX, 60))), "camera changed"),
        ((street(5), street(4)), "frame ids went back"),
        ((street(5), street(5)), "frame ids went back"),
        ((street(1), street(2 + MAX_FRAME_GAP)), f"{MAX_FRAME_GAP} frames are missing"),
        ((street(1), street(1 + MAX_FRAME_GAP)), ""),
    ],
)
def test_resets_are_said(start_server: StartServer, frames: tuple[SensorFrame, SensorFrame], reason: str) -> None:
    with connected(start_server()) as client:
        assert rendered(client, frames[0]).reset == "first frame"
        assert rendered(client, frames[1]).reset == reason


def test_a_new_hello_begins_anew(start_server: StartServer) -> None:
    with raw_peer(start_server()) as peer:
        for _ in range(2):
            assert isinstance(ask(peer, Hello(client="test")), Welcome)
            message, planes = request(street(3))
            reply = ask(peer, message, planes)
            assert isinstance(reply, Rendered)
            assert reply.reset == "first frame"


def test_pictures_as_jpeg(start_server: StartServer) -> None:
    server = start_server()
    with connected(server) as plain, connected(server, picture_codec="jpeg") as small:
        ours, theirs = rendered(plain, street(1)).rgb, rendered(small, street(1)).rgb
        assert ours.shape == theirs.shape
        assert 0 < np.abs(ours.astype(int) - theirs).mean() < 30


def test_labels_as_lz4(start_server: StartServer) -> None:
    """As a client on another machine sends them."""
    with raw_peer(start_server()) as peer:
        pictures = []
        for codec in ("raw", "lz4"):
            welcome = ask(peer, Hello(client="test"))
            assert isinstance(welcome, Welcome)
            message, planes = make_request(welcome.card, street(1), 0, codec)
            assert message.planes[0].codec == codec
            peer.send_multipart(wire.encode(message, planes))
            pictures.append(wire.decode(peer.recv_multipart())[1]["rgb"])
        np.testing.assert_array_equal(*pictures)


def test_labels_are_mapped_into_the_models_space(start_server: StartServer) -> None:
    server = start_server()
    carla = np.full((HEIGHT_PX, WIDTH_PX), 24, np.uint8)  # road lines: 12 in street
    with connected(server) as first, connected(server) as second:
        ours = rendered(first, street(1, label_map=carla, label_space="carla")).rgb
        theirs = rendered(second, street(1, label_map=np.full_like(carla, 12))).rgb
        np.testing.assert_array_equal(ours, theirs)


def test_a_client_refuses_before_it_sends(start_server: StartServer) -> None:
    with connected(start_server()) as client:
        with pytest.raises(RenderRefused, match="multiples of 16 px, and the frame is 40x32"):
            client.submit(street(1, size_hw=(32, 40)), 0)
        with pytest.raises(RenderRefused, match=r"depth_m, which this rig does not capture.*instances"):
            client.submit(street(1, depth_m=None, instance_map=None), 0)
        with pytest.raises(LabelError, match="77"):
            client.submit(street(1, label_map=np.full((HEIGHT_PX, WIDTH_PX), 77, np.uint8)), 0)
        assert client.ready
        rendered(client, street(1))


def test_unknown_model_is_a_sentence(start_server: StartServer) -> None:
    with (
        RenderClient(start_server().endpoint, model="other") as client,
        pytest.raises(RenderRefused, match="serves the model tiny, not other"),
    ):
        client.wait_connected(DEADLINE_S)


BAD_REQUESTS = {
    "bad-size": request(street(1, size_hw=(40, 48))),
    "missing-plane": request(street(1), drop="depth_m"),
    "missing-motion": request(street(1), motion=None),
    "bad-labels": request(street(1, label_map=np.full((HEIGHT_PX, WIDTH_PX), 200, np.uint8))),
    "bad-plane": request(street(1), height_px=64),
}


def foreign_planes() -> dict[str, tuple[str, np.ndarray]]:
    """By the sentence that refuses it: a plane to send in the place of, or beside, the one of that name."""
    size_hw = (HEIGHT_PX, WIDTH_PX)
    return {
        "has no use for rgb": ("rgb", np.zeros((*size_hw, 3), np.uint8)),
        "the label map is float32": ("labels", np.zeros(size_hw, np.float32)),
        "the instance map is float32": ("instances", np.zeros(size_hw, np.float32)),
        "the depth plane holds": ("depth_m", np.zeros(size_hw, np.uint16)),
        r"plane labels has shape \(32, 48, 3\)": ("labels", np.zeros((*size_hw, 3), np.uint8)),
    }


@pytest.mark.parametrize("sentence", foreign_planes())
def test_planes_that_do_not_fit_are_refused(start_server: StartServer, sentence: str) -> None:
    name, plane = foreign_planes()[sentence]
    message, planes = request(street(1))
    sent = dict(zip((header.name for header in message.planes), planes, strict=True)) | {name: plane}
    headers = tuple(wire.plane_header(name, plane) for name, plane in sent.items())
    with raw_peer(start_server()) as peer:
        ask(peer, Hello(client="test"))
        refusal = ask(peer, msgspec.structs.replace(message, planes=headers), tuple(sent.values()))
        assert isinstance(refusal, Refusal)
        assert re.search(sentence, refusal.message)


def test_frames_beyond_reason_are_refused_unread(start_server: StartServer) -> None:
    message, planes = request(street(1))
    headers = tuple(msgspec.structs.replace(header, shape=(16384, 16384)) for header in message.planes)
    huge = msgspec.structs.replace(message, planes=headers, width_px=16384, height_px=16384)
    with raw_peer(start_server()) as peer:
        ask(peer, Hello(client="test"))
        peer.send_multipart([wire.encode_header(huge), *wire.encode(message, planes)[1:]])
        refusal = wire.decode(peer.recv_multipart())[0]
        assert isinstance(refusal, Refusal)
        assert "16384x16384 is too large" in refusal.message


@pytest.mark.parametrize("code", BAD_REQUESTS)
def test_bad_requests_are_refused_and_the_session_goes_on(start_server: StartServer, code: str) -> None:
    message, planes = BAD_REQUESTS[code]
    with raw_peer(start_server()) as peer:
        ask(peer, Hello(client="test"))
        refusal = ask(peer, message, planes)
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.frame_id) == (code, 1)
        assert refusal.message
        assert refusal.hint
        good, planes = request(street(1))
        assert isinstance(ask(peer, good, planes), Rendered)


@pytest.mark.parametrize("depth", [np.nan, np.inf])
def test_depth_that_is_no_number_is_refused(start_server: StartServer, depth: float) -> None:
    message, planes = request(street(1, depth_m=np.full((HEIGHT_PX, WIDTH_PX), depth, np.float32)))
    with raw_peer(start_server()) as peer:
        ask(peer, Hello(client="test"))
        refusal = ask(peer, message, planes)
        assert isinstance(refusal, Refusal)
        assert "finite" in refusal.message


def test_poses_that_are_no_motion_are_refused(start_server: StartServer) -> None:
    message, planes = request(street(1, world_from_camera=np.zeros((4, 4))))
    with raw_peer(start_server()) as peer:
        ask(peer, Hello(client="test"))
        refusal = ask(peer, message, planes)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "bad-motion"


def test_render_without_hello_is_refused(start_server: StartServer) -> None:
    message, planes = request(street(1))
    with raw_peer(start_server()) as peer:
        refusal = ask(peer, message, planes)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "no-session"


def test_bye_ends_a_session(start_server: StartServer) -> None:
    message, planes = request(street(1))
    with raw_peer(start_server()) as peer:
        ask(peer, Hello(client="test"))
        peer.send_multipart(wire.encode(Bye()))
        refusal = ask(peer, message, planes)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "no-session"


def test_what_only_servers_say_is_refused(start_server: StartServer) -> None:
    with raw_peer(start_server()) as peer:
        refusal = ask(peer, Refusal(code="x", message="y"))
        assert isinstance(refusal, Refusal)
        assert refusal.code == "not-a-request"


GARBAGE = {
    "noise": os.urandom(1000),
    "empty": b"",
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "magic only": wire.MAGIC,
    "foreign version": wire.MAGIC + bytes([PROTOCOL_VERSION + 1]) + b"\x80",
    "broken header": wire.MAGIC + bytes([PROTOCOL_VERSION]) + b"\xc1\xff",
    "huge header": wire.MAGIC + bytes([PROTOCOL_VERSION]) + b"\x00" * (wire.MAX_HEADER_BYTES + 1),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused_and_survived(start_server: StartServer, name: str) -> None:
    server = start_server()
    with connected(server) as client, raw_peer(server) as peer:
        rendered(client, street(1))
        refusal = ask(peer, GARBAGE[name])
        assert isinstance(refusal, Refusal)
        assert refusal.hint
        assert rendered(client, street(2)).reset == ""


def test_a_foreign_version_is_named(start_server: StartServer) -> None:
    with raw_peer(start_server()) as peer:
        refusal = ask(peer, GARBAGE["foreign version"])
        assert isinstance(refusal, Refusal)
        assert f"version {PROTOCOL_VERSION + 1}" in refusal.message
        assert f"version {PROTOCOL_VERSION}" in refusal.message


def test_a_message_beyond_the_limit_drops_that_peer_only(start_server: StartServer) -> None:
    server = start_server()
    with connected(server) as client, raw_peer(server) as peer:
        rendered(client, street(1))
        events = peer.get_monitor_socket(zmq.Event.DISCONNECTED)
        peer.send(bytes(wire.MAX_PLANE_BYTES + 1))
        assert events.poll(DEADLINE_S * 1e3)
        assert rendered(client, street(2)).reset == ""
        peer.disable_monitor()
        events.close(linger=0)


def test_bytes_that_are_not_zeromq_are_survived(start_server: StartServer) -> None:
    server = start_server()
    port = int(server.endpoint.rpartition(":")[2])
    with connected(server) as client:
        rendered(client, street(1))
        with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as stranger:
            stranger.sendall(b"\xff" + (2**31).to_bytes(8, "big") + b"\x7f" + os.urandom(4096))
        assert rendered(client, street(2)).reset == ""


class FailingModel:
    """Fails at frame 2."""

    def __init__(self, model: ReprojectingModel) -> None:
        self.card, self.device, self.summary = model.card, model.device, model.summary
        self._model = model
        self._num_steps = 0

    def step(self, frame: ModelInput, state: TemporalState | None) -> tuple[ModelOutput, TemporalState]:
        self._num_steps += 1
        if self._num_steps == 2:
            raise RuntimeError("not enough memory: you tried to allocate 1 TB")
        return self._model.step(frame, state)


def test_a_failing_model_is_a_refusal_and_then_a_reset(
    start_server: StartServer, tiny_model: ReprojectingModel, caplog: pytest.LogCaptureFixture
) -> None:
    with connected(start_server(model=FailingModel(tiny_model))) as client:
        rendered(client, street(1))
        assert client.submit(street(2), 0)
        refusal = answer(client)
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.frame_id) == ("failed", 2)
        assert rendered(client, street(3)).reset == "the last frame failed"
        assert rendered(client, street(4)).reset == ""
    assert "1 TB" in caplog.text
    assert "Traceback" in caplog.text


def test_the_longest_silent_session_makes_room(start_server: StartServer) -> None:
    server = start_server(max_sessions=2)
    with connected(server) as first, connected(server) as second:
        rendered(first, street(1))
        rendered(second, street(1))
        rendered(first, street(2))
        with connected(server) as third:
            rendered(third, street(1))
            assert server.num_sessions == 2
            assert rendered(first, street(3)).reset == ""
            # The second was dropped: it learns it, says hello again by itself, and begins anew.
            assert second.submit(street(2), 0)
            assert second.poll(DEADLINE_S) == []
            second.wait_connected(DEADLINE_S)
            assert rendered(second, street(3)).reset == "first frame"


def test_idle_sessions_are_dropped(start_server: StartServer) -> None:
    server = start_server(idle_limit_s=0.2)
    with connected(server) as client:
        rendered(client, street(1))
        deadline_s = time.monotonic() + DEADLINE_S
        while server.num_sessions and time.monotonic() < deadline_s:
            assert client.poll(0.1) == []
        assert server.num_sessions == 0
