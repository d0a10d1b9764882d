"""How much faster a published generator is than its plain formulation, how far its pictures are from that one's, and
what half precision would cost them: all on random weights, in one run, so that only ratios are compared.

The street of the trial has as many classes as a real one, thirteen, in upright regions that move a few pixels a frame.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import msgspec
import torch
from torch import Tensor, nn

from bridge.protocol.errors import UsageError
from renderer.inputs import ModelInput
from renderer.layers import StatNorm
from renderer.models import vid2vid
from renderer.models.fast_layers import prepare
from renderer.models.registry import find_preset
from renderer.models.speed import REFERENCE, Speed
from renderer.models.vid2vid_config import Vid2vidConfig
from renderer.models.vid2vid_networks import Vid2vid

CLASSES: Final = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 26)
REPEATS: Final = 3
Network = TypeVar("Network", bound=nn.Module)
DEPTH: Final = 5  # recurrent frames for which precision is followed


@dataclass(frozen=True)
class SpeedTrial:
    """Processor seconds of one recurrent frame, and the largest difference of the two pictures, whose range is 2."""

    reference_s: float
    fast_s: float
    difference: float

    @property
    def ratio(self) -> float:
        """How many times faster."""
        return self.reference_s / self.fast_s


def random_network(name: str, seed: int = 0) -> Vid2vid:
    """Return the video networks of a published vid2vid preset with random weights whose features keep their scale."""
    preset = find_preset(name)
    if preset.family != "vid2vid":
        raise UsageError(f"{name} is no vid2vid", "Name a preset of that family, such as label2city_2048")
    config = msgspec.convert(preset.config, Vid2vidConfig)
    if config.dense_channels:
        raise UsageError(f"{name} does not read label maps", "Name one of streets, such as label2city_2048")
    with torch.device("meta"):
        network = Vid2vid(msgspec.structs.replace(config, first_pictures="given", single=None))
    return random_weights(network, seed)


def random_weights(network: Network, seed: int = 0) -> Network:
    """Give a network of the meta device random weights whose features keep their scale, in place, and return it."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {key: _random(key, value.shape, generator) for key, value in network.state_dict().items()}
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)


def _random(key: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    values = torch.empty(shape)
    if len(shape) == 4:
        values.uniform_(-1.7, 1.7, generator=generator).div_((shape[1] * shape[2] * shape[3]) ** 0.5)
    elif key.endswith(("weight", "running_var")):
        values.uniform_(0.8, 1.2, generator=generator)
    else:
        values.uniform_(-0.2, 0.2, generator=generator)
    if ".model_final_flow." in key:
        values *= 0.15
    elif ".model_down_img." in key and len(shape) == 1:
        values *= 0.2  # random recurrent networks amplify rounding fourfold a frame; trained ones do not
    return values


def street_frames(number: int, size_hw: tuple[int, int]) -> list[ModelInput]:
    """Return frames of a street of upright regions that drift; the first two come with smooth pictures."""
    height_px, width_px = size_hw
    generator = torch.Generator().manual_seed(1)
    widths = torch.randint(width_px // 32, width_px // 8, (64,), generator=generator)
    tops = torch.randint(0, height_px // 2, (64,), generator=generator)
    frames = []
    for index in range(number):
        labels_HW = torch.full(size_hw, 23, dtype=torch.uint8)
        labels_HW[height_px * 5 // 8 :] = 7
        left_px = -2 * index
        for region, (region_px, top_px) in enumerate(zip(widths.tolist(), tops.tolist(), strict=True)):
            span = slice(max(0, left_px), max(0, left_px + region_px))
            labels_HW[top_px : height_px * 3 // 4, span] = CLASSES[region % len(CLASSES)]
            left_px += region_px
        picture_B3HW = torch.rand(1, 3, 4, 8, generator=generator) * 2 - 1
        smooth_B3HW = nn.functional.interpolate(picture_B3HW, size_hw, mode="bicubic", align_corners=True).clamp(-1, 1)
        instances = (labels_HW == 26).int()[None, None]
        frames.append(ModelInput(labels_HW[None], instances_B1HW=instances, first_B3HW=smooth_B3HW))
    return frames


@torch.inference_mode()
def measure_speed(network: Vid2vid, size_hw: tuple[int, int], speed: Speed | None = None) -> SpeedTrial:
    """Compare a recurrent frame as `speed` computes it with the plain formulation, on one thread of the CPU."""
    speed = speed or Speed()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fast = prepare(copy.deepcopy(network), torch.device("cpu"), speed)
        *begin, last = street_frames(3, size_hw)
        state = None
        for frame in begin:
            _, state = vid2vid.advance(network, frame, state, REFERENCE)
        best_s = {"reference": float("inf"), "fast": float("inf")}
        pictures: dict[str, Tensor] = {}
        for _ in range(REPEATS):
            for kind, used, how in (("reference", network, REFERENCE), ("fast", fast, speed)):
                start_s = time.process_time()
                drawn, _ = vid2vid.advance(used, last, state, how)
                best_s[kind] = min(best_s[kind], time.process_time() - start_s)
                pictures[kind] = drawn.picture_B3HW
    finally:
        torch.set_num_threads(threads)
    difference = float((pictures["reference"] - pictures["fast"]).abs().max())
    return SpeedTrial(best_s["reference"], best_s["fast"], difference)


def measure_half(network: Vid2vid, size_hw: tuple[int, int]) -> dict[str, float]:
    """Return the PSNR of the first recurrent picture in each half type, dB, emulated on one thread of the CPU."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        frames = street_frames(network.config.num_frames, size_hw)
        kinds = {"float16": torch.float16, "bfloat16": torch.bfloat16}
        return {name: half_precision_psnr_db(network, frames, dtype, 1)[0] for name, dtype in kinds.items()}
    finally:
        torch.set_num_threads(threads)


@torch.inference_mode()
def half_precision_psnr_db(
    network: Vid2vid, frames: Sequence[ModelInput], dtype: torch.dtype, depth: int = DEPTH
) -> list[float]:
    """Return the PSNR of each recurrent picture, in half precision as against float32, over a range of 2.

    Emulated: weights and what each convolution and norm returns are rounded, sums are float32; flow and occlusion
    mask are float32 throughout, as `prepare` has them.
    """
    rounded = rounded_to(network, dtype, vid2vid.exact_modules(network.config))
    assert isinstance(rounded, Vid2vid)
    states: dict[str, Any] = {"plain": None, "rounded": None}
    ratios: list[float] = []
    for index, frame in enumerate(frames):
        given = frame if index < network.config.num_frames - 1 else replace(frame, first_B3HW=None)
        drawn, states["plain"] = vid2vid.advance(network, given, states["plain"], REFERENCE)
        other, states["rounded"] = vid2vid.advance(rounded, given, states["rounded"], REFERENCE)
        if drawn.scales and len(ratios) < depth:
            ratios.append(psnr_db(drawn.picture_B3HW, other.picture_B3HW))
    return ratios


def rounded_to(network: nn.Module, dtype: torch.dtype, exact: Sequence[str] = ()) -> nn.Module:
    """Return a copy of a network whose weights, and what each convolution and norm returns, are rounded to a type.

    `exact` are names of submodules that stay float32; sums are float32 everywhere.
    """
    rounded = copy.deepcopy(network)
    layers_of_exact = {layer for name in exact for layer in rounded.get_submodule(name).modules()}
    for layer in rounded.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | StatNorm) and layer not in layers_of_exact:
            for parameter in layer.parameters():
                parameter.data = parameter.data.to(dtype).float()
            layer.register_forward_hook(_rounding(dtype))
    return rounded


def psnr_db(picture_B3HW: Tensor, other_B3HW: Tensor) -> float:
    """Return the PSNR of a picture as against another, both [-1, 1]."""
    return float(10 * torch.log10(4 / (picture_B3HW - other_B3HW).square().mean()))


def _rounding(dtype: torch.dtype) -> Any:
    def hook(_layer: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return output.to(dtype).float()

    return hook
