"""Networks that make a picture of one frame alone, after pix2pixHD (Wang et al. 2018).

pix2pixHD is made of them, and vid2vid makes the first frames of a sequence with them. The indices of the layers are
those of the published files. Norms use the picture's own statistics and have no parameters.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

from renderer.layers import ResidualBlock, doubling, halving, head, pool, stem

NO_LIMIT: Final = 1 << 30


def _encoder(channels_in: int, width: int, num_down: int, max_channels: int) -> list[nn.Module]:
    widths = [min(max_channels, width << level) for level in range(num_down + 1)]
    layers = stem(channels_in, width, affine=False)
    for narrow, wide in pairwise(widths):
        layers += halving(narrow, wide, affine=False)
    return layers


def _decoder(width: int, num_up: int, max_channels: int, extra_channels: int = 0) -> list[nn.Module]:
    widths = [min(max_channels, width << level) for level in range(num_up, -1, -1)]
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(widths):
        layers += doubling(wide + extra_channels, narrow, affine=False)
        extra_channels = 0
    return layers


class GlobalGenerator(nn.Module):
    """Encoder, residual blocks, decoder (pix2pixHD, section 3.2): planes to a picture [-1, 1] of their size.

    Sides are multiples of 2^num_down. `max_channels` bounds the widths, which double with each halving of the size.
    """

    def __init__(
        self, channels_in: int, width: int, num_down: int, num_blocks: int = 9, max_channels: int = 1024
    ) -> None:
        super().__init__()
        bottleneck = min(max_channels, width << num_down)
        self.model = nn.Sequential(
            *_encoder(channels_in, width, num_down, max_channels),
            *(ResidualBlock(bottleneck, affine=False) for _ in range(num_blocks)),
            *_decoder(width, num_down, max_channels),
            *head(width, 3, nn.Tanh()),
        )

    def forward(self, planes_BCHW: Tensor) -> Tensor:
        """Return rgb (B,3,H,W) in [-1, 1]."""
        return self.model(planes_BCHW)


class LocalEnhancer(nn.Module):
    """A global generator at half the size whose features one finer network completes (pix2pixHD, section 3.2).

    Sides are multiples of 2^(num_down + 1).
    """

    def __init__(
        self,
        channels_in: int,
        width: int,
        num_down: int,
        num_blocks: int = 9,
        num_local_blocks: int = 3,
        max_channels: int = 1024,
    ) -> None:
        super().__init__()
        coarse = GlobalGenerator(channels_in, 2 * width, num_down, num_blocks, max_channels)
        self.model = coarse.model[:-3]
        self.model1_1 = nn.Sequential(*stem(channels_in, width, affine=False), *halving(width, 2 * width, affine=False))
        self.model1_2 = nn.Sequential(
            *(ResidualBlock(2 * width, affine=False) for _ in range(num_local_blocks)),
            *doubling(2 * width, width, affine=False),
            *head(width, 3, nn.Tanh()),
        )

    def forward(self, planes_BCHW: Tensor) -> Tensor:
        """Return rgb (B,3,H,W) in [-1, 1]."""
        return self.model1_2(self.model1_1(planes_BCHW) + self.model(pool(planes_BCHW)))


class GlobalWithFeatures(nn.Module):
    """A global generator that reads a feature map beside its planes, at full size and in its bottleneck (vid2vid's
    Global_with_z)."""

    def __init__(
        self,
        channels_in: int,
        num_features: int,
        width: int,
        num_down: int,
        num_blocks: int = 9,
        max_channels: int = 1024,
    ) -> None:
        super().__init__()
        self.num_down = num_down
        bottleneck = min(max_channels, width << num_down) + num_features
        self.model_downsample = nn.Sequential(*_encoder(channels_in + num_features, width, num_down, max_channels))
        self.model_resnet = nn.Sequential(*(ResidualBlock(bottleneck, affine=False) for _ in range(num_blocks)))
        self.model_upsample = nn.Sequential(*_decoder(width, num_down, max_channels, 2 * num_features))
        self.model_upsample_conv = nn.Sequential(*head(width + num_features, 3, nn.Tanh()))

    def forward(self, planes_BCHW: Tensor, features_BFHW: Tensor) -> Tensor:
        """Return rgb (B,3,H,W) in [-1, 1]."""
        coarse_BFHW = features_BFHW
        for _ in range(self.num_down):
            coarse_BFHW = pool(coarse_BFHW)
        x = self.model_downsample(torch.cat([planes_BCHW, features_BFHW], 1))
        x = self.model_resnet(torch.cat([x, coarse_BFHW], 1))
        x = self.model_upsample(torch.cat([x, coarse_BFHW], 1))
        return self.model_upsample_conv(torch.cat([x, features_BFHW], 1))


class FeatureEncoder(nn.Module):
    """Encodes the look of each region of a picture in a few numbers (pix2pixHD, section 3.4)."""

    def __init__(self, num_features: int, width: int = 16, num_down: int = 4) -> None:
        super().__init__()
        self.model = nn.Sequential(
            *_encoder(3, width, num_down, NO_LIMIT),
            *_decoder(width, num_down, NO_LIMIT),
            *head(width, num_features, nn.Tanh()),
        )

    def forward(self, rgb_B3HW: Tensor, regions_B1HW: Tensor) -> Tensor:
        """Return (B,F,H,W), B = 1: the mean of each feature over each region; `regions_B1HW` holds integer ids."""
        return region_means(self.model(rgb_B3HW), regions_B1HW)


def region_means(features_BFHW: Tensor, regions_B1HW: Tensor) -> Tensor:
    """Return (B,F,H,W), B = 1: each feature's mean over the region, of equal integer ids, that a pixel belongs to."""
    _, slots_HW = torch.unique(regions_B1HW[0, 0], return_inverse=True)
    slots = slots_HW.flatten()
    num_regions = int(slots.max()) + 1
    features_FN = features_BFHW[0].flatten(1).double()  # one after the other, a million float32 would lose digits
    sums_FR = features_FN.new_zeros(len(features_FN), num_regions).index_add_(1, slots, features_FN)
    counts_R = torch.bincount(slots, minlength=num_regions)
    return (sums_FR / counts_R).to(features_BFHW.dtype)[:, slots].view_as(features_BFHW)
