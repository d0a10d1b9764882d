"""Own kernels for what libraries do in many passes over memory; see `renderer.backends.triton_kernels`.

Each is one pass: of all features of a published generator's frame at 1920x1088, every pass that is left out saves a
tenth of a millisecond on an H200. They run where there is Triton: on CUDA, and for tests in its interpreter.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Final

import torch
from torch import Tensor

EPSILON: Final = 1e-5
MAX_PARTS: Final = 512
BLOCK: Final = 128
ROWS: Final = 32


def are_here() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


def _kernels() -> Any:
    return importlib.import_module("renderer.backends.triton_kernels")


def normalise(
    features_BCHW: Tensor,
    weight_C: Tensor | None,
    bias_C: Tensor | None,
    *,
    relu: bool,
    padding_px: int,
    residual_BCHW: Tensor | None = None,
) -> Tensor:
    """Return what `StatNorm`, ReLU if `relu`, a residual's addition and `ReflectionPad2d` make of features, in turn.

    (B,C,H,W), B = 1, of any floating type; (B,C,H+2p,W+2p) of that type, channels last. p is less than H and W.
    """
    kernels = _kernels()
    features_BCHW = features_BCHW.contiguous(memory_format=torch.channels_last)
    _, channels, height_px, width_px = features_BCHW.shape
    num_rows, block_c = height_px * width_px, _block(channels)
    rows_each = max(ROWS, _round_up(-(-num_rows // MAX_PARTS), ROWS))
    parts = -(-num_rows // rows_each)
    along_c = -(-channels // block_c)
    means, squares = features_BCHW.new_empty((2, parts, channels), dtype=torch.float32)
    scale, shift = features_BCHW.new_empty((2, channels), dtype=torch.float32)
    kernels.partial_statistics[(parts, along_c)](
        features_BCHW, means, squares, num_rows, channels, rows_each, BLOCK_R=ROWS, BLOCK_C=block_c
    )
    affine = (features_BCHW, features_BCHW) if weight_C is None or bias_C is None else (weight_C, bias_C)
    kernels.combine_statistics[(along_c,)](
        means, squares, *affine, scale, shift, num_rows, channels, rows_each, parts, EPSILON,
        AFFINE=weight_C is not None, BLOCK_P=ROWS, BLOCK_C=block_c,
    )  # fmt: skip
    padded_hw = height_px + 2 * padding_px, width_px + 2 * padding_px
    out_BCHW = torch.empty(
        (1, channels, *padded_hw),
        dtype=features_BCHW.dtype,
        device=features_BCHW.device,
        memory_format=torch.channels_last,
    )
    residual = features_BCHW if residual_BCHW is None else _channels_together(residual_BCHW)
    kernels.apply_norm[(padded_hw[0], -(-padded_hw[1] // ROWS), along_c)](
        features_BCHW, scale, shift, residual, out_BCHW, height_px, width_px, channels,
        residual.stride(2), residual.stride(3),
        PAD=padding_px, RELU=relu, RESIDUAL=residual_BCHW is not None, BLOCK_X=ROWS, BLOCK_C=block_c,
    )  # fmt: skip
    return out_BCHW


def modulate(
    features_BCHW: Tensor,
    mean_C: Tensor,
    variance_C: Tensor,
    gamma_BCHW: Tensor,
    beta_BCHW: Tensor,
    slope: float | None = None,
) -> Tensor:
    """Return ((x - mean) / sqrt(variance + 1e-5)) * (1 + gamma) + beta, after it a leaky ReLU if there is a slope.

    (B,C,H,W), B = 1, each; mean and variance float32. Of the features' type, channels last.
    """
    features_BCHW = features_BCHW.contiguous(memory_format=torch.channels_last)
    gamma_BCHW, beta_BCHW = _channels_together(gamma_BCHW), _channels_together(beta_BCHW)
    if gamma_BCHW.stride() != beta_BCHW.stride() or gamma_BCHW.stride(2) != gamma_BCHW.stride(3) * gamma_BCHW.shape[3]:
        gamma_BCHW, beta_BCHW = (
            tensor.contiguous(memory_format=torch.channels_last) for tensor in (gamma_BCHW, beta_BCHW)
        )
    _, channels, height_px, width_px = features_BCHW.shape
    block_c = _block(channels)
    out_BCHW = torch.empty_like(features_BCHW, memory_format=torch.channels_last)
    num_rows = height_px * width_px
    _kernels().modulate[(-(-num_rows // ROWS), -(-channels // block_c))](
        features_BCHW, mean_C, torch.rsqrt(variance_C + EPSILON), gamma_BCHW, beta_BCHW, out_BCHW,
        num_rows, channels, gamma_BCHW.stride(3), 0.0 if slope is None else slope,
        ACTIVATION=slope is not None, BLOCK_R=ROWS, BLOCK_C=block_c,
    )  # fmt: skip
    return out_BCHW


def stem_columns(weight_OIYX: Tensor, num_labels: int, num_frames: int, *, edges: bool) -> Tensor:
    """Return the weights of a convolution of stacked one-hot planes by tap and kind: (T*Y*X, kinds, O).

    With `edges` each frame has a plane of them after its classes, and a pixel's kind is twice its label, plus one on an
    edge; otherwise it is its label.
    """
    outputs, _, side, _ = weight_OIYX.shape
    by_frame = weight_OIYX.view(outputs, num_frames, num_labels + edges, side, side).permute(1, 3, 4, 2, 0)
    classes = by_frame[..., :num_labels, :]
    if edges:
        classes = torch.stack([classes, classes + by_frame[..., num_labels:, :]], dim=4).flatten(3, 4)
    return classes.reshape(num_frames * side * side, -1, outputs).contiguous()


def convolve_kinds(kinds_THW: Tensor, columns_TKO: Tensor, bias_O: Tensor, side: int) -> Tensor:
    """Return what a convolution with reflected borders makes of one-hot planes, by its `stem_columns`.

    kinds_THW uint8; (1,O,H,W) of the columns' type, channels last.
    """
    frames, height_px, width_px = kinds_THW.shape
    _, num_kinds, channels = columns_TKO.shape
    block_c = _block(channels)
    out_BCHW = torch.empty(
        (1, channels, height_px, width_px),
        dtype=columns_TKO.dtype,
        device=kinds_THW.device,
        memory_format=torch.channels_last,
    )
    _kernels().gathered_stem[(-(-height_px * width_px // ROWS), -(-channels // block_c))](
        kinds_THW.contiguous(), columns_TKO, bias_O, out_BCHW, height_px, width_px, channels, num_kinds,
        FRAMES=frames, SIDE=side, BLOCK_P=ROWS, BLOCK_C=block_c,
    )  # fmt: skip
    return out_BCHW


def warp_and_blend(
    raw_B3HW: Tensor,
    flow_B2HW: Tensor,
    occlusion_B1HW: Tensor,
    last_B3HW: Tensor,
    foreground_B3HW: Tensor | None = None,
    covered_B1HW: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return raw * occlusion + warped * (1 - occlusion), the foreground over it where there is one, and that in bytes.

    All float32, B = 1, flow in pixels; the warp is `renderer.models.vid2vid_networks.warp`, the bytes are cut off as by
    `levels`. (1,3,H,W) float32 and (H,W,3) u8.
    """
    height_px, width_px = raw_B3HW.shape[2:]
    raw_B3HW, flow_B2HW, occlusion_B1HW = map(_rows_together, (raw_B3HW, flow_B2HW, occlusion_B1HW))
    picture_B3HW = torch.empty((1, 3, height_px, width_px), device=raw_B3HW.device)
    levels_HW3 = torch.empty((height_px, width_px, 3), dtype=torch.uint8, device=raw_B3HW.device)
    front = raw_B3HW if foreground_B3HW is None else _rows_together(foreground_B3HW)
    over = occlusion_B1HW if covered_B1HW is None else covered_B1HW.contiguous()
    _kernels().warp_and_blend[(-(-height_px * width_px // BLOCK),)](
        raw_B3HW, flow_B2HW, occlusion_B1HW, last_B3HW.contiguous(), front, over, picture_B3HW, levels_HW3,
        height_px, width_px, raw_B3HW.stride(1), raw_B3HW.stride(3), flow_B2HW.stride(1), flow_B2HW.stride(3),
        occlusion_B1HW.stride(3), front.stride(1), front.stride(3),
        FOREGROUND=foreground_B3HW is not None, BLOCK_P=BLOCK,
    )  # fmt: skip
    return picture_B3HW, levels_HW3


def _block(channels: int) -> int:
    """How many channels a program does at a time: a power of two."""
    return min(BLOCK, max(16, 1 << (channels - 1).bit_length()))


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _channels_together(tensor: Tensor) -> Tensor:
    """A tensor whose channels are next to each other, rows and pixels at any distance."""
    return tensor if tensor.stride(1) == 1 else tensor.contiguous(memory_format=torch.channels_last)


def _rows_together(tensor: Tensor) -> Tensor:
    """A tensor whose rows follow each other, planes and pixels at any distance."""
    return tensor if tensor.stride(2) == tensor.stride(3) * tensor.shape[3] else tensor.contiguous()
