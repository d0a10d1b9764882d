"""What every family of models offers: one frame and a state in, a picture and the next state out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.protocol.messages import ModelCard
from renderer.backends.transfer import download, levels
from renderer.inputs import ModelInput

State = TypeVar("State")
OWN_FAMILY: Final = "live"  # the family of the models that ship; the others are published generators


@dataclass(frozen=True)
class ModelOutput:
    """A synthesized picture, rgb (H,W,3) u8 in host memory, and the durations of the stages that made it, in ms."""

    rgb: NDArray[np.uint8]
    stages_ms: Mapping[str, float]


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


def truncate_to_uint8(rgb_B3HW: Tensor) -> NDArray[np.uint8]:
    """Return a picture of [-1, 1] as (H,W,3) u8 in host memory, cut off and not rounded, as upstream does."""
    return download(levels(rgb_B3HW, rounded=False))
