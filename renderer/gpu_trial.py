"""What the published generators reach on a GPU, as they are served there: random weights, one run, ratios first.

The rate that matrices are multiplied at is measured beside them, so that a figure says how much of the machine it uses.
On a CPU the same steps run on tiny networks and pictures: that proves the trial, and says nothing of speed.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Final

import msgspec
import numpy as np
import torch
from torch import Tensor

from bridge.protocol.messages import ModelCard
from renderer.backends.transfer import download, levels, upload
from renderer.inputs import ModelInput
from renderer.models import cost
from renderer.models.base import Model
from renderer.models.family import ModelParts, find_family
from renderer.models.registry import find_preset
from renderer.models.speed import REFERENCE, Speed, live_speed
from renderer.speed_trial import psnr_db, random_weights, street_frames

SEQUENCE: Final = 5  # recurrent frames for which precision is followed
TRIAL_S: Final = 3.0  # for which each thing is repeated
TINY_HW: Final = (64, 64)
TINY_WIDTHS: Final = {"width": 16, "hidden": 8, "num_blocks": 1}


@dataclass(frozen=True)
class Generator:
    """A published generator, the size (width, height) that it is measured at, and the ms a frame that are aimed at."""

    preset: str
    size_wh: tuple[int, int]
    goal_ms: float


GENERATORS: Final = (
    Generator("label2city_2048", (1920, 1088), 12.8),
    Generator("label2city_1024_g1", (1024, 512), 5.0),
    Generator("spade_cityscapes", (512, 256), 2.0),
)


@dataclass(frozen=True)
class GeneratorTrial:
    """A steady frame, medians in ms: layer by layer in float32, as it is served, and that with planes in and picture
    out. `flops` is what it multiplies and adds, `psnr_db` float16's pictures against float32's, along a sequence."""

    size_wh: tuple[int, int]
    plain_ms: float
    served_ms: float
    whole_ms: float
    flops: float
    psnr_db: tuple[float, ...]


def matrix_peak_flops(device: torch.device, side: int | None = None) -> float:
    """Return how many operations a second a device does in the largest float16 matrix product worth trying."""
    side = side or (8192 if device.type == "cuda" else 256)
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    first, second = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / (best_ms(lambda: first @ second, device) / 1e3)


def measure_generator(generator: Generator, device: torch.device) -> GeneratorTrial:
    """Measure a generator with random weights; on a CPU a tiny one of its kind."""
    preset = find_preset(generator.preset)
    family = find_family(preset.family)
    config = msgspec.convert(preset.config, family.config_type)
    size_hw = (generator.size_wh[1], generator.size_wh[0])
    if device.type != "cuda":
        config, size_hw = _tiny(config), TINY_HW
    if preset.family == "vid2vid":
        config = msgspec.structs.replace(config, first_pictures="given", single=None)
    flops = cost.measure(family, config, size_hw)["steady"].flops
    with torch.device("meta"):
        network = family.build(config)
    random_weights(network)
    card = _card(preset.name, preset.family)

    def model(speed: Speed) -> Model:
        return family.make_model(ModelParts(card, config, copy.deepcopy(network), device, speed))

    frames = [_moved(frame, device) for frame in street_frames(SEQUENCE + 2, size_hw)]
    served_speed = live_speed("cuda")
    if device.type != "cuda":
        served_speed = msgspec.structs.replace(served_speed, precision="float32")
    plain, served = model(REFERENCE), model(served_speed)
    with _true_float32():
        ratios = _follow(plain, served, frames)
        plain_ms = _step_ms(plain, frames, device)
    del plain
    served_ms = _step_ms(served, frames, device)
    whole_ms = _step_ms(served, street_frames(SEQUENCE + 2, size_hw), device, moved=True)
    return GeneratorTrial((size_hw[1], size_hw[0]), plain_ms, served_ms, whole_ms, flops, ratios)


@dataclass(frozen=True)
class TransferTrial:
    """Labels, instances and depth of a frame to the device and its picture back, each by itself, medians in ms."""

    upload_ms: float
    download_ms: float


def measure_transfers(device: torch.device, size_wh: tuple[int, int] = (1920, 1088)) -> TransferTrial:
    """Measure what travels of a frame."""
    width_px, height_px = size_wh if device.type == "cuda" else (TINY_HW[1], TINY_HW[0])
    planes = [np.zeros((height_px, width_px), dtype) for dtype in (np.uint8, np.int32, np.float32)]
    picture_B3HW = torch.zeros(1, 3, height_px, width_px, device=device)
    return TransferTrial(
        median_ms(lambda: [upload(plane, device) for plane in planes], device),
        median_ms(lambda: download(levels(picture_B3HW, rounded=True)), device),
    )


def best_ms(function: Callable[[], object], device: torch.device) -> float:
    """Return the shortest time of a function with all that it orders, ms."""
    return min(_times_ms(function, device))


def median_ms(function: Callable[[], object], device: torch.device) -> float:
    """Return the median time of a function with all that it orders, ms."""
    return median(_times_ms(function, device))


@contextlib.contextmanager
def _true_float32() -> Iterator[None]:
    """Convolve float32 as such meanwhile, and not in TF32, which has ten bits of mantissa."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _times_ms(function: Callable[[], object], device: torch.device) -> list[float]:
    budget_s, num_warm_ups, num_least = (TRIAL_S, 3, 5) if device.type == "cuda" else (0.0, 1, 2)
    with torch.inference_mode():
        for _ in range(num_warm_ups):
            function()
        times_ms: list[float] = []
        until_s = time.perf_counter() + budget_s
        while len(times_ms) < num_least or time.perf_counter() < until_s:
            _wait(device)
            start_s = time.perf_counter()
            function()
            _wait(device)
            times_ms.append((time.perf_counter() - start_s) * 1e3)
    return times_ms


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _step_ms(model: Model, frames: list[ModelInput], device: torch.device, *, moved: bool = False) -> float:
    """The median time of a steady frame; with `moved` its planes come from the host each time."""
    state: Any = None
    for frame in frames[:3]:
        _, state = model.step(_moved(frame, device), state)
    last = replace(frames[3], first_B3HW=None)
    return median_ms(lambda: model.step(_moved(last, device) if moved else last, state), device)


def _follow(plain: Model, served: Model, frames: list[ModelInput]) -> tuple[float, ...]:
    """The PSNR of each picture after the given ones, dB of bytes."""
    states: list[Any] = [None, None]
    ratios: list[float] = []
    for index, frame in enumerate(frames):
        given = frame if index < 2 else replace(frame, first_B3HW=None)
        pictures: list[Tensor] = []
        for place, model in enumerate((plain, served)):
            output, states[place] = model.step(given, states[place])
            pictures.append(torch.from_numpy(output.rgb).float() / 127.5 - 1)
        if index >= 2:
            ratios.append(min(99.0, psnr_db(*pictures)))
    return tuple(round(ratio, 1) for ratio in ratios)


def _moved(frame: ModelInput, device: torch.device) -> ModelInput:
    """A frame's planes on a device, as the server brings them there."""

    def there(tensor: Tensor | None) -> Tensor | None:
        return tensor if tensor is None or tensor.device.type == device.type else upload(tensor.numpy(), device)

    labels_BHW = there(frame.labels_BHW)
    assert labels_BHW is not None
    return replace(
        frame,
        labels_BHW=labels_BHW,
        instances_B1HW=there(frame.instances_B1HW),
        first_B3HW=there(frame.first_B3HW),
    )


def _tiny(config: Any) -> Any:
    """A configuration of the same kind that a CPU draws at once."""
    return msgspec.structs.replace(
        config, **{name: value for name, value in TINY_WIDTHS.items() if name in config.__struct_fields__}
    )


def _card(name: str, family: str) -> ModelCard:
    return ModelCard(
        name=name,
        family=family,
        label_space="cityscapes",
        planes=("labels", "instances"),
        size_multiple_px=32,
        past_frames=2,
        weights_sha256="",
        licence="none: random weights",
    )


def shares(trial: GeneratorTrial, peak_flops: float) -> Iterator[tuple[str, float]]:
    """Yield what the figures of a generator come to: its share of the peak in %, and how much faster than plain."""
    yield "share of the matrix peak", 100 * trial.flops / (trial.served_ms / 1e3) / peak_flops
    yield "times faster than float32 layer by layer", trial.plain_ms / trial.served_ms
    yield "lowest PSNR of float16, dB", min(trial.psnr_db, default=math.nan)
