"""Backends are trusted only when their pictures are eager torch's, and chosen only when they are faster."""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bridge.protocol.errors import UsageError
from renderer.backends import choice, host
from renderer.backends.compiled import (
    MAX_PROGRAMS,
    CompiledRunner,
    Program,
    ProgramRefused,
    check_agreement,
    psnr_db,
    trial_inputs,
)
from renderer.backends.runner import EagerRunner
from renderer.models.live import LiveGenerator

CPU = torch.device("cpu")
SIZE_HW = (32, 48)


@pytest.fixture(scope="module")
def network() -> LiveGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return LiveGenerator().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def eager(network: LiveGenerator) -> EagerRunner:
    return EagerRunner(network, CPU, torch.float32)


def compiled(eager: EagerRunner, program: Program, dtype: torch.dtype = torch.float32) -> CompiledRunner:
    return CompiledRunner("trial", dtype, lambda _: program, eager, eager, 13)


def test_the_trial_shows_every_class_and_both_kinds_of_pixels() -> None:
    labels, warped, valid = trial_inputs((256, 512), 13)
    assert labels.unique().tolist() == list(range(13))
    assert valid.unique().tolist() == [0.0, 1.0]
    assert warped.abs().max() <= 1.0
    assert not (warped * (1 - valid)).any()


def test_a_program_that_agrees_is_used(eager: EagerRunner) -> None:
    calls = []

    def program(*inputs: Tensor) -> Tensor:
        calls.append(inputs[0].shape)
        return eager(*inputs) + 5e-4

    run = compiled(eager, program)
    inputs = trial_inputs(SIZE_HW, 13)
    torch.testing.assert_close(run(*inputs), eager(*inputs) + 5e-4)
    assert len(calls) == 2  # the check's and ours


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda rgb: rgb + 2e-3, "off torch's"),
        (lambda rgb: rgb * float("nan"), "off torch's"),
        (lambda rgb: rgb[..., 1:], "its picture is"),
        (lambda rgb: 1 // 0, "it does not run"),
    ],
)
def test_a_program_that_does_not_agree_is_left_aside_with_a_sentence(
    eager: EagerRunner, caplog: pytest.LogCaptureFixture, spoil: Callable[[Tensor], Tensor], told: str
) -> None:
    run = compiled(eager, lambda *inputs: spoil(eager(*inputs)))
    inputs = trial_inputs(SIZE_HW, 13)
    with caplog.at_level(logging.WARNING, "renderer"):
        for _ in range(3):
            assert torch.equal(run(*inputs), eager(*inputs))
    (message,) = caplog.messages
    assert told in message
    assert "48x32" in message


def test_half_precision_is_measured_in_decibels() -> None:
    picture = torch.zeros(1, 3, 8, 8)
    check_agreement(picture + 0.019, picture, torch.bfloat16)  # 40.4 dB
    with pytest.raises(ProgramRefused, match="at least 40"):
        check_agreement(picture + 0.021, picture, torch.bfloat16)
    assert psnr_db(picture + 0.02, picture) == pytest.approx(40.0, abs=0.01)


def test_clients_who_try_many_sizes_do_not_fill_the_memory(eager: EagerRunner) -> None:
    run = compiled(eager, eager)
    for width_px in range(16, 16 * (MAX_PROGRAMS + 3), 16):
        run(*trial_inputs((16, width_px), 13))
        assert len(run._programs) <= MAX_PROGRAMS


def test_the_faster_of_two_is_chosen_and_a_tie_is_the_first(eager: EagerRunner) -> None:
    def busy(seconds: float) -> Program:
        def program(*inputs: Tensor) -> Tensor:
            end_s = time.process_time() + seconds
            while time.process_time() < end_s:
                pass
            return inputs[1]

        return program

    slow, fast = compiled(eager, busy(0.004)), compiled(eager, busy(0.002))
    for run in (slow, fast):
        run._programs[(256, 512)] = run._make_program((256, 512))
    assert choice._faster(slow, fast, 0.95) is fast
    assert choice._faster(fast, slow, 0.95) is fast
    assert choice._faster(slow, fast, 0.3) is slow


def test_a_slower_runtime_that_draws_alike_is_not_chosen(
    network: LiveGenerator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is installed: the server is never slower than eager by its own choice."""
    eager = EagerRunner(network, CPU, torch.float32)

    def slow(*inputs: Tensor) -> Tensor:
        return [eager(*inputs) for _ in range(3)][-1]  # three times eager's own time, on a busy machine too

    monkeypatch.setattr(host, "has_bfloat16_instructions", lambda: False)
    monkeypatch.setattr(choice, "TRIAL_SIZE_HW", SIZE_HW)
    monkeypatch.setattr(choice, "missing_packages", lambda backend: ())
    monkeypatch.setattr(choice, "_maker", lambda *given: lambda size_hw: slow)
    with caplog.at_level(logging.INFO, "renderer"):
        chosen = choice.make_runner(network, CPU, "auto")
    assert isinstance(chosen, EagerRunner)
    assert any("times the time of eager" in message for message in caplog.messages), "it was measured"


@pytest.mark.parametrize(
    ("backend", "device", "told"),
    [
        ("openvino", "cuda", "runs on the CPU only"),
        ("int8", "cuda", "runs on the CPU only"),
        ("tensorrt", "cpu", "runs on CUDA only"),
        ("tensorrt", "cuda", "this ONNX Runtime has no TensorrtExecutionProvider"),
        ("onnxruntime", "cuda", "this ONNX Runtime has no CUDAExecutionProvider"),
    ],
)
def test_what_a_backend_lacks_is_a_sentence(
    network: LiveGenerator, backend: choice.BackendName, device: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "ONNX Runtime" in told:
        runtime = pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
        monkeypatch.setattr(runtime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UsageError, match=told):
        choice.make_runner(network, torch.device(device), backend)


def test_tensorrts_own_package_is_taken_before_the_other_ways_to_it(
    network: LiveGenerator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a GPU it gets as far as the package itself, which does not load here: left aside, and eager draws."""
    found = importlib.util.find_spec
    here = ("tensorrt", "onnx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: found("json" if name in here else name, *more))
    assert choice.missing_packages("tensorrt") == ()
    choice._check_there("tensorrt", torch.device("cuda"), None)  # ONNX Runtime's provider is not asked for
    reference = EagerRunner(network, CPU, torch.float32)
    with caplog.at_level(logging.WARNING, "renderer"):
        candidates = choice._candidates(network, torch.device("cuda"), reference, reference, "tensorrt", None)
        assert list(candidates) == []
    assert "tensorrt is left aside: it does not load" in caplog.text


def test_a_missing_package_is_said_with_what_installs_it(
    network: LiveGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs openvino, which is missing") as caught:
        choice.make_runner(network, CPU, "openvino")
    assert "vidrive[openvino]" in caught.value.hint


def test_without_other_runtimes_auto_is_eager(network: LiveGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "has_bfloat16_instructions", lambda: False)
    monkeypatch.setattr(choice, "missing_packages", lambda backend: ("it",) if backend in choice.EXTRAS else ())
    run = choice.make_runner(network, CPU, "auto")
    assert isinstance(run, EagerRunner)
    assert (run.backend, run.dtype) == ("eager", torch.float32)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("noise", [False, True], ids=["plain", "noise and margin"])
def test_other_runtimes_draw_what_torch_draws(
    backend: choice.BackendName, noise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in choice.EXTRAS[backend][1]:
        pytest.importorskip(package)
    monkeypatch.setattr(host, "has_bfloat16_instructions", lambda: False)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        from renderer.models.live import LiveConfig

        network = LiveGenerator(LiveConfig(noise=noise, recall=0.85 * noise, margin_px=16 * noise)).eval()
    run = choice.make_runner(network, CPU, backend)
    assert run.backend == backend
    for size_hw in (SIZE_HW, (64, 160)):
        inputs = trial_inputs(size_hw, 13)
        with torch.inference_mode():
            given, expected = run(*inputs), EagerRunner(network, CPU, torch.float32)(*inputs)
        assert not torch.equal(given, torch.zeros_like(given))
        assert float((given - expected).abs().max()) <= 1e-3
        assert isinstance(run, CompiledRunner)
        assert run._programs[size_hw] is not None
