"""The family "imaginaire": vid2vid of NVIDIA's imaginaire, and its world-consistent form (Mallya et al. 2020).

The first frame of a sequence is drawn from its labels, the second from the first picture, and from the third on the
last picture is also warped by an estimated flow and read as a condition. There is no blend: the generator draws every
pixel. World-consistent networks read known colours of the world too, from exact depth and poses.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from bridge.protocol.errors import RenderRefused
from renderer.inputs import ModelInput
from renderer.layers import warp
from renderer.models import guidance
from renderer.models import style as styles
from renderer.models.base import ModelOutput, truncate_to_uint8
from renderer.models.family import Family, ModelParts, Traits
from renderer.models.fast_layers import prepare
from renderer.models.guidance import Geometry, WorldColours
from renderer.models.imaginaire_checkpoint import adapt, apply_options, recognise
from renderer.models.imaginaire_networks import (
    GUIDANCE_CHANNELS,
    Conditions,
    Flow,
    Imaginaire,
    ImaginaireConfig,
    ImaginaireGenerator,
)
from renderer.models.semantic_map import SemanticMap, SizedMap, stacked
from renderer.models.speed import REFERENCE, Speed

EXACT: Final = ("G.flow_network_temp.conv_flow", "G.flow_network_temp.conv_mask")


@dataclass(frozen=True)
class ImaginaireState:
    """All that one sequence remembers, oldest first: the last label maps (1,H,W) u8 and pictures (1,3,H,W) float32
    [-1, 1], at most two of each; the embedding of the last labels; and the colours of the world."""

    labels: tuple[Tensor, ...]
    pictures: tuple[Tensor, ...]
    embedding: tuple[Tensor, ...]
    world: WorldColours | None = None


@dataclass(frozen=True)
class Drawing:
    """A picture (1,3,H,W) float32 [-1, 1] and what it was drawn with, None where the sequence is too young for it."""

    picture_B3HW: Tensor
    flow: Flow | None = None
    warped_B3HW: Tensor | None = None
    guidance_B4HW: Tensor | None = None


class ImaginaireModel:
    """A loaded generator of imaginaire; see `Model`."""

    def __init__(self, parts: ModelParts) -> None:
        self.card = parts.card
        self.device = parts.device
        self.summary = f"{parts.device.type}, {parts.speed.precision}"
        assert isinstance(parts.network, Imaginaire)
        self.network = prepare(parts.network, parts.device, parts.speed, EXACT)
        self.speed = parts.speed
        if parts.style is not None:
            styles.refuse(parts.card.name)

    @torch.inference_mode()
    def step(self, frame: ModelInput, state: ImaginaireState | None) -> tuple[ModelOutput, ImaginaireState]:
        """Synthesize one frame; the stages are `infer` and `to_uint8`."""
        start_s = time.perf_counter()
        drawing, after = advance(self.network.G, frame, state, self.speed)
        drawn_s = time.perf_counter()
        rgb = truncate_to_uint8(drawing.picture_B3HW)
        stages_ms = {"infer": (drawn_s - start_s) * 1e3, "to_uint8": (time.perf_counter() - drawn_s) * 1e3}
        return ModelOutput(rgb, stages_ms), after


def advance(
    generator: ImaginaireGenerator, frame: ModelInput, state: ImaginaireState | None, speed: Speed = REFERENCE
) -> tuple[Drawing, ImaginaireState]:
    """Draw the next frame of a sequence, its first one without a state, and return it with the state after it.

    A given first picture is taken as it is while there is no flow yet. Raises RenderRefused for a frame of a wrong
    size.
    """
    c = generator.config
    height_px, width_px = frame.labels_BHW.shape[1:]
    if height_px % c.size_multiple_px or width_px % c.size_multiple_px:
        raise RenderRefused(
            "bad-size",
            f"this model draws frames of multiples of {c.size_multiple_px} px, and not {width_px}x{height_px}",
            "Choose another size",
        )
    past = state or ImaginaireState((), (), ())
    num_past = c.num_frames - 1
    labels = SemanticMap(frame.labels_BHW, None, c.num_labels, speed)
    embedding = generator.embed_labels(labels.at(labels.size_hw))
    geometry = _geometry(c, frame)
    known_B4HW = None if geometry is None else guidance.recall(past.world, geometry)
    if len(past.pictures) < num_past and frame.first_B3HW is not None:
        drawing = Drawing(frame.first_B3HW, guidance_B4HW=known_B4HW)
    else:
        drawing = _draw(generator, labels, embedding, past, known_B4HW, speed)
    world = past.world
    if geometry is not None and known_B4HW is not None:
        world = guidance.remember(past.world, known_B4HW, drawing.picture_B3HW, geometry)
    after = ImaginaireState(
        (*past.labels, frame.labels_BHW)[-num_past:],
        (*past.pictures, drawing.picture_B3HW)[-num_past:],
        tuple(embedding),
        world,
    )
    return drawing, after


def _geometry(config: ImaginaireConfig, frame: ModelInput) -> Geometry | None:
    if not config.guidance_hidden or frame.depth_B1HW is None or frame.motion is None:
        return None
    return Geometry(frame.depth_B1HW, frame.instances_B1HW, frame.motion)


def _draw(
    generator: ImaginaireGenerator,
    labels: SemanticMap,
    embedding: Sequence[Tensor],
    past: ImaginaireState,
    known_B4HW: Tensor | None,
    speed: Speed,
) -> Drawing:
    c = generator.config
    height_px, width_px = labels.size_hw
    flow, warped_B3HW, warped, guiding_B4HW = None, None, None, None
    if len(past.pictures) == c.num_frames - 1:  # earlier frames were trained without guidance
        if c.guidance_hidden:
            nothing_B4HW = torch.zeros(1, GUIDANCE_CHANNELS, height_px, width_px, device=embedding[0].device)
            guiding_B4HW = nothing_B4HW if known_B4HW is None else known_B4HW
        flow = generator.flow_network_temp(_label_stack(c, labels, past, speed), torch.cat(past.pictures, 1))
        warped_B3HW = warp(past.pictures[-1], flow.flow_B2HW)
        warped = generator.img_prev_embedding(torch.cat([warped_B3HW, flow.mask_B1HW], 1).to(embedding[0].dtype))
    now = conditions(c, embedding, warped, guiding_B4HW)
    if past.pictures:
        features = generator.carry_on(past.pictures[-1], conditions(c, past.embedding), now)
    else:
        multiple = c.size_multiple_px
        features = generator.begin(labels.at((height_px // multiple, width_px // multiple)), now)
    return Drawing(generator.finish(features, now), flow, warped_B3HW, guiding_B4HW)


def _label_stack(config: ImaginaireConfig, labels: SemanticMap, past: ImaginaireState, speed: Speed) -> SizedMap:
    maps = [SemanticMap(earlier, None, config.num_labels, speed) for earlier in past.labels]
    return stacked([earlier.at(earlier.size_hw) for earlier in [*maps, labels]], config.num_labels)


def conditions(
    config: ImaginaireConfig,
    embedding: Sequence[Tensor],
    warped: Sequence[Tensor] | None = None,
    known_B4HW: Tensor | None = None,
) -> list[Conditions]:
    """Return what modulates each layer, from the finest on: labels everywhere, the warped picture and the known colours
    in the fine layers."""
    layers: list[Conditions] = []
    for layer in range(config.num_layers + 1):
        level = min(layer, config.embedding_num_down)
        fine = layer < config.num_fine_layers
        warped_here = warped[level] if warped is not None and fine else None
        layers.append((embedding[level], warped_here, known_B4HW if fine else None))
    return layers


def traits(config: ImaginaireConfig) -> Traits:
    """Return what the model needs to be fed."""
    return Traits(
        label_space="cityscapes",
        planes=("labels", "depth_m", "instances") if config.guidance_hidden else ("labels",),
        size_multiple_px=config.size_multiple_px,
        native_size_hw=config.native_size_hw,
        past_frames=config.num_frames - 1,
    )


def dry_run(network: Imaginaire, config: ImaginaireConfig, size_hw: tuple[int, int]) -> Iterator[str]:
    """Run a first frame and one with flow on nothing."""
    device = next(network.parameters()).device
    frame = ModelInput(torch.zeros(1, *size_hw, dtype=torch.uint8, device=device))
    _, state = advance(network.G, frame, None)
    yield "first"
    num_past = config.num_frames - 1
    state = ImaginaireState(state.labels * num_past, state.pictures * num_past, state.embedding)
    advance(network.G, frame, state)
    yield "steady"


FAMILY: Final = Family(
    name="imaginaire",
    licence="NVIDIA Source Code License-NC: research and evaluation only, on NVIDIA processors only; trained on "
    "Cityscapes, for research only",
    config_type=ImaginaireConfig,
    recognise=recognise,
    apply_options=apply_options,
    build=Imaginaire,
    adapt=adapt,
    traits=traits,
    make_model=ImaginaireModel,
    dry_run=dry_run,
)
