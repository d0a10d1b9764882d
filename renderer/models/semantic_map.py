"""A label map as the convolutions of spatially adaptive norms read it, at every size that a generator works at.

What a norm reads of a label map depends on the few pixels around, and most of a street is the inside of a region, where
those are all alike: there scale and shift are computed once for each class. Pixels near a border, where classes or the
edge of the picture meet, are computed one by one. Only the order of sums differs from the plain convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from renderer.inputs import one_hot
from renderer.models.speed import Speed

WORTHWHILE: Final = 0.6  # of pixels near borders; gathering those costs more than convolving everything beyond
CHUNK: Final = 8192  # pixels whose scale and shift are there at a time: they stay in a CPU's cache


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


class _PlaneMap(SemanticMap):
    """A label map whose planes are there already."""

    def __init__(self, planes_BCHW: Tensor) -> None:
        self.size_hw = (planes_BCHW.shape[2], planes_BCHW.shape[3])
        self._planes_BCHW = planes_BCHW

    def at(self, size_hw: tuple[int, int]) -> SizedMap:
        """Return the map at a size whose sides divide the frame's."""
        step_y, step_x = self.size_hw[0] // size_hw[0], self.size_hw[1] // size_hw[1]
        return SizedMap(self._planes_BCHW[..., ::step_y, ::step_x], None, torch.zeros(0), 0, uniform_regions=False)


def plane_map(planes_BCHW: Tensor) -> SemanticMap:
    """Return the map whose planes, float32 0/1, one-hot classes and edges, are given; read by plain convolutions."""
    return _PlaneMap(planes_BCHW)


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
        """Return scale minus one and shift, (B,C,H,W) each, by plain convolutions."""
        hidden_BCHW = F.relu(self.convolve(norm.shared))
        return norm.gamma(hidden_BCHW), norm.beta(hidden_BCHW)

    def modulate(self, features_BCHW: Tensor, norm: Modulation, mean_C: Tensor, inverse_std_C: Tensor) -> Tensor:
        """Return ((x - mean) * inverse_std) * (1 + gamma) + beta, (B,C,H,W), channels last in memory.

        Mean and deviation are folded into the convolutions, which become scale and shift of the features themselves;
        both float32.
        """
        scale = norm.gamma.weight * inverse_std_C[:, None, None, None]
        scale_bias = (1 + _bias(norm.gamma)) * inverse_std_C
        shift = norm.beta.weight - scale * mean_C[:, None, None, None]
        weight = torch.cat([scale, shift]).to(norm.gamma.weight.dtype)
        bias = torch.cat([scale_bias, _bias(norm.beta) - scale_bias * mean_C]).to(weight.dtype)
        rows_NC = features_BCHW[0].permute(1, 2, 0).reshape(self.kinds_HW.numel(), -1)
        mixed = self._mixed_pixels(weight.shape[-1])
        if mixed is None:
            hidden_BCHW = F.relu(self.convolve(norm.shared))
            both_BCHW = F.conv2d(hidden_BCHW, weight, bias, padding=weight.shape[-1] // 2)
            scale_BCHW, shift_BCHW = both_BCHW.float().chunk(2, dim=1)
            modulated_BCHW = torch.addcmul(shift_BCHW, features_BCHW.float(), scale_BCHW).to(features_BCHW.dtype)
            return modulated_BCHW.contiguous(memory_format=torch.channels_last)
        kinds = _KindConvolutions(self._kind_planes.to(weight.dtype), self._columns(norm.shared), _bias(norm.shared))
        modulated_NC = _modulate_rows(rows_NC, mixed, kinds, self.kinds_HW.flatten(), weight, bias)
        return modulated_NC.view(1, *self.kinds_HW.shape, -1).permute(0, 3, 1, 2)

    def _columns(self, convolution: nn.Conv2d) -> Tensor:
        weight = convolution.weight
        return weight if self.channels is None else weight.index_select(1, self.channels)

    def _mixed_pixels(self, kernel_px: int) -> _Mixed | None:
        """Return the pixels whose surroundings are not all of one kind; None where most pixels are such."""
        reach_px = kernel_px // 2
        if reach_px not in self._mixed:
            self._mixed[reach_px] = _find_mixed(self.kinds_HW, self.num_kinds, reach_px)
        return self._mixed[reach_px]

    @cached_property
    def _mixed(self) -> dict[int, _Mixed | None]:
        return {}

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


class _Mixed(NamedTuple):
    """Pixels near borders and what their surroundings are, all int64.

    pixels_N flat, in order · bounds: where each chunk of all pixels begins among them · taps_NT: which of the hidden
    rows each tap of the second convolution reads · kinds_MT: which kind, counted on tap by tap, each tap of the first
    convolution reads for a hidden row. Row M of the hidden rows and the last kind stand for beyond the picture: zeros.
    """

    pixels_N: Tensor
    bounds: list[int]
    taps_NT: Tensor
    kinds_MT: Tensor


def _find_mixed(kinds_HW: Tensor, num_kinds: int, reach_px: int) -> _Mixed | None:
    """Two convolutions one after the other see twice a kernel's reach; beyond the picture's edge is no kind at all."""
    height_px, width_px = kinds_HW.shape
    if min(height_px, width_px) <= 4 * reach_px or kinds_HW.is_meta:
        return None
    kinds_11HW = kinds_HW[None, None].float()
    window_px = 4 * reach_px + 1
    highest = F.max_pool2d(kinds_11HW, window_px, stride=1)
    lowest = -F.max_pool2d(-kinds_11HW, window_px, stride=1)
    mixed_HW = F.pad((highest != lowest)[0, 0], (2 * reach_px,) * 4, value=True)
    pixels_N = mixed_HW.flatten().nonzero().flatten()
    if len(pixels_N) > WORTHWHILE * mixed_HW.numel():
        return None
    kernel_px = 2 * reach_px + 1
    needed_HW = F.max_pool2d(mixed_HW[None, None].float(), kernel_px, stride=1, padding=reach_px)[0, 0] > 0
    needed_M = needed_HW.flatten().nonzero().flatten()
    slots_HW = torch.full((height_px * width_px,), len(needed_M), device=kinds_HW.device)
    slots_HW[needed_M] = torch.arange(len(needed_M), device=kinds_HW.device)
    taps_NT = _surroundings(slots_HW.view(height_px, width_px), pixels_N, reach_px, len(needed_M))
    kinds_MT = _surroundings(kinds_HW, needed_M, reach_px, -1)
    tap_T = torch.arange(kernel_px * kernel_px, device=kinds_HW.device)
    kinds_MT = torch.where(kinds_MT < 0, num_kinds * len(tap_T), kinds_MT + num_kinds * tap_T)
    starts = torch.arange(0, height_px * width_px + CHUNK, CHUNK, device=kinds_HW.device)
    return _Mixed(pixels_N, torch.searchsorted(pixels_N, starts).tolist(), taps_NT, kinds_MT)


def _surroundings(values_HW: Tensor, pixels_N: Tensor, reach_px: int, beyond: int) -> Tensor:
    """Return (N,T): the values around some pixels, row by row, and `beyond` where the picture ends."""
    width_px = values_HW.shape[1]
    padded_HW = F.pad(values_HW, (reach_px,) * 4, value=beyond)
    places = torch.arange(2 * reach_px + 1, device=values_HW.device)
    offsets_T = (places[:, None] * padded_HW.shape[1] + places).flatten()
    corners_N = pixels_N // width_px * padded_HW.shape[1] + pixels_N % width_px
    return padded_HW.flatten()[corners_N[:, None] + offsets_T]


class _KindConvolutions:
    """What the first convolution of a norm makes of kinds: of a uniform surrounding, and of each tap by itself."""

    def __init__(self, planes_KC: Tensor, weight: Tensor, bias: Tensor) -> None:
        hidden, _, kernel_px, _ = weight.shape
        taps_TKD = torch.einsum("kc,dcyx->yxkd", planes_KC, weight).reshape(kernel_px * kernel_px, -1, hidden)
        self.uniform_KD = F.relu(taps_TKD.sum(0) + bias)
        self._taps_KD = torch.cat([taps_TKD.flatten(0, 1), taps_TKD.new_zeros(1, hidden)])
        self._bias = bias

    def hidden_rows(self, kinds_MT: Tensor) -> Tensor:
        """Return (M+1,D): hidden features from the kinds around, and zeros in the last row."""
        hidden_MD = F.relu(F.embedding_bag(kinds_MT, self._taps_KD, mode="sum") + self._bias)
        return F.pad(hidden_MD, (0, 0, 0, 1))


def _modulate_rows(
    rows_NC: Tensor, mixed: _Mixed, kinds: _KindConvolutions, kinds_N: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """Return features (N,C), scaled and shifted: the insides of regions by their kind, the rest one by one."""
    channels = rows_NC.shape[1]
    table_KC = torch.addmm(bias, kinds.uniform_KD, weight.sum((2, 3)).t())
    hidden_MD = kinds.hidden_rows(mixed.kinds_MT)
    weight_TC = weight.permute(2, 3, 1, 0).reshape(-1, 2 * channels)
    modulated_NC = torch.empty_like(rows_NC)
    for chunk, (start, end) in enumerate(pairwise(mixed.bounds)):
        first = chunk * CHUNK
        here = slice(first, first + CHUNK)
        both_NC = table_KC.index_select(0, kinds_N[here])
        if end > start:
            taps_NT = mixed.taps_NT[start:end]
            taps_ND = hidden_MD.index_select(0, taps_NT.flatten()).view(len(taps_NT), -1)
            both_NC[mixed.pixels_N[start:end] - first] = torch.addmm(bias, taps_ND, weight_TC)
        scale_NC, shift_NC = both_NC.float().split(channels, dim=1)
        modulated_NC[here] = torch.addcmul(shift_NC, rows_NC[here].float(), scale_NC)
    return modulated_NC


def stacked(maps: Sequence[SizedMap], num_planes: int) -> SizedMap:
    """Return maps of several frames as one of their planes one after another; each has `num_planes` in all.

    Only for a convolution of all planes: kinds are those of the last map.
    """
    channels = [one.channels + place * num_planes for place, one in enumerate(maps) if one.channels is not None]
    planes_BCHW = torch.cat([one.planes_BCHW for one in maps], 1)
    return replace(maps[-1], planes_BCHW=planes_BCHW, channels=torch.cat(channels) if channels else None)
