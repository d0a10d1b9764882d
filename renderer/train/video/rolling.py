"""Drawing some frames of a sequence in a row, each from the pictures before it, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from renderer.inputs import instance_edges
from renderer.layers import pool
from renderer.models.label_stack import FramePlanes, make_stacks
from renderer.models.speed import REFERENCE
from renderer.models.vid2vid_config import Vid2vidConfig
from renderer.models.vid2vid_networks import Drawing, Vid2vid
from renderer.train.video.sequences import Load, LoadedFrames

Pictures = tuple[tuple[Tensor, ...], ...]
"""The past pictures of each scale, the coarsest first; of a scale oldest first, (1,3,H,W) [-1, 1]."""


@dataclass(frozen=True)
class DrawnFrame:
    """A drawn frame beside the real one; last_drawn_B3HW is None where the sequence began from black.

    planes_BCHW are the current frame's label planes · drawing of the finest scale · flow_B2HW and confidence_B1HW the
    reference.
    """

    planes_BCHW: Tensor
    drawing: Drawing
    real_B3HW: Tensor
    last_real_B3HW: Tensor
    last_drawn_B3HW: Tensor | None
    flow_B2HW: Tensor
    confidence_B1HW: Tensor

    def detached(self) -> DrawnFrame:
        """Return the frame with its drawing as a constant."""
        drawing = Drawing(*(None if part is None else part.detach() for part in self.drawing))  # pyright: ignore[reportArgumentType]
        rest = (self.real_B3HW, self.last_real_B3HW, None, self.flow_B2HW, self.confidence_B1HW)
        return DrawnFrame(self.planes_BCHW, drawing, *rest)


@dataclass(frozen=True)
class Past:
    """What a sequence remembers: pictures of all scales, and of its newest frames, oldest first, real and drawn
    pictures and the reference flow from each to the one before it. `num_drawn` counts the frames drawn so far."""

    pictures: Pictures
    real: tuple[Tensor, ...]
    drawn: tuple[Tensor, ...]
    flows: tuple[Tensor, ...]
    num_drawn: int

    def detached(self) -> Past:
        """Return the same as constants."""
        pictures = tuple(tuple(one.detach() for one in scale) for scale in self.pictures)
        return Past(pictures, self.real, tuple(one.detach() for one in self.drawn), self.flows, self.num_drawn)

    def trimmed(self, num_frames: int) -> Past:
        """Return the same with only so many of the newest frames."""
        kept = max(len(self.real) - num_frames, 0)
        return Past(self.pictures, self.real[kept:], self.drawn[kept:], self.flows[kept:], self.num_drawn)

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain containers of tensors on the CPU."""
        return {
            "pictures": [[one.cpu() for one in scale] for scale in self.pictures],
            "real": [one.cpu() for one in self.real],
            "drawn": [one.cpu() for one in self.drawn],
            "flows": [one.cpu() for one in self.flows],
            "num_drawn": self.num_drawn,
        }

    @staticmethod
    def from_state(state: Mapping[str, Any], device: torch.device) -> Past:
        """Return what `state_dict` gave, on a device."""

        def moved(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
            return tuple(tensor.to(device) for tensor in tensors)

        real, drawn, flows = (moved(state[name]) for name in ("real", "drawn", "flows"))
        return Past(tuple(moved(scale) for scale in state["pictures"]), real, drawn, flows, int(state["num_drawn"]))


def draw_load(
    network: Vid2vid, frames: LoadedFrames, load: Load, past: Past | None, num_scales: int, backpropagated: int
) -> tuple[list[DrawnFrame], Past]:
    """Draw the frames of a load with the coarsest `num_scales` scales, each on the pictures before it.

    A sequence begins (`past` None) on its real frames, or on black where the generator begins so. Gradients flow back
    through `backpropagated` frames.
    """
    config = network.config
    planes = [_planes(config, frames, index) for index in range(len(frames.labels_THW))]
    pictures = past.pictures if past is not None else _first_pictures(config, frames, load, num_scales)
    real, drawn, flows = (list(past.real), list(past.drawn), list(past.flows)) if past is not None else ([], [], [])
    result: list[DrawnFrame] = []
    for number in range(load.num_frames):
        now = load.num_past + number
        if number % backpropagated == 0:
            pictures = tuple(tuple(one.detach() for one in scale) for scale in pictures)
        stacks = make_stacks(
            planes[now - load.num_past : now + 1], config.num_labels, config.foreground_labels, num_scales, REFERENCE
        )
        black = past is None and number == 0 and config.first_pictures == "none"
        drawings = network.draw(partial(network.read_labels, stacks), pictures, blend=not black)
        finest = drawings[-1]
        current_BCHW = stacks[-1].planes_BCHW[:, -config.frame_channels :]
        real_B3HW, last_B3HW = frames.real_T3HW[now][None], frames.real_T3HW[now - 1][None]
        flow_B2HW, sure_B1HW = frames.flow_N2HW[number][None], frames.confidence_N1HW[number][None]
        last_drawn_B3HW = None if black else pictures[-1][-1]
        result.append(DrawnFrame(current_BCHW, finest, real_B3HW, last_B3HW, last_drawn_B3HW, flow_B2HW, sure_B1HW))
        pictures = tuple((*old[1:], new.picture_B3HW) for old, new in zip(pictures, drawings, strict=True))
        real.append(real_B3HW)
        drawn.append(finest.picture_B3HW)
        flows.append(flow_B2HW)
    num_drawn = load.num_frames + (0 if past is None else past.num_drawn)
    return result, Past(pictures, tuple(real), tuple(drawn), tuple(flows), num_drawn)


def _planes(config: Vid2vidConfig, frames: LoadedFrames, index: int) -> FramePlanes:
    edges_B1HW = None
    if config.instance_edges and frames.instances_T1HW is not None:
        edges_B1HW = instance_edges(frames.instances_T1HW[index][None])
    return FramePlanes(frames.labels_THW[index][None], edges_B1HW)


def _first_pictures(config: Vid2vidConfig, frames: LoadedFrames, load: Load, num_scales: int) -> Pictures:
    """Return the pictures that a sequence begins on, at all scales: its real frames, or black ones."""
    finest = tuple(frames.real_T3HW[index][None] for index in range(load.num_past))
    if config.first_pictures == "none":
        finest = tuple(torch.zeros_like(picture) for picture in finest)
    scales = [finest]
    for _ in range(num_scales - 1):
        scales.append(tuple(pool(picture) for picture in scales[-1]))
    return tuple(reversed(scales))
