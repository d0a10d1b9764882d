"""The kernels themselves, in Triton; `renderer.backends.kernels` gives them tensors, and says what each computes.

Features lie in memory with their channels next to each other, a row of them a pixel. Sums are float32 throughout.
Imported where there is Triton only: torch brings it with CUDA.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:

    class Language(Any):
        """Triton's own, which need not be here to look at types."""

        constexpr: TypeAlias = Any

    tl = Language
    triton: Any = None
else:
    triton = importlib.import_module("triton")
    tl = importlib.import_module("triton.language")


@triton.jit
def reflected(place, size):
    """Return where a place of a border of less than `size` is inside: 0 .. size - 1."""
    inside = tl.abs(place)
    return tl.where(inside >= size, 2 * (size - 1) - inside, inside)


@triton.jit
def partial_statistics(
    features, means, squares, num_rows, channels, rows_each, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr
):
    """Mean and sum of squares around it of each part of all pixels, channel by channel."""
    part = tl.program_id(0)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    first = part * rows_each
    last = tl.minimum(first + rows_each, num_rows)
    count = tl.program_id(0).to(tl.float32) * 0.0
    mean = tl.zeros([BLOCK_C], dtype=tl.float32)
    square = tl.zeros([BLOCK_C], dtype=tl.float32)
    for start in range(first, last, BLOCK_R):
        row = start + tl.arange(0, BLOCK_R)
        inside = (row < last)[:, None] & (channel < channels)[None, :]
        places = row.to(tl.int64)[:, None] * channels + channel[None, :]
        value = tl.load(features + places, mask=inside, other=0.0).to(tl.float32)
        number = tl.minimum(last - start, BLOCK_R).to(tl.float32)
        here = tl.sum(value, axis=0) / number
        apart = tl.where(inside, value - here[None, :], 0.0)
        step = here - mean
        total = count + number
        square += tl.sum(apart * apart, axis=0) + step * step * (count * number / total)
        mean += step * (number / total)
        count = total
    tl.store(means + part * channels + channel, mean, mask=channel < channels)
    tl.store(squares + part * channels + channel, square, mask=channel < channels)


@triton.jit
def combine_statistics(
    means, squares, weight, bias, scale, shift, num_rows, channels, rows_each, num_parts, epsilon,
    AFFINE: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Scale and shift of each channel that normalise it, of the statistics of parts (Chan, Golub, LeVeque 1979)."""
    channel = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    known = channel < channels
    count = tl.program_id(0).to(tl.float32) * 0.0
    mean = tl.zeros([BLOCK_C], dtype=tl.float32)
    square = tl.zeros([BLOCK_C], dtype=tl.float32)
    for start in range(0, num_parts, BLOCK_P):
        part = start + tl.arange(0, BLOCK_P)
        inside = (part < num_parts)[:, None] & known[None, :]
        rows = tl.minimum(num_rows - part * rows_each, rows_each)
        number = tl.where(part < num_parts, rows, 0).to(tl.float32)
        places = part[:, None] * channels + channel[None, :]
        part_mean = tl.load(means + places, mask=inside, other=0.0)
        part_square = tl.load(squares + places, mask=inside, other=0.0)
        numbers = tl.sum(number, axis=0)
        here = tl.sum(part_mean * number[:, None], axis=0) / numbers
        apart = part_mean - here[None, :]
        own = tl.sum(tl.where(inside, part_square + apart * apart * number[:, None], 0.0), axis=0)
        step = here - mean
        total = count + numbers
        square += own + step * step * (count * numbers / total)
        mean += step * (numbers / total)
        count = total
    factor = 1.0 / tl.sqrt(square / count + epsilon)
    offset = tl.zeros([BLOCK_C], dtype=tl.float32)
    if AFFINE:
        factor = factor * tl.load(weight + channel, mask=known, other=0.0).to(tl.float32)
        offset = tl.load(bias + channel, mask=known, other=0.0).to(tl.float32)
    tl.store(scale + channel, factor, mask=known)
    tl.store(shift + channel, offset - mean * factor, mask=known)


@triton.jit
def apply_norm(
    features, scale, shift, residual, out, height, width, channels, residual_row, residual_pixel,
    PAD: tl.constexpr, RELU: tl.constexpr, RESIDUAL: tl.constexpr, BLOCK_X: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """A row of pixels of the padded output: reflected, scaled and shifted, negative ones cut, a residual added."""
    out_y = tl.program_id(0)
    out_x = tl.program_id(1) * BLOCK_X + tl.arange(0, BLOCK_X)
    channel = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)
    out_width = width + 2 * PAD
    inside = (out_x < out_width)[:, None] & (channel < channels)[None, :]
    y = reflected(out_y - PAD, height).to(tl.int64)
    x = reflected(tl.minimum(out_x, out_width - 1) - PAD, width).to(tl.int64)
    value = tl.load(features + (y * width + x)[:, None] * channels + channel[None, :], mask=inside, other=0.0)
    factor = tl.load(scale + channel, mask=channel < channels, other=0.0)
    offset = tl.load(shift + channel, mask=channel < channels, other=0.0)
    value = value.to(tl.float32) * factor[None, :] + offset[None, :]
    if RELU:
        value = tl.maximum(value, 0.0)
    if RESIDUAL:
        places = (y * residual_row + x * residual_pixel)[:, None] + channel[None, :]
        value += tl.load(residual + places, mask=inside, other=0.0).to(tl.float32)
    rows = out_y.to(tl.int64) * out_width + out_x
    tl.store(out + rows[:, None] * channels + channel[None, :], value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def modulate(
    features, mean, factor, gamma, beta, out, num_rows, channels, modulation_row, slope,
    ACTIVATION: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Features normalised by given statistics, times 1 + gamma, plus beta, and a leaky ReLU after that."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = (row < num_rows)[:, None] & (channel < channels)[None, :]
    known = channel < channels
    value = tl.load(features + row[:, None] * channels + channel[None, :], mask=inside, other=0.0).to(tl.float32)
    places = row[:, None] * modulation_row + channel[None, :]
    scale = tl.load(gamma + places, mask=inside, other=0.0).to(tl.float32)
    shift = tl.load(beta + places, mask=inside, other=0.0).to(tl.float32)
    value = (value - tl.load(mean + channel, mask=known, other=0.0)[None, :]) * tl.load(
        factor + channel, mask=known, other=0.0
    )[None, :]
    value = value * (1.0 + scale) + shift
    if ACTIVATION:
        value = tl.where(value >= 0.0, value, value * slope)
    places = row[:, None] * channels + channel[None, :]
    tl.store(out + places, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def gathered_stem(
    kinds, columns, bias, out, height, width, channels, num_kinds,
    FRAMES: tl.constexpr, SIDE: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """A convolution of one-hot planes: for each tap the weights' column of the kind that is there, added up."""
    pixel = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    area = height * width
    inside = (pixel < area)[:, None] & (channel < channels)[None, :]
    y = pixel // width
    x = pixel - y * width
    sums = tl.zeros([BLOCK_P, BLOCK_C], dtype=tl.float32)
    sums += tl.load(bias + channel, mask=channel < channels, other=0.0).to(tl.float32)[None, :]
    for tap in range(FRAMES * SIDE * SIDE):
        frame = tap // (SIDE * SIDE)
        place = tap - frame * SIDE * SIDE
        from_y = reflected(y + place // SIDE - SIDE // 2, height)
        from_x = reflected(x + place % SIDE - SIDE // 2, width)
        kind = tl.load(kinds + frame * area + from_y * width + from_x, mask=pixel < area, other=0).to(tl.int32)
        column = tap * num_kinds + kind
        sums += tl.load(columns + column[:, None] * channels + channel[None, :], mask=inside, other=0.0).to(tl.float32)
    places = pixel.to(tl.int64)[:, None] * channels + channel[None, :]
    tl.store(out + places, sums.to(out.dtype.element_ty), mask=inside)


@triton.jit
def warp_and_blend(
    raw, flow, occlusion, last, foreground, covered, picture, levels, height, width,
    raw_plane, raw_pixel, flow_plane, flow_pixel, occlusion_pixel, foreground_plane, foreground_pixel,
    FOREGROUND: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """The last picture sampled by flow, blended with the raw one, the foreground over it, and all that in bytes."""
    pixel = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    area = height * width
    inside = pixel < area
    y = pixel // width
    x = pixel - y * width
    u = x.to(tl.float32) + tl.load(flow + pixel * flow_pixel, mask=inside, other=0.0)
    v = y.to(tl.float32) + tl.load(flow + flow_plane + pixel * flow_pixel, mask=inside, other=0.0)
    u = tl.minimum(tl.maximum(u, 0.0), width - 1.0)
    v = tl.minimum(tl.maximum(v, 0.0), height - 1.0)
    left, top = tl.floor(u), tl.floor(v)
    right_share, bottom_share = u - left, v - top
    left_x, top_y = left.to(tl.int32), top.to(tl.int32)
    right_x, bottom_y = tl.minimum(left_x + 1, width - 1), tl.minimum(top_y + 1, height - 1)
    hallucinated = tl.load(occlusion + pixel * occlusion_pixel, mask=inside, other=0.0)
    over = tl.zeros([BLOCK_P], dtype=tl.float32)
    if FOREGROUND:
        over = tl.load(covered + pixel, mask=inside, other=0.0)
    for plane in range(3):
        before = last + plane * area
        upper = tl.load(before + top_y * width + left_x, mask=inside, other=0.0) * (1.0 - right_share)
        upper += tl.load(before + top_y * width + right_x, mask=inside, other=0.0) * right_share
        lower = tl.load(before + bottom_y * width + left_x, mask=inside, other=0.0) * (1.0 - right_share)
        lower += tl.load(before + bottom_y * width + right_x, mask=inside, other=0.0) * right_share
        warped = upper * (1.0 - bottom_share) + lower * bottom_share
        drawn = tl.load(raw + plane * raw_plane + pixel * raw_pixel, mask=inside, other=0.0).to(tl.float32)
        value = drawn * hallucinated + warped * (1.0 - hallucinated)
        if FOREGROUND:
            front = tl.load(foreground + plane * foreground_plane + pixel * foreground_pixel, mask=inside, other=0.0)
            value = front.to(tl.float32) * over + value * (1.0 - over)
        tl.store(picture + plane * area + pixel, value, mask=inside)
        level = tl.minimum(tl.maximum((value + 1.0) / 2.0 * 255.0, 0.0), 255.0)
        tl.store(levels + pixel * 3 + plane, level.to(tl.int32).to(tl.uint8), mask=inside)
