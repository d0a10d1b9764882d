"""Layers that several families of generators share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ClassTable(nn.Module):
    """A learned vector for each label id: a 1x1 convolution of the one-hot stack, as a table look-up.

    With styles, each has its own difference to what they share, and ids of style s begin at s * num_labels.
    """

    def __init__(self, num_labels: int, channels: int, scale: float = 1.0, num_styles: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_labels, channels) * scale)
        self.styles = nn.Parameter(torch.zeros(num_styles, num_labels, channels)) if num_styles else None

    def forward(self, labels_BHW: Tensor) -> Tensor:
        """Return (B,C,H,W) for integer labels (B,H,W); channels last in memory."""
        rows = self.weight if self.styles is None else (self.weight + self.styles).flatten(0, 1)
        return F.embedding(labels_BHW, rows).permute(0, 3, 1, 2)


class LabelResidual(nn.Module):
    """A residual block whose hidden features are scaled and shifted by class, after SPADE (Park et al. 2019, eq. 1).

    Without normalisation: at these widths an instance norm costs as much as a convolution on a CPU, and table
    look-ups of scale and shift alone separate the classes well.
    """

    def __init__(self, channels: int, num_labels: int, num_styles: int = 0) -> None:
        super().__init__()
        self.spread = nn.Conv2d(channels, channels, 3, padding=1)
        self.gather = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulation = ClassTable(num_labels, 2 * channels, scale=0.02, num_styles=num_styles)

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


class StatNorm(nn.Module):
    """Normalises each channel by this picture's own mean and biased variance, eps 1e-5, then scales and shifts it.

    What upstream's BatchNorm in training mode and InstanceNorm are for a batch of one; running statistics do not
    exist. Statistics are computed in float32, whatever the type of the features.
    """

    def __init__(self, channels: int, affine: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return (B,C,H,W), B = 1, of the features' type; raises ValueError for features of a single pixel."""
        if features_BCHW.device.type == "cpu" and _interleaved(features_BCHW):
            # torch's own statistics of interleaved channels are sums of one number after another on a CPU: over a
            # picture their error is a thousand times this one's. What is left of the mean after its subtraction counts
            # where a channel is the same everywhere, as where a sequence begins from black: its rounding is all there
            # is, and is divided by the root of eps.
            apart_BCHW = features_BCHW - features_BCHW.mean((2, 3), keepdim=True)
            rest_BC = apart_BCHW.mean((2, 3))
            variance_BC = apart_BCHW.square().mean((2, 3)) - rest_BC.square()
            return F.batch_norm(apart_BCHW, rest_BC[0], variance_BC[0], self.weight, self.bias, eps=1e-5)
        return F.batch_norm(features_BCHW, None, None, self.weight, self.bias, training=True, eps=1e-5)


def _interleaved(features_BCHW: Tensor) -> bool:
    """Whether float32 features have their channels next to each other in memory, and more than one pixel."""
    last = features_BCHW.is_contiguous(memory_format=torch.channels_last) and not features_BCHW.is_contiguous()
    return last and features_BCHW.dtype == torch.float32


class ResidualBlock(nn.Module):
    """x + block(x) with two 3x3 convolutions, reflected borders and norms; no activation after the sum."""

    def __init__(self, channels: int, affine: bool) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            StatNorm(channels, affine),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            StatNorm(channels, affine),
        )
        self.norm_and_sum: Callable[[Tensor, Tensor], Tensor] | None = None
        """In place of the last norm, which is left out then, and of the sum."""

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return (B,C,H,W)."""
        if self.norm_and_sum is not None:
            return self.norm_and_sum(self.conv_block(features_BCHW), features_BCHW)
        return features_BCHW + self.conv_block(features_BCHW)


def stem(channels_in: int, channels: int, affine: bool) -> list[nn.Module]:
    """Return a 7x7 convolution with reflected borders, norm and ReLU."""
    return [nn.ReflectionPad2d(3), nn.Conv2d(channels_in, channels, 7), StatNorm(channels, affine), nn.ReLU()]


def halving(channels_in: int, channels: int, affine: bool) -> list[nn.Module]:
    """Return a 3x3 convolution of stride 2, norm and ReLU."""
    return [nn.Conv2d(channels_in, channels, 3, stride=2, padding=1), StatNorm(channels, affine), nn.ReLU()]


def doubling(channels_in: int, channels: int, affine: bool) -> list[nn.Module]:
    """Return a transposed 3x3 convolution of stride 2, norm and ReLU."""
    up = nn.ConvTranspose2d(channels_in, channels, 3, stride=2, padding=1, output_padding=1)
    return [up, StatNorm(channels, affine), nn.ReLU()]


def head(channels_in: int, channels: int, activation: nn.Module | None) -> list[nn.Module]:
    """Return a 7x7 convolution with reflected borders, and an activation if there is one."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(channels_in, channels, 7)]
    return layers if activation is None else [*layers, activation]


def pool(planes_BCHW: Tensor) -> Tensor:
    """Return planes at half the size: means over 3x3 pixels, those beyond the border not counted."""
    return F.avg_pool2d(planes_BCHW, 3, stride=2, padding=1, count_include_pad=False)


def warp(picture_B3HW: Tensor, flow_B2HW: Tensor) -> Tensor:
    """Return the picture sampled at each pixel plus its flow, bilinear, border pixels repeated beyond the border.

    Pixel centres of the corners are -1 and 1, as `grid_sample` had it when the networks were trained.
    """
    height_px, width_px = flow_B2HW.shape[2:]
    x = torch.linspace(-1, 1, width_px, device=flow_B2HW.device) + flow_B2HW[:, 0] / ((width_px - 1) / 2)
    y = torch.linspace(-1, 1, height_px, device=flow_B2HW.device)[:, None] + flow_B2HW[:, 1] / ((height_px - 1) / 2)
    grid_BHW2 = torch.stack([x, y], dim=3)
    return F.grid_sample(picture_B3HW, grid_BHW2, mode="bilinear", padding_mode="border", align_corners=True)
