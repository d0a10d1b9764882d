"""The networks of pix2pixHD (Wang et al. 2018) in one module, and the looks of regions that they read.

A look is a few numbers for each region of a frame: encoded from a real picture, or one of the known looks of its class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import cv2
import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from bridge.protocol.errors import UsageError
from renderer.layers import pool
from renderer.models.label_stack import LabelStack, first_convolutions
from renderer.models.single_frame import NO_LIMIT, FeatureEncoder, GlobalGenerator, LocalEnhancer
from renderer.models.style import BlendedStyle, NamedStyle, PictureStyle, Style, VectorStyle, refuse_name


class Pix2PixHDConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One configuration: what the options of upstream's scripts come to.

    `kind` "global", or "local": a global generator at half the size and an enhancer. A model reads `num_labels`
    classes, with instance edges as one more plane, or `dense_channels` planes as they are, and `num_features` planes of
    look. `encoder_width` 0: no encoder came with it; `cluster_rows` says how many known looks there are of a class.
    """

    kind: Literal["global", "local"]
    num_labels: int
    instance_edges: bool
    dense_channels: int = 0
    width: int
    num_down: int
    num_blocks: int = 9
    num_local_blocks: int = 3
    num_features: int = 0
    encoder_width: int = 0
    encoder_num_down: int = 4
    cluster_rows: dict[str, int] = {}
    native_size_hw: tuple[int, int]

    @property
    def label_channels(self) -> int:
        """How many planes there are besides those of look."""
        return (self.dense_channels or self.num_labels) + self.instance_edges

    @property
    def size_multiple_px(self) -> int:
        """Sides of frames are multiples of this."""
        return 1 << (self.num_down + (self.kind == "local"))


class Pix2PixHD(nn.Module):
    """The networks of one configuration: generator `G`, encoder `E`, and the known looks `features` by class."""

    def __init__(self, config: Pix2PixHDConfig) -> None:
        super().__init__()
        self.config = c = config
        channels = c.label_channels + c.num_features
        if c.kind == "local":
            self.G = LocalEnhancer(channels, c.width, c.num_down, c.num_blocks, c.num_local_blocks, NO_LIMIT)
        else:
            self.G = GlobalGenerator(channels, c.width, c.num_down, c.num_blocks, NO_LIMIT)
        if c.encoder_width:
            self.E = FeatureEncoder(c.num_features, c.encoder_width, c.encoder_num_down)
        if c.cluster_rows:
            self.features = nn.Module()
            for label, rows in c.cluster_rows.items():
                self.features.register_buffer(label, torch.zeros(rows, c.num_features))

    def forward(self, stack: LabelStack) -> Tensor:
        """Return rgb (B,3,H,W) float32 in [-1, 1]."""
        if isinstance(self.G, GlobalGenerator):
            return _after_first(self.G.model, stack).float()
        coarse = _after_first(self.G.model, replace(stack, planes_BCHW=pool(stack.planes_BCHW)))
        return self.G.model1_2(_after_first(self.G.model1_1, stack) + coarse).float()


def _after_first(layers: nn.Module, stack: LabelStack) -> Tensor:
    assert isinstance(layers, nn.Sequential)
    convolution = layers[1]
    assert isinstance(convolution, nn.Conv2d)
    (features,) = first_convolutions(stack, [convolution])
    return layers[2:](features)


Look: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Region ids (1,1,H,W) and labels (1,H,W) to the planes of look, (1,F,H,W)."""


@dataclass(frozen=True)
class _Regions:
    """The regions of a frame: `slots_HW` numbers them from 0, with each one's id and most frequent class."""

    slots_HW: Tensor
    ids: list[int]
    labels: list[int]

    @classmethod
    def of(cls, regions_B1HW: Tensor, labels_BHW: Tensor) -> _Regions:
        ids, slots_HW = torch.unique(regions_B1HW[0, 0], return_inverse=True)
        votes = torch.bincount(slots_HW.flatten() * 256 + labels_BHW.flatten(), minlength=256 * len(ids))
        return cls(slots_HW, ids.tolist(), votes.view(len(ids), 256).argmax(1).tolist())

    def paint(self, looks_RF: Tensor) -> Tensor:
        """Return (1,F,H,W): each region in its look."""
        return looks_RF[self.slots_HW].permute(2, 0, 1)[None]


def seeded_look(network: Pix2PixHD, seed: int) -> Look:
    """Return the look that takes one of the known looks of its class for each region, at random but for good.

    The same instance has the same look in every frame. A class without known looks has zeros, as upstream has it.
    """
    tables = {int(label): network.features.get_buffer(label) for label in network.config.cluster_rows}

    def look(regions_B1HW: Tensor, labels_BHW: Tensor) -> Tensor:
        found = _Regions.of(regions_B1HW, labels_BHW)
        looks_RF = torch.zeros(len(found.ids), network.config.num_features, device=labels_BHW.device)
        for row, (region, label) in enumerate(zip(found.ids, found.labels, strict=True)):
            if label in tables:
                draw = int(np.random.SeedSequence((seed, region)).generate_state(1)[0])
                looks_RF[row] = tables[label][draw % len(tables[label])]
        return found.paint(looks_RF)

    return look


def picture_look(network: Pix2PixHD, style: PictureStyle, device: torch.device) -> Look:
    """Return the look of a picture: to each class its mean features there, and the whole picture's to the others."""
    multiple = 1 << network.config.encoder_num_down
    height_px, width_px = (max(1, side // multiple) * multiple for side in style.rgb.shape[:2])
    rgb = cv2.resize(style.rgb, (width_px, height_px), interpolation=cv2.INTER_AREA)
    rgb_B3HW = (torch.from_numpy(rgb).to(device).permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
    encoded_FHW = network.E.model(rgb_B3HW.contiguous())[0]
    looks_KF = encoded_FHW.mean((1, 2)).repeat(256, 1)
    if style.labels is not None:
        labels = cv2.resize(style.labels, (width_px, height_px), interpolation=cv2.INTER_NEAREST_EXACT)
        for label in np.unique(labels).tolist():
            looks_KF[label] = encoded_FHW[:, torch.from_numpy(labels == label).to(device)].mean(1)

    def look(regions_B1HW: Tensor, labels_BHW: Tensor) -> Tensor:
        found = _Regions.of(regions_B1HW, labels_BHW)
        return found.paint(looks_KF[torch.tensor(found.labels, device=device)])

    return look


def make_look(network: Pix2PixHD, style: Style, device: torch.device) -> Look:
    """Return what a style means to this model; raises UsageError if it cannot be had."""
    c = network.config
    if isinstance(style, BlendedStyle):
        first, second = (make_look(network, end, device) for end in (style.first, style.second))
        return lambda regions, labels: torch.lerp(first(regions, labels), second(regions, labels), style.share)
    if isinstance(style, NamedStyle):
        refuse_name(style)
    if isinstance(style, VectorStyle):
        if len(style.values) != c.num_features:
            raise UsageError(
                f"the style has {len(style.values)} numbers, and this model's looks have {c.num_features}",
                "Give a vector of that length",
            )
        values_1F11 = torch.from_numpy(style.values).to(device)[None, :, None, None]
        return lambda regions, labels: values_1F11.expand(-1, -1, *labels.shape[1:])
    if isinstance(style, PictureStyle):
        if not c.encoder_width:
            raise UsageError("this model has no encoder to read a picture's look with", "Import the network E with it")
        return picture_look(network, style, device)
    if not c.cluster_rows:
        raise UsageError("this model has no known looks to draw from", "Give a picture to take the look from")
    return seeded_look(network, style.seed)
