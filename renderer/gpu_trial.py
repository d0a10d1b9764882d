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
from functools import partial
from statistics import median
from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.protocol.errors import VidriveError
from bridge.protocol.messages import ModelCard
from renderer import weights_catalogue
from renderer.backends import kernel_trial, kernels
from renderer.backends.choice import BACKEND_NAMES, make_runner
from renderer.backends.compiled import first_line, trial_inputs
from renderer.backends.runner import EagerRunner, RecordedRunner, Runner
from renderer.backends.transfer import download, levels, stage, upload
from renderer.inputs import ModelInput, model_input
from renderer.models import cost
from renderer.models.base import Model
from renderer.models.family import ModelParts, find_family
from renderer.models.live import load_live
from renderer.models.registry import DEFAULT_MODEL, find_preset
from renderer.models.speed import REFERENCE, Speed, live_speed
from renderer.speed_trial import psnr_db, random_weights, street_frames

SEQUENCE: Final = 5  # recurrent frames for which precision is followed
TRIAL_S: Final = 2.0  # for which each thing is repeated
TINY_HW: Final = (64, 64)
TINY_WIDTHS: Final = {"width": 16, "hidden": 8, "num_blocks": 1}


@dataclass(frozen=True)
class Generator:
    """A published generator and the size (width, height) that it is measured at."""

    preset: str
    size_wh: tuple[int, int]


GENERATORS: Final = {
    generator.preset: generator
    for generator in (
        Generator("label2city_2048", (1920, 1088)),
        Generator("label2city_1024_g1", (1024, 512)),
        Generator("spade_cityscapes", (512, 256)),
    )
}


@dataclass(frozen=True)
class GeneratorTrial:
    """A steady frame, medians in ms: layer by layer in float32, then in the precision that is served, then as it is
    served. `whole_ms` has planes that come from the host, `beside_ms` too, each while the frame before is drawn, as for
    several clients; `copy_ms` is the picture's way back by itself, which is in all but the first two.

    `flops` is what a frame multiplies and adds, `psnr_db` float16's pictures against float32's, along a sequence.
    """

    size_wh: tuple[int, int]
    plain_ms: float
    layers_ms: float
    served_ms: float
    whole_ms: float
    beside_ms: float
    copy_ms: float
    flops: float
    psnr_db: tuple[float, ...]
    is_recorded: bool
    libraries_ms: float
    """As served, but for own kernels; as served where none is used."""


def matrix_peak_flops(device: torch.device) -> float:
    """Return how many operations a second a device does in a large float16 matrix product of random numbers."""
    side = 8192 if device.type == "cuda" else 256
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

    def model(speed: Speed) -> Any:
        return family.make_model(ModelParts(card, config, copy.deepcopy(network), device, speed))

    held = [_Held.of(frame) for frame in street_frames(SEQUENCE + 2, size_hw)]
    served_speed = live_speed("cuda")
    if device.type != "cuda":
        served_speed = msgspec.structs.replace(served_speed, precision="float32")
    plain, served = model(REFERENCE), model(served_speed)
    with _true_float32():
        ratios = _follow(plain, served, [frame.moved(card, device) for frame in held])
        plain_ms = _step_ms(plain, held, device)
    del plain
    layers_ms = _step_ms(model(msgspec.structs.replace(served_speed, recorded=False)), held, device)
    picture_B3HW = torch.zeros(1, 3, *size_hw, device=device)
    served_ms = libraries_ms = _step_ms(served, held, device)
    if served_speed.kernels:
        libraries_ms = _step_ms(model(msgspec.structs.replace(served_speed, kernels=())), held, device)
    return GeneratorTrial(
        size_wh=(size_hw[1], size_hw[0]),
        plain_ms=plain_ms,
        layers_ms=layers_ms,
        served_ms=served_ms,
        whole_ms=_step_ms(served, held, device, moved=True),
        beside_ms=_beside_ms(served, held, device),
        copy_ms=median_ms(lambda: download(levels(picture_B3HW, rounded=False)), device),
        flops=flops,
        psnr_db=ratios,
        is_recorded=served.recorded.is_recorded,
        libraries_ms=libraries_ms,
    )


@dataclass(frozen=True)
class TransferTrial:
    """Labels, instances and depth of a frame to the device and its picture back, each by itself, medians in ms."""

    upload_ms: float
    download_ms: float


def measure_transfers(device: torch.device, size_wh: tuple[int, int] = (1920, 1088)) -> TransferTrial:
    """Measure what travels of a frame."""
    width_px, height_px = size_wh if device.type == "cuda" else (TINY_HW[1], TINY_HW[0])
    rng = np.random.default_rng(0)
    planes = [rng.integers(0, 30, (height_px, width_px)).astype(kind) for kind in (np.uint8, np.int16, np.float32)]
    picture_B3HW = torch.zeros(1, 3, height_px, width_px, device=device)
    return TransferTrial(
        median_ms(lambda: [upload(stage(plane, plane.dtype.type, device), device) for plane in planes], device),
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


@dataclass(frozen=True)
class _Held:
    """A frame's planes as they come to the server, and the picture that a sequence may begin with."""

    labels: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    first_B3HW: Tensor | None

    @classmethod
    def of(cls, frame: ModelInput) -> _Held:
        assert frame.instances_B1HW is not None
        instances = frame.instances_B1HW[0, 0].numpy().astype(np.uint16)
        return cls(frame.labels_BHW[0].numpy(), instances, frame.first_B3HW)

    def moved(self, card: ModelCard, device: torch.device, *, first: bool = True) -> ModelInput:
        """The frame on the model's device, as the server brings it there."""
        frame = model_input(card, {"labels": self.labels, "instances": self.instances}, None, device)
        given = self.first_B3HW if first else None
        return frame if given is None else replace(frame, first_B3HW=given.to(device))


def _begun(model: Model[Any], held: list[_Held], device: torch.device) -> Any:
    """The state of a sequence that has begun."""
    state: Any = None
    with torch.inference_mode():
        for frame in held[:3]:
            _, state = model.step(frame.moved(model.card, device), state)
    return state


def _step_ms(model: Model[Any], held: list[_Held], device: torch.device, *, moved: bool = False) -> float:
    """The median time of a steady frame until its picture is in host memory; with `moved` its planes come from there
    each time."""
    state = _begun(model, held, device)
    resident = held[3].moved(model.card, device, first=False)

    def step() -> object:
        frame = held[3].moved(model.card, device, first=False) if moved else resident
        return model.step(frame, state)[0].rgb

    return median_ms(step, device)


def _beside_ms(model: Model[Any], held: list[_Held], device: torch.device) -> float:
    """The same for frames one after another, each brought to the device while the one before is drawn."""
    state = _begun(model, held, device)
    coming = held[3].moved(model.card, device, first=False)

    def step() -> object:
        nonlocal coming
        output, _ = model.step(coming, state)
        coming = held[3].moved(model.card, device, first=False)
        return output.rgb

    return median_ms(step, device)


def _follow(plain: Model[Any], served: Model[Any], frames: list[ModelInput]) -> tuple[float, ...]:
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


def told(trial: GeneratorTrial, peak_flops: float) -> Iterator[tuple[str, float, str]]:
    """Yield what the figures of a generator come to, each with its unit."""
    drawing_ms = trial.served_ms - trial.copy_ms
    yield "share of the matrix peak", 100 * trial.flops / (drawing_ms / 1e3) / peak_flops, "%"
    yield "times faster than float32 layer by layer", trial.plain_ms / trial.served_ms, "times"
    yield "times faster than float16 layer by layer", trial.layers_ms / trial.served_ms, "times"
    yield "times faster than without own kernels", trial.libraries_ms / trial.served_ms, "times"
    yield "lowest PSNR of float16", min(trial.psnr_db, default=math.nan), "dB"
    yield "planes and picture on their way, one client", max(0.0, trial.whole_ms - drawing_ms), "ms"


def measure_kernels(device: torch.device) -> Iterator[tuple[str, float, str]]:
    """Yield each own kernel's time as against torch's layers, and what is wrong: it fails, or draws something else."""
    if device.type != "cuda" or not kernels.are_here():
        return
    with torch.inference_mode():
        for trial in kernel_trial.trials(device, kernel_trial.SIZE_HW):
            yield f"the kernel {trial.name}", *_kernel_ratio(trial)


def _kernel_ratio(trial: kernel_trial.Trial) -> tuple[float, str]:
    try:
        apart = kernel_trial.disagreement(trial)
        return kernel_trial.ratio(trial), "" if apart <= kernel_trial.RELATIVE else f"{apart:.3g} off torch's"
    except Exception as error:  # noqa: BLE001 - one that fails is a line of the result
        return math.nan, f"{type(error).__name__}: {first_line(error)}"


def measure_backends(device: torch.device) -> Iterator[tuple[str, float, str]]:
    """Yield the median ms of the default model's generator alone by each backend, 512x256: name, ms, what is wrong."""
    path = weights_catalogue.find_weights(find_preset(DEFAULT_MODEL).weights)
    network = load_live(path)
    size_hw = (256, 512) if device.type == "cuda" else (32, 48)
    frame = tuple(tensor.to(device) for tensor in trial_inputs(size_hw, network.config.num_labels))
    kinds: dict[str, Callable[[], Runner]] = {
        "float32 layer by layer": lambda: EagerRunner(network, device, torch.float32),
        "float16 layer by layer": lambda: EagerRunner(network, device, torch.float16),
        "float16 as a graph": lambda: RecordedRunner(network, device),
        **{name: partial(make_runner, network, device, name) for name in ("compile", "onnxruntime", "tensorrt")},
    }
    if device.type != "cuda":
        kinds = {"float32 layer by layer": kinds["float32 layer by layer"]}
    for name, make in kinds.items():
        yield f"{DEFAULT_MODEL}, {name}", *_backend_ms(name, make, frame, device)


def _backend_ms(
    name: str, make: Callable[[], Runner], frame: tuple[Tensor, ...], device: torch.device
) -> tuple[float, str]:
    """The median ms of a frame, or what is wrong."""
    try:
        runner = make()
        if name in BACKEND_NAMES and runner.backend != name:
            return math.nan, "left aside: see the lines above"
        return median_ms(lambda: runner(*frame), device), ""
    except VidriveError as error:
        return math.nan, error.what
    except Exception as error:  # noqa: BLE001 - one that fails is a line of the result
        return math.nan, f"{type(error).__name__}: {first_line(error)}"
