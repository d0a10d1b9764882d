"""Presets in YAML and their typed loader: complete, literal, read through `importlib.resources`."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")


class PresetError(ValueError):
    """A preset, or a file in a preset's form, that cannot be used: `what` is wrong, and as `hint` what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what, hint)
        self.what = what
        self.hint = hint


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


def load_preset_or_file(kind: str, name: str, schema: type[T]) -> T:
    """Return a preset by its name, or a YAML file in the same form by its path; raises PresetError for what is neither,
    or has a mistake in it."""
    names = preset_names(kind)
    if name in names:
        return load_preset(kind, name, schema)
    try:
        return msgspec.yaml.decode(Path(name).read_bytes(), type=schema)
    except OSError as error:
        raise PresetError(
            f"{name} cannot be read ({error.strerror})", f"Name a YAML file, or one of {', '.join(names)}"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise PresetError(f"{name} has a mistake: {reason}", f"See configs/{kind}/{names[0]}.yaml") from None
