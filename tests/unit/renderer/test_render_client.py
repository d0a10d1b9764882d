"""The render client against servers that lie, hang or vanish: a ROUTER socket that the test speaks for."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import numpy as np
import pytest
import zmq

from bridge.protocol import wire
from bridge.protocol.errors import ForeignProtocol, RenderServerError, RenderServerUnreachable, UsageError
from bridge.protocol.frames import CameraIntrinsics, RenderedFrame, SensorFrame
from bridge.protocol.messages import (
    PROTOCOL_VERSION,
    Hello,
    Look,
    Looked,
    Message,
    ModelCard,
    Refusal,
    Render,
    Rendered,
    Welcome,
)
from bridge.render_client import RenderClient

DEADLINE_S = 10.0
CARD = ModelCard(
    name="fake",
    family="none",
    label_space="camvid",
    planes=("labels",),
    size_multiple_px=1,
    past_frames=0,
    weights_sha256="",
    licence="none",
)
RGB = np.zeros((4, 6, 3), np.uint8)


def street(frame_id: int) -> SensorFrame:
    return SensorFrame(
        frame_id=frame_id,
        time_s=0.0,
        label_map=np.full((4, 6), 8, np.uint8),
        label_space="camvid",
        intrinsics=CameraIntrinsics(6, 4, 90),
        world_from_camera=np.eye(4),
        captured_s=0.0,
    )


class Server:
    """A server whose every word the test chooses."""

    def __init__(self, context: zmq.Context, endpoint: str = "tcp://127.0.0.1:*") -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.rcvtimeo = int(DEADLINE_S * 1e3)
        self.socket.bind(endpoint)
        self.endpoint = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.peer = b""

    def hear(self) -> Message:
        self.peer, *frames = self.socket.recv_multipart()
        return wire.decode(frames)[0]

    def say(self, message: Message, *planes: np.ndarray) -> None:
        self.socket.send_multipart([self.peer, *wire.encode(message, planes)])

    def welcome(self, client: RenderClient) -> None:
        while not self.socket.poll(10):  # the client says hello when it is used
            assert not client.connected
        assert isinstance(self.hear(), Hello)
        self.say(Welcome(server="fake", card=CARD))
        client.wait_connected(DEADLINE_S)

    def hear_render(self) -> Render:
        message = self.hear()
        assert isinstance(message, Render)
        return message

    def picture_of(self, request: Render, value: int = 0, **other: object) -> None:
        answer = Rendered(
            sequence=request.sequence,
            frame_id=request.frame_id,
            planes=(wire.plane_header("rgb", RGB),),
            stages_ms={"infer": 1.0},
        )
        self.say(msgspec.structs.replace(answer, **other), RGB + np.uint8(value))


@contextmanager
def conversation(**options: object) -> Iterator[tuple[Server, RenderClient]]:
    context = zmq.Context()
    server = Server(context)
    try:
        with RenderClient(server.endpoint, **options) as client:
            server.welcome(client)
            yield server, client
    finally:
        context.destroy(linger=0)


def test_before_any_server_there_is_a_sentence_and_no_wait() -> None:
    with RenderClient("tcp://127.0.0.1:9") as client:
        start_s = time.monotonic()
        assert not client.connected
        assert not client.submit(street(1), 0)
        assert client.poll() == []
        assert time.monotonic() - start_s < 1
        assert isinstance(client.problem, RenderServerUnreachable)
        assert "tcp://127.0.0.1:9" in str(client.problem)
        with pytest.raises(RenderServerUnreachable, match="vidrive serve"):
            client.wait_connected(0.05)


@pytest.mark.parametrize("endpoint", ["localhost:5790", "tcp://localhost", "tcp://:5790", "http://localhost:5790", ""])
def test_what_is_no_endpoint_is_a_usage_error(endpoint: str) -> None:
    with pytest.raises(UsageError, match="endpoint"):
        RenderClient(endpoint)


def test_answers_to_other_requests_are_dropped() -> None:
    with conversation() as (server, client):
        assert client.submit(street(7), 0)
        request = server.hear_render()
        server.picture_of(request, 1, sequence=request.sequence - 1)
        server.picture_of(request, 2, frame_id=6)
        server.picture_of(request, 3)
        answers = client.poll(DEADLINE_S)
        assert [answer.rgb[0, 0, 0] for answer in answers if isinstance(answer, RenderedFrame)] == [3]
        server.picture_of(request, 4)  # answered already
        assert client.poll(0.05) == []


def test_an_answer_that_nobody_has_read_yet_is_no_loss() -> None:
    with conversation() as (server, client):
        assert client.submit(street(7), 0)
        server.picture_of(server.hear_render())
        deadline_s = time.monotonic() + DEADLINE_S
        while not client.ready and time.monotonic() < deadline_s:  # which reads what has come
            assert client.in_flight == 7
        assert (client.ready, client.in_flight) == (True, 7)
        assert [answer.frame_id for answer in client.poll()] == [7]
        assert client.in_flight is None


def test_a_request_without_an_answer_is_a_lost_server() -> None:
    with conversation(answer_timeout_s=0.2) as (server, client):
        assert client.submit(street(1), 0)
        old_peer, request = server.peer, server.hear_render()
        assert client.poll(DEADLINE_S) == []
        assert not client.connected
        assert client.in_flight is None
        assert "has not answered" in str(client.problem)
        assert client.num_lost == 1
        # It comes back under a new connection; what is sent to the old one reaches nobody.
        server.welcome(client)
        assert server.peer != old_peer
        assert client.submit(street(1), 0)
        second = server.hear_render()
        assert second.sequence > request.sequence
        server.picture_of(second, 5)
        (answer,) = client.poll(DEADLINE_S)
        assert isinstance(answer, RenderedFrame)
        assert answer.rgb[0, 0, 0] == 5
        assert client.problem is None


def test_a_server_that_loads_a_look_may_take_longer_for_a_frame() -> None:
    with conversation(answer_timeout_s=0.5) as (server, client):
        client.change_look("other")
        wish = server.hear()
        assert isinstance(wish, Look)
        assert client.submit(street(1), 0)
        request = server.hear_render()
        assert client.poll(0.7) == []
        assert (client.connected, client.in_flight, client.num_lost) == (True, 1, 0)
        server.picture_of(request, 3)
        assert [answer.frame_id for answer in client.poll(DEADLINE_S)] == [1]
        server.say(Looked(number=wish.number, card=CARD))
        client.poll(0.01)
        while client.looks.awaited:
            client.poll(0.01)
        assert client.submit(street(2), 0)
        assert client.poll(DEADLINE_S) == [], "and then no longer"
        assert client.num_lost == 1


def test_a_vanished_server_is_noticed_and_found_again() -> None:
    context = zmq.Context()
    server = Server(context)
    with RenderClient(server.endpoint) as client:
        server.welcome(client)
        assert client.submit(street(1), 0)
        server.hear_render()
        start_s = time.monotonic()
        server.socket.close()
        while client.connected:
            client.poll(0.05)
            assert time.monotonic() - start_s < DEADLINE_S
        assert client.in_flight is None
        assert not client.submit(street(2), 0)
        again = Server(context, server.endpoint)
        again.welcome(client)
        assert client.submit(street(3), 0)
        again.picture_of(again.hear_render())
        assert [answer.frame_id for answer in client.poll(DEADLINE_S)] == [3]
    context.destroy(linger=0)


def test_sequences_of_the_caller_come_back() -> None:
    with conversation() as (server, client):
        numbers = []
        for frame_id, sequence in ((1, 40), (2, 40), (3, 7)):
            assert client.submit(street(frame_id), sequence)
            request = server.hear_render()
            numbers.append(request.sequence)
            server.picture_of(request)
            (answer,) = client.poll(DEADLINE_S)
            assert isinstance(answer, RenderedFrame)
            assert answer.sequence == sequence
        assert numbers[0] == numbers[1] < numbers[2]


def test_a_refusal_comes_back_as_one() -> None:
    with conversation() as (server, client):
        assert client.submit(street(1), 0)
        server.hear_render()
        server.say(Refusal(code="failed", message="no", frame_id=1))
        (answer,) = client.poll(DEADLINE_S)
        assert isinstance(answer, Refusal)
        assert client.ready


def test_a_picture_that_does_not_fit_is_a_refusal() -> None:
    with conversation() as (server, client):
        assert client.submit(street(1), 0)
        request = server.hear_render()
        small = np.zeros((2, 2, 3), np.uint8)
        header = (wire.plane_header("rgb", small),)
        server.say(Rendered(sequence=request.sequence, frame_id=1, planes=header, stages_ms={}), small)
        (answer,) = client.poll(DEADLINE_S)
        assert isinstance(answer, Refusal)
        assert answer.code == "bad-answer"


def test_a_server_of_a_foreign_version_is_named() -> None:
    context = zmq.Context()
    server = Server(context)
    with RenderClient(server.endpoint) as client:
        assert not client.connected
        while not server.socket.poll(10):
            assert not client.connected
        server.hear()
        reply = wire.MAGIC + bytes([PROTOCOL_VERSION + 1]) + b"whatever"
        server.socket.send_multipart([server.peer, reply])
        deadline_s = time.monotonic() + DEADLINE_S
        while not isinstance(client.problem, ForeignProtocol) and time.monotonic() < deadline_s:
            client.poll(0.05)
        assert isinstance(client.problem, ForeignProtocol)
        assert "same version of vidrive" in client.problem.hint
        with pytest.raises(ForeignProtocol):
            client.wait_connected(0.05)
    context.destroy(linger=0)


def test_a_port_of_another_protocol_is_a_sentence() -> None:

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with RenderClient(f"tcp://127.0.0.1:{port}") as client:
            stranger, _ = listener.accept()
            with stranger:
                stranger.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" * 20)
                with pytest.raises(RenderServerError):
                    client.wait_connected(0.3)


def test_planes_live_until_the_answer() -> None:
    with conversation() as (server, client):
        frame = street(1)
        before = frame.label_map.copy()
        assert client.submit(frame, 0)
        del frame
        _, *frames = server.socket.recv_multipart()
        np.testing.assert_array_equal(wire.decode(frames)[1]["labels"], before)


def test_a_closed_client_says_so() -> None:
    client = RenderClient("tcp://127.0.0.1:9")
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.poll()
