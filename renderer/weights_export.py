"""Writes an imported vid2vid's recurrent generator as ONNX, for runtimes other than torch.

The graph is one steady frame at a fixed size: three frames of planes and each scale's two past pictures go in, each
scale's next two pictures come out, the newest last; the finest scale's is the picture. One-hots and instance edges are
made outside, so nothing in the graph depends on which classes a frame holds.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from bridge.protocol.errors import OutputError, UsageError
from renderer.layers import StatNorm, pool
from renderer.models.family import find_family
from renderer.models.imported import load_network, read_config
from renderer.models.label_stack import FramePlanes, make_stacks
from renderer.models.speed import REFERENCE
from renderer.models.vid2vid_config import Vid2vidConfig
from renderer.models.vid2vid_networks import Vid2vid
from renderer.weights_store import verify_imported

OPSET: Final = 20  # the first whose GridSample has the modes' present names


def export_onnx(name: str, file: Path, size_hw: tuple[int, int] | None = None) -> tuple[int, int]:
    """Write the recurrent generator of imported weights as ONNX at a size, None for its native one; returns the size.

    Raises UsageError without the package onnx and for families other than vid2vid, OutputError if it cannot be written.
    """
    if importlib.util.find_spec("onnx") is None:
        raise UsageError("the export needs the package onnx, which is not installed", "pip install 'vidrive[onnx]'")
    card = verify_imported(name)
    family = find_family(card.family)
    config = read_config(card, family)
    if not isinstance(config, Vid2vidConfig):
        raise UsageError(f"{name} is of the family {card.family}, and only vid2vid can be exported", "Use it from here")
    network = load_network(card, family, config)
    assert isinstance(network, Vid2vid)
    write_out_norms(network)
    height_px, width_px = size_hw or card.native_size_hw
    pictures = [torch.zeros(config.num_frames - 1, 3, height_px, width_px)]
    for _ in range(config.num_scales - 1):
        pictures.insert(0, pool(pictures[0]))
    planes = torch.zeros(config.num_frames, config.frame_channels, height_px, width_px)
    unfinished = file.with_name(f".{file.name}.unfinished")
    scales = range(config.num_scales)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing, and of torch's newer exporter, which needs more packages
            torch.onnx.export(
                SteadyFrame(network, config),
                (planes, *pictures),
                str(unfinished),
                dynamo=False,
                opset_version=OPSET,
                input_names=["planes", *(f"pictures_{scale}" for scale in scales)],
                output_names=[f"next_pictures_{scale}" for scale in scales],
            )
        unfinished.replace(file)
    except OSError as error:
        raise OutputError(f"{file} cannot be written ({error.strerror or error})", "Name another file") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return height_px, width_px


class SteadyFrame(nn.Module):
    """One frame of a sequence that has begun, as a function of tensors alone."""

    def __init__(self, network: Vid2vid, config: Vid2vidConfig) -> None:
        super().__init__()
        self._network = network
        self._config = config

    def forward(self, planes_TCHW: Tensor, *pictures: Tensor) -> tuple[Tensor, ...]:
        """Return each scale's next past pictures (T-1,3,H,W), the coarsest scale first, from those before.

        planes_TCHW float32 0..1: of each frame, the oldest first, one-hot classes and instance edges, or dense planes.
        """
        c = self._config
        labels_BHW = planes_TCHW.new_zeros(1, *planes_TCHW.shape[2:])
        frames = [FramePlanes(labels_BHW, None, planes_TCHW[i : i + 1]) for i in range(c.num_frames)]
        stacks = make_stacks(frames, c.num_labels, c.foreground_labels, c.num_scales, REFERENCE)
        past = [[scale[i : i + 1] for i in range(c.num_frames - 1)] for scale in pictures]
        drawings = self._network.draw(stacks, past)
        return tuple(
            torch.cat([scale[1:], drawing.picture_B3HW]) for scale, drawing in zip(pictures, drawings, strict=True)
        )


class _WrittenOutNorm(nn.Module):
    """A `StatNorm` in plain arithmetic: the exporter has no form for batch statistics."""

    def __init__(self, norm: StatNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return (B,C,H,W)."""
        apart_BCHW = features_BCHW - features_BCHW.mean((2, 3), keepdim=True)
        normed_BCHW = apart_BCHW / torch.sqrt((apart_BCHW * apart_BCHW).mean((2, 3), keepdim=True) + 1e-5)
        if self.weight is None or self.bias is None:
            return normed_BCHW
        return normed_BCHW * self.weight[None, :, None, None] + self.bias[None, :, None, None]


def write_out_norms(module: nn.Module) -> None:
    """Replace the norms of a network, in place, by plain arithmetic that an exporter has a form for."""
    for name, child in module.named_children():
        if isinstance(child, StatNorm):
            setattr(module, name, _WrittenOutNorm(child))
        else:
            write_out_norms(child)
