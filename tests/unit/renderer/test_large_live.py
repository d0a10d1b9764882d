"""The live family at four times the size that ships: what it costs, and that it is trained, drawn and exported."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from renderer.backends import choice, host
from renderer.backends.compiled import trial_inputs
from renderer.backends.runner import EagerRunner
from renderer.inputs import ModelInput
from renderer.models.live import LiveConfig, LiveGenerator
from renderer.models.registry import load_model
from renderer.train import __main__ as command
from renderer.train.preset import find_train_preset
from tests.unit.renderer.training.conftest import RandomFeatures, changed, street, write_pair

SMALL = find_train_preset("street-photo").generator
PRESET = find_train_preset("street-photo-large")
LARGE = msgspec.structs.replace(PRESET.generator, styles=())
CPU = torch.device("cpu")
MAX_TIMES = 6.0


def gflop(config: LiveConfig) -> float:
    with torch.device("meta"):
        generator = LiveGenerator(config)
        labels_BHW, warped_B3HW = torch.zeros(1, 256, 512, dtype=torch.uint8), torch.zeros(1, 3, 256, 512)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        generator(labels_BHW, warped_B3HW, warped_B3HW[:, :1])
    return counter.get_total_flops() / 1e9


def network(config: LiveConfig) -> LiveGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return LiveGenerator(msgspec.structs.replace(config, styles=())).eval().requires_grad_(False)


def test_a_frame_of_512x256_costs_about_8_gflop() -> None:
    assert 7.5 < gflop(PRESET.generator) < 8.5
    assert gflop(PRESET.generator) == gflop(LARGE)  # styles cost nothing
    assert 3.5 < gflop(PRESET.generator) / gflop(SMALL) < 4.5


def test_it_is_trained_and_the_model_that_comes_out_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "load_feature_network", RandomFeatures)
    data = PRESET.data
    styles = tuple(changed(style, drives=()) for style in data.styles)
    preset = changed(
        PRESET,
        data=changed(data, styles=styles),
        clips=changed(PRESET.clips, width_px=48, height_px=32, scale=(0.7, 1.0), canvas_px=(96, 64)),
        discriminators=changed(
            PRESET.discriminators,
            channels=(4, 4),
            head_levels=(0, 1),
            head_level_channels=RandomFeatures.LEVEL_CHANNELS,
        ),
        schedule=changed(PRESET.schedule, num_steps=2, adversarial_after=1, batch_size=1),
        preview=changed(PRESET.preview, num_photos=1, width_px=48, height_px=32, num_frames=1),
    )
    for index in range(3):
        write_pair(tmp_path / "data" / "train", f"a_{index}", *street(index))
    path = tmp_path / "large.yaml"
    path.write_bytes(msgspec.yaml.encode(preset))
    assert command.main([str(path), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 0
    weights = tmp_path / "out" / "street-photo-large.safetensors"
    assert weights.stat().st_size <= 16e6
    model = load_model(str(weights))
    assert model.card.styles == tuple(style.name for style in PRESET.data.styles)
    output, _ = model.step(ModelInput(torch.zeros(1, 64, 96, dtype=torch.uint8)), None)
    assert output.rgb.shape == (64, 96, 3)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_other_runtimes_draw_it_as_torch_does(backend: choice.BackendName, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in choice.EXTRAS[backend][1]:
        pytest.importorskip(package)
    monkeypatch.setattr(host, "has_bfloat16_instructions", lambda: False)
    generator = network(LARGE)
    run = choice.make_runner(generator, CPU, backend)
    assert run.backend == backend
    inputs = trial_inputs((64, 160), LARGE.num_labels)
    with torch.inference_mode():
        given, expected = run(*inputs), EagerRunner(generator, CPU, torch.float32)(*inputs)
    assert float((given - expected).abs().max()) <= 1e-3


@pytest.mark.slow
def test_its_time_is_a_few_times_that_of_the_small_size() -> None:
    """Processor time of eager float32 on one thread at 512x256, the sizes in turn; shown by -s."""
    inputs = trial_inputs((256, 512), LARGE.num_labels)
    runners = [EagerRunner(network(config), CPU, torch.float32) for config in (SMALL, LARGE)]
    before, times_s = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for _ in range(15):
            for runner in runners:
                start_s = time.process_time()
                runner(*inputs)
                times_s.append(time.process_time() - start_s)
    finally:
        torch.set_num_threads(before)
    small_s, large_s = np.min(np.reshape(times_s, (-1, 2))[3:], axis=0)
    print(f"a frame: small {small_s * 1e3:.1f} ms, large {large_s * 1e3:.1f} ms each, x {large_s / small_s:.2f}")
    assert large_s < MAX_TIMES * small_s
