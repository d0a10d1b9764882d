"""The label planes of several frames as one input, and the convolutions that read it.

A stack of three frames of 35 classes has more than a hundred channels, and most of them are zero everywhere: a street
shows a dozen classes. A channel without a pixel stays zero at every coarser size, so the convolution may leave it out
with its weights: the sum is the same but for its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from renderer.backends import kernels
from renderer.inputs import one_hot
from renderer.layers import pool
from renderer.models.speed import Speed

REACH_PX: Final = 3  # of a 7x7 convolution
WORTHWHILE: Final = 0.5  # of pixels that are mixed; gathering more costs what it saves
CHUNK: Final = 8192  # mixed pixels that are gathered at a time: 70 MB for 45 planes


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
    mixed: Tensor | None = None
    """The pixels, (N,) flat, whose surroundings are not all alike; None where a plain convolution serves better."""
    kinds: Kinds | None = None
    """What each pixel is, in place of planes, where the kernel reads that."""


@dataclass(frozen=True)
class Kinds:
    """What each pixel of several frames is, (T,H,W) uint8: its label, or with edges twice that, and one more on one."""

    kinds_THW: Tensor
    num_labels: int
    edges: bool

    @classmethod
    def of(cls, frames: Sequence[FramePlanes], num_labels: int) -> Kinds | None:
        """Return those of frames, None where they are not labels."""
        if any(frame.dense_BCHW is not None for frame in frames):
            return None
        labels_THW = torch.cat([frame.labels_BHW for frame in frames])
        edges = [frame.edges_B1HW[:, 0] for frame in frames if frame.edges_B1HW is not None]
        if not edges:
            return cls(labels_THW, num_labels, edges=False)
        return cls(2 * labels_THW + torch.cat(edges).to(torch.uint8), num_labels, edges=True)

    def convolve(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return what a convolution with reflected borders makes of all planes, (1,C,H,W)."""
        columns = kernels.stem_columns(weight, self.num_labels, len(self.kinds_THW), edges=self.edges)
        return kernels.convolve_kinds(self.kinds_THW, columns, bias, weight.shape[-1])


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
    kinds_11HW = _kinds(frames, num_labels) if speed.uniform_regions and speed.merged_encoders else None
    stacks: list[LabelStack] = []
    for scale in reversed(range(num_scales)):
        mask_B1HW = _gathered(planes_BCHW, foreground).sum(1, keepdim=True).clamp_(0, 1)
        mixed = None if kinds_11HW is None else _mixed_pixels(kinds_11HW)
        finest = Kinds.of(frames, num_labels) if "stem" in speed.kernels and scale == num_scales - 1 else None
        stacks.append(LabelStack(planes_BCHW, index, mask_B1HW, speed.merged_encoders, mixed, finest))
        if scale:
            planes_BCHW = pool(planes_BCHW)
            kinds_11HW = None if kinds_11HW is None else _halved(kinds_11HW)
    return stacks[::-1]


def _gathered(planes_BCHW: Tensor, channels: Sequence[int]) -> Tensor:
    """Return some channels; a list as an index would be copied from the host, which a CUDA graph cannot hold."""
    if not channels:
        return planes_BCHW[:, :0]
    return torch.cat([planes_BCHW[:, channel : channel + 1] for channel in channels], 1)


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
    if stack.kinds is not None:
        both = stack.kinds.convolve(torch.cat(weights), torch.cat(biases))
        return list(both.split([len(weight) for weight in weights], dim=1))
    reach = weights[0].shape[-1] // 2
    if stack.mixed is not None and weights[0].dtype == torch.float32 and reach == REACH_PX:
        both = _convolve_borders(stack.planes_BCHW, stack.mixed, torch.cat(weights), torch.cat(biases))
        return list(both.split([len(weight) for weight in weights], dim=1))
    padded_BCHW = F.pad(stack.planes_BCHW.to(weights[0].dtype), (reach, reach, reach, reach), mode="reflect")
    if not stack.merged or len(weights) == 1:
        return [F.conv2d(padded_BCHW, weight, bias) for weight, bias in zip(weights, biases, strict=True)]
    both = F.conv2d(padded_BCHW, torch.cat(weights), torch.cat(biases))
    return list(both.split([len(weight) for weight in weights], dim=1))


def _columns(weight: Tensor, channels: Tensor | None) -> Tensor:
    return weight if channels is None else weight.index_select(1, channels)


def _kinds(frames: Sequence[FramePlanes], num_labels: int) -> Tensor | None:
    """Return (1,1,H,W) float32: a number for each combination of the frames' labels and edges, None if not on a CPU."""
    kinds_B1HW = None
    for frame in frames:
        if frame.dense_BCHW is not None or frame.labels_BHW.device.type != "cpu":
            return None
        here_B1HW = frame.labels_BHW[:, None].float()
        if frame.edges_B1HW is not None:
            here_B1HW = 2 * here_B1HW + frame.edges_B1HW
        kinds_B1HW = here_B1HW if kinds_B1HW is None else kinds_B1HW * (2 * num_labels) + here_B1HW
    return kinds_B1HW if (2 * num_labels) ** len(frames) < 1 << 24 else None


def _halved(kinds_11HW: Tensor) -> Tensor:
    """Return kinds at half the size: that of all pixels that a pooled one is made of, else a number of its own."""
    highest, lowest = F.max_pool2d(kinds_11HW, 3, 2, 1), -F.max_pool2d(-kinds_11HW, 3, 2, 1)
    own = -1 - torch.arange(highest.numel(), dtype=torch.float32).view_as(highest)
    return torch.where(highest == lowest, highest, own)


def _mixed_pixels(kinds_11HW: Tensor) -> Tensor | None:
    padded = F.pad(kinds_11HW, (REACH_PX,) * 4, mode="reflect")
    window_px = 2 * REACH_PX + 1
    highest, lowest = F.max_pool2d(padded, window_px, 1), -F.max_pool2d(-padded, window_px, 1)
    pixels = (highest != lowest).flatten().nonzero().flatten()
    return pixels if len(pixels) < WORTHWHILE * highest.numel() else None


def _convolve_borders(planes_BCHW: Tensor, mixed: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return what a convolution makes of planes, (B,C,H,W), B = 1: as for a plain area everywhere, then the mixed
    pixels one by one, from their surroundings."""
    _, channels, height_px, width_px = planes_BCHW.shape
    rows_NC = planes_BCHW[0].flatten(1).t()
    sums_NO = torch.addmm(bias, rows_NC, weight.sum((2, 3)).t())
    padded = F.pad(planes_BCHW, (REACH_PX,) * 4, mode="reflect")[0].permute(1, 2, 0).contiguous()
    padded_width_px, window_px = padded.shape[1], 2 * REACH_PX + 1
    starts = padded.shape[0] * padded_width_px - window_px + 1
    spans = padded.as_strided((starts, window_px * channels), (channels, 1))  # each pixel with the six to its right
    taps_TO = weight.permute(2, 3, 1, 0).reshape(-1, len(weight))
    lines = torch.arange(window_px) * padded_width_px
    for pixels in mixed.split(CHUNK):
        corners = pixels // width_px * padded_width_px + pixels % width_px
        surroundings = spans[(corners[:, None] + lines).flatten()].view(len(pixels), len(taps_TO))
        sums_NO[pixels] = torch.addmm(bias, surroundings, taps_TO)
    return sums_NO.view(1, height_px, width_px, -1).permute(0, 3, 1, 2)
