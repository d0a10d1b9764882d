"""Generators that another runtime than torch compiles: once a picture size, and checked before they are trusted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from renderer.backends.calibration import Calibration
from renderer.backends.runner import Runner

log: Final = logging.getLogger("renderer")
CPU: Final = torch.device("cpu")
MAX_PROGRAMS: Final = 4  # picture sizes
FLOAT32_TOLERANCE: Final = 1e-3  # largest difference of a float32 picture in [-1, 1] from eager's
MIN_HALF_PSNR_DB: Final = 40.0  # of a picture in half precision against eager's in float32
MIN_INT8_PSNR_DB: Final = 30.0  # the same in int8

Program = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A generator for one picture size: labels_BHW uint8, warped_B3HW, valid_B1HW float32 -> rgb_B3HW float32 [-1, 1]."""


class ProgramRefused(Exception):
    """A program cannot be made, or its picture is not eager's; the text says why, for people."""


class CompiledRunner:
    """Runs programs of a backend; a size whose program fails its check is drawn by `fallback` instead, and said so.

    Programs of the last few sizes are kept, so that clients who try many do not fill the memory.
    """

    def __init__(
        self,
        backend: str,
        dtype: torch.dtype,
        make_program: Callable[[tuple[int, int]], Program],
        reference: Runner,
        fallback: Runner,
        num_labels: int,
        judged_on: Calibration | None = None,
        device: torch.device = CPU,
    ) -> None:
        """`make_program` compiles for a size (height, width); `reference` is eager float32, which programs must match.

        `num_labels` says which label ids the check draws; with `judged_on` it draws that one's held out frames.
        """
        self.backend = backend
        self.dtype = dtype
        self._make_program = make_program
        self._reference = reference
        self._fallback = fallback
        self._num_labels = num_labels
        self._judged_on = judged_on
        self._device = device
        self._programs: dict[tuple[int, int], Program | None] = {}

    def __call__(self, labels_BHW: Tensor, warped_B3HW: Tensor, valid_B1HW: Tensor) -> Tensor:
        """Return the pictures, in memory of their own; a batch is drawn one after another, as programs are for one."""
        if labels_BHW.shape[0] > 1:
            each = zip(labels_BHW.split(1), warped_B3HW.split(1), valid_B1HW.split(1), strict=True)
            return torch.cat([self(*frame) for frame in each])
        size_hw = (labels_BHW.shape[1], labels_BHW.shape[2])
        if size_hw not in self._programs:
            while len(self._programs) >= MAX_PROGRAMS:
                del self._programs[next(iter(self._programs))]
            try:
                self._programs[size_hw] = self.checked_program(size_hw)
            except ProgramRefused as error:
                log.warning("%s at %dx%d: %s; torch draws this size", self.backend, *reversed(size_hw), error)
                self._programs[size_hw] = None
        program = self._programs[size_hw] or self._fallback
        return program(labels_BHW, warped_B3HW, valid_B1HW)

    def checked_program(self, size_hw: tuple[int, int]) -> Program:
        """Compile for a size, compare with eager's pictures and keep it; raises ProgramRefused where they differ."""
        frames = [trial_inputs(size_hw, self._num_labels)]
        if self._judged_on is not None:
            frames = list(self._judged_on.at(size_hw)[1])
        frames = [tuple(tensor.to(self._device) for tensor in inputs) for inputs in frames]
        try:
            program = self._make_program(size_hw)
            with torch.inference_mode():
                given = torch.cat([program(*inputs) for inputs in frames])
        except Exception as error:  # noqa: BLE001 - whatever a runtime of others raises is no reason not to draw
            raise ProgramRefused(f"it does not run ({first_line(error)})") from None
        with torch.inference_mode():
            expected = torch.cat([self._reference(*inputs) for inputs in frames])
        check_agreement(given, expected, self.dtype)
        if self._judged_on is not None:
            log.info(
                "%s: %.1f dB of eager float32 on %d frames of %s that its ranges are not from",
                self.backend, psnr_db(given, expected), len(frames), self._judged_on.source,
            )  # fmt: skip
        self._programs[size_hw] = program  # the first frame of this size need not wait for it again
        return program


def trial_inputs(size_hw: tuple[int, int], num_labels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return a frame that exercises a generator: all classes in blocks, a smooth last picture with holes."""
    height_px, width_px = size_hw
    generator = torch.Generator().manual_seed(0)
    blocks = (-(-height_px // 16), -(-width_px // 16))
    coarse = torch.randint(0, num_labels, (1, *blocks), dtype=torch.uint8, generator=generator)
    labels_BHW = coarse.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, :height_px, :width_px].contiguous()
    holes = torch.rand(1, 1, *blocks, generator=generator)
    valid_B1HW = (F.interpolate(holes, size=size_hw) > 0.2).float()
    colours = torch.rand(1, 3, *blocks, generator=generator) * 2 - 1
    smooth_B3HW = F.interpolate(colours, size=size_hw, mode="bilinear", align_corners=False)
    return labels_BHW, smooth_B3HW * valid_B1HW, valid_B1HW


def check_agreement(given_B3HW: Tensor, expected_B3HW: Tensor, dtype: torch.dtype) -> None:
    """Raise ProgramRefused unless pictures are eager's: to 1e-3 in float32, to 40 dB of PSNR in half precision, to 30
    dB in int8."""
    if given_B3HW.shape != expected_B3HW.shape:
        raise ProgramRefused(f"its picture is {tuple(given_B3HW.shape)}, not {tuple(expected_B3HW.shape)}")
    difference = float((given_B3HW - expected_B3HW).abs().max())
    if dtype == torch.float32:
        if not difference <= FLOAT32_TOLERANCE:  # not a number is refused too
            raise ProgramRefused(
                f"its picture is {difference:.3g} off torch's, at most {FLOAT32_TOLERANCE:g} is allowed"
            )
        return
    found_db = psnr_db(given_B3HW, expected_B3HW)
    least_db = MIN_INT8_PSNR_DB if dtype == torch.int8 else MIN_HALF_PSNR_DB
    if not found_db >= least_db:
        raise ProgramRefused(f"its picture has {found_db:.0f} dB of torch's, at least {least_db:.0f} is needed")


def psnr_db(given_B3HW: Tensor, expected_B3HW: Tensor) -> float:
    """Return the peak signal-to-noise ratio of two pictures in [-1, 1], dB."""
    error = (given_B3HW.double() - expected_B3HW.double()).square().mean().clamp(min=1e-20)
    return float(10 * torch.log10(4 / error))


def first_line(error: Exception) -> str:
    """Return what an exception says, shortened to a line."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
