"""How long a label map takes from one process to another: this protocol against bare ZeroMQ, frame by frame in turn.

Both use the same socket type and endpoint kind, raw planes, and no copy on either side; what is measured is what the
protocol adds (header, checks, socket options). Times are of `time.monotonic`, which processes of one host share.
"""

from __future__ import annotations

import multiprocessing
import struct
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import zmq
from numpy.typing import NDArray

from bridge.protocol import sockets, wire
from bridge.protocol.messages import Render

RATE_HZ: Final = 60.0
ANSWER_TIMEOUT_MS: Final = 10_000
WARM_UP: Final = 10
_STAMP: Final = struct.Struct("<d")
_SHAPE: Final = struct.Struct("<II")


@dataclass(frozen=True)
class TransportTimes:
    """One-way times in ms, one an exchange."""

    product_ms: NDArray[np.float64]
    bare_ms: NDArray[np.float64]


def measure_transport(num_frames: int, width_px: int = 1920, height_px: int = 1080) -> TransportTimes:
    """Send `num_frames` label maps each way in turn, paced at 60 a second, and return their one-way times."""
    label_map = (np.add.outer(np.arange(height_px) // 40, np.arange(width_px) // 40) % 20).astype(np.uint8)
    with tempfile.TemporaryDirectory(prefix="vidrive-bench-") as folder:
        endpoints = [f"ipc://{Path(folder) / name}" for name in ("product", "bare")]
        peer = multiprocessing.get_context("spawn").Process(target=_answer, args=endpoints, daemon=True)
        peer.start()
        context = zmq.Context()
        try:
            product, bare = (context.socket(zmq.DEALER) for _ in endpoints)
            sockets.set_client_options(product)
            bare.setsockopt(zmq.LINGER, 0)
            for socket, endpoint in zip((product, bare), endpoints, strict=True):
                socket.setsockopt(zmq.RCVTIMEO, ANSWER_TIMEOUT_MS)
                socket.setsockopt(zmq.SNDTIMEO, ANSWER_TIMEOUT_MS)
                socket.connect(endpoint)
            return _exchange(product, bare, label_map, num_frames)
        finally:
            context.destroy(linger=0)
            peer.terminate()
            peer.join()


def _exchange(product: zmq.Socket, bare: zmq.Socket, label_map: NDArray[np.uint8], num_frames: int) -> TransportTimes:
    times: dict[str, list[float]] = {"product": [], "bare": []}
    due_s = time.monotonic()
    for index in range(2 * (num_frames + WARM_UP)):
        due_s = max(due_s + 1 / RATE_HZ, time.monotonic())
        time.sleep(max(0.0, due_s - time.monotonic()))
        start_s = time.monotonic()
        if index % 2:
            bare.send_multipart([_SHAPE.pack(*label_map.shape), label_map.data.cast("B")], copy=False)
            (arrived_s,) = _STAMP.unpack(bare.recv())
        else:
            product.send_multipart(_product_message(index, label_map), copy=False)
            (arrived_s,) = _STAMP.unpack(product.recv())
        times["bare" if index % 2 else "product"].append((arrived_s - start_s) * 1e3)
    return TransportTimes(np.array(times["product"][WARM_UP:]), np.array(times["bare"][WARM_UP:]))


def _product_message(frame_id: int, label_map: NDArray[np.uint8]) -> list[wire.Buffer]:
    height_px, width_px = label_map.shape
    message = Render(
        sequence=1,
        frame_id=frame_id,
        width_px=width_px,
        height_px=height_px,
        planes=(wire.plane_header("labels", label_map),),
    )
    return wire.encode(message, [label_map])


def _answer(product_endpoint: str, bare_endpoint: str) -> None:
    """The other process: says when each label map had become an array."""
    context = zmq.Context()
    product, bare = context.socket(zmq.ROUTER), context.socket(zmq.ROUTER)
    sockets.set_common_options(product)
    bare.setsockopt(zmq.LINGER, 0)
    poller = zmq.Poller()
    for socket, endpoint in ((product, product_endpoint), (bare, bare_endpoint)):
        socket.bind(endpoint)
        poller.register(socket, zmq.POLLIN)
    while True:
        for socket, _ in poller.poll():
            peer, *frames = socket.recv_multipart(copy=False)
            if socket is product:
                _, planes = wire.decode([frame.buffer for frame in frames])
                label_map = planes["labels"]
            else:
                label_map = np.frombuffer(frames[1].buffer, np.uint8).reshape(_SHAPE.unpack(frames[0].buffer))
            arrived_s = time.monotonic()
            assert label_map.flags.c_contiguous
            socket.send_multipart([peer.bytes, _STAMP.pack(arrived_s)])
