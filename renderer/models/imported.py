"""Loads imported weights: the card says which family and configuration, the family makes a model of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from bridge.protocol.errors import WeightsError
from bridge.protocol.messages import ModelCard
from renderer import weights_store
from renderer.models.base import Model
from renderer.models.family import Family, ModelParts, check_fit, find_family, shapes_of
from renderer.models.speed import Speed
from renderer.weights_store import ImportedCard

log: Final = logging.getLogger("renderer")


@dataclass(frozen=True)
class ModelOptions:
    """What may be chosen when a model is loaded: how it is computed, and the look, None for its own."""

    speed: Speed = field(default_factory=Speed)
    style: Any = None


def load_imported(name: str, device: torch.device, options: ModelOptions) -> Model:
    """Return a model of imported weights; raises WeightsError if they are damaged or of a family that is not known."""
    card = weights_store.verify_imported(name)
    family = find_family(card.family)
    config = read_config(card, family)
    network = load_network(card, family, config)
    log.warning("the weights of %s are not vidrive's, and licensed for restricted use: %s", name, card.licence)
    model_card = ModelCard(
        name=card.name,
        family=card.family,
        label_space=card.label_space,
        planes=card.planes,
        size_multiple_px=card.size_multiple_px,
        past_frames=card.past_frames,
        weights_sha256=card.weights_sha256,
        licence=card.licence,
        device=device.type,
        dtype=options.speed.precision,
    )
    return family.make_model(ModelParts(model_card, config, network, device, options.speed, options.style))


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
