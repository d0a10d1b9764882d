"""Reads checkpoint files of any torch since 0.3 without running anything in them.

A checkpoint is a pickle, and a pickle is a program. Only torch's own reader that knows tensors and plain containers is
used (`weights_only=True`), what it returns is bounded by the file's size, and everything else in it is refused.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from bridge.protocol.errors import WeightsError
from renderer.weights_archive import check_kind

MAX_TENSORS: Final = 100_000
_SLACK_BYTES: Final = 1 << 20  # a small file may hold a few tensors of one shared value
_GLOBAL: Final = re.compile(r"(?:GLOBAL|Unsupported (?:global|class))\W+(?:GLOBAL )?([\w.]+)", re.IGNORECASE)
_WRAPPER: Final = re.compile(r"^(?:module\.)+")
_AGAIN: Final = "Get the file again"

TensorTree = Mapping[str, Tensor]


def read_tensors(path: Path, name: str) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint file, on the CPU, keys without `module.` prefixes.

    An imaginaire checkpoint (a dict with `net_G`) gives its generator, the moving average where it has one. `name` is
    what people know the file by. Raises WeightsError for what is damaged, empty, holds code, or is no state dict.
    """
    check_kind(path)
    _check_container(path, name)
    return strip_prefixes(_tensors_of(_load(path, name), name, path.stat().st_size))


def _check_container(path: Path, name: str) -> None:
    """Refuse what neither of torch's two containers is, and the newer one, a zip, if it is damaged or packed."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(b"\x80"):
        return
    if start != b"PK\x03\x04":
        raise WeightsError(f"{name} is not a checkpoint of torch, whatever its name says", _AGAIN)
    try:
        with zipfile.ZipFile(path) as container:
            if sum(member.file_size for member in container.infolist()) > path.stat().st_size:
                raise WeightsError(f"{name} unpacks to more than its own size, as no checkpoint does", "Do not use it")
            broken = container.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise WeightsError(f"{name} is damaged or cut short ({error})", _AGAIN) from None
    if broken is not None:
        raise WeightsError(f"{name} is damaged: the checksum of {broken} is wrong", _AGAIN)


def _load(path: Path, name: str) -> object:
    is_zip = zipfile.is_zipfile(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other pickle protocols: what cannot be read is refused below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        if found := _GLOBAL.search(str(error)):
            raise WeightsError(
                f"{name} holds a reference to {found[1].rstrip('.')}, and a checkpoint of tensors holds no code",
                "Nothing of it was run; do not use it, or save its state dict alone",
            ) from None
        raise WeightsError(f"{name} is damaged or cut short ({_first_line(error)})", _AGAIN) from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, OSError) as error:
        raise WeightsError(f"{name} is damaged or cut short ({_first_line(error)})", _AGAIN) from None
    except (MemoryError, OverflowError, AssertionError, RecursionError) as error:
        raise WeightsError(f"{name} claims what it cannot hold ({type(error).__name__})", "Do not use it") from None


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".")[:160] if text else type(error).__name__


def _tensors_of(loaded: object, name: str, size_bytes: int) -> dict[str, Tensor]:
    """Return the flat state dict in what a checkpoint held."""
    for wrapper in ("net_G", "state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not loaded:
        raise WeightsError(f"{name} holds no state dict but {_describe(loaded)}", "Save the network's state_dict()")
    if len(loaded) > MAX_TENSORS:
        raise WeightsError(f"{name} holds {len(loaded)} tensors, more than any network", "Do not use it")
    tensors: dict[str, Tensor] = {}
    total_bytes = 0
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"{name} holds {_describe(value)} at {str(key)[:80]!r} where a tensor belongs",
                "Save the network's state_dict()",
            )
        if value.layout is not torch.strided or value.is_quantized or value.is_complex():
            raise WeightsError(f"{name} holds a tensor of a foreign kind at {key!r}", "Save plain float tensors")
        total_bytes += value.numel() * value.element_size()
        tensors[key] = value.detach()
    if total_bytes > size_bytes + _SLACK_BYTES:
        raise WeightsError(f"{name} claims tensors of {total_bytes} bytes in {size_bytes}", "Do not use it")
    return tensors


def _describe(value: object) -> str:
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a value of type {type(value).__name__}"


def strip_prefixes(tensors: TensorTree) -> dict[str, Tensor]:
    """Return the tensors without the wrappers' prefixes; of a network with its moving average, the average.

    imaginaire stores `module.module.*` (live) beside `module.averaged_model.*` (used at test time).
    """
    bare = {_WRAPPER.sub("", key): value for key, value in tensors.items()}
    average = "averaged_model."
    if any(key.startswith(average) for key in bare):
        bare = {key[len(average) :]: value for key, value in bare.items() if key.startswith(average)}
        return {_WRAPPER.sub("", key): value for key, value in bare.items()}
    bare.pop("num_updates_tracked", None)
    return bare


def check_finite(tensors: TensorTree, name: str) -> None:
    """Raise WeightsError, with the key, if a tensor holds what is not a finite number."""
    for key, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            bad = int((~torch.isfinite(value)).sum())
            raise WeightsError(
                f"{name}: {key} holds {bad} of {value.numel()} values that are no finite numbers",
                "The training had diverged, or the file is damaged; use an earlier epoch",
            )
