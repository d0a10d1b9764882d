"""imaginaire's vid2vid: what each frame of a sequence depends on, with random weights in narrow networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bridge.protocol.errors import RenderRefused, WeightsError
from renderer.inputs import ModelInput, one_hot
from renderer.models import imaginaire
from renderer.models.family import shapes_of
from renderer.models.imaginaire import Drawing, ImaginaireState
from renderer.models.imaginaire_networks import Imaginaire, ImaginaireConfig, ImaginaireGenerator
from renderer.models.speed import REFERENCE, Speed
from renderer.temporal import EngineMotion

SIZE_HW = (64, 128)
VIDEO = ImaginaireConfig(
    width=2,
    max_width=8,
    num_layers=5,
    num_down=2,
    num_blocks=2,
    num_fine_layers=2,
    embedding_width=2,
    embedding_max_width=8,
    embedding_num_down=3,
    warped_width=2,
    warped_max_width=8,
    flow_width=2,
    flow_max_width=8,
    flow_num_down=3,
    flow_num_blocks=2,
)
WORLD = ImaginaireConfig(
    **{name: getattr(VIDEO, name) for name in VIDEO.__struct_fields__}
    | {"modulation_kernel_px": 3, "guidance_hidden": 4}
)


def generator_of(config: ImaginaireConfig) -> ImaginaireGenerator:
    torch.manual_seed(5)
    return Imaginaire(config).eval().requires_grad_(False).G


def frames(number: int, seed: int = 0) -> list[ModelInput]:
    """Blocks of labels that drift to the side."""
    blocks = np.random.default_rng(seed).integers(0, 35, (8, 24), dtype=np.uint8)
    labels = np.kron(blocks, np.ones((8, 8), np.uint8))
    return [
        ModelInput(torch.from_numpy(np.roll(labels, -3 * index, 1)[:, : SIZE_HW[1]].copy())[None])
        for index in range(number)
    ]


def with_wall(frame: ModelInput, x_m: float) -> ModelInput:
    pose = np.eye(4)
    pose[0, 3] = x_m
    return replace(frame, depth_B1HW=torch.full((1, 1, *SIZE_HW), 10.0), motion=EngineMotion(64.0, pose))


def drive(
    generator: ImaginaireGenerator, sequence: list[ModelInput], speed: Speed = REFERENCE
) -> list[tuple[Drawing, ImaginaireState]]:
    state: ImaginaireState | None = None
    drawn = []
    for frame in sequence:
        drawing, state = imaginaire.advance(generator, frame, state, speed)
        drawn.append((drawing, state))
    return drawn


def test_flow_begins_with_the_third_frame_and_only_two_frames_are_remembered() -> None:
    drawn = drive(generator_of(VIDEO), frames(5))
    assert [drawing.flow is not None for drawing, _ in drawn] == [False, False, True, True, True]
    assert [len(state.pictures) for _, state in drawn] == [1, 2, 2, 2, 2]
    assert all(bool(drawing.picture_B3HW.abs().max() <= 1) for drawing, _ in drawn)
    assert bool((drawn[-1][0].picture_B3HW - drawn[-2][0].picture_B3HW).abs().max() > 1e-3)


def test_speed_ups_and_remembered_embeddings_change_rounding_only() -> None:
    generator = generator_of(VIDEO)
    plain, fast = drive(generator, frames(4)), drive(generator, frames(4), Speed())
    for (drawing, state), (other, _) in zip(plain, fast, strict=True):
        assert float((drawing.picture_B3HW - other.picture_B3HW).abs().max()) < 1e-4
        anew = generator.label_embedding(one_hot(state.labels[-1], VIDEO.num_labels))
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(anew, state.embedding, strict=True))


def test_a_sequence_that_begins_anew_is_the_same_sequence() -> None:
    generator = generator_of(VIDEO)
    first, again = drive(generator, frames(3)), drive(generator, [*frames(3), *frames(2, seed=8)])
    for (drawing, _), (other, _) in zip(first, again, strict=False):
        assert torch.equal(drawing.picture_B3HW, other.picture_B3HW)


def test_given_first_pictures_are_taken_while_there_is_no_flow() -> None:
    given: Tensor = torch.rand(1, 3, *SIZE_HW) * 2 - 1
    sequence = [replace(frame, first_B3HW=given) for frame in frames(3)]
    pictures = [drawing.picture_B3HW for drawing, _ in drive(generator_of(VIDEO), sequence)]
    assert torch.equal(pictures[0], given) and torch.equal(pictures[1], given)
    assert not torch.equal(pictures[2], given)


def test_modulation_is_scale_then_shift_of_the_normalised_features_condition_by_condition() -> None:
    norm = generator_of(WORLD).get_submodule("up_1.conv_block_0.layers.norm")
    features, label, warped = torch.randn(1, 8, 16, 16), torch.randn(1, 4, 32, 32), torch.randn(1, 4, 16, 16)
    known = torch.randn(1, 4, 64, 64)
    channels = features.shape[1]
    expected = (features - features.mean((2, 3), keepdim=True)) / (
        features.var((2, 3), keepdim=True, correction=0) + 1e-5
    ).sqrt()
    for index, condition in enumerate((label[..., ::2, ::2], warped, known[..., ::4, ::4])):
        *first, last = [unit.get_submodule("layers.conv") for unit in norm.get_submodule(f"mlps.{index}").children()]
        for convolution in first:
            condition = F.relu(convolution(condition))
        both = last(condition)
        expected = expected * (1 + both[:, :channels]) + both[:, channels:]
    found = norm(features, (label, warped, known))
    assert torch.allclose(found, expected, atol=1e-5)


def test_world_consistent_frames_are_shown_what_was_drawn_first() -> None:
    sequence = [with_wall(frame, x_m) for frame, x_m in zip(frames(4), (0.0, 0.0, 0.0, 2.5), strict=True)]
    drawn = drive(generator_of(WORLD), sequence)
    first = drawn[0][0].picture_B3HW
    assert drawn[1][0].guidance_B4HW is None  # no guidance where there is no flow
    standing, aside = drawn[2][0].guidance_B4HW, drawn[3][0].guidance_B4HW
    assert standing is not None and aside is not None
    assert torch.equal(standing[:, :3], first)
    assert torch.equal(aside[:, :3, :, :-16], first[..., 16:])
    assert bool((aside[:, 3, :, -16:] == 0).all())
    unguided = drive(generator_of(WORLD), frames(4))
    assert unguided[3][1].world is None
    assert torch.equal(unguided[1][0].picture_B3HW, drawn[1][0].picture_B3HW)
    assert not torch.equal(unguided[2][0].picture_B3HW, drawn[2][0].picture_B3HW)


@pytest.mark.parametrize("config", [VIDEO, WORLD], ids=["video", "world"])
def test_the_configuration_is_found_in_the_shapes(config: ImaginaireConfig) -> None:
    shapes = {key.removeprefix("G."): shape for key, shape in shapes_of(Imaginaire(config)).items()}
    recognition = imaginaire.FAMILY.recognise({"model.pt": shapes})
    assert recognition is not None and recognition.config == config
    del shapes["down_0.conv_block_0.layers.norm.mlps.0.0.layers.conv.weight"], shapes["fc.layers.conv.weight"]
    with pytest.raises(WeightsError, match=r"fc\.layers\.conv"):
        imaginaire.FAMILY.recognise({"model.pt": shapes})


def test_sizes_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(RenderRefused, match="80x64"):
        imaginaire.advance(generator_of(VIDEO), ModelInput(torch.zeros(1, 64, 80, dtype=torch.uint8)), None)
