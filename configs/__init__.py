"""Presets in YAML and their typed loader: complete, literal, read through `importlib.resources`."""

from __future__ import annotations

from importlib import resources
from typing import TypeVar

import msgspec

T = TypeVar("T")


def preset_names(kind: str) -> tuple[str, ...]:
    """Return the names of the presets of a kind (a folder of configs: "models", "rigs" and so on), sorted."""
    folder = resources.files("configs") / kind
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def load_preset(kind: str, name: str, schema: type[T]) -> T:
    """Return one preset as `schema`; raises KeyError for an unknown name and ValueError, with the path of the field,
    for a preset that does not fit."""
    if name not in preset_names(kind):
        raise KeyError(name)
    text = (resources.files("configs") / kind / f"{name}.yaml").read_bytes()
    try:
        return msgspec.yaml.decode(text, type=schema)
    except msgspec.ValidationError as error:
        raise ValueError(f"preset {kind}/{name}: {error}") from None
