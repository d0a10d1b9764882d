"""The generator of imaginaire's vid2vid and wc-vid2vid (Mallya et al. 2020), built of residual blocks with SPADE norms.

A frame is drawn from the features of the last picture, modulated by embeddings of the last and of this frame's labels.
From the third frame on a flow network warps the last picture; the warped picture is embedded and modulates the fine
layers too. World-consistent networks read a third condition there: colours that the world is known to have.

Modules have the names that they have in the published files; spectral norms are folded into the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from renderer.layers import StatNorm
from renderer.models.semantic_map import SizedMap

SLOPE: Final = 0.2
FLOW_UNIT_PX: Final = 40.0
WARPED_CHANNELS: Final = 4  # the warped picture and the mask of the flow network
GUIDANCE_CHANNELS: Final = 4  # the known colours and where they are known


class ImaginaireConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One configuration. Widths are those of the finest layer; they double with each coarser one up to the maximum.

    `num_layers` decoder blocks above the finest draw a first frame from labels alone, `num_down` of them a later frame
    from the last picture. The finest `num_fine_layers` read the warped picture, and the guidance if `guidance_hidden`
    is not 0.
    """

    num_labels: int = 35
    num_frames: int = 3
    width: int = 32
    max_width: int = 1024
    num_layers: int = 7
    num_down: int = 4
    num_blocks: int = 4
    num_fine_layers: int = 3
    modulation_kernel_px: int = 1
    guidance_hidden: int = 0
    embedding_width: int = 32
    embedding_max_width: int = 1024
    embedding_num_down: int = 5
    warped_width: int = 32
    warped_max_width: int = 1024
    flow_width: int = 32
    flow_max_width: int = 1024
    flow_num_down: int = 5
    flow_num_blocks: int = 6
    native_size_hw: tuple[int, int] = (512, 1024)

    @property
    def size_multiple_px(self) -> int:
        """Sides of frames are multiples of this."""
        return 1 << self.num_layers

    def channels(self, layer: int) -> int:
        """Return how many channels a layer of the generator has."""
        return min(self.max_width, self.width << layer)

    def condition_channels(self, layer: int) -> list[tuple[int, int]]:
        """Return channels and hidden channels (0: none) of each condition that modulates a layer."""
        level = min(layer, self.embedding_num_down)
        conditions = [(min(self.embedding_max_width, self.embedding_width << level), 0)]
        if layer < self.num_fine_layers:
            conditions.append((min(self.warped_max_width, self.warped_width << level), 0))
            if self.guidance_hidden:
                conditions.append((GUIDANCE_CHANNELS, self.guidance_hidden))
        return conditions


Conditions = Sequence[Tensor | None]
"""What modulates a layer: embeddings (B,C,h,w) of labels, of the warped picture, and the guidance; None: not there."""


class ModulatedNorm(nn.Module):
    """Normalises by the picture's own statistics, then scales and shifts by one condition after the other."""

    def __init__(self, channels: int, conditions: Sequence[tuple[int, int]], kernel_px: int) -> None:
        super().__init__()
        self.normalise = StatNorm(channels, affine=False)
        self.mlps = nn.ModuleList()
        for channels_in, hidden in conditions:
            layers = [Unit(channels_in, hidden, "CR", 3)] if hidden else []
            last = Unit(hidden or channels_in, 2 * channels, "C", 3 if hidden else kernel_px)
            self.mlps.append(nn.Sequential(*layers, last))

    def forward(self, features_BCHW: Tensor, conditions: Conditions) -> Tensor:
        """Return (B,C,H,W) of the features' type."""
        normed_BCHW = self.normalise(features_BCHW.float())
        for mlp, condition in zip(self.mlps, conditions, strict=False):  # early frames have fewer conditions
            if condition is None:
                continue
            if condition.shape[2:] != features_BCHW.shape[2:]:
                condition = F.interpolate(condition, size=features_BCHW.shape[2:], mode="nearest")
            gamma_BCHW, beta_BCHW = mlp(condition.to(features_BCHW.dtype)).chunk(2, dim=1)
            normed_BCHW = normed_BCHW * (1 + gamma_BCHW) + beta_BCHW
        return normed_BCHW.to(features_BCHW.dtype)


class Unit(nn.Module):
    """A convolution, a norm and an activation in the order that letters say: C, N, A (leaky ReLU), R (ReLU)."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        order: str,
        kernel_px: int = 3,
        stride: int = 1,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.order = order
        self.layers = nn.ModuleDict(
            {"conv": nn.Conv2d(channels_in, channels, kernel_px, stride=stride, padding=kernel_px // 2)}
        )
        if norm is not None:
            self.layers["norm"] = norm

    @property
    def convolution(self) -> nn.Conv2d:
        """The convolution, for who computes it otherwise."""
        convolution = self.layers["conv"]
        assert isinstance(convolution, nn.Conv2d)
        return convolution

    def forward(self, features_BCHW: Tensor, conditions: Conditions = ()) -> Tensor:
        """Return (B,C,H,W)."""
        return self.run(self.order, features_BCHW, conditions)

    def after_convolution(self, features_BCHW: Tensor) -> Tensor:
        """Return the unit's output from that of its convolution, which comes first."""
        assert self.order.startswith("C")
        return self.run(self.order[1:], features_BCHW, ())

    def run(self, order: str, x: Tensor, conditions: Conditions) -> Tensor:
        """Return what some of the unit's steps make of features."""
        for letter in order:
            if letter == "C":
                x = self.convolution(x)
            elif letter == "A":
                x = F.leaky_relu(x, SLOPE)
            elif letter == "R":
                x = F.relu(x)
            else:
                norm = self.layers["norm"]
                x = norm(x, conditions) if isinstance(norm, ModulatedNorm) else norm(x)
        return x


class ModulatedBlock(nn.Module):
    """A residual block, each convolution after a modulated norm and an activation; its shortcut has no activation."""

    def __init__(self, channels_in: int, channels: int, conditions: Sequence[tuple[int, int]], kernel_px: int) -> None:
        super().__init__()
        middle = min(channels_in, channels)

        def norm(number: int) -> nn.Module:
            return ModulatedNorm(number, conditions, kernel_px)

        self.conv_block_0 = Unit(channels_in, middle, "NAC", norm=norm(channels_in))
        self.conv_block_1 = Unit(middle, channels, "NAC", norm=norm(middle))
        self.conv_block_s = None
        if channels_in != channels:
            self.conv_block_s = Unit(channels_in, channels, "NC", 1, norm=norm(channels_in))

    def forward(self, features_BCHW: Tensor, conditions: Conditions) -> Tensor:
        """Return (B,C,H,W)."""
        hidden_BCHW = self.conv_block_1(self.conv_block_0(features_BCHW, conditions), conditions)
        if self.conv_block_s is None:
            return features_BCHW + hidden_BCHW
        return self.conv_block_s(features_BCHW, conditions) + hidden_BCHW


class FlowBlock(nn.Module):
    """A residual block of the flow network: convolution, norm, activation, convolution, norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block_0 = Unit(channels, channels, "CNA", norm=StatNorm(channels, affine=True))
        self.conv_block_1 = Unit(channels, channels, "CN", norm=StatNorm(channels, affine=True))

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return (B,C,H,W)."""
        return features_BCHW + self.conv_block_1(self.conv_block_0(features_BCHW))


class Embedding(nn.Module):
    """Embeds planes at every size from theirs down to 1/2^num_down: an encoder and a decoder, perhaps with skips."""

    def __init__(self, channels_in: int, width: int, max_width: int, num_down: int, *, skips: bool) -> None:
        super().__init__()
        widths = [min(max_width, width << level) for level in range(num_down + 1)]
        self.num_down, self.skips = num_down, skips
        self.conv_first = Unit(channels_in, widths[0], "CA")
        for level in range(num_down):
            self.add_module(f"down_{level}", Unit(widths[level], widths[level + 1], "CA", stride=2))
            doubled = 2 if skips and level != num_down - 1 else 1
            self.add_module(f"up_{level}", Unit(doubled * widths[level + 1], widths[level], "CA"))

    def forward(self, planes_BCHW: Tensor) -> list[Tensor]:
        """Return (B,C,h,w) at each size, the finest first."""
        return self.from_first(self.conv_first(planes_BCHW))

    def from_first(self, first_BCHW: Tensor) -> list[Tensor]:
        """Return the same from the output of the first unit."""
        encoded = [first_BCHW]
        for level in range(self.num_down):
            encoded.append(self.get_submodule(f"down_{level}")(encoded[-1]))
        decoded = [encoded[-1]]
        for level in reversed(range(self.num_down)):
            x = decoded[-1]
            if self.skips and level != self.num_down - 1:
                x = torch.cat([x, encoded[level + 1]], 1)
            decoded.append(self.get_submodule(f"up_{level}")(double(x)))
        return decoded[::-1]


class Flow(NamedTuple):
    """What the flow network says: flow_B2HW pixels, x right, y down, where in the last picture a pixel comes from, and
    mask_B1HW 0..1."""

    flow_B2HW: Tensor
    mask_B1HW: Tensor


class FlowNetwork(nn.Module):
    """Flow from this frame to the last one, from the labels of all frames and the pictures of the past ones."""

    def __init__(self, config: ImaginaireConfig) -> None:
        super().__init__()
        c = config
        widths = [min(c.flow_max_width, c.flow_width << level) for level in range(c.flow_num_down + 1)]

        def unit(channels_in: int, channels: int, stride: int = 1) -> Unit:
            return Unit(channels_in, channels, "CNA", stride=stride, norm=StatNorm(channels, affine=True))

        def down(channels_in: int) -> nn.Sequential:
            halvings = [unit(widths[level], widths[level + 1], 2) for level in range(c.flow_num_down)]
            return nn.Sequential(unit(channels_in, widths[0]), *halvings)

        self.down_lbl = down(c.num_labels * c.num_frames)
        self.down_img = down(3 * (c.num_frames - 1))
        self.res_flow = nn.Sequential(*(FlowBlock(widths[-1]) for _ in range(c.flow_num_blocks)))
        ups: list[nn.Module] = []
        for level in reversed(range(c.flow_num_down)):
            ups += [nn.Upsample(scale_factor=2), unit(widths[level + 1], widths[level])]
        self.up_flow = nn.Sequential(*ups)
        self.conv_flow = nn.Sequential(Unit(widths[0], 2, "C"))
        self.conv_mask = nn.Sequential(Unit(widths[0], 1, "C"))

    def forward(self, labels: SizedMap, pictures_BCHW: Tensor) -> Flow:
        """Return flow and mask; labels and pictures of several frames are stacked as channels, oldest first."""
        first = self.down_lbl[0]
        assert isinstance(first, Unit)
        labels_BCHW = self.down_lbl[1:](first.after_convolution(labels.convolve(first.convolution)))
        x = labels_BCHW + self.down_img(pictures_BCHW.to(labels_BCHW.dtype))
        x = self.up_flow(self.res_flow(x)).to(self.conv_flow[0].get_parameter("layers.conv.weight").dtype)
        return Flow(self.conv_flow(x).float() * FLOW_UNIT_PX, self.conv_mask(x).float().sigmoid())


class ImaginaireGenerator(nn.Module):
    """The networks of one generator; they keep no state. See `renderer.models.imaginaire` for a frame's journey."""

    def __init__(self, config: ImaginaireConfig) -> None:
        super().__init__()
        self.config = c = config
        self.label_embedding = Embedding(
            c.num_labels, c.embedding_width, c.embedding_max_width, c.embedding_num_down, skips=False
        )

        def block(channels_in: int, channels: int, layer: int) -> ModulatedBlock:
            return ModulatedBlock(channels_in, channels, c.condition_channels(layer), c.modulation_kernel_px)

        for layer in reversed(range(c.num_layers + 1)):
            self.add_module(f"up_{layer}", block(c.channels(layer + 1), c.channels(layer), layer))
        self.conv_img = Unit(c.width, 3, "AC")
        self.fc = Unit(c.num_labels, c.channels(c.num_layers + 1), "C")
        self.down_first = Unit(3, c.width, "C")
        for layer in range(c.num_down + 1):
            self.add_module(f"down_{layer}", block(c.channels(layer), c.channels(layer + 1), layer))
        middle = c.channels(c.num_down + 1)
        for index in range(c.num_blocks):
            self.add_module(f"res_{index}", block(middle, middle, c.num_down + 1))
        self.flow_network_temp = FlowNetwork(c)
        self.img_prev_embedding = Embedding(
            WARPED_CHANNELS, c.warped_width, c.warped_max_width, c.embedding_num_down, skips=True
        )

    def embed_labels(self, labels: SizedMap) -> list[Tensor]:
        """Return the embedding of a frame's labels at each size, the finest first."""
        first = self.label_embedding.conv_first
        return self.label_embedding.from_first(first.after_convolution(labels.convolve(first.convolution)))

    def begin(self, labels: SizedMap, conditions: Sequence[Conditions]) -> Tensor:
        """Return features of the coarsest decoder block that later frames share, from labels alone; those are given at
        1/2^num_layers of the frame's size."""
        x = labels.convolve(self.fc.convolution)
        for layer in range(self.config.num_layers, self.config.num_down, -1):
            x = double(self.get_submodule(f"up_{layer}")(x, conditions[layer]))
        return x

    def carry_on(self, last_B3HW: Tensor, before: Sequence[Conditions], now: Sequence[Conditions]) -> Tensor:
        """Return the same from the last picture, under the conditions of its frame and, half-way, of this one."""
        c = self.config
        x = self.down_first(last_B3HW.to(self.down_first.convolution.weight.dtype))
        for layer in range(c.num_down + 1):
            x = self.get_submodule(f"down_{layer}")(x, before[layer])
            if layer != c.num_down:
                x = F.avg_pool2d(x, 3, stride=2, padding=1)  # pixels beyond the border count as zeros here
        for index in range(c.num_blocks):
            conditions = before if index < c.num_blocks // 2 else now
            x = self.get_submodule(f"res_{index}")(x, conditions[c.num_down + 1])
        return x

    def finish(self, features_BCHW: Tensor, conditions: Sequence[Conditions]) -> Tensor:
        """Return rgb (B,3,H,W) float32 in [-1, 1]."""
        x = features_BCHW
        for layer in range(self.config.num_down, -1, -1):
            x = self.get_submodule(f"up_{layer}")(x, conditions[layer])
            if layer:
                x = double(x)
        return self.conv_img(x).float().tanh()


def double(features_BCHW: Tensor) -> Tensor:
    """Return features at twice the size, each pixel four times."""
    return F.interpolate(features_BCHW, scale_factor=2, mode="nearest")


class Imaginaire(nn.Module):
    """The generator `G` in its role."""

    def __init__(self, config: ImaginaireConfig) -> None:
        super().__init__()
        self.config = config
        self.G = ImaginaireGenerator(config)
