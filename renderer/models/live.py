"""The live family: a small recurrent generator for label maps, made for about 2 GFLOP a frame at 512x256.

Its temporal input is its own last picture, warped to this frame by the engine's exact motion, with a mask of the
pixels that have a predecessor. It draws a raw picture and a blend weight: where the weight is near 1 the warped
picture stays (vid2vid's occlusion mask, Wang et al. 2018, section 3.1, with exact motion in place of a guessed flow).
Label ids go through tables instead of one-hot convolutions; coarse levels read sub-sampled labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from renderer.layers import ClassTable, LabelResidual, initialise_subpixel, upsample
from renderer.tones import NUM_TONES

SIZE_MULTIPLE_PX = 16
_CONFIG_KEY = "config"
_STYLES = ".styles"
_NOISE_TILE_PX = 128
_HEAD_REACH_PX = 4  # how far the last two convolutions look, rounded up to whole pixels of half the size


class LiveConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The widths of a live generator: channels at 1/4, 1/8 and 1/16 of the frame's size, and of its head."""

    num_labels: int = 13
    label_channels: int = 6
    channels_4: int = 32
    channels_8: int = 64
    channels_16: int = 128
    num_blocks_16: int = 2
    head_channels: int = 12
    fine_channels: int = 6
    noise: bool = False
    """Whether fixed noise is an input where there is no predecessor, for foliage and asphalt to vary on."""
    recall: float = 0.0
    """The weight of the warped picture where it is valid, the same everywhere; the raw picture is then drawn from the
    labels alone. 0: the generator sees its past, and weighs it pixel by pixel as it has learnt."""
    tones: bool = False
    """Whether label ids carry tones (`renderer.tones`): `num_labels` counts them all."""
    styles: tuple[str, ...] = ()
    """The names of the looks that one file holds, the first of them its own; (): one look."""
    margin_px: int = 0
    """Columns drawn beyond the left edge and cut off again, where training left a stripe; a multiple of 16."""

    @property
    def num_classes(self) -> int:
        """How many classes the labels have, tones aside."""
        return self.num_labels // NUM_TONES if self.tones else self.num_labels


class LivePicture(NamedTuple):
    """What the generator draws: the blended picture, the raw one, both [-1, 1], and the weight of the warp, 0..1."""

    rgb_B3HW: Tensor
    raw_B3HW: Tensor
    warp_weight_B1HW: Tensor


class LiveGenerator(nn.Module):
    """Label map and warped last picture in, next picture out; it keeps no state of its own."""

    def __init__(self, config: LiveConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or LiveConfig()
        num_styles = len(c.styles)
        self.label_table = ClassTable(c.num_labels, c.label_channels, num_styles=num_styles)
        self.stem = nn.Conv2d(c.label_channels + 2 + 4 + c.noise, c.channels_4, 4, stride=4)
        self.encode_4 = LabelResidual(c.channels_4, c.num_labels, num_styles)
        self.down_8 = nn.Conv2d(c.channels_4, c.channels_8, 3, stride=2, padding=1)
        self.down_16 = nn.Conv2d(c.channels_8, c.channels_16, 3, stride=2, padding=1)
        self.trunk = nn.ModuleList(
            LabelResidual(c.channels_16, c.num_labels, num_styles) for _ in range(c.num_blocks_16)
        )
        self.up_8 = nn.Conv2d(c.channels_16, c.channels_8, 1)
        self.decode_8 = LabelResidual(c.channels_8, c.num_labels, num_styles)
        self.up_4 = nn.Conv2d(c.channels_8, c.channels_4, 1)
        self.head_4 = nn.Conv2d(c.channels_4, c.head_channels * 2, 3, padding=1)
        self.head_2 = nn.Conv2d(c.head_channels * 2 + c.label_channels, c.head_channels, 3, padding=1)
        self.head_1 = nn.Conv2d(c.head_channels, c.fine_channels * 4, 3, padding=1)
        self.last = nn.Conv2d(c.fine_channels, 4, 3, padding=1)
        initialise_subpixel(self.head_1, 2)
        if c.noise:
            tile = torch.rand(1, 1, _NOISE_TILE_PX, _NOISE_TILE_PX, generator=torch.Generator().manual_seed(7))
            self.register_buffer("noise_tile", (2 * tile - 1).half().float())

    def forward(self, labels_BHW: Tensor, warped_B3HW: Tensor, valid_B1HW: Tensor) -> Tensor:
        """Return the picture (B,3,H,W) in [-1, 1].

        labels_BHW: uint8 or int64 ids below `num_labels` · warped_B3HW: last picture moved to this frame, [-1, 1], 0
        where there is none · valid_B1HW: 1 where the warped picture may be used, else 0. H and W multiples of 16.
        """
        return self.draw(labels_BHW, warped_B3HW, valid_B1HW).rgb_B3HW

    def draw(
        self,
        labels_BHW: Tensor,
        warped_B3HW: Tensor,
        valid_B1HW: Tensor,
        place_B2HW: Tensor | None = None,
        style_B: Tensor | None = None,
    ) -> LivePicture:
        """Return the picture with the raw one and the blend weight beside it; see `forward`.

        place_B2HW: row and column of each pixel in the whole frame, [-1, 1], for frames that are crops of one ·
        style_B: which of `styles` each frame is drawn in, int64; None: the first.
        """
        height_px, width_px = labels_BHW.shape[1:]
        if height_px % SIZE_MULTIPLE_PX or width_px % SIZE_MULTIPLE_PX:
            raise ValueError(f"a frame of {width_px}x{height_px} is no multiple of {SIZE_MULTIPLE_PX} px")
        margin_px = self.config.margin_px
        labels_BHW = _widen(labels_BHW.int()[:, None], margin_px)[:, 0]
        if style_B is not None:
            labels_BHW = labels_BHW + (style_B.int() * self.config.num_labels)[:, None, None]
        labels_4, labels_8, labels_16 = (labels_BHW[:, k // 2 :: k, k // 2 :: k] for k in (4, 8, 16))
        label_features = self.label_table(labels_BHW)
        place_B2HW = _place(label_features[..., margin_px:]) if place_B2HW is None else place_B2HW
        place_B2HW = _widen(place_B2HW.to(label_features.dtype), margin_px)
        last = F.pad(torch.cat([warped_B3HW, valid_B1HW], 1), (margin_px, 0)).to(label_features.dtype)
        if self.config.recall:
            last = torch.zeros_like(last)
        everything = [label_features, place_B2HW, last]
        if self.config.noise:
            everything.append(_tile(self.get_buffer("noise_tile"), label_features) * (1 - last[:, 3:]))
        everything_BCHW = torch.cat(everything, 1).contiguous(memory_format=torch.channels_last)
        x_4 = self.encode_4(F.relu(self.stem(everything_BCHW)), labels_4)
        x_8 = F.relu(self.down_8(F.relu(x_4)))
        x_16 = F.relu(self.down_16(x_8))
        for block in self.trunk:
            x_16 = block(x_16, labels_16)
        x_8 = self.decode_8(x_8 + upsample(self.up_8(x_16)), labels_8)
        x_4 = x_4 + upsample(self.up_4(x_8))
        return self._head(x_4, label_features, warped_B3HW, valid_B1HW)

    def in_style(self, shares: Sequence[float]) -> LiveGenerator:
        """Return the generator of one look, to be drawn with, at the cost of one without styles.

        The shares are the style code: (1, 0) is the first style, (0.75, 0.25) a quarter of the way to the second.
        Raises ValueError unless there is a share for each style, and their sum is 1.
        """
        if len(shares) != len(self.config.styles) or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"{len(shares)} shares of sum {sum(shares)} mix no {len(self.config.styles)} styles")
        tensors = dict(self.state_dict())
        shares_S = torch.tensor(shares, dtype=torch.float32)
        for key in [key for key in tensors if key.endswith(_STYLES)]:
            styles = tensors.pop(key)
            table = key.removesuffix(_STYLES) + ".weight"
            tensors[table] = tensors[table] + torch.tensordot(shares_S.to(styles), styles, 1)
        plain = LiveGenerator(msgspec.structs.replace(self.config, styles=()))
        plain.load_state_dict(tensors)
        return plain.to(self.label_table.weight.device).eval().requires_grad_(False)

    def _head(self, x_4: Tensor, label_features: Tensor, warped_B3HW: Tensor, valid_B1HW: Tensor) -> LivePicture:
        """Bilinear to half size and sub-pixel to full size, then a plain convolution, which wipes the pattern of that.

        Two sub-pixel steps in a row leave a grid of four pixels that one small convolution cannot wipe.
        """
        x_2 = upsample(F.relu(self.head_4(F.relu(x_4))))
        x_2 = F.relu(self.head_2(torch.cat([x_2, label_features[:, :, 1::2, 1::2]], 1)))
        margin_px = min(self.config.margin_px, _HEAD_REACH_PX)
        x_2 = x_2[..., (self.config.margin_px - margin_px) // 2 :]
        last_B4HW = self.last(F.relu(F.pixel_shuffle(self.head_1(x_2), 2)))
        # Blended in the precision of the warped picture: rounding to half types here would drift frame by frame. Planes
        # one after another, because slices of interleaved channels take ten times as long on a CPU.
        last_B4HW = last_B4HW[..., margin_px:].to(warped_B3HW.dtype).contiguous()
        raw_B3HW = torch.tanh(last_B4HW[:, :3])
        recall = self.config.recall
        weight_B1HW = valid_B1HW * recall if recall else torch.sigmoid(last_B4HW[:, 3:]) * valid_B1HW
        return LivePicture(torch.lerp(raw_B3HW, warped_B3HW, weight_B1HW), raw_B3HW, weight_B1HW)


def _place(features_BCHW: Tensor) -> Tensor:
    """Return (B,2,H,W): where each pixel is, from -1 (top, left) to 1 (bottom, right)."""
    batch, _, height_px, width_px = features_BCHW.shape
    rows = torch.linspace(-1, 1, height_px, device=features_BCHW.device, dtype=features_BCHW.dtype)
    columns = torch.linspace(-1, 1, width_px, device=features_BCHW.device, dtype=features_BCHW.dtype)
    place_2HW = torch.stack([rows[:, None].expand(-1, width_px), columns[None].expand(height_px, -1)])
    return place_2HW.expand(batch, -1, -1, -1)


def _widen(features_BCHW: Tensor, margin_px: int) -> Tensor:
    """Return the features with their leftmost column repeated to the left."""
    if not margin_px:
        return features_BCHW
    return torch.cat([features_BCHW[..., :1].expand(-1, -1, -1, margin_px), features_BCHW], dim=3)


def _tile(noise_11HW: Tensor, features_BCHW: Tensor) -> Tensor:
    """Return (B,1,H,W): the noise tile repeated over the frame, in the features' type."""
    batch, _, height_px, width_px = features_BCHW.shape
    repeats = ((side_px + _NOISE_TILE_PX - 1) // _NOISE_TILE_PX for side_px in (height_px, width_px))
    tiled_11HW = noise_11HW.to(features_BCHW.dtype).repeat(1, 1, *repeats)[:, :, :height_px, :width_px]
    return tiled_11HW.expand(batch, -1, -1, -1)


def save_live(path: Path | str, generator: LiveGenerator, metadata: dict[str, str] | None = None) -> None:
    """Write a generator as safetensors in float16, its configuration in the file's metadata."""
    tensors = {
        key: value.detach().to("cpu", torch.float16).contiguous() for key, value in generator.state_dict().items()
    }
    config = msgspec.json.encode(generator.config).decode()
    safetensors.torch.save_file(tensors, str(path), {**(metadata or {}), _CONFIG_KEY: config})


def load_live(path: Path | str) -> LiveGenerator:
    """Return the generator of a file that `save_live` wrote, in float32 and evaluation mode.

    Raises ValueError for a file that is not one, or whose tensors do not fit its configuration.
    """
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a mapping)
        generator = LiveGenerator(msgspec.json.decode(metadata[_CONFIG_KEY], type=LiveConfig))
    except KeyError:
        raise ValueError(f"{path} holds no configuration of a live generator") from None
    except (safetensors.SafetensorError, msgspec.MsgspecError) as error:
        raise ValueError(f"{path} is not a weights file of the live family ({error})") from None
    expected = {key: tuple(value.shape) for key, value in generator.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    if wrong := sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)):
        key = wrong[0]
        raise ValueError(f"{path}: tensor {key} has shape {found.get(key)}, the generator needs {expected.get(key)}")
    generator.load_state_dict(tensors)
    return generator.eval()
