"""The model `street-town`: free for any use, and at dusk."""

from __future__ import annotations

import msgspec
import numpy as np
import torch

from renderer.inputs import ModelInput
from renderer.models.live import load_live
from renderer.models.registry import find_preset, load_model
from renderer.temporal import EngineMotion
from renderer.train.card import TrainedCard
from renderer.train.preset import find_train_preset
from renderer.weights_catalogue import find_weights, read_card, verify

NAME = "street-town"
SKY, BUILDING, ROAD = 0, 1, 3


def street() -> ModelInput:
    """A straight street between two rows of houses, 12 m apart, seen from its middle."""
    height_px, width_px, focal_px = 128, 256, 128.0
    rows, columns = np.mgrid[0:height_px, 0:width_px] + 0.5
    down, right = (rows - height_px / 2) / focal_px, (columns - width_px / 2) / focal_px
    ground_m = np.where(down > 0, 1.6 / np.maximum(down, 1e-6), 1000.0)
    wall_m = 6.0 / np.maximum(np.abs(right), 1e-6)
    depth_m = np.minimum(np.minimum(ground_m, wall_m), 1000.0)
    house = (wall_m < ground_m) & (-down * wall_m < 10.0) & (wall_m < 120.0)
    labels = np.where(house, BUILDING, np.where(ground_m <= wall_m, ROAD, SKY)).astype(np.uint8)
    labels[(down <= 0) & ~house] = SKY
    depth_m[labels == SKY] = 1000.0
    pose = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, -1, 0, 1.6], [0, 0, 0, 1]])
    return ModelInput(
        torch.from_numpy(labels)[None],
        torch.from_numpy(depth_m.astype(np.float32))[None, None],
        torch.zeros(1, 1, height_px, width_px, dtype=torch.int32),
        EngineMotion(focal_px, pose),
    )


def test_weights_are_those_of_their_card_and_preset() -> None:
    path = find_weights(f"{NAME}.safetensors")
    preset = find_train_preset(NAME)
    assert load_live(path).config == preset.generator
    verify(path, read_card(path))
    card = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=TrainedCard)
    assert card.licence == preset.provenance.licence == find_preset(NAME).licence == "Apache-2.0"
    assert "CamVid" not in card.data
    people = path.with_suffix(".md").read_text()
    assert card.licence in people
    assert card.command in people


def test_it_draws_dusk_after_rain_and_stays_as_it_is_while_parked() -> None:
    model = load_model(NAME)
    output, state = model.step(street(), None)
    labels = street().labels_BHW[0].numpy()
    red, _, blue = np.moveaxis(output.rgb.astype(float), -1, 0)
    sky, road = labels == SKY, labels == ROAD
    high = sky & (np.arange(128)[:, None] < 16)
    low = sky & (np.arange(128)[:, None] > 52)
    assert (blue - red)[high].mean() > 15, "the sky is blue above"
    assert (red - blue)[low].mean() > (red - blue)[high].mean() + 30, "and warm at the horizon"
    assert output.rgb[road].mean() < output.rgb[sky].mean(), "the road is darker than the sky"
    later = output
    for _ in range(20):
        later, state = model.step(street(), state)
    assert np.abs(later.rgb.astype(int) - output.rgb).mean() < 6.0
