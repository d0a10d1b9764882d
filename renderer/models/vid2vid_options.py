"""What no checkpoint tells and upstream's opt.txt does: which classes are foreground, where first pictures come from.

Options that keys and shapes do tell are compared with what was found: where they differ, files of several trainings
lie together.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from bridge.protocol.errors import WeightsError

# Upstream's option -> the field of a configuration that has the same meaning
_TOLD_BY_KEYS: Final = {
    "n_scales_spatial": "num_scales",
    "n_downsample_G": "num_down",
    "n_frames_G": "num_frames",
    "ngf": "width",
    "label_nc": "num_labels",
    "use_instance": "instance_edges",
    "fg": "foreground",
}


def apply_options(config: Any, options: Mapping[str, str]) -> Any:
    """Return a family's configuration with what the options add to it.

    Raises WeightsError where an option cannot be read, or says other than the checkpoint itself.
    """
    fields = set(config.__struct_fields__)
    changes: dict[str, Any] = {}
    for option, field in _TOLD_BY_KEYS.items():
        if option in options and field in fields:
            said, found = _value(options, option), getattr(config, field)
            if said != found and not (found == 0 and not said):
                raise WeightsError(
                    f"opt.txt says {option}={said}, and the files hold a network of {option}={found}",
                    "A file is missing, or files of several trainings lie together",
                )
    if "foreground_labels" in fields and "fg_labels" in options and config.foreground:
        changes["foreground_labels"] = _labels(options, config.num_labels)
    if "first_pictures" in fields:
        changes |= _first_pictures(config, options)
    if "native_size_hw" in fields and "loadSize" in options:
        changes |= _native_size(config, options)
    return msgspec.structs.replace(config, **changes)


def notes(config: Any, options: Mapping[str, str]) -> tuple[str, ...]:
    """Return what a person should know of a configuration: what was assumed, and what it must be given."""
    said: list[str] = []
    if config.foreground and "fg_labels" not in options:
        said.append("The foreground is taken to be cars (label 26), as upstream has it by default.")
    if config.first_pictures == "given":
        said.append("It draws no first frames: the first two frames of a sequence must be given.")
    return tuple(said)


def _first_pictures(config: Any, options: Mapping[str, str]) -> dict[str, Any]:
    if _flag(options, "no_first_img"):
        return {"first_pictures": "none"}
    if _flag(options, "use_real_img"):
        return {"first_pictures": "given"}
    if _flag(options, "use_single_G") and config.single is None:
        raise WeightsError(
            "opt.txt says use_single_G, and no network for first frames was found",
            "Give its *_single folder too, or --set use_real_img=True to give first frames yourself",
        )
    return {}


def _native_size(config: Any, options: Mapping[str, str]) -> dict[str, Any]:
    """The side that upstream scales to; the other keeps the shape that the family assumes."""
    height_px, width_px = config.native_size_hw
    load_px = _value(options, "loadSize")
    if not isinstance(load_px, int) or not 32 <= load_px <= 8192:
        raise WeightsError(f"the option loadSize={load_px} is no size in pixels", "Correct opt.txt")
    if options.get("resize_or_crop", "scaleWidth").startswith("scaleHeight"):
        return {"native_size_hw": (_multiple(load_px), _multiple(load_px * width_px / height_px))}
    return {"native_size_hw": (_multiple(load_px * height_px / width_px), _multiple(load_px))}


def _multiple(side_px: float) -> int:
    return max(1, round(side_px / 32)) * 32


def _labels(options: Mapping[str, str], num_labels: int) -> tuple[int, ...]:
    value = _value(options, "fg_labels")
    labels = (value,) if isinstance(value, int) else value
    if not isinstance(labels, tuple | list) or not labels or not all(type(label) is int for label in labels):
        raise WeightsError(f"the option fg_labels={options['fg_labels']} is no list of ids", "Write 24,25,26")
    if wrong := [label for label in labels if not 0 <= label < num_labels]:
        raise WeightsError(f"the foreground id {wrong[0]} is none of the model's {num_labels}", "Correct fg_labels")
    return tuple(labels)


def _flag(options: Mapping[str, str], name: str) -> bool:
    return bool(_value(options, name)) if name in options else False


def _value(options: Mapping[str, str], name: str) -> Any:
    """Return the value of an option's text as Python writes it; a word that it does not know is a text."""
    try:
        return ast.literal_eval(options[name])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return options[name]
