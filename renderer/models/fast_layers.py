"""Layers that compute what a published network's own layers compute, in fewer operations; only sums are reordered.

`prepare` puts them in the place of the plain ones once the weights are loaded, as `Speed` says. Where each of them pays
was measured on a CPU with one thread; CUDA's own convolutions choose such algorithms by themselves.
"""

from __future__ import annotations

from typing import Final, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from renderer.layers import StatNorm
from renderer.models.own_kernels import NormKernel, merge_norms
from renderer.models.speed import Speed

WINOGRAD_CHANNELS: Final = 512  # below, transforming costs more than it saves
NARROW_CHANNELS: Final = 3  # a CPU's convolutions compute sixteen at least
STRIP_PX: Final = 16  # rows of a narrow head at a time, so that what is between stays in the cache
Network = TypeVar("Network", bound=nn.Module)
_DTYPES: Final = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def prepare(network: Network, device: torch.device, speed: Speed, exact: tuple[str, ...] = ()) -> Network:
    """Bring a loaded network to its device, make it compute as `speed` says, and return it.

    `exact` are names of submodules that stay float32 whatever the precision; they must be given float32 features.
    """
    network.to(device).requires_grad_(False)
    dtype = _DTYPES[speed.precision]
    if dtype != torch.float32:
        network.to(dtype)
        for name in exact:
            network.get_submodule(name).float()
    if "norm" in speed.kernels:
        merge_norms(network)
    for module in list(network.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for index, layer in enumerate(module):
            if speed.fused_norms and isinstance(layer, nn.ReLU) and index and isinstance(module[index - 1], StatNorm):
                layer.inplace = True
            if device.type == "cpu" and dtype == torch.float32 and isinstance(layer, nn.Conv2d):
                before_norm = index + 1 < len(module) and isinstance(module[index + 1], StatNorm | NormKernel)
                module[index] = _faster(layer, speed, is_head=not before_norm)
    if speed.channels_last and device.type != "meta":
        for parameter in network.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def _faster(layer: nn.Conv2d, speed: Speed, *, is_head: bool) -> nn.Module:
    plain = layer.stride == (1, 1) and layer.padding == (0, 0) and layer.groups == 1 and layer.bias is not None
    if not plain:
        return layer
    if speed.winograd and layer.kernel_size == (3, 3) and min(layer.weight.shape[:2]) >= WINOGRAD_CHANNELS:
        return WinogradConvolution(layer)
    if speed.narrow_heads and is_head and layer.kernel_size == (7, 7) and layer.out_channels <= NARROW_CHANNELS:
        return NarrowConvolution(layer)
    return layer


class WinogradConvolution(nn.Module):
    """A 3x3 convolution without padding by Winograd's F(2x2, 3x3): 16 multiplications for 4 pixels in place of 36
    (Lavin and Gray 2016, section 4.1). Its transformed weights take 16/9 of the memory of the plain ones."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        assert layer.bias is not None
        kernel = layer.weight.detach()
        basis = kernel.new_tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
        outputs, inputs = kernel.shape[:2]
        weight_16OI = (torch.kron(basis, basis) @ kernel.reshape(outputs * inputs, 9).t()).view(16, outputs, inputs)
        self.register_buffer("weight_16OI", weight_16OI, persistent=False)
        self.register_buffer("bias", layer.bias.detach(), persistent=False)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return (B,C,H-2,W-2), B = 1, channels last in memory."""
        channels, height_px, width_px = features_BCHW.shape[1], features_BCHW.shape[2] - 2, features_BCHW.shape[3] - 2
        odd_hw = height_px % 2, width_px % 2
        if any(odd_hw):
            features_BCHW = F.pad(features_BCHW, (0, odd_hw[1], 0, odd_hw[0]))
        tiles = features_BCHW[0].unfold(1, 4, 2).unfold(2, 4, 2).permute(3, 4, 1, 2, 0)  # 4,4,h,w,C
        rows = torch.stack([tiles[0] - tiles[2], tiles[1] + tiles[2], tiles[2] - tiles[1], tiles[1] - tiles[3]], 1)
        both = torch.stack([rows[0] - rows[2], rows[1] + rows[2], rows[2] - rows[1], rows[1] - rows[3]], 1)
        tile_rows, tile_columns = both.shape[2:4]
        products = torch.bmm(both.reshape(16, -1, channels), self.get_buffer("weight_16OI").transpose(1, 2))
        products = products.view(4, 4, tile_rows, tile_columns, -1)
        rows = torch.stack([products[0] + products[1] + products[2], products[1] - products[2] - products[3]])
        pixels = torch.stack([rows[:, 0] + rows[:, 1] + rows[:, 2], rows[:, 1] - rows[:, 2] - rows[:, 3]], 1)
        pixels += self.get_buffer("bias")  # 2,2,h,w,C
        whole = pixels.permute(2, 0, 3, 1, 4).reshape(1, 2 * tile_rows, 2 * tile_columns, -1).permute(0, 3, 1, 2)
        return whole[:, :, :height_px, :width_px]


class NarrowConvolution(nn.Module):
    """A convolution to very few channels as one matrix product, pixel by pixel, whose results are shifted and added."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        assert layer.bias is not None
        self.kernel_px = layer.kernel_size[0]
        self.channels = layer.out_channels
        taps = layer.weight.detach().permute(2, 3, 0, 1).reshape(-1, layer.in_channels)
        self.register_buffer("weight", taps.contiguous(), persistent=False)
        self.register_buffer("bias", layer.bias.detach().view(-1, 1, 1), persistent=False)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return (B,C,H-k+1,W-k+1), B = 1, for a kernel of k pixels."""
        reach_px = self.kernel_px - 1
        channels, height_px, width_px = features_BCHW.shape[1], features_BCHW.shape[2], features_BCHW.shape[3]
        bias, weight = self.get_buffer("bias"), self.get_buffer("weight")
        strips: list[Tensor] = []
        for top_px in range(0, height_px - reach_px, STRIP_PX):
            strip = features_BCHW[0, :, top_px : min(top_px + STRIP_PX + reach_px, height_px)]
            taps = (weight @ strip.reshape(channels, -1)).view(
                self.kernel_px, self.kernel_px, self.channels, -1, width_px
            )
            rows_px = taps.shape[3] - reach_px
            sums = bias.expand(self.channels, rows_px, width_px - reach_px).clone()
            for y in range(self.kernel_px):
                for x in range(self.kernel_px):
                    sums += taps[y, x, :, y : y + rows_px, x : x + width_px - reach_px]
            strips.append(sums)
        return torch.cat(strips, 1)[None]
