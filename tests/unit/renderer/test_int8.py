"""int8 takes its ranges from a drive, and is used where its pictures of other frames are good enough."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import pytest
import torch

from bridge.protocol.errors import OutputError, UsageError
from renderer.backends import choice, host
from renderer.backends.calibration import EVERY, NUM_FRAMES, NUM_HELD_OUT, Calibration, Tap, read_calibration
from renderer.backends.compiled import CompiledRunner, ProgramRefused, check_agreement, psnr_db, trial_inputs
from renderer.backends.runner import EagerRunner
from renderer.models.live import LiveGenerator

CPU = torch.device("cpu")
SIZE_HW = (32, 48)


@pytest.fixture(scope="module")
def network() -> LiveGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return LiveGenerator().eval().requires_grad_(False)


def shifted(number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    labels, warped, valid = trial_inputs(SIZE_HW, 13)
    return labels.roll(number, 2), warped.roll(number, 3), valid.roll(number, 3)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return Calibration(tuple(shifted(number) for number in range(6)), (shifted(7), shifted(9)), "a drive")


def test_a_tap_keeps_what_goes_through_and_changes_nothing(network: LiveGenerator) -> None:
    eager = EagerRunner(network, CPU, torch.float32)
    tap = Tap(eager)
    for number in range(EVERY * (NUM_FRAMES + NUM_HELD_OUT) + 5):
        inputs = shifted(number % 3)
        assert number > 3 or torch.equal(tap(*inputs), eager(*inputs))
        if number > 3:
            tap._runner = lambda *inputs: inputs[1]
            tap(*inputs)
    assert tap.is_full
    found = tap.calibration("it")
    assert (len(found.frames), len(found.held_out)) == (NUM_FRAMES, NUM_HELD_OUT)
    assert not {id(inputs[0]) for inputs in found.frames} & {id(inputs[0]) for inputs in found.held_out}


def test_a_calibration_is_read_as_it_was_written(calibration: Calibration, tmp_path: Path) -> None:
    calibration.save(tmp_path / "drive.safetensors")
    read = read_calibration(tmp_path / "drive.safetensors")
    assert read.source == "a drive"
    for kind in ("frames", "held_out"):
        for got, wanted in zip(getattr(read, kind), getattr(calibration, kind), strict=True):
            assert torch.equal(got[0], wanted[0])
            assert torch.allclose(got[1], wanted[1], atol=1e-3)
            assert torch.equal(got[2], wanted[2])
    larger, _ = read.at((64, 96))
    assert [tuple(plane.shape) for plane in larger[0]] == [(1, 64, 96), (1, 3, 64, 96), (1, 1, 64, 96)]
    assert set(larger[0][0].unique().tolist()) <= set(read.frames[0][0].unique().tolist())
    (tmp_path / "other").write_bytes(b"no")
    with pytest.raises(UsageError, match="is not a calibration"):
        read_calibration(tmp_path / "other")
    with pytest.raises(OutputError, match="cannot be written"):
        calibration.save(tmp_path / "missing" / "drive.safetensors")


def test_below_thirty_decibels_it_is_refused() -> None:
    picture = torch.zeros(1, 3, 8, 8)
    check_agreement(picture + 0.062, picture, torch.int8)  # 30.2 dB
    with pytest.raises(ProgramRefused, match="at least 30"):
        check_agreement(picture + 0.065, picture, torch.int8)


@pytest.mark.parametrize("with_openvino", [True, False])
def test_int8_draws_what_torch_draws_well_enough(
    network: LiveGenerator,
    calibration: Calibration,
    with_openvino: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    if with_openvino:
        pytest.importorskip("openvino")
    else:
        found = choice.importlib.util.find_spec
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "openvino" else found(name))
    monkeypatch.setattr(host, "has_bfloat16_instructions", lambda: False)
    monkeypatch.setattr(choice, "TRIAL_SIZE_HW", SIZE_HW)
    with caplog.at_level(logging.INFO, "renderer"):
        run = choice.make_runner(network, CPU, "int8", calibration)
    assert isinstance(run, CompiledRunner), caplog.messages
    assert (run.backend, choice.numbers(run)) == ("int8", "int8")
    assert any("dB of eager float32 on 2 frames of a drive" in message for message in caplog.messages)
    inputs = shifted(11)
    with torch.inference_mode():
        given, expected = run(*inputs), EagerRunner(network, CPU, torch.float32)(*inputs)
    assert psnr_db(given, expected) >= 30.0
    assert not torch.equal(given, expected), "these are bytes"


def test_int8_that_draws_badly_is_left_aside_with_a_sentence(
    network: LiveGenerator,
    calibration: Calibration,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(host, "has_bfloat16_instructions", lambda: False)
    monkeypatch.setattr(choice, "TRIAL_SIZE_HW", SIZE_HW)
    sensitive = copy.deepcopy(network)  # random weights draw next to nothing but the last picture
    sensitive.last.weight *= 30.0
    # Ranges a thousand times too wide leave a few levels for what is really there.
    glaring = tuple((labels, 1000 * warped, valid) for labels, warped, valid in calibration.frames)
    with caplog.at_level(logging.WARNING, "renderer"):
        run = choice.make_runner(sensitive, CPU, "int8", Calibration(glaring, calibration.held_out, "the sun"))
    assert isinstance(run, EagerRunner), caplog.messages
    (message,) = [message for message in caplog.messages if "left aside" in message]
    assert "at least 30 is needed" in message


def test_int8_without_a_calibration_is_a_sentence(network: LiveGenerator) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    with pytest.raises(UsageError, match="what the generator is given in drives") as caught:
        choice.make_runner(network, CPU, "int8")
    assert "vidrive weights calibrate" in caught.value.hint
