"""What every family of models offers: one frame and a state in, a picture and the next state out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bridge.protocol.messages import ModelCard
from renderer.inputs import ModelInput
from renderer.temporal import TemporalState


@dataclass(frozen=True)
class ModelOutput:
    """A synthesized picture, rgb (H,W,3) u8 in host memory, and the durations of the stages that made it, in ms."""

    rgb: NDArray[np.uint8]
    stages_ms: Mapping[str, float]


class Model(Protocol):
    """A loaded model. It has no memory of its own: state goes in and comes out of `step` as a value."""

    card: ModelCard
    device: torch.device
    summary: str  # how it runs, for people: "cpu, bfloat16, 1 thread"

    def step(self, frame: ModelInput, state: TemporalState | None) -> tuple[ModelOutput, TemporalState]:
        """Synthesize one frame; `state` is that of the frame before in its sequence, None at its beginning.

        The same frame and state give the same picture, bit for bit, whatever else the model did in between.
        """
        ...
