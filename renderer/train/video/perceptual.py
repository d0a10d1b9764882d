"""The perceptual loss: VGG19's features where the user has their file, those of EfficientNet-Lite0 otherwise."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from bridge.protocol.errors import WeightsError
from renderer.train.losses import perceptual_loss
from renderer.train.perceptual import load_feature_network
from renderer.train.video.preset import PerceptualConfig

PerceptualLoss = Callable[[Tensor, Tensor], Tensor]
"""Takes drawn and real pictures (B,3,H,W) in [-1, 1]; gradients flow to the drawn ones."""

_CONVOLUTIONS: Final = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)  # places in torchvision's `features`
_COMPARED: Final = {0: 1 / 32, 5: 1 / 16, 10: 1 / 8, 19: 1 / 4, 28: 1.0}  # relu1_1, 2_1, 3_1, 4_1, 5_1
_POOLED_BEFORE: Final = (5, 10, 19, 28)
_WIDEST_PX: Final = 1024
_LITE0_FLOOR: Final = 0.1
_GET_VGG: Final = "Give torchvision's vgg19-dcbb9e9d.pth with --set perceptual.weights=PATH, or use lite0"


class Vgg19Loss:
    """Weighted mean absolute differences of five feature maps of VGG19 (Johnson et al. 2016; Wang et al. 2018).

    Pictures go in as they are, in [-1, 1], as vid2vid trains with; those wider than 1024 px are halved first.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._layers = {
            place: (tensors[f"features.{place}.weight"].float(), tensors[f"features.{place}.bias"].float())
            for place in _CONVOLUTIONS
        }

    def __call__(self, drawn_B3HW: Tensor, real_B3HW: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        while drawn_B3HW.shape[3] > _WIDEST_PX:
            drawn_B3HW, real_B3HW = F.avg_pool2d(drawn_B3HW, 2), F.avg_pool2d(real_B3HW, 2)
        with torch.no_grad():
            real = self._features(real_B3HW)
        drawn = self._features(drawn_B3HW)
        terms = [
            weight * (ours.float() - theirs.float()).abs().mean()
            for weight, ours, theirs in zip(_COMPARED.values(), drawn, real, strict=True)
        ]
        return torch.stack(terms).sum()

    def _features(self, x: Tensor) -> list[Tensor]:
        features: list[Tensor] = []
        for place in _CONVOLUTIONS:
            if place in _POOLED_BEFORE:
                x = F.max_pool2d(x, 2)
            weight, bias = (tensor.to(x.device) for tensor in self._layers[place])
            x = F.relu(F.conv2d(x, weight, bias, padding=1))
            if place in _COMPARED:
                features.append(x)
        return features


class Lite0Loss:
    """Differences of features of EfficientNet-Lite0, each level relative to how strong its features are."""

    def __init__(self, device: torch.device) -> None:
        self._network = load_feature_network().to(device)

    def __call__(self, drawn_B3HW: Tensor, real_B3HW: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        with torch.no_grad():
            real = self._network.features(real_B3HW)
        return perceptual_loss(self._network.features(drawn_B3HW), real, _LITE0_FLOOR)


def make_perceptual_loss(config: PerceptualConfig, device: torch.device) -> PerceptualLoss | None:
    """Return the loss of a preset, None for none; raises WeightsError or UsageError for weights that are not there."""
    if config.network == "none":
        return None
    return Lite0Loss(device) if config.network == "lite0" else _load_vgg(config.weights, device)


def _load_vgg(path: str, device: torch.device) -> Vgg19Loss:
    if not path or not Path(path).is_file():
        raise WeightsError(f"the weights of VGG19 are not at {path!r}", _GET_VGG)
    try:
        loss = Vgg19Loss(torch.load(path, map_location=device, weights_only=True))
        with torch.no_grad():
            loss(*(torch.zeros(1, 3, 32, 32, device=device) for _ in range(2)))
    except (OSError, RuntimeError, KeyError, AttributeError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path} does not hold the weights of VGG19 ({str(error)[:100]})", _GET_VGG) from None
    return loss
