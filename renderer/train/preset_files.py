"""Which trainer a preset is of, and the preset itself: by the name of one that ships, or by the path of a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from bridge.protocol.errors import UsageError
from configs import load_preset, preset_names

LIVE: Final = "train"
VIDEO: Final = "train_video"
SEGMENTATION: Final = "train_segmentation"
KINDS: Final = (LIVE, VIDEO, SEGMENTATION)
"""The folders of configs, one for each trainer."""
_SUFFIX: Final = ".yaml"
_SIGNS: Final = {VIDEO: "objective", SEGMENTATION: "network"}  # parts that the presets of no other kind have

_Preset = TypeVar("_Preset", bound=msgspec.Struct)


def kind_of(name: str) -> str:
    """Return the kind of a preset, one of `KINDS`; the live family's for what is none, which `find_preset` refuses."""
    if not name.endswith(_SUFFIX):
        return next((kind for kind in KINDS if name in preset_names(kind)), LIVE)
    try:
        tree: Any = msgspec.yaml.decode(Path(name).read_bytes())
    except (OSError, ValueError):
        return LIVE
    return next((kind for kind, sign in _SIGNS.items() if isinstance(tree, dict) and sign in tree), LIVE)


def find_preset(kind: str, name: str, schema: type[_Preset]) -> _Preset:
    """Return a preset of a kind by its name, or by the path of a .yaml file; raises UsageError for what is none."""
    try:
        if name.endswith(_SUFFIX):
            return msgspec.yaml.decode(Path(name).read_bytes(), type=schema)
        return load_preset(kind, name, schema)
    except KeyError:
        known = ", ".join(one for kind in KINDS for one in preset_names(kind))
        raise UsageError(f"there is no training preset {name!r}", f"Use one of {known}, or a {_SUFFIX} file") from None
    except OSError as error:
        raise UsageError(f"the preset {name} cannot be read ({error.strerror})", "Check the path") from None
    except (ValueError, msgspec.MsgspecError) as error:
        raise UsageError(f"the preset {name} does not fit: {error}", f"Compare it with configs/{kind}") from None
