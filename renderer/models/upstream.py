"""State dicts of published checkpoints as plain ones: prefixes, statistics that nobody reads, spectral norms.

What the files of several years and torch versions have in common; what is special to a family is in its module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from bridge.protocol.errors import WeightsError

_STATISTICS: Final = ("running_mean", "running_var", "num_batches_tracked")
_PARAMETRIZED: Final = ".parametrizations.weight."


def is_running_statistic(key: str) -> bool:
    """Tell whether a key is one of a norm's running statistics: ballast where a norm uses the picture's own."""
    return key.rpartition(".")[2] in _STATISTICS


def without_statistics(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without running statistics."""
    return {key: value for key, value in tensors.items() if not is_running_statistic(key)}


def fold_spectral_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with each spectrally normalised weight as the plain `weight` that evaluation uses.

    Takes torch >= 1.0 (`weight_orig`, `weight_u`, `weight_v`), torch 0.4 (`weight`, `weight_u`: the weight that was
    in use when the file was written), and parametrizations (`parametrizations.weight.original`, `.0._u`, `.0._v`).
    W = W_orig / (u . W_mat v), W_mat with the output channels as rows (Miyato et al. 2018, section 2.1).
    """
    plain = {key: value for key, value in tensors.items() if not _belongs_to_spectral_norm(key)}
    for key, original in tensors.items():
        if key.endswith(".weight_orig"):
            owner = key.removesuffix(".weight_orig")
            u, v = _needed(tensors, f"{owner}.weight_u"), tensors.get(f"{owner}.weight_v")
        elif key.endswith(_PARAMETRIZED + "original"):
            owner = key.removesuffix(_PARAMETRIZED + "original")
            u = _needed(tensors, f"{owner}{_PARAMETRIZED}0._u")
            v = tensors.get(f"{owner}{_PARAMETRIZED}0._v")
        else:
            continue
        plain[f"{owner}.weight"] = _normalised(original, u, v)
    return plain


def _needed(tensors: Mapping[str, Tensor], key: str) -> Tensor:
    if key not in tensors:
        raise WeightsError(
            f"the checkpoint misses the tensor {key}", "Get the file again, its spectral norm is cut off"
        )
    return tensors[key]


def _belongs_to_spectral_norm(key: str) -> bool:
    return key.rpartition(".")[2] in ("weight_orig", "weight_u", "weight_v") or _PARAMETRIZED in key


def _normalised(original: Tensor, u: Tensor, v: Tensor | None) -> Tensor:
    matrix = original.reshape(original.shape[0], -1)
    if (u.numel(), matrix.shape[1] if v is None else v.numel()) != tuple(matrix.shape):
        raise WeightsError(
            f"a spectrally normalised weight of shape {tuple(original.shape)} has vectors of other lengths",
            "Get the file again",
        )
    if v is None:
        v = F.normalize(matrix.t() @ u.flatten(), dim=0, eps=1e-12)
    return original / torch.dot(u.flatten(), matrix @ v.flatten())
