"""Which of the own kernels are used on this machine's GPU: those that draw what torch draws, and are clearly faster."""

from __future__ import annotations

import functools
import logging
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from renderer.backends import kernels
from renderer.backends.compiled import first_line
from renderer.backends.transfer import levels
from renderer.inputs import one_hot
from renderer.layers import warp
from renderer.models.speed import KernelName

log: Final = logging.getLogger("renderer")
FASTER: Final = 0.95  # of torch's time, at most
SIZE_HW: Final = (272, 480)
TINY_HW: Final = (8, 12)
CHANNELS: Final = 64
NUM_LABELS: Final = 35
NUM_TURNS: Final = 9
RELATIVE: Final = 2e-3  # of the largest value, between the results: half a type's rounding is 5e-4

Results = tuple[Tensor, ...]


@dataclass(frozen=True)
class Trial:
    """A kernel and what it stands for, on the same inputs."""

    name: KernelName
    own: Callable[[], Results]
    plain: Callable[[], Results]


@functools.cache
def trusted_kernels() -> tuple[KernelName, ...]:
    """Return the own kernels that this machine's GPU draws with; none without CUDA or Triton."""
    if not torch.cuda.is_available() or not kernels.are_here():
        return ()
    with torch.inference_mode():
        return tuple(trial.name for trial in trials(torch.device("cuda"), SIZE_HW) if _passes(trial, ratio))


def _passes(trial: Trial, measured: Callable[[Trial], float]) -> bool:
    try:
        apart = disagreement(trial)
        if not apart <= RELATIVE:
            log.warning("the kernel %s is left aside: it is %.3g off what torch draws", trial.name, apart)
            return False
        found = measured(trial)
    except Exception as error:  # noqa: BLE001 - a compiler of others that fails is no reason not to draw
        log.warning("the kernel %s is left aside: it does not run (%s)", trial.name, first_line(error))
        return False
    log.info("the kernel %s takes %.2f times the time of torch's layers", trial.name, found)
    return found < FASTER


def disagreement(trial: Trial) -> float:
    """Return the largest difference of the results, in units of the largest value; bytes may be one level apart."""
    worst = 0.0
    for got, wanted in zip(trial.own(), trial.plain(), strict=True):
        apart = (got.float() - wanted.float()).abs()
        if got.dtype == torch.uint8:
            apart = (apart - 1).clamp_(min=0)
        share = float(apart.max() / wanted.float().abs().max())
        worst = share if not share <= worst else worst  # what is not a number is the worst
    return worst


def ratio(trial: Trial) -> float:
    """The kernel's time on the device as against torch's, the two in turns; both were run before."""
    return statistics.median(_device_ms(trial.own) / _device_ms(trial.plain) for _ in range(NUM_TURNS))


def _device_ms(function: Callable[[], Results]) -> float:
    before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    function()  # so that the device is busy while the next is queued
    before.record()
    for _ in range(5):
        function()
    after.record()
    after.synchronize()
    return before.elapsed_time(after)


class Drawer(Protocol):
    """Draws a tensor of a shape; `kind` None is the type that the kernels are tried in."""

    def __call__(self, *shape: int, kind: torch.dtype | None = None) -> Tensor:
        """Return standard normal numbers, channels last where there are four dimensions."""
        ...


def trials(device: torch.device, size_hw: tuple[int, int], dtype: torch.dtype = torch.float16) -> Iterator[Trial]:
    """Yield a trial of each kernel on random inputs."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int, kind: torch.dtype | None = None) -> Tensor:
        values = torch.randn(*shape, generator=generator).to(device, kind or dtype)
        return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values

    features = drawn(1, CHANNELS, *size_hw)
    yield _norm_trial(features, drawn)
    yield _modulation_trial(features, drawn)
    labels = torch.randint(0, NUM_LABELS, (3, size_hw[0] // 4, size_hw[1] // 4), generator=generator, dtype=torch.uint8)
    yield _stem_trial(labels.repeat_interleave(4, 1).repeat_interleave(4, 2).to(device), drawn)
    yield _blend_trial(size_hw, drawn)


def _norm_trial(features: Tensor, drawn: Drawer) -> Trial:
    residual, weight, bias = drawn(*features.shape), drawn(CHANNELS), drawn(CHANNELS)

    def own() -> Results:
        return (
            kernels.normalise(features, weight, bias, relu=True, padding_px=1),
            kernels.normalise(features, weight, bias, relu=True, padding_px=0, residual_BCHW=residual),
        )

    def plain() -> Results:
        normed = F.batch_norm(features, None, None, weight, bias, training=True, eps=kernels.EPSILON)
        return F.pad(F.relu_(normed), (1, 1, 1, 1), mode="reflect"), normed.clone() + residual

    return Trial("norm", own, plain)


def _modulation_trial(features: Tensor, drawn: Drawer) -> Trial:
    mean, variance = drawn(CHANNELS, kind=torch.float32), drawn(CHANNELS, kind=torch.float32).square() + 0.5
    gamma, beta = drawn(1, 2 * CHANNELS, *features.shape[2:]).chunk(2, dim=1)

    def plain() -> Results:
        normed = F.batch_norm(features.float(), mean, variance, eps=kernels.EPSILON)
        return (F.leaky_relu((normed * (1 + gamma) + beta).to(features.dtype), 0.2),)

    return Trial("modulation", lambda: (kernels.modulate(features, mean, variance, gamma, beta, 0.2),), plain)


def _stem_trial(labels_THW: Tensor, drawn: Drawer) -> Trial:
    stem, bias = drawn(CHANNELS, 3 * NUM_LABELS, 7, 7) * 0.05, drawn(CHANNELS)

    def own() -> Results:
        columns = kernels.stem_columns(stem, NUM_LABELS, 3, edges=False)
        return (kernels.convolve_kinds(labels_THW, columns, bias, stem.shape[-1]),)

    def plain() -> Results:
        planes = torch.cat([one_hot(one, NUM_LABELS) for one in labels_THW.split(1)], 1)
        return (F.conv2d(F.pad(planes.to(stem.dtype), (3, 3, 3, 3), mode="reflect"), stem, bias),)

    return Trial("stem", own, plain)


def _blend_trial(size_hw: tuple[int, int], drawn: Drawer) -> Trial:
    raw, last = (drawn(1, 3, *size_hw, kind=torch.float32).tanh().contiguous() for _ in range(2))
    flow, share = drawn(1, 2, *size_hw, kind=torch.float32) * 8, drawn(1, 1, *size_hw, kind=torch.float32).sigmoid()

    def plain() -> Results:
        picture = raw * share + warp(last, flow) * (1 - share)
        return picture, levels(picture, rounded=False)

    return Trial("blend", lambda: kernels.warp_and_blend(raw, flow, share, last), plain)
