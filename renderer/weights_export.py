"""Writes a generator's frame as ONNX, for runtimes other than torch; see `renderer.onnx_graphs` for what goes in."""

from __future__ import annotations

import copy
import importlib.util
import warnings
from pathlib import Path
from typing import Final

import torch

from bridge.protocol.errors import OutputError, UsageError
from renderer.models.family import find_family
from renderer.models.imported import load_network, read_config
from renderer.models.live import LiveGenerator
from renderer.onnx_graphs import Graph, graph_of, live_graph
from renderer.weights_store import verify_imported

OPSET: Final = 20  # the first whose GridSample has the modes' present names
MAX_BYTES: Final = 2_000_000_000  # a file of this format is one message, of at most 2^31 bytes


@torch.inference_mode()
def export_onnx(
    name: str, file: Path, size_hw: tuple[int, int] | None = None, *, first: bool = False
) -> tuple[int, int]:
    """Write a frame of imported weights as ONNX at a size, None for its native one; returns the size.

    Of vid2vid and imaginaire it is a frame of a sequence that has begun, or the `first` one. Raises UsageError without
    the package onnx, for a size that the model cannot draw and for weights of more than two gigabytes, OutputError if
    it cannot be written.
    """
    _need_onnx()
    card = verify_imported(name)
    family = find_family(card.family)
    config = read_config(card, family)
    height_px, width_px = size_hw or card.native_size_hw
    if height_px % card.size_multiple_px or width_px % card.size_multiple_px:
        raise UsageError(
            f"{name} draws frames of multiples of {card.size_multiple_px} px, and not {width_px}x{height_px}",
            "Choose another --size",
        )
    if card.weights_bytes > MAX_BYTES:
        raise UsageError(
            f"{name} has {card.weights_bytes / 1e9:.1f} GB of weights, and an ONNX file holds two at most",
            "Use it from here",
        )
    network = load_network(card, family, config)
    _write(graph_of(family.name, network, config, (height_px, width_px), first=first), file)
    return height_px, width_px


@torch.inference_mode()
def export_live(
    network: LiveGenerator, file: Path, size_hw: tuple[int, int], dtype: torch.dtype = torch.float32
) -> None:
    """Write a live generator as ONNX at a size: labels (1,H,W) uint8, warped (1,3,H,W) and valid (1,1,H,W) float32 to
    rgb (1,3,H,W) float32 [-1, 1].

    `dtype` is that of its layers; in half types the labels are int32, as runtimes of GPUs want them.

    Raises UsageError without the package onnx, OutputError if it cannot be written.
    """
    _need_onnx()
    labels = torch.uint8 if dtype == torch.float32 else torch.int32
    _write(live_graph(copy.deepcopy(network).cpu().to(dtype).eval(), size_hw, labels), file)


def _need_onnx() -> None:
    if importlib.util.find_spec("onnx") is None:
        raise UsageError("the export needs the package onnx, which is not installed", "pip install 'vidrive[onnx]'")


def _write(graph: Graph, file: Path) -> None:
    """Write a graph; the file is whole or it is not there."""
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing, and of torch's newer exporter, which needs more packages
            torch.onnx.export(
                graph.function,
                tuple(graph.inputs.values()),
                str(unfinished),
                dynamo=False,
                opset_version=OPSET,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
            )
        unfinished.replace(file)
    except OSError as error:
        raise OutputError(f"{file} cannot be written ({error.strerror or error})", "Name another file") from None
    finally:
        unfinished.unlink(missing_ok=True)
