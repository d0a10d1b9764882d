"""Layers that several families of generators share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ClassTable(nn.Module):
    """A learned vector for each label id: a 1x1 convolution of the one-hot stack, as a table look-up."""

    def __init__(self, num_labels: int, channels: int, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_labels, channels) * scale)

    def forward(self, labels_BHW: Tensor) -> Tensor:
        """Return (B,C,H,W) for integer labels (B,H,W); channels last in memory."""
        return F.embedding(labels_BHW, self.weight).permute(0, 3, 1, 2)


class LabelResidual(nn.Module):
    """A residual block whose hidden features are scaled and shifted by class, after SPADE (Park et al. 2019, eq. 1).

    Without normalisation: at these widths an instance norm costs as much as a convolution on a CPU, and table
    look-ups of scale and shift alone separate the classes well.
    """

    def __init__(self, channels: int, num_labels: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(channels, channels, 3, padding=1)
        self.gather = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulation = ClassTable(num_labels, 2 * channels, scale=0.02)

    def forward(self, features_BCHW: Tensor, labels_BHW: Tensor) -> Tensor:
        """Return (B,C,H,W) for features and labels of the same height and width."""
        scale_BCHW, shift_BCHW = self.modulation(labels_BHW).chunk(2, dim=1)
        hidden_BCHW = F.relu(self.spread(features_BCHW)) * (1 + scale_BCHW) + shift_BCHW
        return features_BCHW + self.gather(F.relu(hidden_BCHW))


def upsample(features_BCHW: Tensor) -> Tensor:
    """Return features at twice the size, bilinear."""
    return F.interpolate(features_BCHW, scale_factor=2.0, mode="bilinear", align_corners=False)


def initialise_subpixel(convolution: nn.Conv2d, factor: int) -> None:
    """Make a sub-pixel convolution begin as nearest upsampling, against checkerboards (ICNR, Aitken et al. 2017)."""
    repeats = factor * factor
    with torch.no_grad():
        kernels = convolution.weight[::repeats].repeat_interleave(repeats, dim=0)
        convolution.weight.copy_(kernels[: len(convolution.weight)])
