"""One file of the live family holds several looks: drawn, mixed, saved, and chosen when it is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bridge.protocol.errors import UsageError
from renderer.inputs import ModelInput
from renderer.models.imported import ModelOptions
from renderer.models.live import LiveConfig, LiveGenerator, load_live, save_live
from renderer.models.registry import load_model
from renderer.models.style import read_style

STYLES = ("spring", "winter", "cloudy")
SMALL = LiveConfig(
    label_channels=2, channels_4=4, channels_8=4, channels_16=4, head_channels=4, fine_channels=4, styles=STYLES
)
HEIGHT_PX, WIDTH_PX = 32, 48


@pytest.fixture
def generator() -> LiveGenerator:
    """Random weights, in which every style differs."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = LiveGenerator(SMALL).eval().requires_grad_(False)
        for name, parameter in made.named_parameters():
            if name.endswith(".styles"):
                parameter.normal_()
    return made


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    labels = torch.randint(0, 13, (1, HEIGHT_PX, WIDTH_PX), generator=torch.Generator().manual_seed(1))
    return labels.to(torch.uint8), torch.zeros(1, 3, HEIGHT_PX, WIDTH_PX), torch.zeros(1, 1, HEIGHT_PX, WIDTH_PX)


def test_a_look_of_its_own_draws_what_the_generator_of_all_draws(generator: LiveGenerator) -> None:
    labels, warped, valid = inputs()
    pictures = []
    for index in range(3):
        own = generator.in_style([float(index == other) for other in range(3)])
        assert own.config.styles == ()
        assert not [key for key in own.state_dict() if key.endswith(".styles")]
        pictures.append(own(labels, warped, valid))
        together = generator.draw(labels, warped, valid, style_B=torch.tensor([index])).rgb_B3HW
        assert torch.allclose(pictures[-1], together, atol=1e-5)
    assert torch.equal(generator(labels, warped, valid), generator.draw(labels, warped, valid).rgb_B3HW)
    assert min(float((pictures[i] - pictures[i - 1]).abs().mean()) for i in range(3)) > 0.01


def test_a_batch_may_have_a_frame_of_each_style(generator: LiveGenerator) -> None:
    planes = [plane.expand(3, *plane.shape[1:]) for plane in inputs()]
    drawn = generator.draw(planes[0], planes[1], planes[2], style_B=torch.tensor([2, 0, 1])).rgb_B3HW
    for row, index in enumerate((2, 0, 1)):
        own = generator.in_style([float(index == other) for other in range(3)])
        assert torch.allclose(drawn[row], own(*inputs())[0], atol=1e-5)


def test_the_way_between_two_looks_is_between_their_tables(generator: LiveGenerator) -> None:
    first, second = generator.in_style([1, 0, 0]), generator.in_style([0, 1, 0])
    between = generator.in_style([0.75, 0.25, 0])
    expected = torch.lerp(first.label_table.weight, second.label_table.weight, 0.25)
    assert torch.allclose(between.label_table.weight, expected, atol=1e-6)
    for shares in ([1.0, 0.0], [0.5, 0.4, 0.0]):
        with pytest.raises(ValueError, match="mix no 3 styles"):
            generator.in_style(shares)


def test_a_file_keeps_its_looks(generator: LiveGenerator, tmp_path: Path) -> None:
    save_live(tmp_path / "looks.safetensors", generator)
    again = load_live(tmp_path / "looks.safetensors")
    assert again.config.styles == STYLES
    before, after = generator.in_style([0, 1, 0]), again.in_style([0, 1, 0])
    assert torch.allclose(after.label_table.weight, before.label_table.weight, atol=5e-3)  # half precision


def test_a_model_is_loaded_in_the_look_that_was_asked_for(generator: LiveGenerator, tmp_path: Path) -> None:
    path = tmp_path / "looks.safetensors"
    save_live(path, generator)
    frame = ModelInput(inputs()[0])

    def picture(text: str) -> NDArray[np.int64]:
        options = ModelOptions(style=read_style(text) if text else None)
        model = load_model(str(path), options=options)
        assert model.card.styles == STYLES
        return model.step(frame, None)[0].rgb.astype(np.int64)

    own = picture("")
    for text in ("spring", "0", "3"):
        assert np.abs(picture(text) - own).max() <= 1  # kernels round by where their operands lie in memory
    different = [own, *map(picture, ("winter", "cloudy", "spring,cloudy,0.5"))]
    assert min(np.abs(different[i] - different[i - 1]).mean() for i in range(4)) > 1
    with pytest.raises(UsageError, match=r"no such style. It has spring, winter, cloudy"):
        picture("dusk")


def test_a_model_of_one_look_refuses_a_style(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    save_live(path, LiveGenerator(LiveConfig()))
    assert not load_model(str(path)).card.styles
    with pytest.raises(UsageError, match="has one look"):
        load_model(str(path), options=ModelOptions(style=read_style("cloudy")))


def test_trees_are_green_in_spring_and_bare_in_winter() -> None:
    sky, tree, road = 0, 5, 3
    labels_BHW = torch.full((1, 128, 256), sky, dtype=torch.uint8)
    labels_BHW[:, 30:90, 40:200] = tree
    labels_BHW[:, 90:] = road
    greenness: dict[str, float] = {}
    for look in ("spring", "winter", "spring,winter,0.25"):
        model = load_model("street-photo", options=ModelOptions(style=read_style(look)))
        red, green, blue = np.moveaxis(model.step(ModelInput(labels_BHW), None)[0].rgb[40:80, 60:180], -1, 0).astype(
            int
        )
        greenness[look] = float((green - (red + blue) / 2).mean())
    print(greenness)
    assert greenness["spring"] > greenness["winter"] + 15
    assert abs(greenness["winter"]) < 8
    assert greenness["spring,winter,0.25"] > greenness["winter"] + 8
