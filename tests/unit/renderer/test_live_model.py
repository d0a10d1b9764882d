"""The live generator: what it accepts, what it costs, what it does with its past, and its weights file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from renderer.models.live import LiveConfig, LiveGenerator, load_live, save_live
from renderer.train.card import TrainedCard
from renderer.train.preset import find_train_preset
from renderer.weights_catalogue import find_weights, read_card, verify

PRESET = find_train_preset("street-photo")
SHIPPED = PRESET.generator
SMALL = LiveConfig(label_channels=2, channels_4=4, channels_8=4, channels_16=4, head_channels=4, fine_channels=4)
HEIGHT_PX, WIDTH_PX = 32, 48


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Run small networks on one thread: a second one costs more than it does, and waits for busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_generator(config: LiveConfig = SMALL, seed: int = 0) -> LiveGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LiveGenerator(config).eval().requires_grad_(False)


def make_inputs(batch: int = 1, height_px: int = HEIGHT_PX, width_px: int = WIDTH_PX) -> tuple[Tensor, Tensor, Tensor]:
    """Return labels, a warped picture and its validity: the left half is valid, elsewhere the picture is 0."""
    generator = torch.Generator().manual_seed(1)
    labels_BHW = torch.randint(0, 13, (batch, height_px, width_px), generator=generator, dtype=torch.uint8)
    valid_B1HW = torch.zeros(batch, 1, height_px, width_px)
    valid_B1HW[..., : width_px // 2] = 1
    warped_B3HW = (torch.rand(batch, 3, height_px, width_px, generator=generator) * 2 - 1) * valid_B1HW
    return labels_BHW, warped_B3HW, valid_B1HW


def with_noise(config: LiveConfig, noise: bool) -> LiveConfig:
    return msgspec.structs.replace(config, noise=noise)


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("size_hw", [(16, 16), (32, 48), (144, 272)])
def test_picture_has_the_size_of_the_labels(size_hw: tuple[int, int], noise: bool) -> None:
    generator = make_generator(with_noise(SMALL, noise))
    picture = generator.draw(*make_inputs(2, *size_hw))
    assert picture.rgb_B3HW.shape == picture.raw_B3HW.shape == (2, 3, *size_hw)
    assert picture.warp_weight_B1HW.shape == (2, 1, *size_hw)
    assert picture.rgb_B3HW.dtype == torch.float32
    assert picture.rgb_B3HW.abs().max() <= 1
    assert picture.raw_B3HW.std() > 0


def test_labels_of_any_integer_type_draw_the_same() -> None:
    generator = make_generator()
    labels_BHW, warped_B3HW, valid_B1HW = make_inputs()
    pictures = [
        generator(labels_BHW.to(kind), warped_B3HW, valid_B1HW) for kind in (torch.uint8, torch.int32, torch.int64)
    ]
    assert torch.equal(pictures[0], pictures[1])
    assert torch.equal(pictures[0], pictures[2])


def test_every_class_looks_different() -> None:
    generator = make_generator()
    nothing_B3HW = torch.zeros(13, 3, 16, 16)
    labels_BHW = torch.arange(13, dtype=torch.uint8)[:, None, None].expand(13, 16, 16)
    means = generator(labels_BHW, nothing_B3HW, nothing_B3HW[:, :1]).mean((2, 3))
    distances = torch.cdist(means, means) + torch.eye(13)
    assert distances.min() > 1e-3


@pytest.mark.parametrize(("height_px", "width_px"), [(24, 48), (32, 40), (8, 8)])
def test_sizes_that_are_no_multiple_of_16_are_refused(height_px: int, width_px: int) -> None:
    with pytest.raises(ValueError, match=f"a frame of {width_px}x{height_px} is no multiple of 16 px"):
        make_generator()(*make_inputs(1, height_px, width_px))


def test_bfloat16_draws_nearly_the_same_and_keeps_the_blend_in_float32() -> None:
    generator = make_generator()
    inputs = make_inputs()
    exact = generator(*inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = generator(*inputs)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.1
    half = make_generator().to(torch.bfloat16)
    assert (half(*inputs) - exact).abs().max() < 0.1


def test_first_frame_is_the_raw_picture() -> None:
    labels_BHW, warped_B3HW, _ = make_inputs()
    nothing_valid_B1HW = torch.zeros(1, 1, HEIGHT_PX, WIDTH_PX)
    picture = make_generator().draw(labels_BHW, warped_B3HW, nothing_valid_B1HW)
    assert torch.equal(picture.rgb_B3HW, picture.raw_B3HW)
    assert not picture.warp_weight_B1HW.any()


def test_warp_weighs_nothing_where_it_is_not_valid() -> None:
    labels_BHW, warped_B3HW, valid_B1HW = make_inputs()
    picture = make_generator().draw(labels_BHW, warped_B3HW, valid_B1HW)
    hidden = (valid_B1HW == 0).expand_as(picture.rgb_B3HW)
    assert not picture.warp_weight_B1HW[valid_B1HW == 0].any()
    assert torch.equal(picture.rgb_B3HW[hidden], picture.raw_B3HW[hidden])
    assert (picture.warp_weight_B1HW[valid_B1HW > 0] > 0).all()
    weight = picture.warp_weight_B1HW
    blended = picture.raw_B3HW * (1 - weight) + warped_B3HW * weight
    assert torch.allclose(picture.rgb_B3HW, blended, atol=1e-6)


def test_noise_is_used_only_where_there_is_no_past() -> None:
    generator = make_generator(with_noise(SMALL, True))
    labels_BHW = torch.full((1, 32, 160), 5, dtype=torch.uint8)
    warped_B3HW, valid_B1HW = torch.zeros(1, 3, 32, 160), torch.ones(1, 1, 32, 160)

    def draw_with(noise: Tensor, valid_B1HW: Tensor) -> Tensor:
        generator.get_buffer("noise_tile").copy_(noise)
        return generator(labels_BHW, warped_B3HW, valid_B1HW)

    noise = torch.rand(1, 1, 128, 128, generator=torch.Generator().manual_seed(2))
    assert torch.equal(draw_with(noise, valid_B1HW), draw_with(-noise, valid_B1HW))
    assert not torch.equal(draw_with(noise, 0 * valid_B1HW), draw_with(-noise, 0 * valid_B1HW))


def with_recall(config: LiveConfig, recall: float) -> LiveConfig:
    return msgspec.structs.replace(config, recall=recall, noise=True)


def test_with_recall_the_past_counts_in_the_blend_alone() -> None:
    generator = make_generator(with_recall(SMALL, 0.7))
    labels_BHW, warped_B3HW, valid_B1HW = make_inputs()
    picture = generator.draw(labels_BHW, warped_B3HW, valid_B1HW)
    first = generator.draw(labels_BHW, torch.zeros_like(warped_B3HW), torch.zeros_like(valid_B1HW))
    assert torch.equal(picture.raw_B3HW, first.raw_B3HW)
    assert torch.equal(first.rgb_B3HW, first.raw_B3HW)
    assert torch.equal(picture.warp_weight_B1HW, 0.7 * valid_B1HW)
    blended = torch.lerp(first.raw_B3HW, warped_B3HW, 0.7 * valid_B1HW)
    assert torch.equal(picture.rgb_B3HW, blended)


def test_with_recall_a_parked_picture_stays_to_the_bit() -> None:
    generator = make_generator(with_recall(SMALL, 0.7))
    labels_BHW, warped_B3HW, valid_B1HW = make_inputs()
    first_B3HW = rgb_B3HW = generator(labels_BHW, torch.zeros_like(warped_B3HW), torch.zeros_like(valid_B1HW))
    for _ in range(10):
        rgb_B3HW = generator(labels_BHW, rgb_B3HW, torch.ones_like(valid_B1HW))
    assert torch.equal(rgb_B3HW, first_B3HW)


def test_with_recall_an_error_of_the_past_fades() -> None:
    generator = make_generator(with_recall(SMALL, 0.7))
    labels_BHW, warped_B3HW, valid_B1HW = make_inputs()
    everywhere_B1HW = torch.ones_like(valid_B1HW)
    raw_B3HW = generator(labels_BHW, torch.zeros_like(warped_B3HW), torch.zeros_like(valid_B1HW))
    rgb_B3HW = torch.ones_like(warped_B3HW)
    for _ in range(20):
        rgb_B3HW = generator(labels_BHW, rgb_B3HW, everywhere_B1HW)
    assert (rgb_B3HW - raw_B3HW).abs().max() <= 2.01 * 0.7**20


def test_same_inputs_give_the_same_picture_to_the_bit() -> None:
    inputs = make_inputs()
    generator = make_generator(with_noise(SMALL, True))
    first = generator(*inputs)
    generator(*make_inputs(2, 64, 64))
    assert torch.equal(first, generator(*inputs))
    assert torch.equal(first, make_generator(with_noise(SMALL, True))(*inputs))


def test_a_frame_of_512x256_costs_about_2_gflop() -> None:
    with torch.device("meta"):
        generator = LiveGenerator(SHIPPED)
        labels_BHW, warped_B3HW = torch.zeros(1, 256, 512, dtype=torch.uint8), torch.zeros(1, 3, 256, 512)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        generator(labels_BHW, warped_B3HW, warped_B3HW[:, :1])
    assert 1.5e9 < counter.get_total_flops() <= 2.1e9


@pytest.mark.parametrize("config", [SMALL, SHIPPED])
def test_weights_survive_their_file_in_float16(config: LiveConfig, tmp_path: Path) -> None:
    generator = make_generator(config)
    path = tmp_path / "weights.safetensors"
    save_live(path, generator, {"name": "test"})
    loaded = load_live(path)
    assert loaded.config == config
    assert not loaded.training
    state, expected = loaded.state_dict(), generator.state_dict()
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(state[key], value.half().float()), key
    with safetensors.safe_open(str(path), framework="pt") as file:
        assert file.metadata()["name"] == "test"
        assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}  # noqa: SIM118 (no mapping)
    inputs = make_inputs()
    assert (loaded(*inputs) - generator(*inputs)).abs().max() < 0.02


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_live(path, make_generator())
    whole = path.read_bytes()
    for broken in (b"", b"garbage" * 100, whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"weights.safetensors is not a weights file of the live family"):
            load_live(path)
    with pytest.raises(FileNotFoundError):
        load_live(tmp_path / "missing.safetensors")


def rewrite(path: Path, tensors: dict[str, Tensor], config: str | None) -> None:
    metadata = {"name": "test"} if config is None else {"config": config}
    safetensors.torch.save_file({key: value.contiguous() for key, value in tensors.items()}, str(path), metadata)


def test_foreign_weights_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    tensors = dict(make_generator().state_dict())
    config = msgspec.json.encode(SMALL).decode()
    rewrite(path, tensors, None)
    with pytest.raises(ValueError, match="holds no configuration of a live generator"):
        load_live(path)
    rewrite(path, tensors, '{"num_layers": 3}')
    with pytest.raises(ValueError, match=r"not a weights file of the live family \(.*num_layers"):
        load_live(path)
    rewrite(path, {**tensors, "foreign.weight": torch.zeros(2)}, config)
    with pytest.raises(ValueError, match=r"tensor foreign.weight has shape \(2,\), the generator needs None"):
        load_live(path)
    rewrite(path, {key: value for key, value in tensors.items() if key != "last.bias"}, config)
    with pytest.raises(ValueError, match=r"tensor last.bias has shape None, the generator needs \(4,\)"):
        load_live(path)
    rewrite(path, {**tensors, "last.bias": torch.zeros(5)}, config)
    with pytest.raises(ValueError, match=r"tensor last.bias has shape \(5,\), the generator needs \(4,\)"):
        load_live(path)
    rewrite(path, tensors, config)
    assert load_live(path).config == SMALL


def test_a_margin_draws_what_a_wider_frame_has_right_of_its_first_columns() -> None:
    margin_px = 16
    plain = make_generator(with_noise(SMALL, True))
    config = msgspec.structs.replace(plain.config, margin_px=margin_px)
    margined = LiveGenerator(config).eval()
    margined.load_state_dict(plain.state_dict())
    labels_BHW, warped_B3HW, valid_B1HW = make_inputs(1, HEIGHT_PX, WIDTH_PX)
    place_B2HW = torch.zeros(1, 2, HEIGHT_PX, WIDTH_PX)
    wider_BHW = torch.cat([labels_BHW[..., :1].expand(-1, -1, margin_px), labels_BHW], 2)
    with torch.no_grad():
        drawn = margined.draw(labels_BHW, warped_B3HW, valid_B1HW, place_B2HW=place_B2HW)
        wider = plain.draw(
            wider_BHW,
            functional.pad(warped_B3HW, (margin_px, 0)),
            functional.pad(valid_B1HW, (margin_px, 0)),
            place_B2HW=functional.pad(place_B2HW, (margin_px, 0)),
        )
    assert drawn.rgb_B3HW.shape == warped_B3HW.shape
    assert torch.allclose(drawn.rgb_B3HW, wider.rgb_B3HW[..., margin_px:], atol=1e-5)
    assert not torch.allclose(drawn.rgb_B3HW, plain(labels_BHW, warped_B3HW, valid_B1HW), atol=1e-5)


def test_shipped_weights_are_those_of_their_card_and_preset() -> None:
    path = find_weights("street-photo.safetensors")
    assert path.stat().st_size <= 16e6
    assert load_live(path).config == SHIPPED
    verify(path, read_card(path))
    card = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=TrainedCard)
    assert card.licence == PRESET.provenance.licence == "CC BY-NC 4.0"
    assert card.citation == PRESET.provenance.citation
    assert card.metrics is not None
    people = path.with_suffix(".md").read_text()
    assert card.licence in people
    assert card.command in people
