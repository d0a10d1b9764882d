"""A label map as the convolutions of spatially adaptive norms read it, at every size that a generator works at.

What a norm reads of a label map depends on the few pixels around, and most of a street is the inside of a region, where
those are all alike: there scale and shift are computed once for each class. Pixels near a border, where classes or the
edge of the picture meet, are computed one by one. Only the order of sums differs from the plain convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from renderer.inputs import one_hot
from renderer.models.speed import Speed

WORTHWHILE: Final = 0.6  # of pixels near borders; gathering those costs more than convolving everything beyond
CHUNK: Final = 32768  # pixels near borders that are gathered at a time: 150 MB of 128 channels in float32


class Modulation(NamedTuple):
    """The convolutions of one norm: from the label map to hidden planes (ReLU after them), from those to scale and
    shift; all of one odd kernel size, padded with zeros."""

    shared: nn.Conv2d
    gamma: nn.Conv2d
    beta: nn.Conv2d


class SemanticMap:
    """One frame's labels and edges: labels_BHW integer ids, edges_B1HW float32 0/1 or None; batch 1.

    Smaller sizes are read by nearest neighbour, every k-th pixel from the first one on, as `interpolate` does it.
    """

    def __init__(self, labels_BHW: Tensor, edges_B1HW: Tensor | None, num_labels: int, speed: Speed) -> None:
        self.size_hw = (labels_BHW.shape[1], labels_BHW.shape[2])
        self._labels_BHW, self._edges_B1HW = labels_BHW, edges_B1HW
        self._num_labels, self._speed = num_labels, speed
        self._classes: tuple[int, ...] | None = None
        if speed.present_classes:
            self._classes = tuple(torch.unique(labels_BHW).tolist())
        self._sized: dict[tuple[int, int], SizedMap] = {}

    def at(self, size_hw: tuple[int, int]) -> SizedMap:
        """Return the map at a size whose sides divide the frame's."""
        if size_hw not in self._sized:
            step_y, step_x = self.size_hw[0] // size_hw[0], self.size_hw[1] // size_hw[1]
            labels_BHW = self._labels_BHW[:, ::step_y, ::step_x]
            edges_B1HW = None if self._edges_B1HW is None else self._edges_B1HW[..., ::step_y, ::step_x]
            self._sized[size_hw] = self._make(labels_BHW, edges_B1HW)
        return self._sized[size_hw]

    def _make(self, labels_BHW: Tensor, edges_B1HW: Tensor | None) -> SizedMap:
        channels = None
        if self._classes is None:
            planes_BCHW = one_hot(labels_BHW, self._num_labels)
        else:
            channels = torch.tensor(self._classes, device=labels_BHW.device)
            planes_BCHW = (labels_BHW[:, None] == channels[None, :, None, None]).float()
        kinds_HW = 2 * labels_BHW[0].long()
        if edges_B1HW is not None:
            planes_BCHW = torch.cat([planes_BCHW, edges_B1HW], 1)
            kinds_HW = kinds_HW + edges_B1HW[0, 0].long()
            if channels is not None:
                channels = F.pad(channels, (0, 1), value=self._num_labels)
        return SizedMap(planes_BCHW, channels, kinds_HW, 2 * self._num_labels, self._speed.uniform_regions)


@dataclass
class SizedMap:
    """The map at one size: planes_BCHW float32 0/1, `channels` (C,) which of all planes they are, None for all.

    kinds_HW int64 tells apart which planes a pixel has: twice its label, and 1 more on an edge.
    """

    planes_BCHW: Tensor
    channels: Tensor | None
    kinds_HW: Tensor
    num_kinds: int
    uniform_regions: bool

    def convolve(self, convolution: nn.Conv2d) -> Tensor:
        """Return what a convolution makes of all planes, (B,C,H,W), of the type of its weights."""
        planes_BCHW = self.planes_BCHW.to(convolution.weight.dtype)
        return F.conv2d(planes_BCHW, self._columns(convolution), convolution.bias, padding=convolution.padding)

    def modulation(self, norm: Modulation) -> tuple[Tensor, Tensor]:
        """Return scale minus one and shift, (B,C,H,W) each."""
        hidden_BCHW = F.relu(self.convolve(norm.shared))
        if not self.uniform_regions:
            return norm.gamma(hidden_BCHW), norm.beta(hidden_BCHW)
        weight = torch.cat([norm.gamma.weight, norm.beta.weight])
        bias = torch.cat([_bias(norm.gamma), _bias(norm.beta)])
        kernel_px = weight.shape[-1]
        mixed = self._mixed_pixels(kernel_px)
        if mixed is None:
            return _halves(F.conv2d(hidden_BCHW, weight, bias, padding=kernel_px // 2))
        shared = self._columns(norm.shared)
        hidden_KD = torch.addmm(_bias(norm.shared), self._kind_planes.to(weight.dtype), shared.sum((2, 3)).t())
        rows_NC = torch.addmm(bias, F.relu(hidden_KD), weight.sum((2, 3)).t())[self.kinds_HW.flatten()]
        _convolve_at(hidden_BCHW, mixed, weight, bias, rows_NC)
        return _halves(rows_NC.view(1, *self.kinds_HW.shape, -1).permute(0, 3, 1, 2))

    def _columns(self, convolution: nn.Conv2d) -> Tensor:
        weight = convolution.weight
        return weight if self.channels is None else weight.index_select(1, self.channels)

    def _mixed_pixels(self, kernel_px: int) -> Tensor | None:
        """Return the pixels, (N,) flat, whose surroundings are not all of one kind; None where most pixels are such.

        Two convolutions one after the other see twice a kernel's reach; beyond the picture's edge is no kind at all.
        """
        reach_px = 2 * (kernel_px // 2)
        if reach_px not in self._mixed:
            self._mixed[reach_px] = self._find_mixed(reach_px)
        return self._mixed[reach_px]

    @cached_property
    def _mixed(self) -> dict[int, Tensor | None]:
        return {}

    def _find_mixed(self, reach_px: int) -> Tensor | None:
        if min(self.kinds_HW.shape) <= 2 * reach_px or self.kinds_HW.is_meta:
            return None
        kinds_11HW = self.kinds_HW[None, None].float()
        window_px = 2 * reach_px + 1
        highest = F.max_pool2d(kinds_11HW, window_px, stride=1)
        lowest = -F.max_pool2d(-kinds_11HW, window_px, stride=1)
        pure_HW = F.pad((highest == lowest)[0, 0], (reach_px,) * 4, value=False)
        pixels = (~pure_HW).flatten().nonzero().flatten()
        return pixels if len(pixels) <= WORTHWHILE * pure_HW.numel() else None

    @cached_property
    def _kind_planes(self) -> Tensor:
        """The planes that a pixel of each kind has, (K,C) float32."""
        kinds_K = torch.arange(self.num_kinds, device=self.kinds_HW.device)
        channels = self.channels
        if channels is None:
            channels = torch.arange(self.planes_BCHW.shape[1], device=kinds_K.device)
        labels_KC = kinds_K[:, None] // 2 == channels
        edges_KC = (kinds_K[:, None] % 2 == 1) & (channels == self.num_kinds // 2)
        return (labels_KC | edges_KC).float()


def _bias(convolution: nn.Conv2d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias


def _halves(both_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    scale_BCHW, shift_BCHW = both_BCHW.chunk(2, dim=1)
    return scale_BCHW, shift_BCHW


def _convolve_at(hidden_BDHW: Tensor, pixels: Tensor, weight: Tensor, bias: Tensor, rows_NC: Tensor) -> None:
    """Overwrite the rows of some pixels, flat indices of (H,W), by what a convolution makes of their surroundings."""
    kernel_px = weight.shape[-1]
    reach_px = kernel_px // 2
    width_px = hidden_BDHW.shape[3]
    padded_BDHW = F.pad(hidden_BDHW, (reach_px,) * 4)
    padded_width_px = padded_BDHW.shape[3]
    surroundings_ND = padded_BDHW[0].permute(1, 2, 0).reshape(-1, padded_BDHW.shape[1])
    places = torch.arange(kernel_px, device=pixels.device)
    offsets = (places[:, None] * padded_width_px + places).flatten()
    weight_TC = weight.permute(2, 3, 1, 0).reshape(-1, len(weight))
    for chunk in pixels.split(CHUNK):
        corners = chunk // width_px * padded_width_px + chunk % width_px
        taps_NT = surroundings_ND[(corners[:, None] + offsets).flatten()].view(len(chunk), -1)
        rows_NC[chunk] = torch.addmm(bias, taps_NT, weight_TC)


def stacked(maps: Sequence[SizedMap], num_planes: int) -> SizedMap:
    """Return maps of several frames as one of their planes one after another; each has `num_planes` in all.

    Only for a convolution of all planes: kinds are those of the last map.
    """
    channels = [one.channels + place * num_planes for place, one in enumerate(maps) if one.channels is not None]
    planes_BCHW = torch.cat([one.planes_BCHW for one in maps], 1)
    return replace(maps[-1], planes_BCHW=planes_BCHW, channels=torch.cat(channels) if channels else None)
