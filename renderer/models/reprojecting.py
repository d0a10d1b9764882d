"""The family "live": a generator whose temporal input is its last picture, reprojected by the engine's own motion."""

from __future__ import annotations

import time
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.protocol.messages import ModelCard
from renderer.backends.runner import Runner, describe
from renderer.backends.transfer import Download, begin_download, levels
from renderer.inputs import ModelInput
from renderer.models.base import ModelOutput
from renderer.surface_tones import surface_tones, tones_of_labels
from renderer.temporal import TemporalState, remember, warp_previous


class ReprojectingModel:
    """Labels and the warped last picture go in, a picture comes out; see `Model`.

    With `tones`, labels are given the tones of their surfaces first: by depth and poses, or by labels alone;
    `leafless` and `bark` say of plants what `surface_tones` does with them.
    """

    def __init__(
        self,
        card: ModelCard,
        runner: Runner,
        device: torch.device,
        *,
        tones: bool = False,
        leafless: bool = False,
        bark: bool = True,
    ) -> None:
        self.card = card
        self.device = device
        self.summary = describe(device, runner.dtype, runner.backend)
        self._runner = runner
        self._tones = tones
        self._leafless = leafless
        self._bark = bark

    @torch.inference_mode()
    def step(self, frame: ModelInput, state: TemporalState | None) -> tuple[ModelOutput, TemporalState]:
        """Synthesize one frame; the stages are `warp`, which is all that geometry is for, `infer` and `to_uint8`.

        Without a state, or without this frame's depth and motion, nothing of the last picture is used. On CUDA all of
        it is queued, and who reads the picture waits.
        """
        start_s = time.perf_counter()
        warped_B3HW, valid_B1HW = _temporal_input(frame, state)
        labels_BHW = frame.labels_BHW
        if self._tones:
            labels_BHW = self._with_tones(frame)
        warped_s = time.perf_counter()
        rgb_B3HW = self._runner(labels_BHW, warped_B3HW, valid_B1HW).clamp_(-1.0, 1.0)
        inferred_s = time.perf_counter()
        rgb = begin_uint8(rgb_B3HW)
        converted_s = time.perf_counter()
        after = remember(rgb_B3HW, frame.depth_B1HW, frame.instances_B1HW, frame.motion)
        stages_ms = {
            "warp": (warped_s - start_s + time.perf_counter() - converted_s) * 1e3,
            "infer": (inferred_s - warped_s) * 1e3,
            "to_uint8": (converted_s - inferred_s) * 1e3,
        }
        return ModelOutput(rgb, stages_ms), after

    @torch.inference_mode()
    def step_together(
        self, frames: Sequence[ModelInput], states: Sequence[TemporalState | None]
    ) -> list[tuple[ModelOutput, TemporalState]]:
        """Synthesize frames of one size of different sequences in one pass of the network.

        Each is what `step` draws, but for how the network rounds in a batch; `infer` is the time of all of them.
        """
        start_s = time.perf_counter()
        warped, valid = zip(*map(_temporal_input, frames, states), strict=True)
        labels = [self._with_tones(frame) if self._tones else frame.labels_BHW for frame in frames]
        warped_s = time.perf_counter()
        rgb_B3HW = self._runner(torch.cat(labels), torch.cat(warped), torch.cat(valid)).clamp_(-1.0, 1.0)
        inferred_s = time.perf_counter()
        stepped = []
        for number, frame in enumerate(frames):
            own_B3HW = rgb_B3HW[number : number + 1]
            begin_s = time.perf_counter()
            rgb = begin_uint8(own_B3HW)
            stages_ms = {
                "warp": (warped_s - start_s) * 1e3,
                "infer": (inferred_s - warped_s) * 1e3,
                "to_uint8": (time.perf_counter() - begin_s) * 1e3,
            }
            # A copy: a view would keep the pictures of all clients alive with the state of one.
            after = remember(own_B3HW.clone(), frame.depth_B1HW, frame.instances_B1HW, frame.motion)
            stepped.append((ModelOutput(rgb, stages_ms), after))
        return stepped

    def _with_tones(self, frame: ModelInput) -> Tensor:
        if frame.depth_B1HW is None or frame.motion is None:
            return tones_of_labels(frame.labels_BHW, leafless=self._leafless, bark=self._bark)
        return surface_tones(
            frame.labels_BHW,
            frame.depth_B1HW,
            frame.instances_B1HW,
            frame.motion,
            leafless=self._leafless,
            bark=self._bark,
        )


def _temporal_input(frame: ModelInput, state: TemporalState | None) -> tuple[Tensor, Tensor]:
    if state is not None and frame.depth_B1HW is not None and frame.motion is not None:
        return warp_previous(state, frame.depth_B1HW, frame.instances_B1HW, frame.motion)
    height_px, width_px = frame.labels_BHW.shape[1:]
    device = frame.labels_BHW.device
    return torch.zeros(1, 3, height_px, width_px, device=device), torch.zeros(1, 1, height_px, width_px, device=device)


def begin_uint8(rgb_B3HW: Tensor) -> NDArray[np.uint8] | Download:
    """Return a picture of [-1, 1] as (H,W,3) u8, rounded to nearest: in host memory, or on its way there from CUDA."""
    if rgb_B3HW.device.type == "cpu":
        return to_uint8(rgb_B3HW)
    return begin_download(levels(rgb_B3HW, rounded=True))


def to_uint8(rgb_B3HW: Tensor) -> NDArray[np.uint8]:
    """Return a picture of [-1, 1] in host memory as (H,W,3) u8, rounded to nearest."""
    _, _, height_px, width_px = rgb_B3HW.shape
    # Rounded plane by plane and interleaved as bytes: a quarter of the memory that interleaved floats would move.
    planes = rgb_B3HW.reshape(3 * height_px, width_px).numpy()
    planes_u8 = np.asarray(cv2.convertScaleAbs(planes, alpha=127.5, beta=127.5)).reshape(3, height_px, width_px)
    return np.asarray(cv2.merge(tuple(planes_u8)), np.uint8)
