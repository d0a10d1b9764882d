"""What of each family is written as ONNX: one frame of a fixed size as a function of tensors alone.

One-hots, instance edges and the features of regions are made outside, so nothing in a graph depends on which classes a
frame holds. A video's graph is a frame of a sequence that has begun; it takes the past pictures and the caller keeps
them. Planes are float32 0..1, pictures RGB [-1, 1], T frames the oldest first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from bridge.protocol.errors import UsageError
from renderer.layers import StatNorm, pool
from renderer.layers import warp as warped_by
from renderer.models import imaginaire
from renderer.models.imaginaire_networks import GUIDANCE_CHANNELS, Imaginaire, ImaginaireConfig
from renderer.models.label_stack import FramePlanes, LabelStack, make_stacks
from renderer.models.live import LiveGenerator
from renderer.models.pix2pixhd_networks import Pix2PixHD, Pix2PixHDConfig
from renderer.models.semantic_map import SizedMap, plane_map
from renderer.models.spade_networks import Spade, SpadeConfig
from renderer.models.speed import REFERENCE
from renderer.models.vid2vid_config import Vid2vidConfig
from renderer.models.vid2vid_networks import Vid2vid


@dataclass(frozen=True)
class Graph:
    """A function of tensors, what it is traced with by name, in order, and the names of what it returns."""

    function: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]


class Vid2vidFrame(nn.Module):
    """One frame of a sequence of vid2vid."""

    def __init__(self, network: Vid2vid) -> None:
        super().__init__()
        self._network = network

    def forward(self, planes_TCHW: Tensor, *pictures: Tensor) -> tuple[Tensor, ...]:
        """Return each scale's next past pictures (T-1,3,H,W), the coarsest scale first, from those before."""
        c = self._network.config
        labels_BHW = planes_TCHW.new_zeros(1, *planes_TCHW.shape[2:])
        frames = [FramePlanes(labels_BHW, None, planes_TCHW[i : i + 1]) for i in range(c.num_frames)]
        stacks = make_stacks(frames, c.num_labels, c.foreground_labels, c.num_scales, REFERENCE)
        past = [[scale[i : i + 1] for i in range(c.num_frames - 1)] for scale in pictures]
        drawings = self._network.draw(lambda: self._network.read_labels(stacks), past)
        return tuple(
            torch.cat([scale[1:], drawing.picture_B3HW]) for scale, drawing in zip(pictures, drawings, strict=True)
        )


class Vid2vidFirstFrame(nn.Module):
    """One of the pictures that a sequence of vid2vid begins with, by the network that looks at one frame alone."""

    def __init__(self, network: Vid2vid) -> None:
        super().__init__()
        self._single = network.single

    def forward(self, planes_BCHW: Tensor) -> Tensor:
        """Return the picture (1,3,H,W) of one-hot classes, without edges."""
        return self._single(planes_BCHW)


class Pix2PixHDFrame(nn.Module):
    """A picture of pix2pixHD."""

    def __init__(self, network: Pix2PixHD) -> None:
        super().__init__()
        self._network = network

    def forward(self, planes_BCHW: Tensor) -> Tensor:
        """Return the picture (1,3,H,W) of one-hot classes, instance edges and the features of regions."""
        return self._network(LabelStack(planes_BCHW, None, planes_BCHW[:, :0], merged=False))


class SpadeFrame(nn.Module):
    """A picture of SPADE."""

    def __init__(self, network: Spade) -> None:
        super().__init__()
        self._network = network

    def forward(self, planes_BCHW: Tensor, style_BZ: Tensor | None = None) -> Tensor:
        """Return the picture (1,3,H,W) of one-hot classes and instance edges, in the style of a vector (1,Z)."""
        return self._network.G(plane_map(planes_BCHW), style_BZ)


class ImaginaireFrame(nn.Module):
    """One frame of a sequence of imaginaire's vid2vid, from the third on."""

    def __init__(self, network: Imaginaire) -> None:
        super().__init__()
        self._generator = network.G

    def forward(self, planes_TCHW: Tensor, pictures_T3HW: Tensor, known_B4HW: Tensor | None = None) -> Tensor:
        """Return the picture (1,3,H,W) of one-hot classes of T frames after T-1 pictures.

        `known_B4HW` are colours [-1, 1] that the world is known to have and where they are known, zeros elsewhere.
        """
        generator, c = self._generator, self._generator.config
        before, now = (generator.embed_labels(_whole(planes_1CHW)) for planes_1CHW in planes_TCHW[-2:].split(1))
        stack = _whole(planes_TCHW.reshape(1, -1, *planes_TCHW.shape[2:]))
        flow = generator.flow_network_temp(stack, pictures_T3HW.reshape(1, -1, *pictures_T3HW.shape[2:]))
        warped_B3HW = warped_by(pictures_T3HW[-1:], flow.flow_B2HW)
        warped = generator.img_prev_embedding(torch.cat([warped_B3HW, flow.mask_B1HW], 1))
        here = imaginaire.conditions(c, now, warped, known_B4HW)
        features = generator.carry_on(pictures_T3HW[-1:], imaginaire.conditions(c, before), here)
        return generator.finish(features, here)


class ImaginaireFirstFrame(nn.Module):
    """The first frame of a sequence of imaginaire's vid2vid."""

    def __init__(self, network: Imaginaire) -> None:
        super().__init__()
        self._generator = network.G

    def forward(self, planes_BCHW: Tensor) -> Tensor:
        """Return the picture (1,3,H,W) of one-hot classes."""
        generator, c = self._generator, self._generator.config
        here = imaginaire.conditions(c, generator.embed_labels(_whole(planes_BCHW)))
        height_px, width_px = planes_BCHW.shape[2] // c.size_multiple_px, planes_BCHW.shape[3] // c.size_multiple_px
        return generator.finish(generator.begin(plane_map(planes_BCHW).at((height_px, width_px)), here), here)


def _whole(planes_BCHW: Tensor) -> SizedMap:
    """Return all planes as what a convolution reads."""
    return plane_map(planes_BCHW).at((planes_BCHW.shape[2], planes_BCHW.shape[3]))


def _of_vid2vid(network: Vid2vid, config: Vid2vidConfig, size_hw: tuple[int, int]) -> Graph:
    pictures = [torch.zeros(config.num_frames - 1, 3, *size_hw)]
    for _ in range(config.num_scales - 1):
        pictures.insert(0, pool(pictures[0]))
    planes = torch.zeros(config.num_frames, config.frame_channels, *size_hw)
    named = {f"pictures_{scale}": picture for scale, picture in enumerate(pictures)}
    return Graph(Vid2vidFrame(network), {"planes": planes, **named}, tuple(f"next_{name}" for name in named))


def _of_pix2pixhd(network: Pix2PixHD, config: Pix2PixHDConfig, size_hw: tuple[int, int]) -> Graph:
    planes = torch.zeros(1, config.label_channels + config.num_features, *size_hw)
    return Graph(Pix2PixHDFrame(network), {"planes": planes}, ("picture",))


def _of_spade(network: Spade, config: SpadeConfig, size_hw: tuple[int, int]) -> Graph:
    inputs = {"planes": torch.zeros(1, config.semantic_channels, *size_hw)}
    if config.latent_dim:
        inputs["style"] = torch.zeros(1, config.latent_dim)
    return Graph(SpadeFrame(network), inputs, ("picture",))


def _of_imaginaire(network: Imaginaire, config: ImaginaireConfig, size_hw: tuple[int, int]) -> Graph:
    inputs = {
        "planes": torch.zeros(config.num_frames, config.num_labels, *size_hw),
        "pictures": torch.zeros(config.num_frames - 1, 3, *size_hw),
    }
    if config.guidance_hidden:
        inputs["known_colours"] = torch.zeros(1, GUIDANCE_CHANNELS, *size_hw)
    return Graph(ImaginaireFrame(network), inputs, ("picture",))


_OF_FAMILY: Final[Mapping[str, Callable[[Any, Any, tuple[int, int]], Graph]]] = {
    "vid2vid": _of_vid2vid,
    "pix2pixhd": _of_pix2pixhd,
    "spade": _of_spade,
    "imaginaire": _of_imaginaire,
}


def _first_of_vid2vid(network: Vid2vid, config: Vid2vidConfig, size_hw: tuple[int, int]) -> Graph:
    if config.single is None or config.single.kind == "features":
        raise UsageError(
            "these weights have no network that draws a first frame from labels alone", "Begin with given pictures"
        )
    return Graph(Vid2vidFirstFrame(network), {"planes": torch.zeros(1, config.num_labels, *size_hw)}, ("picture",))


def _first_of_imaginaire(network: Imaginaire, config: ImaginaireConfig, size_hw: tuple[int, int]) -> Graph:
    return Graph(ImaginaireFirstFrame(network), {"planes": torch.zeros(1, config.num_labels, *size_hw)}, ("picture",))


_FIRST_OF_FAMILY: Final[Mapping[str, Callable[[Any, Any, tuple[int, int]], Graph]]] = {
    "vid2vid": _first_of_vid2vid,
    "imaginaire": _first_of_imaginaire,
}


def graph_of(family: str, network: Any, config: Any, size_hw: tuple[int, int], *, first: bool = False) -> Graph:
    """Return the graph of a published family's frame; the network's norms are written out, in place.

    `first`: of the frame that a sequence begins with. Raises UsageError where that is not another one.
    """
    write_out_norms(network)
    if not first:
        return _OF_FAMILY[family](network, config, size_hw)
    if family not in _FIRST_OF_FAMILY:
        raise UsageError("the frames of these weights are all drawn alike", "Leave --first out")
    return _FIRST_OF_FAMILY[family](network, config, size_hw)


def live_graph(network: LiveGenerator, size_hw: tuple[int, int], labels: torch.dtype = torch.uint8) -> Graph:
    """Return the graph of a live generator's frame: what a `Runner` takes and returns, but for the labels' type."""
    inputs = {
        "labels": torch.zeros(1, *size_hw, dtype=labels),
        "warped": torch.zeros(1, 3, *size_hw),
        "valid": torch.zeros(1, 1, *size_hw),
    }
    return Graph(network, inputs, ("rgb",))


class _WrittenOutNorm(nn.Module):
    """A `StatNorm` in plain arithmetic: the exporter has no form for batch statistics."""

    def __init__(self, norm: StatNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return (B,C,H,W)."""
        apart_BCHW = features_BCHW - features_BCHW.mean((2, 3), keepdim=True)
        normed_BCHW = apart_BCHW / torch.sqrt((apart_BCHW * apart_BCHW).mean((2, 3), keepdim=True) + 1e-5)
        if self.weight is None or self.bias is None:
            return normed_BCHW
        return normed_BCHW * self.weight[None, :, None, None] + self.bias[None, :, None, None]


def write_out_norms(module: nn.Module) -> None:
    """Replace the norms of a network, in place, by plain arithmetic that an exporter has a form for."""
    for name, child in module.named_children():
        if isinstance(child, StatNorm):
            setattr(module, name, _WrittenOutNorm(child))
        else:
            write_out_norms(child)
