"""Models by name: a preset of configs/models whose weights ship, weights that were imported, or a weights file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from safetensors import SafetensorError

from bridge.protocol.errors import UsageError, WeightsError
from bridge.protocol.messages import ModelCard, PlaneName
from configs import load_preset, preset_names
from renderer import weights_catalogue, weights_store
from renderer.backends.calibration import Calibration
from renderer.backends.choice import BackendName, make_runner, numbers
from renderer.backends.runner import Runner, open_device
from renderer.models import style
from renderer.models.base import Model
from renderer.models.imported import ModelOptions, load_imported
from renderer.models.live import LiveGenerator, load_live
from renderer.models.reprojecting import ReprojectingModel
from renderer.models.stabilised import StabilisedModel

log: Final = logging.getLogger("renderer")
DEFAULT_MODEL: Final = "street-photo"


class ModelPreset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of configs/models. `restricted` licences, such as non-commercial ones, are named in the log.

    A published generator has no `weights` here: who holds them imports them. Its `config` is its family's. In
    `leafless_styles` trees are bare; `bark` says whether the weights know what trunks look like.
    """

    name: str
    family: str
    weights: str
    licence: str
    restricted: bool
    label_space: str
    planes: tuple[PlaneName, ...]
    size_multiple_px: int
    past_frames: int
    config: dict[str, Any] | None = None
    leafless_styles: tuple[str, ...] = ()
    bark: bool = True


_LOADERS: Final[dict[str, Callable[[Path], LiveGenerator]]] = {"live": load_live}


def model_names() -> tuple[str, ...]:
    """Return the names of the models that presets describe."""
    return preset_names("models")


def find_preset(name: str) -> ModelPreset:
    """Return a model's preset by name, or that of the default model with other weights by the path of a file.

    Raises WeightsError, with the known names, for anything else.
    """
    if name in model_names():
        return load_preset("models", name, ModelPreset)
    if name.endswith(weights_catalogue.SUFFIX):
        default = load_preset("models", DEFAULT_MODEL, ModelPreset)
        return msgspec.structs.replace(default, name=Path(name).stem, weights=name, licence="unknown", restricted=False)
    known = ", ".join((*shipped_names(), *weights_store.imported_names()))
    raise WeightsError(f"there is no model {name!r}", f"Use one of {known}, or the path of a .safetensors file")


def shipped_names() -> tuple[str, ...]:
    """Return the names of the models whose weights ship."""
    return tuple(name for name in model_names() if load_preset("models", name, ModelPreset).weights)


def load_model(
    name: str = DEFAULT_MODEL,
    device_name: str = "cpu",
    options: ModelOptions | None = None,
    backend: BackendName = "eager",
    wrap: Callable[[Runner], Runner] | None = None,
    calibration: Calibration | None = None,
) -> Model:
    """Return a model, ready to step; `backend` runs the family "live", the published generators run in torch.

    `wrap` may put something around the runner of the family "live"; int8 takes its ranges from a `calibration`.

    Raises WeightsError for unknown, missing or damaged weights, UsageError for a device or backend that is not there.
    """
    if name not in shipped_names() and weights_store.is_imported(name):
        if backend not in ("auto", "eager"):
            raise UsageError(f"{name} is a published generator, and those run in torch", "Leave --backend out")
        options = options or ModelOptions()
        model = load_imported(name, open_device(device_name), options)
        return StabilisedModel(model) if options.stabilise else model
    preset = find_preset(name)
    if options is not None and options.stabilise:
        raise UsageError(f"{name} blends its pictures with the last ones by itself", "Leave --stabilise out")
    if options is not None and options.flow == "engine" and preset.weights:
        raise UsageError(f"{name} moves its pictures by the engine's motion already", "Leave --flow out")
    if not preset.weights:
        raise WeightsError(
            f"the weights of {name} are not here: vidrive neither ships nor fetches what others published",
            f"If you hold them: vidrive weights import PATH --name {name}",
        )
    path = weights_catalogue.find_weights(preset.weights)
    weights_card = weights_catalogue.read_card(path)
    sha256 = weights_catalogue.verify(path, weights_card)
    device = open_device(device_name)
    network = _load_network(preset.family, path)
    styles = network.config.styles
    network, leafless = _in_style(network, preset, None if options is None else options.style, name)
    runner = make_runner(network, device, backend, calibration)
    runner = runner if wrap is None else wrap(runner)
    licence = weights_card.licence or preset.licence
    if preset.restricted:
        log.warning("the weights of %s are licensed for restricted use: %s", preset.name, licence)
    card = make_card(preset, sha256, licence, device, numbers(runner), styles)
    return ReprojectingModel(card, runner, device, tones=network.config.tones, leafless=leafless, bark=preset.bark)


def _in_style(
    network: LiveGenerator, preset: ModelPreset, chosen: style.Style | None, name: str
) -> tuple[LiveGenerator, bool]:
    """Return the generator of one look, and whether trees are bare in it; raises UsageError for a style it has not."""
    styles = network.config.styles
    if not styles:
        if chosen is not None:
            style.refuse(name)
        return network, False
    shares = style.style_shares(chosen, styles, name)
    bare = sum(share for each, share in zip(styles, shares, strict=True) if each in preset.leafless_styles)
    return network.in_style(shares), bare > 0.5


def _load_network(family: str, path: Path) -> LiveGenerator:
    if family not in _LOADERS:
        raise WeightsError(f"there is no family of models {family!r}", f"Known are {', '.join(_LOADERS)}")
    try:
        return _LOADERS[family](path)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, msgspec.DecodeError) as error:
        reason = str(error).splitlines()[0].removeprefix(f"{path}: ") if str(error) else type(error).__name__
        raise WeightsError(
            f"the weights {path} are damaged or of another family than {family} ({reason})", "Get the file again"
        ) from None


def make_card(
    preset: ModelPreset, sha256: str, licence: str, device: torch.device, dtype: str, styles: tuple[str, ...] = ()
) -> ModelCard:
    """Return what a client is told of a model that runs on a device in a precision."""
    return ModelCard(
        name=preset.name,
        family=preset.family,
        label_space=preset.label_space,
        planes=preset.planes,
        size_multiple_px=preset.size_multiple_px,
        past_frames=preset.past_frames,
        weights_sha256=sha256,
        licence=licence,
        device=device.type,
        dtype=dtype,
        styles=styles or msgspec.UNSET,
    )
