"""What a family of published generators offers, and how one is recognised in the files of a checkpoint.

Parameters keep upstream's own names, with the role of their network before them: "G0.model_down_seg.1.weight". So a
checkpoint becomes ours by dropping what nobody reads; there is no table of names to be wrong.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec
import torch
from torch import Tensor, nn

from bridge.protocol.errors import WeightsError
from bridge.protocol.messages import ModelCard, PlaneName
from renderer.models.base import Model
from renderer.models.speed import Speed

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
"""Key to shape of one network, without wrappers' prefixes."""

# In the order in which a checkpoint is offered to them: what vid2vid makes first frames with is pix2pixHD by its keys.
_MODULES: Final = {
    "vid2vid": "renderer.models.vid2vid",
    "imaginaire": "renderer.models.imaginaire",
    "spade": "renderer.models.spade",
    "pix2pixhd": "renderer.models.pix2pixhd",
}


@dataclass(frozen=True)
class Recognition:
    """What a checkpoint was found to be.

    `config` is the family's; `roles` maps each network's role to the source it comes from; `unused` are sources of
    this family that synthesis has no need of, such as discriminators; `notes` are sentences for people.
    """

    family: str
    config: msgspec.Struct
    roles: Mapping[str, str]
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Traits:
    """What follows from a configuration for who feeds the model; `native_size_hw` is what it was trained for.

    `dense_channels` counts the planes of edge maps or poses that it reads in place of labels, 0 if it reads labels.
    """

    label_space: str
    planes: tuple[PlaneName, ...]
    size_multiple_px: int
    native_size_hw: tuple[int, int]
    past_frames: int
    dense_channels: int = 0


@dataclass(frozen=True)
class ModelParts:
    """All that a loaded model is made of; `network` holds its weights, in evaluation mode, on the CPU.

    `style` is the family's own kind of look, None for its default.
    """

    card: ModelCard
    config: Any
    network: nn.Module
    device: torch.device
    speed: Speed
    style: Any = None
    engine_flow: bool = False
    """Whether the engine's exact motion stands in for the flow that the network guesses; see `Family.guesses_flow`."""


@dataclass(frozen=True)
class Family:
    """One family of published generators: a module of this package names one as FAMILY.

    `recognise` takes {source: shapes} of all networks of a checkpoint; it returns None if none is of this family and
    raises WeightsError if they are and do not fit together. `build` returns the network with keys "<role>.<key>" and
    nothing else; on the meta device too. `adapt` takes a network's role and its file's tensors and returns those that
    `build` has, without the role. `dry_run` runs a frame of a size (height, width) on the network's device and yields
    the kind of frame, "first" or "steady", after each. `apply_options` returns the configuration with what upstream's
    options, {name: text}, say beyond the keys, and raises WeightsError where they contradict the files; `notes` returns
    sentences for people on a configuration and the options it was made with. `guesses_flow` tells of a configuration
    whether its flow can be replaced by the engine's.
    """

    name: str
    licence: str
    config_type: type[msgspec.Struct]
    recognise: Callable[[Mapping[str, Shapes]], Recognition | None]
    apply_options: Callable[[Any, Mapping[str, str]], Any]
    build: Callable[[Any], nn.Module]
    adapt: Callable[[Any, str, Mapping[str, Tensor]], dict[str, Tensor]]
    traits: Callable[[Any], Traits]
    make_model: Callable[[ModelParts], Model]
    dry_run: Callable[[Any, Any, tuple[int, int]], Iterator[str]]
    notes: Callable[[Any, Mapping[str, str]], tuple[str, ...]] = lambda _config, _options: ()
    guesses_flow: Callable[[Any], bool] = lambda _config: False


def family_names() -> tuple[str, ...]:
    """Return the names of the families, in the order in which they are offered a checkpoint."""
    return tuple(name for name, module in _MODULES.items() if importlib.util.find_spec(module))


def find_family(name: str) -> Family:
    """Return a family by name; raises WeightsError for an unknown one."""
    if name not in family_names():
        raise WeightsError(f"there is no family of models {name!r}", f"Known are {', '.join(family_names())}")
    return importlib.import_module(_MODULES[name]).FAMILY


def recognise(networks: Mapping[str, Shapes]) -> Recognition:
    """Return what the networks of a checkpoint are, {source: shapes}; raises WeightsError if they are nothing known."""
    for name in family_names():
        try:
            recognition = find_family(name).recognise(networks)
        except (IndexError, KeyError, ValueError) as error:
            raise WeightsError(
                f"the checkpoint has tensors of shapes that no {name} generator has ({error})", "Get the file again"
            ) from None
        if recognition is not None:
            return recognition
    keys = next((next(iter(shapes)) for shapes in networks.values() if shapes), "none at all")
    raise WeightsError(
        f"no known generator has networks of these keys (the first is {keys})",
        f"Give a checkpoint of one of these families: {', '.join(family_names())}",
    )


def check_fit(expected: Shapes, found: Shapes, cause: str = "") -> None:
    """Raise WeightsError, with key and both shapes, if a network's tensors are not exactly those that are expected.

    `cause` is what a difference most likely comes from, one sentence without a full stop.
    """
    for key in sorted(expected.keys() & found.keys()):
        if tuple(expected[key]) != tuple(found[key]):
            raise WeightsError(
                f"tensor {key} has shape {tuple(found[key])}, and the rest of the checkpoint asks for "
                f"{tuple(expected[key])}",
                cause or "Give files that were trained together",
            )
    for what, keys in (("misses", expected.keys() - found.keys()), ("has", found.keys() - expected.keys())):
        if keys:
            first, more = min(keys), f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            surplus = ", which this generator has no place for" if what == "has" else ""
            raise WeightsError(
                f"the checkpoint {what} the tensor {first}{more}{surplus}",
                cause or "Give files that were trained together",
            )


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return key to shape of a network's parameters and buffers."""
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}
