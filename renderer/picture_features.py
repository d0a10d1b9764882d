"""Features of pictures as plain arrays, by the feature network that ships as a package, or by a file of the user's."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bridge.protocol.errors import UsageError, WeightsError
from renderer.train.perceptual import load_feature_network, weights_file

DEFAULT_NAME: Final = "efficientnet-lite0"
_BATCH: Final = 8
_MEAN_RGB: Final = (0.485, 0.456, 0.406)
_DEVIATION_RGB: Final = (0.229, 0.224, 0.225)
_TRANSFORMER_PX: Final = 224  # a multiple of every patch size in use
_Embed = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FeatureExtractor:
    """A named network with the sha256 of its file; `embed` takes (B,H,W,3) u8 pictures and gives (B,C) features."""

    name: str
    sha256: str
    _embed: _Embed

    @torch.no_grad()
    def embed(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return one feature vector a picture, (N,C) float32, of (H,W,3) u8 RGB pictures of one size."""
        features = []
        for start in range(0, len(pictures), _BATCH):
            rgb_BHW3 = torch.from_numpy(np.stack(pictures[start : start + _BATCH]))
            features.append(self._embed(rgb_BHW3.permute(0, 3, 1, 2)).float().numpy())
        return np.concatenate(features)


def open_extractor(path: Path | None = None) -> FeatureExtractor:
    """Return the default extractor, or that of a TorchScript file; see `_scripted` for what it is called with.

    Raises UsageError where the package or the file is missing, WeightsError for a file that is no such network.
    """
    if path is None:
        network = load_feature_network()
        return FeatureExtractor(
            DEFAULT_NAME, _sha256(weights_file()), lambda rgb_B3HW: network.embed(rgb_B3HW.float() / 127.5 - 1)
        )
    return FeatureExtractor(path.name, _sha256(path), _scripted(path))


def load_script(path: Path) -> torch.jit.ScriptModule:
    """Return the network of a TorchScript file; raises WeightsError for what is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # old, and still what published files are in
            return torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0].partition(". ")[0]  # torch goes on to guess at causes
        raise WeightsError(
            f"{path} is no TorchScript file ({reason})", "Export the network by torch.jit.save"
        ) from None


def normalized(rgb_B3HW: Tensor) -> Tensor:
    """Return u8 pictures as float32 with ImageNet's mean and deviation taken out."""
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (_MEAN_RGB, _DEVIATION_RGB))
    return (rgb_B3HW.float() / 255 - mean) / deviation


def _scripted(path: Path) -> _Embed:
    """The first way to call a network that works, of those that published files want.

    u8 (B,3,H,W) with `return_features` (NVIDIA's Inception), u8 alone (torch-fidelity's), or 224x224 float32 with
    ImageNet's mean and deviation taken out (DINOv2 and classifiers). Maps of features are averaged over the picture.
    """
    network = load_script(path)

    def as_float(rgb_B3HW: Tensor) -> Tensor:
        size_px = (_TRANSFORMER_PX, _TRANSFORMER_PX)
        return network(F.interpolate(normalized(rgb_B3HW), size_px, mode="bicubic", antialias=True))

    ways: tuple[_Embed, ...] = (
        lambda rgb_B3HW: network(rgb_B3HW, return_features=True),
        lambda rgb_B3HW: network(rgb_B3HW),
        as_float,
    )
    trial_B3HW = torch.zeros(2, 3, 240, 320, dtype=torch.uint8)
    reason = ""
    for way in ways:
        try:
            with torch.no_grad():
                features = _vectors(way(trial_B3HW))
        except (RuntimeError, TypeError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1]
            continue
        if features is not None and features.shape[0] == 2:
            return lambda rgb_B3HW, way=way: _known(_vectors(way(rgb_B3HW)))
    raise WeightsError(
        f"{path} gives no features of pictures ({reason or 'its output is no tensor'})",
        "Give a network that takes (B,3,H,W) pictures and returns (B,C) features",
    )


def _vectors(output: object) -> Tensor | None:
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, Tensor) or output.ndim < 2:
        return None
    return output.mean((2, 3)) if output.ndim == 4 else output.flatten(1)


def _known(features: Tensor | None) -> Tensor:
    assert features is not None, "it was tried"
    return features


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", "Name a TorchScript file") from None


def fit_picture(rgb: NDArray[np.uint8], width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Return the middle of a picture in the wished shape, resampled by area, (height_px,width_px,3) u8."""
    height, width = rgb.shape[:2]
    kept_height, kept_width = min(height, width * height_px // width_px), min(width, height * width_px // height_px)
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    middle = rgb[top : top + kept_height, left : left + kept_width]
    if middle.shape[:2] == (height_px, width_px):
        return np.ascontiguousarray(middle)
    shrinks = middle.shape[1] > width_px
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(middle, (width_px, height_px), interpolation=how), np.uint8)
