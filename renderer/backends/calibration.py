"""What a generator is given in real drives: int8's ranges are taken from it, and its pictures are judged on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from bridge.protocol.errors import OutputError, UsageError
from renderer.backends.runner import Runner

Inputs: TypeAlias = tuple[Tensor, Tensor, Tensor]  # labels_BHW uint8, warped_B3HW and valid_B1HW float32
NUM_FRAMES: Final = 24  # that ranges are taken from
NUM_HELD_OUT: Final = 8  # that pictures are judged on
EVERY: Final = 3  # frames of a drive that follow each other are alike


@dataclass(frozen=True)
class Calibration:
    """Inputs of a generator along a drive; `held_out` are others than those that ranges are taken from.

    `source` says for people where they are from.
    """

    frames: tuple[Inputs, ...]
    held_out: tuple[Inputs, ...]
    source: str

    def at(self, size_hw: tuple[int, int]) -> tuple[tuple[Inputs, ...], tuple[Inputs, ...]]:
        """Return frames and held out ones at a size."""
        frames, held_out = (
            tuple(_resized(inputs, size_hw) for inputs in some) for some in (self.frames, self.held_out)
        )
        return frames, held_out

    def save(self, file: Path) -> None:
        """Write it; raises OutputError if that cannot be."""
        tensors: dict[str, Tensor] = {}
        for kind, some in (("frames", self.frames), ("held_out", self.held_out)):
            for index, planes in enumerate(zip(*some, strict=True)):
                together = torch.cat(planes)
                tensors[f"{kind}.{index}"] = together.half() if together.is_floating_point() else together
        try:
            save_file(tensors, str(file), {"source": self.source})
        except (OSError, SafetensorError) as error:
            raise OutputError(f"{file} cannot be written ({error})", "Name another file") from None


def read_calibration(file: Path) -> Calibration:
    """Return a calibration that was saved; raises UsageError for a file that is none."""
    try:
        with safe_open(str(file), "pt") as opened:
            source = opened.metadata()["source"]
            found = {
                kind: [opened.get_tensor(f"{kind}.{index}").split(1) for index in range(3)]
                for kind in ("frames", "held_out")
            }
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise UsageError(f"{file} is not a calibration ({error})", "Write one with vidrive weights calibrate") from None
    frames, held_out = (
        tuple(
            (labels_BHW, warped_B3HW.float(), valid_B1HW.float())
            for labels_BHW, warped_B3HW, valid_B1HW in zip(*found[kind], strict=True)
        )
        for kind in ("frames", "held_out")
    )
    return Calibration(frames, held_out, source)


class Tap:
    """A runner that keeps what some of its frames were given, until it has enough."""

    def __init__(self, runner: Runner) -> None:
        self.dtype, self.backend = runner.dtype, runner.backend
        self._runner = runner
        self._seen = 0
        self.kept: list[Inputs] = []

    @property
    def is_full(self) -> bool:
        """Whether there is enough for a calibration."""
        return len(self.kept) == NUM_FRAMES + NUM_HELD_OUT

    def __call__(self, labels_BHW: Tensor, warped_B3HW: Tensor, valid_B1HW: Tensor) -> Tensor:
        """Return the picture, in memory of its own."""
        if not self.is_full and self._seen % EVERY == 0:
            self.kept.append((labels_BHW.clone(), warped_B3HW.clone(), valid_B1HW.clone()))
        self._seen += 1
        return self._runner(labels_BHW, warped_B3HW, valid_B1HW)

    def calibration(self, source: str) -> Calibration:
        """Return what was kept: of every four frames three for ranges, one to judge by; at least one of each."""
        held_out = tuple(self.kept[3::4]) or tuple(self.kept[-1:])
        frames = tuple(inputs for index, inputs in enumerate(self.kept) if index % 4 != 3)
        return Calibration(frames, held_out, source)


def _resized(inputs: Inputs, size_hw: tuple[int, int]) -> Inputs:
    labels_BHW, warped_B3HW, valid_B1HW = inputs
    if tuple(labels_BHW.shape[1:]) == size_hw:
        return inputs
    return (
        F.interpolate(labels_BHW[:, None].float(), size_hw)[:, 0].to(labels_BHW.dtype),
        F.interpolate(warped_B3HW, size_hw),
        F.interpolate(valid_B1HW, size_hw),
    )
