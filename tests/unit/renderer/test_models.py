"""How models are found, loaded and run."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bridge.protocol.errors import UsageError, WeightsError
from renderer import weights_catalogue
from renderer.backends import host
from renderer.backends.choice import make_runner
from renderer.backends.graphs import MAX_GRAPHS
from renderer.backends.runner import EagerRunner, RecordedRunner, describe, open_device
from renderer.inputs import ModelInput
from renderer.models import registry
from renderer.models.live import LiveGenerator
from renderer.models.reprojecting import ReprojectingModel, to_uint8
from renderer.temporal import EngineMotion


def frame(seed: int, size_hw: tuple[int, int] = (32, 48)) -> ModelInput:
    rng = np.random.default_rng(seed)
    camera = np.array([[0, 0, 1, 0.3 * seed], [1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1.0]])
    return ModelInput(
        labels_BHW=torch.from_numpy(rng.integers(0, 13, (1, *size_hw), np.uint8)),
        depth_B1HW=torch.full((1, 1, *size_hw), 12.0),
        instances_B1HW=torch.zeros(1, 1, *size_hw, dtype=torch.int32),
        motion=EngineMotion(24.0, camera),
    )


def test_state_is_a_value(tiny_model: ReprojectingModel) -> None:
    """Steps from one state give one picture, whatever was stepped in between, and leave the state as it was."""
    _, state = tiny_model.step(frame(0), None)
    kept = state.rgb_B3HW.clone()
    first, _ = tiny_model.step(frame(1), state)
    tiny_model.step(frame(2), None)
    tiny_model.step(frame(3), tiny_model.step(frame(2), state)[1])
    again, _ = tiny_model.step(frame(1), state)
    np.testing.assert_array_equal(first.rgb, again.rgb)
    assert torch.equal(state.rgb_B3HW, kept)
    fresh, _ = tiny_model.step(frame(1), None)
    assert (fresh.rgb != first.rgb).any()


def test_pictures_do_not_share_memory(tiny_model: ReprojectingModel) -> None:
    first, state = tiny_model.step(frame(0), None)
    kept = first.rgb.copy()
    tiny_model.step(frame(1), state)
    np.testing.assert_array_equal(first.rgb, kept)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_to_uint8(layout: torch.memory_format) -> None:
    rgb = torch.zeros(1, 3, 4, 6)
    rgb[0, 0], rgb[0, 1], rgb[0, 2] = 1.0, -1.0, 0.0
    rgb[0, :, 0, 0] = torch.tensor([0.999, -0.999, 0.5])
    picture = to_uint8(rgb.contiguous(memory_format=layout))
    assert picture.shape == (4, 6, 3)
    assert picture[1, 1].tolist() == [255, 0, 128]
    assert picture[0, 0].tolist() == [255, 0, 191]


def test_a_generator_by_the_path_of_its_weights(tiny_weights: Path) -> None:
    model = registry.load_model(str(tiny_weights))
    assert model.card.name == "tiny"
    assert model.card.weights_sha256 == hashlib.sha256(tiny_weights.read_bytes()).hexdigest()
    assert model.summary.startswith(f"cpu, {model.card.dtype}, ")
    output, _ = model.step(frame(0), None)
    assert output.rgb.shape == (32, 48, 3)


def test_unknown_models_name_the_known() -> None:
    with pytest.raises(WeightsError, match=r"no model 'nightmare'\. Use one of street-photo"):
        registry.load_model("nightmare")
    with pytest.raises(WeightsError, match="there are no weights"):
        registry.load_model("nowhere/nightmare.safetensors")
    with pytest.raises(UsageError, match="no device 'tpu'"):
        open_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is missing where there is no CUDA")
def test_cuda_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(UsageError, match=r"no CUDA device.*--device cpu"):
        open_device("cuda")


@pytest.mark.parametrize("damage", ["noise", "truncated", "no config", "other card", "broken card"])
def test_damaged_weights_are_a_sentence(tiny_weights: Path, damage: str) -> None:
    data, card = tiny_weights.read_bytes(), tiny_weights.with_suffix(".json")
    if damage == "noise":
        tiny_weights.write_bytes(bytes(range(256)) * 40)
    elif damage == "truncated":
        tiny_weights.write_bytes(data[:-100])
    elif damage == "no config":
        save_file({"x": torch.zeros(3)}, tiny_weights)
    elif damage == "other card":
        card.write_text(json.dumps({"weights_sha256": "0" * 64}))
    else:
        card.write_text("{")
    with pytest.raises(WeightsError) as caught:
        registry.load_model(str(tiny_weights))
    assert str(tiny_weights.with_suffix("")) in caught.value.what
    assert caught.value.hint


def test_a_card_speaks_for_its_weights(tiny_weights: Path) -> None:
    sha256 = hashlib.sha256(tiny_weights.read_bytes()).hexdigest()
    tiny_weights.with_suffix(".json").write_text(
        json.dumps({"weights_sha256": sha256, "licence": "CC0", "trained": {"steps": 9}})
    )
    assert registry.load_model(str(tiny_weights)).card.licence == "CC0"


def test_restricted_weights_say_so_once(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    preset = registry.find_preset(str(tiny_weights))
    fields = {name: getattr(preset, name) for name in preset.__struct_fields__}
    restricted = registry.ModelPreset(**{**fields, "restricted": True, "licence": "CC BY-NC 4.0"})
    monkeypatch.setattr(registry, "find_preset", lambda _: restricted)
    with caplog.at_level(logging.WARNING, "renderer"):
        registry.load_model("tiny")
    (message,) = caplog.messages
    assert "CC BY-NC 4.0" in message


def test_shipped_weights_are_found_by_name() -> None:
    preset = registry.find_preset(registry.DEFAULT_MODEL)
    assert weights_catalogue.find_weights(preset.weights).parent == weights_catalogue.shipped_folder()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 vnni\n", True),
        ("flags : fpu amx_bf16\n", True),
        ("flags : fpu avx2 avx512f\n", False),
        ("Features : fp asimd bf16\n", False),
    ],
)
def test_bfloat16_needs_instructions(tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert host.has_bfloat16_instructions(tmp_path / "cpuinfo") is expected
    assert not host.has_bfloat16_instructions(tmp_path / "missing")


def test_without_instructions_it_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "has_bfloat16_instructions", lambda: False)
    runner = make_runner(LiveGenerator(), torch.device("cpu"))
    assert runner.dtype == torch.float32


def test_a_core_is_left_to_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, threads in ((1, 1), (2, 1), (3, 2), (16, 15)):
        monkeypatch.setattr(host, "num_cores", lambda cores=cores: cores)
        assert host.num_threads() == threads


def test_settings_come_before_torch() -> None:
    with pytest.raises(RuntimeError, match="torch is imported already"):
        host.prepare_process()


def test_clients_who_try_many_sizes_do_not_fill_a_device() -> None:
    run = RecordedRunner(LiveGenerator(), torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        for height_px in range(16, 16 * (MAX_GRAPHS + 3), 16):
            shape = (height_px, 16)
            rgb = run(torch.zeros(1, *shape, dtype=torch.uint8), torch.zeros(1, 3, *shape), torch.zeros(1, 1, *shape))
            assert rgb.shape == (1, 3, *shape)
            assert len(run._recorded._recordings) <= MAX_GRAPHS


def test_half_precision_is_close(tiny_model: ReprojectingModel) -> None:
    device = torch.device("cpu")
    network = LiveGenerator().eval()
    inputs = (
        torch.randint(0, 13, (1, 32, 48), dtype=torch.uint8),
        torch.zeros(1, 3, 32, 48),
        torch.zeros(1, 1, 32, 48),
    )
    with torch.inference_mode():
        full = EagerRunner(network, device, torch.float32)(*inputs)
        half = EagerRunner(network, device, torch.bfloat16)(*inputs)
        torch.testing.assert_close(full, network(*inputs), atol=1e-5, rtol=0)
    assert half.dtype == torch.float32
    assert 0 < float((full - half).abs().max()) < 0.1
    assert "thread" in describe(device, torch.bfloat16)
