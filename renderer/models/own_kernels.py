"""Puts own kernels into a network, in the place of the layers that they compute; see `renderer.backends.kernels`."""

from __future__ import annotations

from torch import Tensor, nn

from renderer.backends import kernels
from renderer.layers import ResidualBlock, StatNorm


class NormKernel(nn.Module):
    """A `StatNorm` with what surrounds it: ReLU, the sum of a residual block, and the reflected border after those."""

    def __init__(self, norm: StatNorm, *, relu: bool, padding_px: int) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.relu, self.padding_px = relu, padding_px

    def forward(self, features_BCHW: Tensor, residual_BCHW: Tensor | None = None) -> Tensor:
        """Return (B,C,H,W), B = 1, with a border of `padding_px`, channels last."""
        return kernels.normalise(
            features_BCHW,
            self.weight,
            self.bias,
            relu=self.relu,
            padding_px=self.padding_px,
            residual_BCHW=residual_BCHW,
        )


def merge_norms(network: nn.Module) -> None:
    """Let one kernel do each norm of a network with the layers after it; what is left over becomes an identity."""
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            for index, layer in enumerate(module):
                if type(layer) is StatNorm:
                    _merge(module, index, layer)
        if isinstance(module, ResidualBlock):
            *_, last = module.conv_block  # its layers come after it among the modules
            assert isinstance(last, StatNorm)
            module.norm_and_sum = NormKernel(last, relu=False, padding_px=0)
            module.conv_block[-1] = nn.Identity()


def _merge(layers: nn.Sequential, index: int, norm: StatNorm) -> None:
    after = [*list(layers)[index + 1 : index + 3], None, None]
    relu = type(after[0]) is nn.ReLU
    place = index + 1 + relu
    border = after[int(relu)]
    padding_px = border.padding[0] if isinstance(border, nn.ReflectionPad2d) else 0
    layers[index] = NormKernel(norm, relu=relu, padding_px=padding_px)
    if relu:
        layers[index + 1] = nn.Identity()
    if padding_px:
        layers[place] = nn.Identity()
