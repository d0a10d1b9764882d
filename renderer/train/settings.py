"""`--set key=value`: a preset with some of its values changed, checked as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from bridge.protocol.errors import UsageError

_Preset = TypeVar("_Preset", bound=msgspec.Struct)
_EXAMPLE = "Write, for example, --set schedule.precision=bfloat16"


def apply_settings(preset: _Preset, settings: Sequence[str]) -> _Preset:
    """Return the preset with each `part.field=value` set; a number between dots is a place in a list.

    Values are read as YAML. Raises UsageError for a field that is not there or a value that does not fit.
    """
    tree: Any = msgspec.json.decode(msgspec.json.encode(preset))
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting} is not key=value", _EXAMPLE)
        try:
            value = msgspec.yaml.decode(text.encode())
        except msgspec.DecodeError:
            raise UsageError(f"--set {setting}: {text!r} is no value", _EXAMPLE) from None
        _place(tree, path, value)
    try:
        return msgspec.convert(tree, type(preset), strict=True)
    except (msgspec.ValidationError, ValueError) as error:
        raise UsageError(f"the settings do not fit: {error}", "Compare them with the preset in configs") from None


def _place(tree: Any, path: str, value: Any) -> None:
    *way, last = path.split(".")
    for key in way:
        tree = tree[_index(tree, key, path)]
    tree[_index(tree, last, path)] = value


def _index(tree: Any, key: str, path: str) -> str | int:
    if isinstance(tree, dict):
        if key in tree:
            return key
        raise UsageError(f"--set {path}: there is no {key!r}", f"There are {', '.join(tree)}")
    if isinstance(tree, list) and key.isdigit() and int(key) < len(tree):
        return int(key)
    raise UsageError(f"--set {path}: there is nothing at {key!r}", _EXAMPLE)
