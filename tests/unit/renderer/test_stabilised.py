"""The stabiliser holds back what a generator changes of a surface, and nothing of what moves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bridge.protocol.errors import UsageError
from bridge.protocol.messages import ModelCard
from renderer.inputs import ModelInput
from renderer.models import registry
from renderer.models.base import ModelOutput, Nothing
from renderer.models.imported import ModelOptions
from renderer.models.stabilised import StabilisedModel
from renderer.temporal import EngineMotion

HEIGHT_PX, WIDTH_PX, FOCAL_PX, DEPTH_M = 32, 64, 64.0, 10.0
STEP_PX = 4
CARD = ModelCard(
    name="per-frame",
    family="spade",
    label_space="cityscapes",
    planes=("labels",),
    size_multiple_px=16,
    past_frames=0,
    weights_sha256="",
    licence="none",
)


class PerFrame:
    """A generator that draws the given pictures one after another."""

    card = CARD
    device = torch.device("cpu")
    summary = "cpu"

    def __init__(self, pictures: list[NDArray[np.uint8]]) -> None:
        self._pictures = iter(pictures)

    def step(self, frame: ModelInput, state: Nothing | None) -> tuple[ModelOutput, Nothing]:
        return ModelOutput(next(self._pictures), {"infer": 1.0}), Nothing()


def frame(moved_px: float = 0.0, *, geometry: bool = True) -> ModelInput:
    """A wall ten metres ahead of a camera that has gone to the right by so many pixels of it."""
    pose = np.eye(4)
    pose[0, 3] = moved_px * DEPTH_M / FOCAL_PX
    labels = torch.zeros(1, HEIGHT_PX, WIDTH_PX, dtype=torch.uint8)
    if not geometry:
        return ModelInput(labels)
    depth = torch.full((1, 1, HEIGHT_PX, WIDTH_PX), DEPTH_M)
    return ModelInput(labels, depth_B1HW=depth, motion=EngineMotion(FOCAL_PX, pose))


def wall(columns: int) -> NDArray[np.uint8]:
    """Smooth stripes, so that resampling between pixels loses nothing."""
    waves = 127.5 + 100 * np.sin(np.arange(columns) / 5.0)
    return np.repeat(np.repeat(np.uint8(waves)[None, :, None], HEIGHT_PX, 0), 3, 2)


def play(pictures: list[NDArray[np.uint8]], frames: list[ModelInput]) -> list[NDArray[np.int16]]:
    model, state, drawn = StabilisedModel(PerFrame(pictures)), None, []
    for given in frames:
        output, state = model.step(given, state)
        drawn.append(output.rgb.astype(np.int16))
    return drawn


def test_the_card_asks_for_depth_and_ids() -> None:
    card = StabilisedModel(PerFrame([])).card
    assert card.planes == ("labels", "depth_m", "instances")
    assert card.past_frames == 1


def test_what_flickers_is_steadied() -> None:
    noise = np.random.default_rng(0)
    pictures = [noise.integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8) for _ in range(40)]
    steadied = play(pictures, [frame()] * 40)[20:]
    plain = [picture.astype(np.int16) for picture in pictures[20:]]

    def flicker(drawn: list[NDArray[np.int16]]) -> float:
        return float(np.mean([np.abs(now - was).mean() for was, now in pairwise(drawn)]))

    assert flicker(steadied) < flicker(plain) / 3
    assert np.abs(np.mean(steadied, 0) - np.mean(plain, 0)).mean() < 25  # it is their average, not something else


def test_what_moves_is_not_held_back() -> None:
    street = wall(WIDTH_PX + 10 * STEP_PX)
    pictures = [street[:, i * STEP_PX : i * STEP_PX + WIDTH_PX] for i in range(10)]
    for drawn, picture in zip(play(pictures, [frame(i * STEP_PX) for i in range(10)]), pictures, strict=True):
        assert np.abs(drawn - picture).max() <= 2


def test_what_comes_into_view_is_drawn_anew() -> None:
    black, white = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8), np.full((HEIGHT_PX, WIDTH_PX, 3), 255, np.uint8)
    _, drawn = play([black, white], [frame(), frame(STEP_PX)])
    assert (drawn[:, WIDTH_PX - STEP_PX + 1 :] == 255).all()
    assert (drawn[:, : WIDTH_PX - STEP_PX - 1] < 45).all()


def test_without_geometry_it_is_the_generators_own_picture() -> None:
    black, white = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8), np.full((HEIGHT_PX, WIDTH_PX, 3), 255, np.uint8)
    drawn = play([black, white, black], [frame(), frame(geometry=False), frame()])
    assert [picture.max() for picture in drawn] == [0, 255, 0]


def test_the_live_model_is_steady_by_itself() -> None:
    with pytest.raises(UsageError, match="by itself") as caught:
        registry.load_model(options=ModelOptions(stabilise=True))
    assert "--stabilise" in caught.value.hint
