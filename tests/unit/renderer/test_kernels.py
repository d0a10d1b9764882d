"""Own kernels compute what torch does layer by layer: here in Triton's interpreter, which runs them on the CPU."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

os.environ.setdefault("TRITON_INTERPRET", "1")  # read when the kernels are imported
pytest.importorskip("triton", reason="it comes with torch for CUDA")
if "renderer.backends.triton_kernels" in sys.modules:
    pytest.skip("the kernels are compiled already", allow_module_level=True)

from renderer.backends import kernel_trial, kernels
from renderer.backends.transfer import levels
from renderer.inputs import ModelInput, instance_edges, one_hot
from renderer.layers import StatNorm, warp
from renderer.models.spade_networks import Spade
from renderer.models.speed import Speed
from renderer.models.vid2vid_networks import Vid2vid
from renderer.speed_trial import random_weights, street_frames
from tests.unit.renderer.test_graphs import ON_CUDA, SPADE, VID2VID, drive, model_of


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def features(channels: int, size_hw: tuple[int, int], dtype: torch.dtype) -> Tensor:
    drawn = torch.randn(1, channels, *size_hw) * torch.linspace(0.1, 3, channels)[:, None, None] + 5
    return drawn.to(dtype).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize(
    ("channels", "size_hw", "affine", "relu", "padding_px", "residual"),
    [
        (64, (16, 33), True, True, 1, False),
        (20, (9, 70), False, True, 3, False),
        (160, (8, 8), True, False, 1, True),
        (3, (40, 50), True, False, 0, True),
    ],
)
def test_norm_activation_residual_and_border_in_one(
    dtype: torch.dtype,
    channels: int,
    size_hw: tuple[int, int],
    affine: bool,
    relu: bool,
    padding_px: int,
    residual: bool,
) -> None:
    given = features(channels, size_hw, dtype)
    norm = StatNorm(channels, affine)
    if affine:
        norm.weight = torch.nn.Parameter(torch.rand(channels) + 0.5)
        norm.bias = torch.nn.Parameter(torch.randn(channels))
    added = features(channels, (size_hw[0] + 2, size_hw[1] + 2), dtype)[:, :, 1:-1, 1:-1] if residual else None
    with torch.inference_mode():
        expected = norm(given.float())
        expected = F.relu(expected) if relu else expected
        expected = expected if added is None else expected + added.float()
        expected = F.pad(expected, (padding_px,) * 4, mode="reflect") if padding_px else expected
        got = kernels.normalise(given, norm.weight, norm.bias, relu=relu, padding_px=padding_px, residual_BCHW=added)
    assert got.dtype == dtype
    assert got.is_contiguous(memory_format=torch.channels_last)
    tolerance = 1e-5 if dtype == torch.float32 else 4e-3 + 4e-3 * residual
    torch.testing.assert_close(got.float(), expected, rtol=1e-3, atol=tolerance)


def test_statistics_are_those_of_many_parts_far_from_zero() -> None:
    given = (torch.randn(1, 3, 70, 140) * 0.1 + 100).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        got = kernels.normalise(given, None, None, relu=False, padding_px=0)
    expected = (given.double() - given.double().mean((2, 3), keepdim=True)) / (
        given.double().var((2, 3), keepdim=True, correction=0) + 1e-5
    ).sqrt()
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("slope", [None, 0.2])
def test_a_modulated_norm_and_its_activation_in_one(slope: float | None) -> None:
    given = features(40, (7, 19), torch.float16)
    gamma, beta = features(80, (7, 19), torch.float16).chunk(2, dim=1)
    mean, variance = torch.randn(40), torch.rand(40) + 0.1
    with torch.inference_mode():
        expected = F.batch_norm(given.float(), mean, variance, eps=1e-5) * (1 + gamma.float()) + beta.float()
        expected = expected if slope is None else F.leaky_relu(expected, slope)
        got = kernels.modulate(given, mean, variance, gamma, beta, slope)
    torch.testing.assert_close(got.float(), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("edges", [True, False])
def test_a_stem_that_gathers_columns_is_the_convolution_of_one_hots(edges: bool) -> None:
    labels = torch.randint(0, 6, (3, 2, 2), dtype=torch.uint8).repeat_interleave(4, 1).repeat_interleave(5, 2)
    instances = torch.randint(0, 3, (3, 1, 8, 10))
    edge = [instance_edges(one) for one in instances.split(1)]
    drawn = [one_hot(one, 6) for one in labels.split(1)]
    kinds = labels
    if edges:
        drawn = [torch.cat(both, 1) for both in zip(drawn, edge, strict=True)]
        kinds = 2 * labels + torch.cat(edge)[:, 0].byte()
    weight, bias = torch.randn(12, 3 * (6 + edges), 7, 7), torch.randn(12)
    expected = F.conv2d(F.pad(torch.cat(drawn, 1), (3, 3, 3, 3), mode="reflect"), weight, bias)
    with torch.inference_mode():
        columns = kernels.stem_columns(weight, 6, 3, edges=edges)
        got = kernels.convolve_kinds(kinds, columns, bias, 7)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("foreground", [True, False])
def test_warp_blend_and_bytes_in_one(foreground: bool) -> None:
    raw, last, front = (torch.rand(1, 3, 18, 30) * 2.2 - 1.1 for _ in range(3))
    flow = (torch.randn(1, 2, 18, 30) * 9).contiguous(memory_format=torch.channels_last)
    occlusion, covered = torch.rand(1, 1, 18, 30), (torch.rand(1, 1, 18, 30) > 0.5).float()
    with torch.inference_mode():
        expected = raw * occlusion + warp(last, flow) * (1 - occlusion)
        if foreground:
            expected = front * covered + expected * (1 - covered)
        front_channels_last = front.contiguous(memory_format=torch.channels_last)
        picture, rgb = kernels.warp_and_blend(
            raw, flow, occlusion, last, *((front_channels_last, covered) if foreground else ())
        )
    torch.testing.assert_close(picture, expected, rtol=0, atol=2e-5)
    assert int((rgb.int() - levels(expected, rounded=False).int()).abs().max()) <= 1
    assert float((rgb == levels(expected, rounded=False)).float().mean()) > 0.999


def test_each_kernel_compiles_for_a_gpu(tmp_path: Path) -> None:
    """The interpreter takes what the compiler refuses: types, names, and what is known when it compiles."""
    root = Path(__file__).parents[3]
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    run = subprocess.run(
        [sys.executable, "-m", "tests.unit.renderer.compile_kernels"],
        capture_output=True,
        text=True,
        timeout=220,
        cwd=root,
        env={**environment, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert run.returncode == 0, run.stderr
    lines = [line.split() for line in run.stdout.splitlines()]
    assert len(lines) == 10
    assert all(int(size) > 1000 for _, size, _ in lines)
    assert not [name for name, _, spills in lines if spills == "True"], "all of it stays in registers"


def test_each_kernels_trial_on_the_device_compares_what_is_alike() -> None:
    for trial in kernel_trial.trials(torch.device("cpu"), kernel_trial.TINY_HW, torch.float32):
        with torch.inference_mode():
            assert kernel_trial.disagreement(trial) <= kernel_trial.RELATIVE, trial.name


def test_a_kernel_that_fails_differs_or_is_slower_is_left_aside(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> tuple[Tensor]:
        raise RuntimeError("PTX codegen failed")

    same = (torch.ones(3),)
    with caplog.at_level("INFO", "renderer"):
        for own, ratio, passes, told in (
            (lambda: same, 0.5, True, "0.50 times"),
            (lambda: same, 0.99, False, "0.99 times"),
            (lambda: (torch.ones(3) + 0.01,), 0.5, False, "0.01 off"),
            (lambda: (torch.full((3,), float("nan")),), 0.5, False, "nan off"),
            (fail, 0.5, False, "does not run (PTX codegen failed)"),
        ):
            caplog.clear()
            trial = kernel_trial.Trial("norm", own, lambda: same)
            assert kernel_trial._passes(trial, lambda _, ratio=ratio: ratio) is passes
            assert told in caplog.text
    assert kernel_trial.trusted_kernels() == (), "there is no GPU here"


def pictures(family: str, config: object, network: torch.nn.Module, speed: Speed, frames: list[ModelInput]) -> list:
    model = model_of(family, config, copy.deepcopy(network), speed)
    return drive(model, frames)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("family", "config", "kind"), [("vid2vid", VID2VID, Vid2vid), ("spade", SPADE, Spade)])
def test_a_network_with_all_kernels_draws_what_it_draws_without(
    family: str, config: object, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = random_weights(kind(config).to("meta"))
    size_hw = (32, 32) if family == "vid2vid" else (64, 64)
    frames = street_frames(4, size_hw)
    frames[2:] = [replace(frame, first_B3HW=None) for frame in frames[2:]]
    plain = msgspec.structs.replace(ON_CUDA, kernels=(), recorded=False)
    own = msgspec.structs.replace(plain, kernels=("norm", "modulation", "stem", "blend"))
    used: set[str] = set()
    for name in ("normalise", "modulate", "convolve_kinds", "warp_and_blend"):
        function = getattr(kernels, name)

        def noted(*given: object, name: str = name, function: Any = function, **named: object) -> object:
            used.add(name)
            return function(*given, **named)

        monkeypatch.setattr(kernels, name, noted)
    given = pictures(family, config, network, own, frames)
    expected = pictures(family, config, network, plain, frames)
    for got, wanted in zip(given, expected, strict=True):
        assert int(np.abs(got.astype(int) - wanted).max()) <= 1
    its_own = {"vid2vid": {"normalise", "convolve_kinds", "warp_and_blend"}, "spade": {"modulate"}}
    assert used == its_own[family], "each is in its place"
    if family == "vid2vid":
        assert not np.array_equal(given[-1], given[0])
