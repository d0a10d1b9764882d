"""The networks of SPADE (Park et al. 2019): a generator modulated by label maps, and the encoder of its style vector.

Features are normalised, then scaled and shifted pixel by pixel with what two convolutions read from the label map
(equation 1). Layers have the names that they have in the published files; spectral norms are folded into the weights.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from renderer.backends import kernels
from renderer.layers import StatNorm
from renderer.models.fast_layers import WINOGRAD_CHANNELS, WinogradConvolution, prepare
from renderer.models.semantic_map import Modulation, SemanticMap, SizedMap
from renderer.models.speed import Speed

SLOPE: Final = 0.2
ENCODER_SIZE_PX: Final = 256
EPSILON: Final = 1e-5


class SpadeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One configuration: what the options of upstream's scripts come to.

    A model reads `num_labels` classes, with instance edges as one more plane. `upsampling` says how often the latent
    picture doubles: 5, 6 or 7 times. With `latent_dim` a style vector of that length makes the latent picture, whose
    size is fixed then, `latent_size_hw`; otherwise the labels make it, at any size. `encoder_width` 0: no encoder of
    pictures' styles came with it. `norm` "batch" has running statistics, "instance" the picture's own.
    """

    num_labels: int
    instance_edges: bool
    width: int = 64
    hidden: int = 128
    kernel_px: int = 3
    norm: Literal["batch", "instance"] = "batch"
    upsampling: Literal["normal", "more", "most"]
    latent_dim: int = 0
    latent_size_hw: tuple[int, int] | None = None
    encoder_width: int = 0
    native_size_hw: tuple[int, int]

    @property
    def size_multiple_px(self) -> int:
        """How many pixels a pixel of the latent picture becomes."""
        return {"normal": 32, "more": 64, "most": 128}[self.upsampling]

    @property
    def semantic_channels(self) -> int:
        """How many planes the label map has."""
        return self.num_labels + self.instance_edges


class RunningNorm(nn.Module):
    """Normalises each channel by the statistics of training, eps 1e-5."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return (B,C,H,W) float32."""
        mean_C, variance_C = self.statistics(features_BCHW)
        return F.batch_norm(features_BCHW.float(), mean_C, variance_C, eps=EPSILON)

    def statistics(self, features_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of each channel, (C,) float32 each; the features do not matter."""
        del features_BCHW
        return self.get_buffer("running_mean"), self.get_buffer("running_var")


class OwnNorm(StatNorm):
    """Normalises each channel by the picture's own statistics, eps 1e-5."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return (B,C,H,W) float32, B = 1."""
        return super().forward(features_BCHW.float())

    def statistics(self, features_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and biased variance of each channel, (C,) float32 each; batch 1."""
        features_BCHW = features_BCHW.float()
        mean_C = features_BCHW.mean((0, 2, 3))
        return mean_C, (features_BCHW - mean_C[:, None, None]).square_().mean((0, 2, 3))


class SpadeNorm(nn.Module):
    """Normalises features, then scales and shifts them by the label map (section 3, equation 1)."""

    def __init__(self, config: SpadeConfig, channels: int) -> None:
        super().__init__()
        reach_px = config.kernel_px // 2
        self.param_free_norm = RunningNorm(channels) if config.norm == "batch" else OwnNorm(channels)
        shared = nn.Conv2d(config.semantic_channels, config.hidden, config.kernel_px, padding=reach_px)
        self.mlp_shared = nn.Sequential(shared, nn.ReLU())
        self.mlp_gamma = nn.Conv2d(config.hidden, channels, config.kernel_px, padding=reach_px)
        self.mlp_beta = nn.Conv2d(config.hidden, channels, config.kernel_px, padding=reach_px)
        self.both: nn.Conv2d | None = None

    def forward(self, features_BCHW: Tensor, semantic: SizedMap, slope: float | None = None) -> Tensor:
        """Return (B,C,H,W) of the features' type, with a `slope` after a leaky ReLU; the map has the features' size."""
        if self.both is not None:
            return self._by_kernel(self.both, features_BCHW, semantic, slope)
        modulated_BCHW = self._modulated(features_BCHW, semantic)
        return modulated_BCHW if slope is None else F.leaky_relu(modulated_BCHW, slope)

    def _by_kernel(self, both: nn.Conv2d, features_BCHW: Tensor, semantic: SizedMap, slope: float | None) -> Tensor:
        shared = self.mlp_shared[0]
        assert isinstance(shared, nn.Conv2d)
        gamma_BCHW, beta_BCHW = both(F.relu_(semantic.convolve(shared))).chunk(2, dim=1)
        statistics = self.param_free_norm.statistics(features_BCHW)
        return kernels.modulate(features_BCHW, *statistics, gamma_BCHW, beta_BCHW, slope)

    def use_kernel(self) -> None:
        """Let one convolution make scale and shift, and a kernel all that follows."""
        gamma, beta = self.mlp_gamma, self.mlp_beta
        side_px = gamma.weight.shape[-1]
        both = nn.Conv2d(gamma.in_channels, 2 * gamma.out_channels, side_px, padding=side_px // 2)
        assert gamma.bias is not None and beta.bias is not None
        weight = torch.cat([gamma.weight, beta.weight]).contiguous(memory_format=torch.channels_last)
        both.weight = nn.Parameter(weight, requires_grad=False)
        both.bias = nn.Parameter(torch.cat([gamma.bias, beta.bias]), requires_grad=False)
        self.both = both

    def _modulated(self, features_BCHW: Tensor, semantic: SizedMap) -> Tensor:
        shared = self.mlp_shared[0]
        assert isinstance(shared, nn.Conv2d)
        modulation = Modulation(shared, self.mlp_gamma, self.mlp_beta)
        if semantic.uniform_regions:
            mean_C, variance_C = self.param_free_norm.statistics(features_BCHW)
            return semantic.modulate(features_BCHW, modulation, mean_C, torch.rsqrt(variance_C + EPSILON))
        gamma_BCHW, beta_BCHW = semantic.modulation(modulation)
        normed_BCHW = self.param_free_norm(features_BCHW)
        return (normed_BCHW * (1 + gamma_BCHW) + beta_BCHW).to(features_BCHW.dtype)


class SpadeBlock(nn.Module):
    """A residual block of two convolutions, each after a modulated norm; a third, 1x1, where the channels change."""

    def __init__(self, config: SpadeConfig, channels_in: int, channels: int) -> None:
        super().__init__()
        middle = min(channels_in, channels)
        self.conv_0 = nn.Conv2d(channels_in, middle, 3, padding=1)
        self.conv_1 = nn.Conv2d(middle, channels, 3, padding=1)
        self.norm_0 = SpadeNorm(config, channels_in)
        self.norm_1 = SpadeNorm(config, middle)
        self.learned_shortcut = channels_in != channels
        if self.learned_shortcut:
            self.conv_s = nn.Conv2d(channels_in, channels, 1, bias=False)
            self.norm_s = SpadeNorm(config, channels_in)

    def forward(self, features_BCHW: Tensor, semantic: SemanticMap) -> Tensor:
        """Return (B,C,H,W)."""
        sized = semantic.at((features_BCHW.shape[2], features_BCHW.shape[3]))
        shortcut_BCHW = self.conv_s(self.norm_s(features_BCHW, sized)) if self.learned_shortcut else features_BCHW
        hidden_BCHW = self.conv_0(self.norm_0(features_BCHW, sized, SLOPE))
        hidden_BCHW = self.conv_1(self.norm_1(hidden_BCHW, sized, SLOPE))
        return shortcut_BCHW + hidden_BCHW


class SpadeGenerator(nn.Module):
    """Label map, and a style vector if the configuration has one, to a picture [-1, 1] of the map's size."""

    def __init__(self, config: SpadeConfig) -> None:
        super().__init__()
        self.config = c = config
        top = 16 * c.width
        if c.latent_dim:
            assert c.latent_size_hw is not None
            self.fc = nn.Linear(c.latent_dim, top * c.latent_size_hw[0] * c.latent_size_hw[1])
        else:
            self.fc = nn.Conv2d(c.semantic_channels, top, 3, padding=1)
        self.head_0 = SpadeBlock(c, top, top)
        self.G_middle_0 = SpadeBlock(c, top, top)
        self.G_middle_1 = SpadeBlock(c, top, top)
        self.num_ups = 5 if c.upsampling == "most" else 4
        for level in range(self.num_ups):
            self.add_module(f"up_{level}", SpadeBlock(c, top >> level, top >> (level + 1)))
        self.conv_img = nn.Conv2d(top >> self.num_ups, 3, 3, padding=1)

    def forward(self, semantic: SemanticMap, latent_BZ: Tensor | None = None) -> Tensor:
        """Return rgb (B,3,H,W) float32 in [-1, 1]."""
        x = self.head_0(self._latent_picture(semantic, latent_BZ), semantic)
        x = self.G_middle_0(_double(x), semantic)
        x = self.G_middle_1(x if self.config.upsampling == "normal" else _double(x), semantic)
        for level in range(self.num_ups):
            x = self.get_submodule(f"up_{level}")(_double(x), semantic)
        return self.conv_img(F.leaky_relu(x, SLOPE)).float().tanh()

    def _latent_picture(self, semantic: SemanticMap, latent_BZ: Tensor | None) -> Tensor:
        c = self.config
        if isinstance(self.fc, nn.Linear):
            assert c.latent_size_hw is not None and latent_BZ is not None
            return self.fc(latent_BZ.to(self.fc.weight.dtype)).view(-1, 16 * c.width, *c.latent_size_hw)
        height_px, width_px = semantic.size_hw
        small = semantic.at((height_px // c.size_multiple_px, width_px // c.size_multiple_px))
        return small.convolve(self.fc)


def _double(features_BCHW: Tensor) -> Tensor:
    return F.interpolate(features_BCHW, scale_factor=2, mode="nearest")


class StyleEncoder(nn.Module):
    """A picture to the mean and the logarithm of the variance of its style vector (section 3, appendix A)."""

    def __init__(self, width: int, latent_dim: int) -> None:
        super().__init__()
        widths = [3, width, 2 * width, 4 * width, 8 * width, 8 * width, 8 * width]
        for level in range(1, len(widths)):
            convolution = nn.Conv2d(widths[level - 1], widths[level], 3, stride=2, padding=1, bias=False)
            self.add_module(f"layer{level}", nn.Sequential(convolution, OwnNorm(widths[level])))
        self.num_layers = len(widths) - 1
        side_px = ENCODER_SIZE_PX >> self.num_layers
        self.fc_mu = nn.Linear(widths[-1] * side_px * side_px, latent_dim)
        self.fc_var = nn.Linear(widths[-1] * side_px * side_px, latent_dim)

    def forward(self, rgb_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance, (B,Z) each, for rgb of [-1, 1] and any size."""
        if rgb_B3HW.shape[2:] != (ENCODER_SIZE_PX, ENCODER_SIZE_PX):
            size_hw = (ENCODER_SIZE_PX, ENCODER_SIZE_PX)
            rgb_B3HW = F.interpolate(rgb_B3HW, size=size_hw, mode="bilinear", align_corners=False)
        x = self.get_submodule("layer1")(rgb_B3HW)
        for level in range(2, self.num_layers + 1):
            x = self.get_submodule(f"layer{level}")(F.leaky_relu(x, SLOPE))
        x = F.leaky_relu(x, SLOPE).flatten(1)
        return self.fc_mu(x), self.fc_var(x)


class Spade(nn.Module):
    """The networks of one configuration: generator `G` and style encoder `E`; they keep no state."""

    def __init__(self, config: SpadeConfig) -> None:
        super().__init__()
        self.config = config
        self.G = SpadeGenerator(config)
        if config.encoder_width:
            self.E = StyleEncoder(config.encoder_width, config.latent_dim)


def prepare_spade(network: Spade, device: torch.device, speed: Speed) -> Spade:
    """Bring a loaded network to its device and make it compute as `speed` says.

    Statistics of norms and the encoder stay float32. On a CPU the wide convolutions go by Winograd's algorithm.
    """
    exact = [name for name, module in network.named_modules() if isinstance(module, RunningNorm | StyleEncoder)]
    prepare(network, device, speed, tuple(exact))
    if "modulation" in speed.kernels:
        for norm in [module for module in network.modules() if isinstance(module, SpadeNorm)]:
            norm.use_kernel()
    if speed.winograd and device.type == "cpu" and speed.precision == "float32":
        for block in [module for module in network.modules() if isinstance(module, SpadeBlock)]:
            for name in ("conv_0", "conv_1"):
                layer = block.get_submodule(name)
                if isinstance(layer, nn.Conv2d) and min(layer.weight.shape[:2]) >= WINOGRAD_CHANNELS:
                    setattr(block, name, nn.Sequential(nn.ZeroPad2d(1), WinogradConvolution(layer)))
    return network
