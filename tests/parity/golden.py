"""Stored cases of the published generators: inputs, and some pixels of what upstream's own networks made of them.

The numbers come from running the published networks in float32 on a CPU with narrow widths and frozen random weights;
`frozen_weights` makes the same weights again, bit for bit, from nothing but keys and shapes. A case's `noise` is how
far upstream's own float32 is from its float64: ten times that is as near as another order of sums is expected to come.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FOLDER = Path(__file__).parents[1] / "fixtures" / "generators"
FLOOR = {"flow": 2e-4}


@dataclass(frozen=True)
class GoldenCase:
    """One case: arrays by name, where in a picture the stored pixels are (rows, columns), and upstream's noise."""

    name: str
    arrays: Mapping[str, NDArray]
    step: int
    noise: Mapping[str, float]

    def limit(self, what: str) -> float:
        """Return how far a port may be from the stored numbers of that name."""
        return max(10 * self.noise[what], FLOOR.get(what, 5e-5))

    def sampled(self, picture: Tensor) -> Tensor:
        """Return the pixels of (..., H, W) that are stored."""
        return picture[..., :: self.step, 1 :: self.step]


def load_case(name: str) -> GoldenCase:
    """Return a stored case by name."""
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files if key != "about"}
        about = json.loads(str(file["about"]))
    return GoldenCase(name, arrays, about["step"], about["noise"])


def frozen_weights(case: str, network: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return the frozen random tensors of one network of a case, by upstream's name of the network."""
    tensors = {}
    for key, shape in shapes.items():
        kind = _kind(key, shapes)
        tensor = _frozen(f"{case}|{network}|{key}", shape, kind)
        if "model_final_flow" in key or "conv_flow" in key:
            tensor = tensor * 0.15
        if key.startswith("model_down_img") and kind in ("norm weight", "norm bias"):
            tensor = tensor * 0.2
        tensors[key] = tensor
    for key in [key for key in tensors if key.endswith(".weight_orig")]:
        _settle_spectral_norm(tensors, key.removesuffix(".weight_orig"))
    return tensors


def _settle_spectral_norm(tensors: dict[str, Tensor], owner: str) -> None:
    """Replace the random vectors of a spectral norm by those that fifteen power iterations make of them."""
    matrix = tensors[f"{owner}.weight_orig"].flatten(1).double()
    u = tensors[f"{owner}.weight_u"].double()
    v = tensors[f"{owner}.weight_v"].double()
    for _ in range(15):
        v = torch.nn.functional.normalize(matrix.t() @ u, dim=0, eps=1e-12)
        u = torch.nn.functional.normalize(matrix @ v, dim=0, eps=1e-12)
    tensors[f"{owner}.weight_u"], tensors[f"{owner}.weight_v"] = u.float(), v.float()


def _frozen(seed_text: str, shape: tuple[int, ...], kind: str) -> Tensor:
    seed = np.frombuffer(hashlib.sha256(seed_text.encode()).digest()[:16], dtype=np.uint32)
    values = np.random.RandomState(seed).standard_normal(int(np.prod(shape))).reshape(shape)
    if kind == "convolution":
        values = values / np.sqrt(np.prod(shape[1:]))
    elif kind == "transposed":
        values = values / np.sqrt(shape[0] * np.prod(shape[2:]) / 4.0)
    elif kind == "norm weight":
        values = 1.0 + 0.2 * values
    elif kind == "running_var":
        values = 0.5 + 1.5 * np.abs(values)
    elif kind == "unit vector":
        values = values / (np.linalg.norm(values) + 1e-12)
    else:
        values = {"bias": 0.1, "norm bias": 0.2, "running_mean": 0.5}[kind] * values
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _kind(key: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    owner, _, leaf = key.rpartition(".")
    weight = shapes.get(f"{owner}.weight", shapes.get(f"{owner}.weight_orig"))
    if leaf in ("running_mean", "running_var"):
        return leaf
    if leaf in ("weight_u", "weight_v"):
        return "unit vector"
    if leaf == "bias":
        return "norm bias" if weight is not None and len(weight) == 1 else "bias"
    if len(shapes[key]) == 1:
        return "norm weight"
    bias = shapes.get(f"{owner}.bias")
    return "transposed" if bias is not None and bias[0] != shapes[key][0] else "convolution"
