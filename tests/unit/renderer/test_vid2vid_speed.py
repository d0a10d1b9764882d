"""vid2vid's speed-ups leave pictures as they are."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest
import torch
from torch import Tensor, nn

from bridge.protocol.messages import ModelCard
from renderer.inputs import instance_edges
from renderer.layers import StatNorm
from renderer.models import beside, fast_layers, vid2vid
from renderer.models.family import ModelParts, find_family
from renderer.models.label_stack import FramePlanes, first_convolutions, make_stacks
from renderer.models.speed import REFERENCE, Speed
from renderer.models.vid2vid_config import Vid2vidConfig
from tests.unit.renderer.vid2vid_cases import CPU, GIVEN, POSES, SIZE_HW, TWO_SCALES, make_frames, make_network, run


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for each other's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


SWITCHES = [field for field, value in msgspec.structs.asdict(Speed()).items() if value is True]


@pytest.mark.parametrize("switch", [*SWITCHES, "all"])
def test_speed_leaves_pictures_as_they_are(switch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_layers, "WINOGRAD_CHANNELS", 16)
    speed = Speed() if switch == "all" else msgspec.structs.replace(REFERENCE, **{switch: True})
    plain = make_network(TWO_SCALES)
    fast = fast_layers.prepare(copy.deepcopy(plain), CPU, speed)
    frames = make_frames(TWO_SCALES, 4)
    expected, found = run(plain, frames), run(fast, frames, speed)
    for i in (0, 1):
        assert (expected[i].picture_B3HW - found[i].picture_B3HW).abs().max() < 1e-4
    for i in (2, 3):  # random flow over random pictures: it multiplies the rounding of what it moves
        assert (expected[i].scales[-1].raw_B3HW - found[i].scales[-1].raw_B3HW).abs().max() < 2e-4
        assert (expected[i].picture_B3HW - found[i].picture_B3HW).abs().max() < 2e-3


def test_insides_of_regions_are_computed_as_their_borders() -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(108, 12, 7).requires_grad_(False), nn.Conv2d(108, 4, 7).requires_grad_(False)]
    frames = []
    for shift_px in range(3):
        labels_HW = torch.full((64, 128), 23, dtype=torch.uint8)
        labels_HW[40:] = 7
        labels_HW[30:50, 20 + shift_px : 40 + shift_px] = 26
        edges = instance_edges((labels_HW == 26).int()[None, None])
        frames.append(FramePlanes(labels_HW[None], edges))
    plain = make_stacks(frames, 35, (26,), 2, REFERENCE)
    fast = make_stacks(frames, 35, (26,), 2, Speed())
    assert fast[1].mixed is not None
    assert 0 < len(fast[1].mixed) < 64 * 128 // 2
    for expected, found in zip(plain, fast, strict=True):
        for one, other in zip(first_convolutions(expected, layers), first_convolutions(found, layers), strict=True):
            assert (one - other).abs().max() < 1e-5


@pytest.mark.parametrize("size_hw", [(10, 18), (9, 17), (5, 6)])
def test_winograd_is_the_convolution(size_hw: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 24, 3).requires_grad_(False)
    features = torch.randn(1, 16, *size_hw)
    found = fast_layers.WinogradConvolution(layer)(features)
    assert found.shape == layer(features).shape
    assert (found - layer(features)).abs().max() < 1e-5


@pytest.mark.parametrize("height_px", [7, 22, 40])
def test_narrow_convolution_is_the_convolution(height_px: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 3, 7).requires_grad_(False)
    features = torch.randn(1, 8, height_px, 19)
    found = fast_layers.NarrowConvolution(layer)(features)
    assert found.shape == layer(features).shape
    assert (found - layer(features)).abs().max() < 1e-5


def test_statistics_of_interleaved_channels_are_exact() -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 16, 256, 512) * 0.1 + torch.linspace(-3, 3, 16)[:, None, None]
    norm = StatNorm(16, affine=False)
    exact = torch.nn.functional.instance_norm(features.double(), eps=1e-5)
    found = norm(features.contiguous(memory_format=torch.channels_last))
    assert (found - exact).abs().max() < 2e-5


def test_flow_and_blend_stay_float32_in_half_precision() -> None:
    network = fast_layers.prepare(
        make_network(TWO_SCALES), CPU, Speed(precision="bfloat16"), vid2vid.exact_modules(TWO_SCALES)
    )
    frames = make_frames(TWO_SCALES, 3)
    drawing = run(network, frames, Speed(precision="bfloat16"))[2].scales[-1]
    assert drawing.flow_B2HW is not None
    assert drawing.flow_B2HW.dtype == drawing.picture_B3HW.dtype == torch.float32
    reference = run(make_network(TWO_SCALES), frames)[2].picture_B3HW
    difference: Tensor = (drawing.picture_B3HW - reference).abs()
    assert 0 < difference.mean() < 0.1


def test_model_steps_to_eight_bit_pictures() -> None:
    card = ModelCard(
        name="tiny",
        family="vid2vid",
        label_space="cityscapes",
        planes=("labels", "instances"),
        size_multiple_px=32,
        past_frames=2,
        weights_sha256="",
        licence="none",
    )
    network = make_network(TWO_SCALES)
    frames = make_frames(TWO_SCALES, 4)
    expected = run(network, frames)
    model = find_family("vid2vid").make_model(ModelParts(card, TWO_SCALES, network, CPU, REFERENCE))
    state = None
    for frame, drawn in zip(frames, expected, strict=True):
        output, state = model.step(frame, state)
        levels = ((drawn.picture_B3HW[0] + 1) / 2 * 255).clamp(0, 255).permute(1, 2, 0)
        assert output.rgb.dtype.name == "uint8"
        assert (torch.from_numpy(output.rgb) == levels.to(torch.uint8)).all()


# -- labels beside the rest ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [GIVEN, POSES], ids=["streets", "poses"])
def test_labels_of_the_next_frame_are_read_beside_this_one(
    config: Vid2vidConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pictures are the same to the bit; what was begun for another frame than the one that comes is not used."""
    monkeypatch.setattr(beside, "num_cores", lambda: 2)
    network = make_network(config)
    frames = make_frames(config, 7)
    for index in range(2):
        picture_B3HW = torch.full((1, 3, *SIZE_HW), 0.1 * index)
        frames[index] = replace(frames[index], first_B3HW=picture_B3HW)
    speed = Speed(channels_last=False)
    plain = run(network, frames, speed)
    announced = [replace(frame, following=after) for frame, after in zip(frames, [*frames[1:], None], strict=True)]
    announced[3] = replace(announced[3], following=frames[0])
    state, begun = None, []
    with torch.inference_mode():
        for frame, expected in zip(announced, plain, strict=True):
            drawn, state = vid2vid.advance(network, frame, state, speed)
            begun.append(state.ahead is not None)
            assert torch.equal(drawn.picture_B3HW, expected.picture_B3HW)
    assert begun == [False, False, True, True, True, True, False]


@pytest.mark.parametrize(
    ("cores", "speed"), [(1, Speed()), (2, Speed(labels_beside=False))], ids=["no core to spare", "switched off"]
)
def test_labels_are_read_in_turn(cores: int, speed: Speed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "num_cores", lambda: cores)
    frames = make_frames(POSES, 4)
    state = None
    for frame, after in zip(frames, [*frames[1:], None], strict=True):
        with torch.inference_mode():
            _, state = vid2vid.advance(make_network(POSES), replace(frame, following=after), state, speed)
        assert state.ahead is None


def test_a_channel_that_is_the_same_everywhere_is_normed_to_its_bias() -> None:
    """Where a sequence begins from black its first features are constant, and what is left of them is divided by the
    root of eps."""
    norm = StatNorm(64, affine=True)
    with torch.no_grad():
        constant = torch.linspace(0.1, 5.0, 64).view(1, 64, 1, 1).expand(1, 64, 48, 100)
        normed = norm(constant.contiguous(memory_format=torch.channels_last))
    assert float(normed.abs().max()) < 1e-6
