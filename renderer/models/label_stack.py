"""The label planes of several frames as one input, and the convolutions that read it.

A stack of three frames of 35 classes has more than a hundred channels, and most of them are zero everywhere: a street
shows a dozen classes. A channel without a pixel stays zero at every coarser size, so the convolution may leave it out
with its weights: the sum is the same but for its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from renderer.inputs import one_hot
from renderer.layers import pool
from renderer.models.speed import Speed


@dataclass(frozen=True)
class FramePlanes:
    """What one frame gives to a stack, batch 1: labels_BHW uint8, edges_B1HW float32 if the network reads instance
    edges; or dense_BCHW float32 in place of labels."""

    labels_BHW: Tensor
    edges_B1HW: Tensor | None = None
    dense_BCHW: Tensor | None = None


@dataclass(frozen=True)
class LabelStack:
    """Planes of several frames at one size, oldest first; `channels` (C,) int64 names those that are there, None all.

    planes_BCHW float32 0..1 · foreground_B1HW float32 0..1, where the last frame shows the classes that are drawn
    apart.
    """

    planes_BCHW: Tensor
    channels: Tensor | None
    foreground_B1HW: Tensor
    merged: bool


def make_stacks(
    frames: Sequence[FramePlanes], num_labels: int, foreground_labels: Sequence[int], num_scales: int, speed: Speed
) -> list[LabelStack]:
    """Return the stack at each scale, the coarsest first; the last frame is the current one."""
    parts: list[Tensor] = []
    channels: list[int] = []
    offset = 0
    present: list[int] = []
    for frame in frames:
        planes_BCHW, present, total = _planes(frame, num_labels, speed.present_classes)
        parts.append(planes_BCHW)
        channels += [offset + channel for channel in present]
        offset += total
    planes_BCHW = torch.cat(parts, 1)
    index = None if len(channels) == offset else torch.tensor(channels, device=planes_BCHW.device)
    before = len(channels) - len(present)
    foreground = [before + place for place, channel in enumerate(present) if channel in foreground_labels]
    stacks: list[LabelStack] = []
    for scale in reversed(range(num_scales)):
        mask_B1HW = planes_BCHW[:, foreground].sum(1, keepdim=True).clamp_(0, 1)
        stacks.append(LabelStack(planes_BCHW, index, mask_B1HW, speed.merged_encoders))
        if scale:
            planes_BCHW = pool(planes_BCHW)
    return stacks[::-1]


def _planes(frame: FramePlanes, num_labels: int, present_only: bool) -> tuple[Tensor, list[int], int]:
    """Return a frame's planes, the channel of each, and how many channels there are."""
    if frame.dense_BCHW is not None:
        total = frame.dense_BCHW.shape[1]
        return frame.dense_BCHW, list(range(total)), total
    edges = [] if frame.edges_B1HW is None else [frame.edges_B1HW]
    total = num_labels + len(edges)
    if not present_only:
        return torch.cat([one_hot(frame.labels_BHW, num_labels), *edges], 1), list(range(total)), total
    counts = torch.bincount(frame.labels_BHW.flatten(), minlength=num_labels)
    classes = counts.nonzero().flatten()
    planes_BCHW = (frame.labels_BHW[:, None] == classes.to(torch.uint8)[None, :, None, None]).float()
    present = classes.tolist() + list(range(num_labels, total))
    return torch.cat([planes_BCHW, *edges], 1), present, total


def first_convolutions(stack: LabelStack, convolutions: Sequence[nn.Module]) -> list[Tensor]:
    """Return what convolutions with reflected borders make of a stack: (B,C,H,W) each, of the stack's size."""
    weights = [_columns(convolution.get_parameter("weight"), stack.channels) for convolution in convolutions]
    biases: list[Tensor] = [convolution.get_parameter("bias") for convolution in convolutions]
    reach = weights[0].shape[-1] // 2
    padded_BCHW = F.pad(stack.planes_BCHW.to(weights[0].dtype), (reach, reach, reach, reach), mode="reflect")
    if not stack.merged or len(weights) == 1:
        return [F.conv2d(padded_BCHW, weight, bias) for weight, bias in zip(weights, biases, strict=True)]
    both = F.conv2d(padded_BCHW, torch.cat(weights), torch.cat(biases))
    return list(both.split([len(weight) for weight in weights], dim=1))


def _columns(weight: Tensor, channels: Tensor | None) -> Tensor:
    return weight if channels is None else weight.index_select(1, channels)
