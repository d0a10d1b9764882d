"""While a device draws a frame the server makes the next one ready: here with a device that is told when to be done."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.protocol.frames import RenderedFrame
from renderer.backends.transfer import Download
from renderer.inputs import ModelInput
from renderer.models.base import ModelOutput
from renderer.models.reprojecting import ReprojectingModel
from renderer.temporal import TemporalState
from tests.unit.renderer.server_peers import DEADLINE_S, StartServer, answer, connected, rendered, street
from tests.unit.renderer.test_batching import NUM_FRAMES, alone


class Late(Download):
    """A picture that comes when somebody waits for it."""

    def __init__(self, rgb: NDArray[np.uint8], wait: Callable[[], None]) -> None:
        self._rgb, self._wait = rgb, wait

    def wait(self) -> NDArray[np.uint8]:
        self._wait()
        return self._rgb


class LateModel:
    """The tiny model, whose pictures come late."""

    def __init__(self, model: ReprojectingModel) -> None:
        self.card, self.device, self.summary = model.card, model.device, model.summary
        self.stepped = threading.Semaphore(0)
        self.may_go_on = threading.Event()
        self.wait: Callable[[], None] = lambda: None
        self._model = model

    def step(self, frame: ModelInput, state: TemporalState | None) -> tuple[ModelOutput, TemporalState]:
        output, after = self._model.step(frame, state)
        self.stepped.release()
        assert self.may_go_on.wait(DEADLINE_S)
        return ModelOutput(Late(output.rgb, lambda: self.wait()), output.stages_ms), after


def test_the_next_clients_frame_is_made_ready_beside_the_one_that_is_drawn(
    start_server: StartServer, tiny_model: ReprojectingModel
) -> None:
    expected = [alone(start_server, tiny_model, seed) for seed in range(2)]
    model = LateModel(tiny_model)
    server = start_server(model=model)
    waiting: list[int] = []
    model.wait = lambda: waiting.append(len(server._prepared))
    with connected(server) as first, connected(server) as second:
        for number in range(NUM_FRAMES):
            model.may_go_on.clear()
            assert first.submit(street(number, 0), 0)
            assert model.stepped.acquire(timeout=DEADLINE_S)
            assert second.submit(street(number, 1), 0)
            server._socket.poll(int(DEADLINE_S * 1e3))  # its thread stands in `step`: nobody else reads the socket
            model.may_go_on.set()
            for seed, client in enumerate((first, second)):
                given = answer(client)
                assert isinstance(given, RenderedFrame)
                assert (given.frame_id, given.reset) == (number, "" if number else "first frame")
                assert np.array_equal(given.rgb, expected[seed][number])
            assert model.stepped.acquire(timeout=DEADLINE_S)
    assert waiting == [1, 0] * NUM_FRAMES, "a frame was ready when the server began to wait for the one before"


def test_a_picture_that_never_comes_is_told_and_the_next_frame_is_drawn(
    start_server: StartServer, tiny_model: ReprojectingModel, caplog: pytest.LogCaptureFixture
) -> None:
    model = LateModel(tiny_model)
    model.may_go_on.set()

    def fail() -> None:
        model.wait = lambda: None
        raise RuntimeError("an illegal memory access was encountered")

    model.wait = fail
    with connected(start_server(model=model)) as client:
        assert client.submit(street(0), 0)
        assert not isinstance(answer(client), RenderedFrame)
        assert rendered(client, street(1)).frame_id == 1
    assert "a request failed" in caplog.text
