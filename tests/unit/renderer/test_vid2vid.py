"""vid2vid's recognition of checkpoints, its sequences, and that its speed-ups leave pictures as they are."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import msgspec
import pytest
import torch
from torch import Tensor, nn

from bridge.protocol.errors import RenderRefused, WeightsError
from bridge.protocol.messages import ModelCard
from renderer.inputs import ModelInput, instance_edges
from renderer.layers import StatNorm
from renderer.models import beside, fast_layers, vid2vid
from renderer.models.face_looks import nearest_look
from renderer.models.family import ModelParts, Shapes, find_family, shapes_of
from renderer.models.label_stack import FramePlanes, first_convolutions, make_stacks
from renderer.models.registry import find_preset, model_names
from renderer.models.speed import REFERENCE, Speed
from renderer.models.vid2vid_config import SingleConfig, Vid2vidConfig
from renderer.models.vid2vid_networks import Vid2vid, warp

CPU = torch.device("cpu")
SIZE_HW = (32, 64)
TWO_SCALES = Vid2vidConfig(
    num_labels=35,
    instance_edges=True,
    dense_channels=0,
    width=8,
    num_scales=2,
    num_down=2,
    num_blocks=2,
    num_local_blocks=1,
    num_frames=3,
    foreground=True,
    foreground_labels=(26,),
    flow=True,
    affine_norms=True,
    first_pictures="single",
    single=SingleConfig(kind="global", width=4, num_down=3, num_blocks=1),
    native_size_hw=(256, 512),
)
POSES = msgspec.structs.replace(
    TWO_SCALES,
    num_labels=0,
    instance_edges=False,
    dense_channels=6,
    foreground=False,
    foreground_labels=(),
    first_pictures="none",
    single=None,
)
GIVEN = msgspec.structs.replace(TWO_SCALES, first_pictures="given", single=None)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for each other's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_network(config: Vid2vidConfig, seed: int = 0) -> Vid2vid:
    torch.manual_seed(seed)
    return Vid2vid(config).eval().requires_grad_(False)


def make_frames(config: Vid2vidConfig, number: int, seed: int = 0, labels: tuple[int, ...] = (7, 11, 23, 26)) -> list:
    """Frames of coarse random regions, with instances where the label is the last one."""
    generator = torch.Generator().manual_seed(seed)
    frames = []
    for _ in range(number):
        picks = torch.randint(len(labels), (SIZE_HW[0] // 8, SIZE_HW[1] // 8), generator=generator)
        ids_HW = torch.tensor(labels)[picks].repeat_interleave(8, 0).repeat_interleave(8, 1)
        dense = torch.rand(1, config.dense_channels, *SIZE_HW, generator=generator) if config.dense_channels else None
        instances = (ids_HW == labels[-1]).int()[None, None]
        frames.append(ModelInput(ids_HW[None].to(torch.uint8), instances_B1HW=instances, dense_BCHW=dense))
    return frames


def run(network: Vid2vid, frames: list, speed: Speed = REFERENCE, state: object = None) -> list[vid2vid.Drawn]:
    drawn = []
    with torch.inference_mode():
        for frame in frames:
            picture, state = vid2vid.advance(network, frame, state, speed)  # type: ignore[arg-type]
            drawn.append(picture)
    return drawn


# -- checkpoints ---------------------------------------------------------------------------------------------------


def checkpoint(config: Vid2vidConfig) -> dict[str, dict[str, tuple[int, ...]]]:
    """Keys and shapes of a checkpoint's files, with the statistics that published files hold."""
    with torch.device("meta"):
        shapes = shapes_of(Vid2vid(config))
    files: dict[str, dict[str, tuple[int, ...]]] = {}
    for key, shape in shapes.items():
        role, _, rest = key.partition(".")
        network = files.setdefault(f"latest_net_{role}.pth", {})
        network[rest] = shape
        if len(shape) == 1 and rest.endswith("weight"):
            owner = rest.removesuffix("weight")
            network |= {f"{owner}running_mean": shape, f"{owner}running_var": shape, f"{owner}num_batches_tracked": ()}
    return files


VIDEO_PRESETS = [name for name in model_names() if find_preset(name).family == "vid2vid"]


@pytest.mark.parametrize("name", VIDEO_PRESETS)
def test_published_configuration_is_recognised_by_its_tensors(name: str) -> None:
    config = msgspec.convert(find_preset(name).config, Vid2vidConfig)
    files = checkpoint(config)
    found = find_family("vid2vid").recognise(dict(sorted(files.items(), reverse=True)))
    assert found is not None
    assert found.config == config
    assert dict(found.roles) == {source.removeprefix("latest_net_").removesuffix(".pth"): source for source in files}


def without(key: str) -> Callable[[dict[str, dict]], None]:
    def change(files: dict[str, dict]) -> None:
        del files[key]

    return change


def changed(source: str, key: str, shape: tuple[int, ...] | None) -> Callable[[dict[str, dict]], None]:
    def change(files: dict[str, dict]) -> None:
        if shape is None:
            del files[source][key]
        else:
            files[source][key] = shape

    return change


def mixed_stages(files: dict[str, dict]) -> None:
    other = msgspec.structs.replace(TWO_SCALES, width=16)
    files["latest_net_G1.pth"] = checkpoint(other)["latest_net_G1.pth"]


def other_inputs(files: dict[str, dict]) -> None:
    other = msgspec.structs.replace(TWO_SCALES, instance_edges=False)
    files["latest_net_G1.pth"] = checkpoint(other)["latest_net_G1.pth"]


def twice(files: dict[str, dict]) -> None:
    files["10_net_G0.pth"] = files["latest_net_G0.pth"]


def branchless(files: dict[str, dict]) -> None:
    other = msgspec.structs.replace(TWO_SCALES, foreground=False)
    files["latest_net_G1.pth"] = checkpoint(other)["latest_net_G1.pth"]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (without("latest_net_G0.pth"), "the network of its coarsest scale, G0, is missing"),
        (mixed_stages, r"latest_net_G1.pth has model_down_seg.1.weight of \(8, 108, 7, 7\), and scale 1"),
        (other_inputs, "they read different inputs"),
        (branchless, "one has a foreground branch"),
        (twice, "several networks are of a coarsest scale: 10_net_G0.pth, latest_net_G0.pth"),
        (changed("latest_net_G0.pth", "model_res_img.0.conv_block.5.bias", None), "misses the tensor model_res_img.0"),
        (changed("latest_net_G1.pth", "surplus.weight", (3,)), "has the tensor surplus.weight, which this"),
        (changed("latest_net_G0.pth", "model_up_img.0.weight", (32, 17, 3, 3)), r"\(32, 17, 3, 3\).*\(32, 16, 3, 3\)"),
        (changed("latest_net_G0.pth", "model_down_seg.1.weight", (8, 60, 7, 7)), "reads 20 planes a frame"),
        (changed("latest_net_single.pth", "model.1.weight", (4, 36, 7, 7)), "no single-frame network fits"),
    ],
)
def test_networks_that_do_not_belong_together_are_refused(
    damage: Callable[[dict[str, dict]], None], sentence: str
) -> None:
    files = checkpoint(TWO_SCALES)
    damage(files)
    with pytest.raises(WeightsError, match=sentence):
        find_family("vid2vid").recognise(files)


def test_finer_scale_is_missed_by_its_width() -> None:
    files = checkpoint(msgspec.structs.replace(TWO_SCALES, num_scales=3, width=16))
    del files["latest_net_G1.pth"]
    with pytest.raises(WeightsError, match="is the network of scale 2 by its width, and that of scale 1 is missing"):
        find_family("vid2vid").recognise(files)


def test_single_network_of_the_stage_is_chosen_among_several() -> None:
    files: dict[str, Shapes] = dict(checkpoint(msgspec.structs.replace(TWO_SCALES, num_scales=1, num_down=3)))
    for num_down in (3, 4):
        single = SingleConfig(kind="global", width=4, num_down=num_down)
        with_single = msgspec.structs.replace(TWO_SCALES, single=single)
        files[f"net_G_{num_down}.pth"] = checkpoint(with_single)["latest_net_single.pth"]
    del files["latest_net_single.pth"]
    found = find_family("vid2vid").recognise(files)
    assert found is not None
    assert found.roles["single"] == "net_G_3.pth"
    assert found.unused == ("net_G_4.pth",)


def test_files_of_other_generators_are_none_of_this_family() -> None:
    assert find_family("vid2vid").recognise({"net_G.pth": {"model.1.weight": (4, 36, 7, 7)}}) is None


# -- sequences -----------------------------------------------------------------------------------------------------


def test_scene_begins_anew_without_a_state_and_state_is_a_value() -> None:
    network, frames = make_network(TWO_SCALES), make_frames(TWO_SCALES, 4)
    first = run(network, frames)
    again = run(network, [*frames[:3], *frames])
    for before, after in zip(first, run(network, frames), strict=True):
        assert torch.equal(before.picture_B3HW, after.picture_B3HW)
    assert not torch.equal(again[3].picture_B3HW, first[0].picture_B3HW)  # carried on, as no reset was asked for


def test_first_two_pictures_are_of_their_own_labels_alone() -> None:
    network, frames = make_network(TWO_SCALES), make_frames(TWO_SCALES, 3)
    there = run(network, frames)
    swapped = run(network, [frames[1], frames[0], frames[2]])
    assert torch.equal(there[0].picture_B3HW, swapped[1].picture_B3HW)
    assert torch.equal(there[1].picture_B3HW, swapped[0].picture_B3HW)
    assert not there[0].scales
    assert len(there[2].scales) == 2


def test_given_first_pictures_take_the_place_of_synthesized_ones() -> None:
    network, frames = make_network(TWO_SCALES), make_frames(TWO_SCALES, 3)
    white = torch.full((1, 3, *SIZE_HW), 0.5)
    given = [replace(frame, first_B3HW=white) for frame in frames]
    drawn = run(network, given)
    assert torch.equal(drawn[0].picture_B3HW, white)
    assert torch.equal(drawn[1].picture_B3HW, white)
    assert not torch.equal(drawn[2].picture_B3HW, run(network, frames)[2].picture_B3HW)
    assert not torch.equal(drawn[2].picture_B3HW, white)  # from the third frame on, given pictures are not looked at


def test_model_without_first_frames_asks_for_them() -> None:
    network, (frame, *_) = make_network(GIVEN), make_frames(GIVEN, 1)
    with pytest.raises(RenderRefused, match="frame 0 of the sequence came without one"):
        vid2vid.advance(network, frame, None)


def test_poses_begin_from_black_without_a_blend() -> None:
    network, frames = make_network(POSES), make_frames(POSES, 4)
    drawn = run(network, frames)
    assert torch.equal(drawn[2].picture_B3HW, drawn[2].scales[-1].raw_B3HW)
    assert not torch.equal(drawn[3].picture_B3HW, drawn[3].scales[-1].raw_B3HW)
    black = torch.zeros(1, 3, *SIZE_HW)
    coarse = torch.zeros(1, 3, SIZE_HW[0] // 2, SIZE_HW[1] // 2)
    planes = tuple(vid2vid.frame_planes(POSES, frame) for frame in frames[:2])
    state = vid2vid.Vid2vidState(planes, ((coarse, coarse), (black, black)))
    blended = run(network, frames[2:3], state=state)
    assert torch.equal(blended[0].scales[-1].raw_B3HW, drawn[2].scales[-1].raw_B3HW)


def test_pose_model_has_no_use_for_a_simulators_labels() -> None:
    network, (frame, *_) = make_network(POSES), make_frames(POSES, 1)
    with pytest.raises(RenderRefused, match="reads 6 planes of edges or poses"):
        vid2vid.advance(network, replace(frame, dense_BCHW=None), None)


@pytest.mark.parametrize("size_hw", [(64, 80), (40, 64)])
def test_size_that_scales_cannot_halve_is_refused(size_hw: tuple[int, int]) -> None:
    frame = ModelInput(torch.zeros(1, *size_hw, dtype=torch.uint8))
    with pytest.raises(RenderRefused, match="multiples of 32 px"):
        vid2vid.advance(make_network(TWO_SCALES), frame, None)


def test_foreground_is_drawn_where_any_of_its_classes_is() -> None:
    several = msgspec.structs.replace(TWO_SCALES, foreground_labels=(26, 11))
    frames = make_frames(TWO_SCALES, 3)
    one, both = run(make_network(TWO_SCALES), frames)[2], run(make_network(several), frames)[2]
    foreground = both.scales[-1].foreground_B3HW
    assert foreground is not None
    differs = (one.picture_B3HW != both.picture_B3HW).any(1)[0]
    labels_HW = frames[2].labels_BHW[0]
    assert differs.any()
    assert not differs[(labels_HW != 11)].any()
    inside = labels_HW == 11
    assert torch.equal(both.picture_B3HW[0][:, inside], foreground[0][:, inside])


def test_without_flow_the_raw_picture_is_the_picture() -> None:
    network = make_network(msgspec.structs.replace(TWO_SCALES, flow=False))
    drawing = run(network, make_frames(TWO_SCALES, 3))[2].scales[-1]
    assert drawing.flow_B2HW is None
    assert torch.equal(drawing.picture_B3HW, drawing.raw_B3HW)


# -- parts ---------------------------------------------------------------------------------------------------------


def test_edges_stand_on_both_sides_of_a_border() -> None:
    ids = torch.tensor([[[[0, 0, 5, 5], [0, 0, 5, 5], [0, 0, 0, 0], [0, 0, 0, 0]]]])
    expected = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]])
    assert torch.equal(instance_edges(ids)[0, 0].long(), expected)


def test_warp_samples_at_the_pixel_plus_its_flow() -> None:
    picture = torch.rand(1, 3, 6, 9)
    flow = torch.zeros(1, 2, 6, 9)
    flow[:, 0], flow[:, 1] = 2.0, -1.0
    warped = warp(picture, flow)
    assert torch.allclose(warped[..., 1:, :7], picture[..., :5, 2:], atol=1e-6)
    assert torch.allclose(warped[..., 0, 8], picture[..., 0, 8], atol=1e-6)  # beyond the border it repeats


def test_nearest_look_is_one_for_all_parts() -> None:
    parts = torch.zeros(1, 2, 4, dtype=torch.uint8)
    parts[..., 2:] = 2
    tables = [torch.tensor([[0.0], [1.0], [5.0]]), torch.zeros(1, 1), torch.tensor([[9.0], [2.0], [1.0], [0.0]])]
    look = torch.where(parts == 0, 1.1, 1.9)[:, None]
    painted = nearest_look(look, parts, tables)
    assert painted[0, 0].tolist() == [[1.0, 1.0, 2.0, 2.0]] * 2
    far = nearest_look(torch.where(parts == 0, 9.0, -9.0)[:, None], parts, tables)
    assert far[0, 0].tolist() == [[5.0, 5.0, 0.0, 0.0]] * 2  # the fourth look: the first part's last row stands in


# -- speed ---------------------------------------------------------------------------------------------------------

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
