"""Frames that are drawn before they exist: how right they are foreseen, and that each is handed over once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from bridge.loop import FrameLoop
from bridge.protocol.errors import RenderRefused, RenderServerError, VidriveError
from bridge.protocol.frames import EgoControl, FramePair, RenderedFrame, SensorFrame
from bridge.protocol.messages import Refusal
from clients.prediction import PATIENCE_FRAMES, PredictingRenderer, foreseen
from tests.unit.gap.drawn_drives import CAR, CAR_ID, Camera, see

STEP_M = 1.5


def at(index: float, frame_id: int | None = None) -> SensorFrame:
    number = int(index) if frame_id is None else frame_id
    return replace(see(Camera(index * STEP_M), number), time_s=0.05 * number)


def test_a_street_is_foreseen_where_it_will_be() -> None:
    guess, true, now = foreseen(at(3), at(4)), at(5), at(4)
    assert guess is not None
    assert (guess.frame_id, guess.time_s) == (5, pytest.approx(0.25))
    np.testing.assert_allclose(guess.world_from_camera, true.world_from_camera, atol=1e-9)
    right, unmoved = (np.mean(frame.label_map == true.label_map) for frame in (guess, now))
    assert right > 0.96
    assert 1.0 - right < 0.6 * (1.0 - unmoved), f"{right} and {unmoved}"
    assert guess.depth_m is not None and true.depth_m is not None and guess.instance_map is not None
    near = true.depth_m < 100.0
    assert np.median(np.abs(guess.depth_m - true.depth_m)[near] / true.depth_m[near]) < 0.01
    assert set(np.unique(guess.instance_map)) == {0, CAR_ID}
    assert np.mean(guess.label_map[guess.instance_map == CAR_ID] == CAR) > 0.99


def test_a_street_that_stands_is_foreseen_as_it_is() -> None:
    guess = foreseen(at(3), replace(at(3), frame_id=4))
    assert guess is not None
    assert np.mean(guess.label_map == at(3).label_map) > 0.999


def test_without_depth_nothing_is_foreseen() -> None:
    assert foreseen(at(3), replace(at(4), depth_m=None)) is None


class Server:
    """A renderer that answers when it is told to, with pictures in which each pixel is the id of what was drawn."""

    def __init__(self) -> None:
        self.ready = True
        self.problem: VidriveError | None = None
        self.waits: tuple[SensorFrame, int] | None = None
        self.drawn: list[SensorFrame] = []
        self.answers: list[RenderedFrame | Refusal] = []
        self.refuses_foreseen = False
        self.by_itself = True

    @property
    def in_flight(self) -> int | None:
        return None if self.waits is None else self.waits[0].frame_id

    def submit(self, frame: SensorFrame, sequence: int) -> bool:
        assert self.ready
        if self.refuses_foreseen and frame.flow_px is None:
            raise RenderRefused("mismatch", "it needs the plane flow_px", "Change the rig")
        self.ready, self.waits = False, (frame, sequence)
        return True

    def answer(self) -> None:
        assert self.waits is not None
        frame, sequence = self.waits
        self.drawn.append(frame)
        self.answers.append(RenderedFrame(frame.frame_id, sequence, np.repeat(frame.label_map[..., None], 3, 2), {}))
        self.ready, self.waits = True, None

    def lose(self) -> None:
        self.ready, self.waits, self.problem = False, None, RenderServerError("the inference server was lost", "Start")

    def poll(self, timeout_s: float = 0.0) -> Sequence[RenderedFrame | Refusal]:
        if self.waits is not None and self.by_itself:
            self.answer()
        answers, self.answers = self.answers, []
        return answers


class Street:
    """Drives through the drawn street; jumps where it is told to."""

    fixed_delta_s = 0.05

    def __init__(self) -> None:
        self.frame_id = 0
        self.index = 0.0
        self.stages_ms: dict[str, float] = {}

    def tick(self, control: EgoControl | None) -> int:
        self.frame_id += 1
        self.index += 1.0
        return self.frame_id

    def read(self, frame_id: int) -> SensorFrame:
        return replace(at(self.index, frame_id), flow_px=np.zeros((1, 1, 2), np.float32))

    def respawn(self) -> None:
        self.index -= 7.0


class Kept:
    """A sink that keeps all pairs."""

    def __init__(self) -> None:
        self.pairs: list[FramePair] = []

    def accept(self, pair: FramePair) -> None:
        self.pairs.append(pair)


@pytest.mark.parametrize("mode", ["record", "live"])
def test_a_loop_hands_over_each_frame_once_drawn_from_what_was_foreseen(mode: str) -> None:
    server, kept = Server(), Kept()
    predicting = PredictingRenderer(server)
    with FrameLoop(Street(), predicting, mode=mode, sinks=[kept, predicting]) as loop:  # type: ignore[arg-type]
        loop.run(12)
    assert [pair.sensor.frame_id for pair in kept.pairs] == list(range(1, 13))
    assert all(pair.rendered is not None for pair in kept.pairs)
    report = predicting.report()
    assert report["foreseen"] >= 9
    assert report["missed"] == 0
    assert report["labels_right"] > 0.96
    drawn_ahead = [frame for frame in server.drawn if frame.flow_px is None]
    assert len(drawn_ahead) == report["foreseen"] - 1, "the one after the last is still with the server"
    for pair in kept.pairs[4:]:
        assert pair.rendered is not None
        assert np.mean(pair.rendered.rgb[..., 0] == pair.sensor.label_map) > 0.95


def test_after_a_jump_the_frame_itself_is_drawn() -> None:
    server, kept, street = Server(), Kept(), Street()
    predicting = PredictingRenderer(server)
    with FrameLoop(street, predicting, sinks=[kept, predicting]) as loop:
        loop.run(8)
        loop.respawn()
        loop.run(5)
    by_id = {pair.sensor.frame_id: pair for pair in kept.pairs}
    assert sorted(by_id) == list(range(1, 14))
    for frame_id in (9, 10):
        rendered = by_id[frame_id].rendered
        assert rendered is not None
        np.testing.assert_array_equal(rendered.rgb[..., 0], by_id[frame_id].sensor.label_map)
    sequences = [pair.rendered.sequence for pair in kept.pairs if pair.rendered is not None]
    assert sequences == [1] * 8 + [2] * 5


def test_what_was_foreseen_badly_is_not_shown() -> None:
    server = Server()
    predicting = PredictingRenderer(server)
    for index in (1, 2):
        assert predicting.submit(at(index), 1)
        (answer,) = predicting.poll()
        assert isinstance(answer, RenderedFrame)
        predicting.accept(FramePair(predicting._last[0], answer, 0.0))  # type: ignore[index]
    assert server.waits is not None, "the third frame is being drawn ahead"
    other = replace(at(3), label_map=np.full_like(at(3).label_map, 7))
    assert predicting.submit(other, 1)
    answers = [*predicting.poll(), *predicting.poll()]
    assert [answer.frame_id for answer in answers] == [3]
    assert isinstance(answers[0], RenderedFrame)
    assert np.all(answers[0].rgb == 7)
    assert predicting.report()["missed"] == 1
    predicting.accept(FramePair(other, answers[0], 0.0))
    assert server.waits is None, f"nothing is foreseen for {PATIENCE_FRAMES} frames"


def test_a_model_that_needs_what_cannot_be_foreseen_draws_the_frames_themselves() -> None:
    server, kept = Server(), Kept()
    server.refuses_foreseen = True
    predicting = PredictingRenderer(server)
    with FrameLoop(Street(), predicting, sinks=[kept, predicting]) as loop:
        loop.run(6)
    assert [pair.rendered is not None for pair in kept.pairs] == [True] * 6
    assert predicting.report() == {"foreseen": 0, "missed": 0}


def test_a_server_lost_with_a_foreseen_frame_is_told_with_the_next() -> None:
    server = Server()
    predicting = PredictingRenderer(server)
    for index in (1, 2):
        assert predicting.submit(at(index), 1)
        (answer,) = predicting.poll()
        assert isinstance(answer, RenderedFrame)
        predicting.accept(FramePair(predicting._last[0], answer, 0.0))  # type: ignore[index]
    server.by_itself = False
    assert predicting.submit(at(3), 1)
    assert predicting.in_flight == 3
    server.lose()
    server.submit = lambda frame, sequence: False  # type: ignore[method-assign]
    assert list(predicting.poll()) == []
    assert predicting.in_flight is None
    assert predicting.problem is not None
    assert not predicting.ready
