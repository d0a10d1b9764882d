"""Loads imported weights: the card says which family and configuration, the family makes a model of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from bridge.protocol.errors import UsageError, WeightsError
from bridge.protocol.messages import ModelCard
from renderer import weights_store
from renderer.models import cost
from renderer.models.base import Model, with_geometry
from renderer.models.family import Family, ModelParts, check_fit, find_family, shapes_of
from renderer.models.speed import Speed
from renderer.weights_store import ImportedCard

log: Final = logging.getLogger("renderer")
LIVE_SIZE_HW: Final = (256, 512)


@dataclass(frozen=True)
class ModelOptions:
    """What may be chosen when a model is loaded: how it is computed, and the look, None for its own."""

    speed: Speed = field(default_factory=Speed)
    style: Any = None
    stabilise: bool = False
    """Whether pictures are steadied by the engine's motion; see `renderer.models.stabilised`."""
    flow: Literal["guessed", "engine"] = "guessed"
    """What moves the last picture: the network's own guess, or the exact motion by depth and poses."""


def load_imported(name: str, device: torch.device, options: ModelOptions) -> Model:
    """Return a model of imported weights.

    Raises WeightsError if they are damaged or of a family that is not known, UsageError for the engine's flow where the
    model guesses none.
    """
    card = weights_store.verify_imported(name)
    family = find_family(card.family)
    config = read_config(card, family)
    use_engine = options.flow == "engine"
    if use_engine and not family.guesses_flow(config):
        raise UsageError(f"{name} guesses no flow that the engine's could replace", "Leave --flow out")
    network = load_network(card, family, config)
    log.warning("the weights of %s are not vidrive's, and licensed for restricted use: %s", name, card.licence)
    model_card = ModelCard(
        name=card.name,
        family=card.family,
        label_space=card.label_space,
        planes=with_geometry(card.planes) if use_engine else card.planes,
        size_multiple_px=card.size_multiple_px,
        past_frames=card.past_frames,
        weights_sha256=card.weights_sha256,
        licence=card.licence,
        device=device.type,
        dtype=options.speed.precision,
        flow="engine" if use_engine else msgspec.UNSET,
    )
    return family.make_model(ModelParts(model_card, config, network, device, options.speed, options.style, use_engine))


def guesses_flow(name: str) -> bool:
    """Return whether imported weights are of a model whose flow can be replaced by the engine's."""
    card = weights_store.read_imported_card(name)
    family = find_family(card.family)
    return family.guesses_flow(read_config(card, family))


def announce(name: str, device: torch.device) -> None:
    """Say what imported weights need in memory and time on a device, and if that is too much to drive with.

    The time is an estimate: the card's operations at the rate of a short trial. Other models are not mentioned.
    """
    if not weights_store.is_imported(name):
        return
    card = weights_store.read_imported_card(name)
    height_px, width_px = card.native_size_hw
    steady = card.cost_gflop["steady"]
    rate = cost.flops_per_s(device) / 1e9
    log.info(
        "%s: %.0f M parameters, %.1f GB; a frame of %dx%d is %.0f GFLOP, %.1f GB beside them, about %.2g s here",
        name,
        card.num_parameters / 1e6,
        card.weights_bytes / 1e9,
        width_px,
        height_px,
        steady,
        card.activations_mib["steady"] * 2**20 / 1e9,
        steady / rate,
    )
    live_s = steady / rate * LIVE_SIZE_HW[0] * LIVE_SIZE_HW[1] / (height_px * width_px)
    if live_s > cost.SLOWEST_LIVE_S:
        log.warning(
            "%s is too slow to drive with here, about %.1f s a frame of %dx%d: record the drive with another model and "
            "then make its pictures with vidrive render, or drive smaller (--size)",
            name,
            live_s,
            LIVE_SIZE_HW[1],
            LIVE_SIZE_HW[0],
        )


def read_config(card: ImportedCard, family: Family) -> Any:
    """Return the configuration of a card as its family's type; raises WeightsError if it is not one."""
    try:
        return msgspec.convert(card.config, family.config_type)
    except msgspec.ValidationError as error:
        raise WeightsError(
            f"the card of {card.name} describes no {card.family} of this version ({error})", "Import the weights again"
        ) from None


def load_network(card: ImportedCard, family: Family, config: Any) -> nn.Module:
    """Return the network of a card with its weights, on the CPU in float32 and evaluation mode."""
    path = weights_store.tensors_path(card.name)
    try:
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"the weights {path} cannot be read ({error})", "Import them again") from None
    with torch.device("meta"):
        network = family.build(config)
    check_fit(shapes_of(network), {key: tuple(value.shape) for key, value in tensors.items()})
    network.load_state_dict(tensors, strict=True, assign=True)
    return network.eval().requires_grad_(False)
