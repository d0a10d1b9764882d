"""Several clients' frames at once: each gets its own picture, in turn, and no one's state is another's."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from bridge.protocol import wire
from bridge.protocol.frames import RenderedFrame
from bridge.protocol.messages import Hello, Refusal, Rendered
from bridge.render_client import RenderClient
from renderer.inputs import ModelInput
from renderer.models.base import Model, ModelOutput
from renderer.models.reprojecting import ReprojectingModel
from renderer.temporal import TemporalState
from tests.unit.renderer.server_peers import (
    DEADLINE_S,
    StartServer,
    answer,
    connected,
    raw_peer,
    rendered,
    request,
    street,
)

NUM_FRAMES = 6


class Gate:
    """The tiny model, which notes how many it draws at once, and can be held so that frames wait for it."""

    def __init__(self, model: ReprojectingModel) -> None:
        self.card, self.device, self.summary = model.card, model.device, model.summary
        self.batches: list[int] = []
        self.opened = threading.Event()
        self.opened.set()
        self.entered = threading.Event()
        self.fail = False
        self._model = model

    def step(self, frame: ModelInput, state: TemporalState | None) -> tuple[ModelOutput, TemporalState]:
        self.batches.append(1)
        self.entered.set()
        assert self.opened.wait(DEADLINE_S)
        return self._model.step(frame, state)

    def step_together(
        self, frames: Sequence[ModelInput], states: Sequence[TemporalState | None]
    ) -> list[tuple[ModelOutput, TemporalState]]:
        self.batches.append(len(frames))
        if self.fail:
            raise RuntimeError("out of memory")
        return self._model.step_together(frames, states)


def alone(start_server: StartServer, model: Model, seed: int) -> list[np.ndarray]:
    with connected(start_server(model=model)) as client:
        return [rendered(client, street(number, seed)).rgb for number in range(NUM_FRAMES)]


def submit_all(gate: Gate, clients: Sequence[RenderClient], number: int) -> list[RenderedFrame | Refusal]:
    """Let one frame go in first and hold it, until those of all other clients wait; return the answers in order."""
    gate.opened.clear()
    gate.entered.clear()
    assert clients[0].submit(street(number, 0), 0)
    assert gate.entered.wait(DEADLINE_S)
    for seed, client in enumerate(clients[1:], start=1):
        assert client.submit(street(number, seed), 0)
    time.sleep(0.05)  # not to wait for anything: so that they usually have arrived, and are drawn together
    gate.opened.set()
    return [answer(client) for client in clients]


def test_each_gets_its_own_picture_of_a_batch(start_server: StartServer, tiny_model: ReprojectingModel) -> None:
    expected = [alone(start_server, tiny_model, seed) for seed in range(4)]
    gate = Gate(tiny_model)
    server = start_server(model=gate, max_batch=4)
    with (
        connected(server) as first,
        connected(server) as second,
        connected(server) as third,
        connected(server) as fourth,
    ):
        clients = (first, second, third, fourth)
        for number in range(NUM_FRAMES):
            for seed, given in enumerate(submit_all(gate, clients, number)):
                assert isinstance(given, RenderedFrame)
                assert (given.frame_id, given.reset) == (number, "" if number else "first frame")
                apart = np.abs(given.rgb.astype(int) - expected[seed][number])
                assert apart.max() <= 1, f"client {seed}, frame {number}"
    assert max(gate.batches) > 1, "nothing was drawn together"
    assert max(gate.batches) <= 4


def test_without_being_told_nothing_is_batched_and_nothing_differs(
    start_server: StartServer, tiny_model: ReprojectingModel
) -> None:
    expected = [alone(start_server, tiny_model, seed) for seed in range(3)]
    gate = Gate(tiny_model)
    server = start_server(model=gate)
    with connected(server) as first, connected(server) as second, connected(server) as third:
        for number in range(NUM_FRAMES):
            for seed, given in enumerate(submit_all(gate, (first, second, third), number)):
                assert isinstance(given, RenderedFrame)
                assert np.array_equal(given.rgb, expected[seed][number])
    assert set(gate.batches) == {1}


def test_other_shapes_are_drawn_apart_and_nobody_waits_for_ever(
    start_server: StartServer, tiny_model: ReprojectingModel
) -> None:
    server = start_server(max_batch=8)
    counts = [0, 0, 0]
    with connected(server) as first, connected(server) as second, connected(server) as third:
        clients = (first, second, third)
        sizes = ((32, 48), (32, 48), (48, 64))
        deadline_s = time.monotonic() + DEADLINE_S
        while min(counts) < 20 and time.monotonic() < deadline_s:
            for index, client in enumerate(clients):
                if client.ready:
                    assert client.submit(street(counts[index] % 15, index, sizes[index]), counts[index] // 15)
                for given in client.poll(0.002):  # a spin would keep the server, a thread, from working
                    assert isinstance(given, RenderedFrame)
                    assert given.rgb.shape[:2] == sizes[index]
                    counts[index] += 1
    assert min(counts) >= 20
    assert max(counts) <= 2 * min(counts) + 2, "each client is served in its turn"


def test_a_batch_that_fails_is_told_to_each_and_the_next_one_begins_anew(
    start_server: StartServer, tiny_model: ReprojectingModel, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(tiny_model)
    server = start_server(model=gate, max_batch=4)
    with connected(server) as first, connected(server) as second, connected(server) as third:
        clients = (first, second, third)
        submit_all(gate, clients, 0)
        gate.fail = True
        before = len(gate.batches)
        _, *given = submit_all(gate, clients, 1)
        gate.fail = False
        if gate.batches[before:] == [1, 2]:
            for told in given:
                assert isinstance(told, Refusal)
                assert told.code == "failed"
            assert "a request failed" in caplog.text
            for client, seed in ((second, 1), (third, 2)):
                assert rendered(client, street(2, seed)).reset == "the last frame failed"


def test_a_client_that_does_not_wait_gets_its_frames_in_order(
    start_server: StartServer, tiny_model: ReprojectingModel
) -> None:
    expected = alone(start_server, tiny_model, 0)
    with raw_peer(start_server(max_batch=4)) as peer:
        peer.send_multipart(wire.encode(Hello(client="hasty")))
        peer.recv_multipart()
        for number in range(NUM_FRAMES):
            peer.send_multipart(wire.encode(*request(street(number))))
        for number in range(NUM_FRAMES):
            message, planes = wire.decode(peer.recv_multipart())
            assert isinstance(message, Rendered)
            assert (message.frame_id, message.reset) == (number, "" if number else "first frame")
            assert planes["rgb"].shape == expected[number].shape
