"""The discriminators of vid2vid (Wang et al. 2018, section 3.2): of single pictures and of several frames in a row.

Each is a stack of PatchGANs, the finest picture judged by the one with the highest number, each next by the one below
it on a picture of half the size. Names and shapes of the tensors are those of the published files.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from renderer.layers import pool

NUM_LAYERS: Final = 5
_MOST_CHANNELS: Final = 512
_WIDEST_FIRST_LAYER: Final = 64
_KERNEL_PX, _PAD_PX = 4, 2

Judged = list[list[Tensor]]
"""What a stack says: for each scale, the finest first, the features (B,C,H,W) of each layer; the last is the scores."""


class DiscriminatorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes of the discriminators; a temporal one sees `temporal_frames` frames, 1, s, s^2 ... apart."""

    width: int
    num_scales: int
    """Of pictures at the first spatial stage; each finer stage has one more."""
    temporal_scales: int
    """How many temporal discriminators there are, 0 for none."""
    temporal_num_scales: int
    temporal_frames: int


class PatchStack(nn.Module):
    """PatchGANs (Isola et al. 2017) on a picture and its halves; each keeps what all its layers say."""

    def __init__(self, channels_in: int, width: int, num_scales: int) -> None:
        super().__init__()
        self.num_scales = num_scales
        for scale in range(num_scales):
            first = min(_WIDEST_FIRST_LAYER, width << (num_scales - 1 - scale))
            widths = [channels_in, *(min(first << layer, _MOST_CHANNELS) for layer in range(NUM_LAYERS - 1)), 1]
            for layer, (before, after) in enumerate(itertools.pairwise(widths)):
                stride = 2 if layer < NUM_LAYERS - 2 else 1
                parts: list[nn.Module] = [nn.Conv2d(before, after, _KERNEL_PX, stride, _PAD_PX)]
                if 0 < layer < NUM_LAYERS - 1:
                    parts.append(nn.BatchNorm2d(after))
                self.add_module(f"scale{scale}_layer{layer}", nn.Sequential(*parts))

    def forward(self, planes_BCHW: Tensor) -> Judged:
        """Return what each scale says of planes, the finest scale first."""
        said: Judged = []
        for scale in reversed(range(self.num_scales)):
            features = planes_BCHW
            said.append([])
            for layer in range(NUM_LAYERS):
                features = self.get_submodule(f"scale{scale}_layer{layer}")(features)
                if layer < NUM_LAYERS - 1:
                    features = F.leaky_relu(features, 0.2)
                said[-1].append(features)
            planes_BCHW = pool(planes_BCHW)
        return said


def initialise(network: nn.Module) -> None:
    """Draw first weights as vid2vid does: convolutions from N(0, 0.02), norms' scales from N(1, 0.02), shifts 0."""
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, 0.0, 0.02)
        elif name.endswith("weight"):
            nn.init.normal_(parameter, 1.0, 0.02)
        else:
            nn.init.zeros_(parameter)


def take_over(network: nn.Module, before: nn.Module) -> None:
    """Copy what an earlier spatial stage's discriminator learnt into the tensors that it has in common with this."""
    known = before.state_dict()
    own = network.state_dict()
    network.load_state_dict(
        {key: known[key] if _fits(known.get(key), tensor) else tensor for key, tensor in own.items()}
    )


def _fits(known: Tensor | None, wanted: Tensor) -> bool:
    return known is not None and known.shape == wanted.shape


def frames_apart(scale: int, num_frames: int) -> int:
    """Return how many frames lie between two that the temporal discriminator of a scale sees."""
    return num_frames**scale


def skipped_frames(num_seen: int, num_new: int, scale: int, num_frames: int) -> Iterator[tuple[int, ...]]:
    """Yield the frame numbers of each group that a temporal discriminator is to see after `num_new` frames were drawn.

    `num_seen` counts all frames of the sequence so far. Groups end `num_frames - 1` frames apart, the last of them at
    the newest frame; those that would begin before frame 0 are left out.
    """
    apart = frames_apart(scale, num_frames)
    for last in reversed(range(num_seen - 1, num_seen - 1 - num_new, -(num_frames - 1))):
        first = last - apart * (num_frames - 1)
        if first >= 0:
            yield tuple(range(first, last + 1, apart))


def temporal_planes(pictures_B3HW: Sequence[Tensor], flows_B2HW: Sequence[Tensor], flow_unit_px: float) -> Tensor:
    """Return what a temporal discriminator reads: the pictures, oldest first, then the flows between them, scaled."""
    return torch.cat([*pictures_B3HW, *(flow_B2HW / flow_unit_px for flow_B2HW in flows_B2HW)], 1)
