"""What tests of the inference server say to it: frames of a drive, clients, and sockets that speak for themselves."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import numpy as np
import zmq

from bridge.protocol import wire
from bridge.protocol.frames import BodyPose, CameraIntrinsics, RenderedFrame, SensorFrame
from bridge.protocol.messages import Message, Motion, Refusal, Render
from bridge.render_client import RenderClient
from renderer.server import RenderServer

StartServer = Callable[..., RenderServer]
HEIGHT_PX, WIDTH_PX = 32, 48
DEADLINE_S = 10.0


def street(
    frame_id: int, seed: int = 0, size_hw: tuple[int, int] = (HEIGHT_PX, WIDTH_PX), **other: object
) -> SensorFrame:
    """Frame `frame_id` of a drive: random labels, a moving camera and a moving body."""
    rng = np.random.default_rng([seed, frame_id])
    world_from_camera = np.array([[0, 0, 1, 0.2 * frame_id], [1, 0, 0, seed], [0, -1, 0, 1.5], [0, 0, 0, 1.0]])
    body = np.eye(4)
    body[0, 3] = 8 + 0.3 * frame_id
    depth = np.full(size_hw, 1000, np.float32)
    depth[size_hw[0] // 2 :] = 8
    instances = np.zeros(size_hw, np.uint16)
    instances[size_hw[0] // 2 : -4, 8:20] = 300
    frame = SensorFrame(
        frame_id=frame_id,
        time_s=frame_id * 0.05,
        label_map=rng.integers(0, 13, size_hw, np.uint8),
        label_space="street",
        intrinsics=CameraIntrinsics(size_hw[1], size_hw[0], 90),
        world_from_camera=world_from_camera,
        captured_s=0.0,
        instance_map=instances,
        depth_m=depth,
        bodies=(BodyPose(300, body),),
    )
    return dataclasses.replace(frame, **other)


def answer(client: RenderClient) -> RenderedFrame | Refusal:
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        if answers := client.poll(1.0):
            assert len(answers) == 1
            return answers[0]
    raise AssertionError("no answer")


def rendered(client: RenderClient, frame: SensorFrame, sequence: int = 0) -> RenderedFrame:
    assert client.submit(frame, sequence)
    result = answer(client)
    assert isinstance(result, RenderedFrame), result
    return result


@contextmanager
def connected(server: RenderServer, **options: object) -> Iterator[RenderClient]:
    with RenderClient(server.endpoint, **options) as client:
        client.wait_connected(DEADLINE_S)
        yield client


@contextmanager
def raw_peer(server: RenderServer, kind: int = zmq.DEALER) -> Iterator[zmq.Socket]:
    context = zmq.Context()
    peer = context.socket(kind)
    peer.linger = 0
    peer.rcvtimeo = int(DEADLINE_S * 1e3)
    peer.connect(server.endpoint)
    try:
        yield peer
    finally:
        peer.close()
        context.term()


def ask(peer: zmq.Socket, message: Message | bytes, arrays: tuple[np.ndarray, ...] = ()) -> Message:
    peer.send_multipart([message] if isinstance(message, bytes) else wire.encode(message, arrays))
    return wire.decode(peer.recv_multipart())[0]


def request(frame: SensorFrame, drop: str = "", **other: object) -> tuple[Render, tuple[np.ndarray, ...]]:
    """The request that a client would send, with something changed."""
    assert frame.depth_m is not None
    assert frame.instance_map is not None
    planes = {"labels": frame.label_map, "depth_m": frame.depth_m, "instances": frame.instance_map}
    planes.pop(drop, None)
    rows = tuple(frame.world_from_camera[:3].ravel().tolist())
    render = Render(
        sequence=0,
        frame_id=frame.frame_id,
        width_px=frame.label_map.shape[1],
        height_px=frame.label_map.shape[0],
        planes=tuple(wire.plane_header(name, plane) for name, plane in planes.items()),
        motion=Motion(focal_px=24.0, world_from_camera=rows),
    )
    return msgspec.structs.replace(render, **other), tuple(planes.values())
