"""Segmentation networks: which class each pixel of a picture seems to be of, to ask whether synthesized frames say so.

An encoder of EfficientNet-Lite0's blocks (Tan and Le 2019), its norms folded into the convolutions, and a small pyramid
of features above it (Lin et al. 2017) that answers at a quarter of the size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bridge.protocol.errors import WeightsError
from bridge.protocol.labels import LabelSpace, label_id
from renderer.layers import upsample
from renderer.train.perceptual import STAGES, Stage, convolve_same
from renderer.weights_catalogue import find_weights, read_card, verify

_CONFIG_KEY: Final = "config"
_SUFFIX: Final = "-segmentation.safetensors"
_NUM_STAGES: Final = 6
_STEM_CHANNELS: Final = 32
_TAPPED: Final = (1, 2, 4, 5)  # stages whose features are read: at 1/4, 1/8, 1/16 and 1/32 of the size
SIZE_MULTIPLE_PX: Final = 32
_MEAN_RGB: Final = (0.485, 0.456, 0.406)
_DEVIATION_RGB: Final = (0.229, 0.224, 0.225)


class SegmentationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a network tells apart: the ids of a label space below `num_classes`; and the width of its pyramid."""

    label_space: LabelSpace
    num_classes: int
    channels: int


class SegmentationNetwork(nn.Module):
    """Pictures in, a score for each class and pixel out."""

    def __init__(self, config: SegmentationConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = _Same(3, _STEM_CHANNELS, 3, 2)
        self.stages = nn.ModuleList(_blocks(index) for index in range(_NUM_STAGES))
        widths = [STAGES[index].channels for index in _TAPPED]
        self.laterals = nn.ModuleList(nn.Conv2d(width, config.channels, 1) for width in widths)
        self.context = nn.Conv2d(widths[-1], config.channels, 1)
        self.refine_8 = nn.Conv2d(config.channels, config.channels, 3, padding=1)
        self.refine_4 = nn.Conv2d(config.channels, config.channels, 3, padding=1, groups=config.channels)
        self.scores = nn.Conv2d(config.channels, config.num_classes, 1)
        self.register_buffer("mean", torch.tensor(_MEAN_RGB)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION_RGB)[:, None, None], persistent=False)

    def forward(self, rgb_B3HW: Tensor) -> Tensor:
        """Return scores (B,num_classes,H/4,W/4) of pictures (B,3,H,W) in [-1, 1]; H and W multiples of 32."""
        x = ((rgb_B3HW + 1) / 2 - self.get_buffer("mean")) / self.get_buffer("deviation")
        x = F.relu6(self.stem(x))
        tapped: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in _TAPPED:
                tapped.append(x)
        level_4, level_8, level_16, level_32 = (
            lateral(features) for lateral, features in zip(self.laterals, tapped, strict=True)
        )
        level_32 = level_32 + self.context(tapped[-1].mean((2, 3), keepdim=True))
        level_8 = level_8 + upsample(level_16 + upsample(level_32))
        level_8 = level_8 + self.refine_8(F.relu(level_8))
        level_4 = level_4 + upsample(level_8)
        return self.scores(F.relu(level_4 + self.refine_4(F.relu(level_4))))


class Segmentation:
    """A trained network with what its card says; `label_map` is what it is for."""

    def __init__(self, network: SegmentationNetwork, name: str, sha256: str, licence: str) -> None:
        self.name = name
        self.sha256 = sha256
        self.licence = licence
        self.label_space: LabelSpace = network.config.label_space
        self.num_classes: int = network.config.num_classes
        self._network = network

    @torch.inference_mode()
    def label_map(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the class (H,W) u8 that each pixel of a picture (H,W,3) u8 seems to be of, at any size.

        Ids are of `label_space`; "unlabeled" is never among them. Raises ValueError for another shape or type.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise ValueError(f"a picture is (H,W,3) uint8, not {rgb.shape} {rgb.dtype}")
        height_px, width_px = rgb.shape[:2]
        rgb_13HW = torch.from_numpy(np.require(rgb, requirements=["C", "W"])).permute(2, 0, 1)[None].float() / 127.5 - 1
        beyond = (0, -width_px % SIZE_MULTIPLE_PX, 0, -height_px % SIZE_MULTIPLE_PX)
        scores = self._network(F.pad(rgb_13HW, beyond, mode="replicate"))
        return most_likely(scores, self.label_space)[0, :height_px, :width_px].to(torch.uint8).numpy()


def most_likely(scores_BChw: Tensor, label_space: LabelSpace) -> Tensor:
    """Return the class (B,H,W) int64 with the highest score, at four times the scores' size; never "unlabeled"."""
    scores_BCHW = F.interpolate(scores_BChw.float(), scale_factor=4.0, mode="bilinear")
    scores_BCHW[:, label_id(label_space, "unlabeled")] = -torch.inf
    return scores_BCHW.argmax(1)


def load_segmentation(name: str = "street-photo") -> Segmentation:
    """Return the segmentation network that ships with a look, or that of a .safetensors file.

    Raises WeightsError where there is none, or where the file is damaged or no such network.
    """
    path = find_weights(name if name.endswith(".safetensors") else name + _SUFFIX)
    card = read_card(path)
    sha256 = verify(path, card)
    try:
        network = read_segmentation(path)
    except ValueError as error:
        raise WeightsError(f"the weights {path} cannot be used ({error})", "Get the file again") from None
    return Segmentation(network, path.stem, sha256, card.licence)


def save_segmentation(path: Path, network: SegmentationNetwork, metadata: dict[str, str]) -> None:
    """Write a network as safetensors in float16, its configuration in the file's metadata."""
    tensors = {key: value.detach().to("cpu", torch.float16).contiguous() for key, value in network.state_dict().items()}
    config = msgspec.json.encode(network.config).decode()
    safetensors.torch.save_file(tensors, str(path), {**metadata, _CONFIG_KEY: config})


def read_segmentation(path: Path) -> SegmentationNetwork:
    """Return the network of a file that `save_segmentation` wrote, in float32; raises ValueError for another file."""
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a mapping)
        network = SegmentationNetwork(msgspec.json.decode(metadata[_CONFIG_KEY], type=SegmentationConfig))
        network.load_state_dict(tensors)
    except KeyError:
        raise ValueError(f"{path} holds no configuration of a segmentation network") from None
    except (safetensors.SafetensorError, msgspec.MsgspecError, RuntimeError) as error:
        raise ValueError(f"{path} is no segmentation network ({str(error).splitlines()[0]})") from None
    return network.eval()


def confusion(true_labels: NDArray[np.uint8], found: NDArray[np.uint8], label_space: LabelSpace) -> NDArray[np.int64]:
    """Return how many pixels of each true class (rows, 256) were found to be of each (columns, 256).

    Both maps have one shape and are of `label_space`; pixels that truly are "unlabeled" are left out. Raises
    ValueError for maps of different shapes.
    """
    if true_labels.shape != found.shape:
        raise ValueError(f"label maps of {true_labels.shape} and {found.shape} cannot be compared")
    known = true_labels != label_id(label_space, "unlabeled")
    pairs = true_labels[known].astype(np.int64) * 256 + found[known]
    return np.bincount(pairs, minlength=256 * 256).reshape(256, 256)


def class_ious(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return, for each class, the pixels of both over those of either, (N,); nan for classes that truly have none."""
    both, true, found = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true > 0, both / (true + found - both), np.nan)


def fold(weight: Tensor, norm: tuple[Tensor, Tensor, Tensor, Tensor], epsilon: float) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution and the batch norm (mean, variance, scale, shift) after it, in one."""
    mean, variance, scale, shift = norm
    factor = scale / torch.sqrt(variance + epsilon)
    return weight * factor[:, None, None, None], shift - mean * factor


class _Same(nn.Conv2d):
    """A convolution with the padding that Lite0's weights were trained with."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__(channels_in, channels, kernel, stride, groups=groups)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the base class's name)
        return convolve_same(input, self.weight, self.stride[0], self.groups, self.bias)


class _Block(nn.Module):
    """A narrow-wide-narrow block: 1x1 up, a convolution of each channel by itself, 1x1 down."""

    def __init__(self, channels_in: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = channels_in * stage.expansion
        self.expand = nn.Conv2d(channels_in, wide, 1) if stage.expansion != 1 else None
        self.depthwise = _Same(wide, wide, stage.kernel, stride, groups=wide)
        self.project = nn.Conv2d(wide, stage.channels, 1)
        self._adds = stride == 1 and channels_in == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self._adds else y


def _blocks(index: int) -> nn.Sequential:
    stage = STAGES[index]
    before = STAGES[index - 1].channels if index else _STEM_CHANNELS
    return nn.Sequential(
        *(
            _Block(before if number == 0 else stage.channels, stage, stage.stride if number == 0 else 1)
            for number in range(stage.num_blocks)
        )
    )
