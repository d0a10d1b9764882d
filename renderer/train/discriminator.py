"""Discriminators: which patches of a picture, given its label map, are of a photo.

Two look at pixels, at full and half size; the others at frozen features that ImageNet taught, which tell sharp from
blurred and car from blob from the first step on (Projected GANs, Sauer et al. 2021): on a CPU's budget of steps they
are what makes the pictures sharp.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from renderer.layers import ClassTable


class DiscriminatorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Widths of the discriminators."""

    channels: tuple[int, ...]  # of the first layer of each patch discriminator, full size first, each half of the last
    label_channels: int
    head_levels: tuple[int, ...]  # levels of the feature network that have a head
    head_level_channels: tuple[int, ...]  # and how many channels these have
    head_channels: int


class Judgement(NamedTuple):
    """What one discriminator says of a batch: a score a patch, higher for photos, and its features to be matched."""

    scores_B1HW: Tensor
    features: list[Tensor]


class PatchDiscriminator(nn.Module):
    """Judges overlapping patches of 62x62 px (PatchGAN, Isola et al. 2017), with the label map beside the picture."""

    def __init__(self, num_labels: int, channels: int, label_channels: int) -> None:
        super().__init__()
        widths = (3 + label_channels, channels, 2 * channels, 4 * channels, 4 * channels)
        self.label_table = ClassTable(num_labels, label_channels, scale=0.5)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 4 if i < 3 else 3, stride=2 if i < 3 else 1, padding=1)
            for i in range(4)
        )
        self.norms = nn.ModuleList(
            nn.Identity() if i == 0 else nn.InstanceNorm2d(widths[i + 1], affine=True) for i in range(4)
        )
        self.last = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, rgb_B3HW: Tensor, labels_BHW: Tensor) -> Judgement:
        """Return scores (B,1,H/8,W/8) and the features of each layer; labels are integers below `num_labels`."""
        x = torch.cat([rgb_B3HW, self.label_table(labels_BHW)], 1)
        features: list[Tensor] = []
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.leaky_relu(norm(convolution(x)), 0.2)
            features.append(x)
        return Judgement(self.last(x), features)


class FeatureHead(nn.Module):
    """Judges one level of frozen features, with the label map added to them."""

    def __init__(self, num_labels: int, level_channels: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(level_channels, channels, 1)
        self.label_table = ClassTable(num_labels, channels, scale=0.1)
        self.mix = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(8, channels)
        self.last = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, level_BCHW: Tensor, labels_BHW: Tensor) -> Judgement:
        """Return scores (B,1,H,W) of the level's size, nothing to match; labels may be any multiple of that size."""
        stride = labels_BHW.shape[2] // level_BCHW.shape[3]
        labels_BHW = labels_BHW[:, stride // 2 :: stride, stride // 2 :: stride]
        x = F.leaky_relu(self.project(level_BCHW) + self.label_table(labels_BHW), 0.2)
        return Judgement(self.last(F.leaky_relu(self.norm(self.mix(x)), 0.2)), [])


class Discriminators(nn.Module):
    """All of them: patch discriminators, each at half the size of the one before, then the heads on features."""

    def __init__(self, num_labels: int, config: DiscriminatorConfig) -> None:
        """`num_labels` counts the labels of all styles: those of style s begin at s times the labels of one."""
        super().__init__()
        self.head_levels = config.head_levels
        self.scales = nn.ModuleList(
            PatchDiscriminator(num_labels, channels, config.label_channels) for channels in config.channels
        )
        self.heads = nn.ModuleList(
            FeatureHead(num_labels, level_channels, config.head_channels)
            for level_channels in config.head_level_channels
        )

    def forward(self, rgb_B3HW: Tensor, levels: Sequence[Tensor], labels_BHW: Tensor) -> list[Judgement]:
        """Return all judgements of pictures [-1, 1] and the feature network's levels of them; labels are integers."""
        judgements: list[Judgement] = []
        full_labels_BHW = labels_BHW = labels_BHW.int()
        for discriminator in self.scales:
            judgements.append(discriminator(rgb_B3HW, labels_BHW))
            rgb_B3HW, labels_BHW = F.avg_pool2d(rgb_B3HW, 2), labels_BHW[:, 1::2, 1::2]
        for head, level in zip(self.heads, self.head_levels, strict=True):
            judgements.append(head(levels[level], full_labels_BHW))
        return judgements
