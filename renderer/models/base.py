"""What every family of models offers: one frame and a state in, a picture and the next state out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.protocol.messages import ModelCard, PlaneName
from renderer.backends.transfer import Download, begin_download, levels
from renderer.inputs import ModelInput

State = TypeVar("State")
OWN_FAMILY: Final = "live"  # the family of the models that ship; the others are published generators


class ModelOutput:
    """A synthesized picture, rgb (H,W,3) u8 in host memory, and the durations of the stages that made it, in ms.

    The picture of a CUDA device may still be on its way, `is_under_way`: who reads `rgb` waits for it.
    """

    def __init__(self, rgb: NDArray[np.uint8] | Download, stages_ms: Mapping[str, float]) -> None:
        self._rgb = rgb
        self.stages_ms = stages_ms

    @property
    def is_under_way(self) -> bool:
        """Whether reading the picture may have to wait."""
        return isinstance(self._rgb, Download)

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The picture, when it is there."""
        if isinstance(self._rgb, Download):
            self._rgb = self._rgb.wait()
        return self._rgb


@dataclass(frozen=True)
class Nothing:
    """The state of a family whose frames do not depend on each other."""


class Model(Protocol[State]):
    """A loaded model. It has no memory of its own: state goes in and comes out of `step` as a value."""

    card: ModelCard
    device: torch.device
    summary: str  # how it runs, for people: "cpu, bfloat16, 1 thread"

    def step(self, frame: ModelInput, state: State | None) -> tuple[ModelOutput, State]:
        """Synthesize one frame; `state` is that of the frame before in its sequence, None at its beginning.

        The same frame and state give the same picture, bit for bit, whatever else the model did in between.
        """
        ...


def with_geometry(planes: tuple[PlaneName, ...]) -> tuple[PlaneName, ...]:
    """Return what a model asks for with what the engine's motion is told by: depth, and who moves."""
    geometry: tuple[PlaneName, ...] = ("depth_m", "instances")
    return (*planes, *(name for name in geometry if name not in planes))


def truncate_to_uint8(rgb_B3HW: Tensor) -> NDArray[np.uint8] | Download:
    """Return a picture of [-1, 1] as (H,W,3) u8, cut off and not rounded, as upstream does; see `begin_download`."""
    return begin_download(levels(rgb_B3HW, rounded=False))
