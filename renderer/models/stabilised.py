"""Steadies any generator's pictures: what it changes of a surface follows slowly, what moves follows at once.

The last steadied picture is moved to this frame by the engine's exact motion. Where a surface was visible in it, that
picture stays with the weight `RECALL` and the new one is blended in; where it was not, the new one stands alone. Motion
is thus the engine's, without delay, and only the change that the network makes by itself is held back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from renderer.backends.transfer import Download
from renderer.inputs import ModelInput, signed_picture
from renderer.models.base import Model, ModelOutput, with_geometry
from renderer.models.reprojecting import begin_uint8
from renderer.temporal import TemporalState, remember, warp_previous

RECALL: Final = 0.9  # of the moved picture: a change of a surface is half followed after seven frames


@dataclass(frozen=True)
class StabilisedState:
    """What a sequence remembers: the generator's own state and the last steadied picture with its geometry."""

    own: Any
    steadied: TemporalState


class StabilisedModel:
    """A model whose pictures are steadied; see `Model`. Its card asks for depth and instance ids as well."""

    def __init__(self, model: Model[Any]) -> None:
        past_frames = max(1, model.card.past_frames)
        self.card = msgspec.structs.replace(
            model.card, planes=with_geometry(model.card.planes), past_frames=past_frames
        )
        self.device = model.device
        self.summary = f"{model.summary}, stabilised"
        self._model = model

    @torch.inference_mode()
    def step(self, frame: ModelInput, state: StabilisedState | None) -> tuple[ModelOutput, StabilisedState]:
        """Synthesize one frame and steady it; the stages are the generator's and `stabilise`.

        Without this frame's depth and motion the picture is the generator's own.
        """
        output, own = self._model.step(frame, None if state is None else state.own)
        start_s = time.perf_counter()
        rgb: NDArray[np.uint8] | Download = output.rgb
        rgb_B3HW = signed_picture(output.rgb, self.device)
        if state is not None and frame.depth_B1HW is not None and frame.motion is not None:
            warped_B3HW, valid_B1HW = warp_previous(
                state.steadied, frame.depth_B1HW, frame.instances_B1HW, frame.motion
            )
            rgb_B3HW = torch.lerp(rgb_B3HW, warped_B3HW, valid_B1HW * RECALL)
            rgb = begin_uint8(rgb_B3HW)
        steadied = remember(rgb_B3HW, frame.depth_B1HW, frame.instances_B1HW, frame.motion)
        stages_ms = {**output.stages_ms, "stabilise": (time.perf_counter() - start_s) * 1e3}
        return ModelOutput(rgb, stages_ms), StabilisedState(own, steadied)
