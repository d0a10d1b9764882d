"""The family "spade" (Park et al. 2019): a picture of each label map by itself, in a style that is chosen once.

A generator with a style vector draws the same label map in many looks. Upstream draws the vector anew for each frame;
here it holds for a sequence, so that video does not flicker: the chosen style's, or that of the real picture that came
with the sequence's first frame, or the middle of all styles.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from bridge.protocol.errors import RenderRefused, UsageError
from renderer.backends.graphs import Recorded, recorder_for
from renderer.backends.transfer import begin_download, levels
from renderer.inputs import ModelInput, instance_edges, regions
from renderer.models import style as styles
from renderer.models.base import ModelOutput, truncate_to_uint8
from renderer.models.family import Family, ModelParts, Traits
from renderer.models.semantic_map import SemanticMap
from renderer.models.spade_checkpoint import adapt, apply_options, recognise
from renderer.models.spade_networks import Spade, SpadeConfig, prepare_spade
from renderer.models.speed import REFERENCE, Speed
from renderer.models.style import BlendedStyle, NamedStyle, PictureStyle, SeededStyle, Style, refuse_name


@dataclass(frozen=True)
class SpadeState:
    """All that one sequence remembers: the style vector (1,Z) that its pictures are drawn in, None without styles."""

    latent_BZ: Tensor | None


class SpadeModel:
    """A loaded SPADE; see `Model`."""

    def __init__(self, parts: ModelParts) -> None:
        self.card = parts.card
        self.device = parts.device
        self.summary = f"{parts.device.type}, {parts.speed.precision}"
        self.config: SpadeConfig = parts.config
        assert isinstance(parts.network, Spade)
        self.network = prepare_spade(parts.network, parts.device, parts.speed)
        self.speed = parts.speed
        function = partial(whole_frame, self.network, parts.speed)
        self.recorded = (
            Recorded(function, recorder_for(parts.device), parts.card.name) if parts.speed.recorded else None
        )
        if parts.style is not None and not self.config.latent_dim:
            styles.refuse(parts.card.name)
        with torch.inference_mode():
            self._latent_BZ = None if parts.style is None else style_vector(self.network, parts.style, parts.device)

    @torch.inference_mode()
    def step(self, frame: ModelInput, state: SpadeState | None) -> tuple[ModelOutput, SpadeState]:
        """Synthesize one frame; the stages are `infer` and `to_uint8`."""
        start_s = time.perf_counter()
        state = state or self._begin(frame)
        if self.recorded is not None:
            rgb_HW3 = self.recorded(*whole_inputs(self.config, frame, state.latent_BZ))[0]
            drawn_s = time.perf_counter()
            rgb = begin_download(rgb_HW3)
        else:
            picture_B3HW = draw(self.network, frame, state.latent_BZ, self.speed)
            drawn_s = time.perf_counter()
            rgb = truncate_to_uint8(picture_B3HW)
        stages_ms = {"infer": (drawn_s - start_s) * 1e3, "to_uint8": (time.perf_counter() - drawn_s) * 1e3}
        return ModelOutput(rgb, stages_ms), state

    def _begin(self, frame: ModelInput) -> SpadeState:
        c = self.config
        if not c.latent_dim or self._latent_BZ is not None:
            return SpadeState(self._latent_BZ)
        if frame.reference_B3HW is not None and c.encoder_width:
            return SpadeState(self.network.E(frame.reference_B3HW)[0])
        return SpadeState(torch.zeros(1, c.latent_dim, device=self.device))


def style_vector(network: Spade, style: Style, device: torch.device) -> Tensor:
    """Return what a style means to this model, (1,Z) float32; raises UsageError if it cannot be had.

    A seed is a draw from the normal distribution that the styles of training were held to; a picture is the mean that
    the encoder finds for it, at the size that the model was trained for.
    """
    c = network.config
    if isinstance(style, BlendedStyle):
        first_BZ, second_BZ = (style_vector(network, end, device) for end in (style.first, style.second))
        return torch.lerp(first_BZ, second_BZ, style.share)
    if isinstance(style, SeededStyle):
        return torch.randn(1, c.latent_dim, generator=torch.Generator().manual_seed(style.seed)).to(device)
    if isinstance(style, NamedStyle):
        refuse_name(style)
    if isinstance(style, PictureStyle):
        if not c.encoder_width:
            raise UsageError("this model has no encoder to read a picture's style with", "Import the network E with it")
        levels_B3HW = torch.from_numpy(style.rgb).permute(2, 0, 1)[None]
        if levels_B3HW.shape[2:] != c.native_size_hw:
            levels_B3HW = F.interpolate(levels_B3HW, size=c.native_size_hw, mode="bicubic", antialias=True)
        return network.E(((levels_B3HW.float() / 255 - 0.5) / 0.5).contiguous().to(device))[0]
    if len(style.values) != c.latent_dim:
        raise UsageError(
            f"the style vector has {len(style.values)} numbers, and this model's have {c.latent_dim}",
            "Give a vector of that length",
        )
    return torch.from_numpy(style.values).to(device)[None]


def draw(network: Spade, frame: ModelInput, latent_BZ: Tensor | None = None, speed: Speed = REFERENCE) -> Tensor:
    """Return the picture of a frame, (B,3,H,W) float32 [-1, 1], in the style of a vector if the model has styles.

    Raises RenderRefused for a frame of a size that the model cannot draw.
    """
    labels_BHW, *others = whole_inputs(network.config, frame, latent_BZ)
    return _draw(network, speed, labels_BHW, *others)


def whole_inputs(config: SpadeConfig, frame: ModelInput, latent_BZ: Tensor | None) -> tuple[Tensor, ...]:
    """Return what `whole_frame` takes: labels, regions where the network reads edges, the style where it has one.

    Raises RenderRefused for a frame of a size that the model cannot draw.
    """
    c = config
    size_hw = (frame.labels_BHW.shape[1], frame.labels_BHW.shape[2])
    if c.latent_size_hw is not None and size_hw != c.native_size_hw:
        raise RenderRefused(
            "bad-size",
            f"this model's style vector makes frames of {c.native_size_hw[1]}x{c.native_size_hw[0]} only, and not "
            f"{size_hw[1]}x{size_hw[0]}",
            "Choose that size",
        )
    if size_hw[0] % c.size_multiple_px or size_hw[1] % c.size_multiple_px:
        raise RenderRefused(
            "bad-size",
            f"this model draws frames of multiples of {c.size_multiple_px} px, and not {size_hw[1]}x{size_hw[0]}",
            "Choose another size",
        )
    edges = (regions(frame.labels_BHW, frame.instances_B1HW),) if c.instance_edges else ()
    return frame.labels_BHW, *edges, *(() if latent_BZ is None else (latent_BZ,))


def whole_frame(network: Spade, speed: Speed, labels_BHW: Tensor, *others: Tensor) -> tuple[Tensor]:
    """Draw a frame: a function of tensors alone, the same operations for every frame; returns (H,W,3) u8."""
    return (levels(_draw(network, speed, labels_BHW, *others), rounded=False),)


def _draw(network: Spade, speed: Speed, labels_BHW: Tensor, *others: Tensor) -> Tensor:
    c = network.config
    edges_B1HW = instance_edges(others[0]) if c.instance_edges else None
    rest = others[1:] if c.instance_edges else others
    return network.G(SemanticMap(labels_BHW, edges_B1HW, c.num_labels, speed), rest[0] if rest else None)


def traits(config: SpadeConfig) -> Traits:
    """Return what the model needs to be fed."""
    return Traits(
        label_space="cityscapes",
        planes=("labels", "instances") if config.instance_edges else ("labels",),
        size_multiple_px=config.size_multiple_px,
        native_size_hw=config.native_size_hw,
        past_frames=0,
    )


def dry_run(network: Spade, config: SpadeConfig, size_hw: tuple[int, int]) -> Iterator[str]:
    """Run the networks on nothing, the encoder in the first frame only."""
    device = next(network.parameters()).device
    labels_BHW = torch.zeros(1, *size_hw, dtype=torch.uint8, device=device)
    latent_BZ = torch.zeros(1, config.latent_dim, device=device) if config.latent_dim else None
    for kind in ("first", "steady"):
        if kind == "first" and config.encoder_width:
            network.E(torch.zeros(1, 3, *size_hw, device=device))
        draw(network, ModelInput(labels_BHW), latent_BZ)
        yield kind


FAMILY: Final = Family(
    name="spade",
    licence="CC BY-NC-SA 4.0, for academic research only (NVIDIA, SPADE); trained on Cityscapes, for research only",
    config_type=SpadeConfig,
    recognise=recognise,
    apply_options=apply_options,
    build=Spade,
    adapt=adapt,
    traits=traits,
    make_model=SpadeModel,
    dry_run=dry_run,
)
