"""Runs a generator as fast as a device can: precision, memory format, and a CUDA graph where there is CUDA."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass, field
from typing import Final, Protocol

import cv2
import torch
from torch import Tensor, nn

from bridge.protocol.errors import UsageError
from renderer.backends import host

log: Final = logging.getLogger("renderer")
EAGER: Final = "eager"
TRIAL_SIZE_HW: Final = (256, 512)
GRAPH_TOLERANCE: Final = 1e-3  # of a picture in [-1, 1]: a graph replays the very kernels that it recorded
MAX_GRAPHS: Final = 4  # picture sizes; each graph keeps the memory of all its layers


class Runner(Protocol):
    """A generator on its device: labels_BHW uint8, warped_B3HW and valid_B1HW float32 -> rgb_B3HW float32 [-1, 1]."""

    dtype: torch.dtype
    backend: str  # what runs it: "eager" is torch, layer by layer

    def __call__(self, labels_BHW: Tensor, warped_B3HW: Tensor, valid_B1HW: Tensor) -> Tensor:
        """Return the picture, in memory of its own."""
        ...


def open_device(name: str) -> torch.device:
    """Return the device of that name and set the process up for it; raises UsageError if it is not there."""
    if name not in ("cpu", "cuda"):
        raise UsageError(f"there is no device {name!r}", "Use cpu or cuda")
    cv2.setNumThreads(1)
    torch.set_num_threads(host.num_threads())
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("this machine has no CUDA device that torch can use", "Use --device cpu")
    return torch.device(name)


def describe(device: torch.device, dtype: torch.dtype, backend: str = EAGER) -> str:
    """Return how a model runs, for people: "cpu, bfloat16, 1 thread", "cpu, openvino bfloat16, 1 thread"."""
    name = str(dtype).removeprefix("torch.")
    if backend != EAGER:
        name = f"{backend} {name}"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {name}"
    threads = torch.get_num_threads()
    return f"cpu, {name}, {threads} thread{'s' if threads > 1 else ''}"


class EagerRunner:
    """Layer by layer, in one precision."""

    def __init__(self, network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        """Copy the network to the device in that precision, channels last."""
        self.dtype = dtype
        self.backend = EAGER
        self._network = copy.deepcopy(network).to(device, dtype)
        for parameter in self._network.parameters():
            if parameter.dim() == 4:  # kernels: with these channels last, so are the features
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def __call__(self, labels_BHW: Tensor, warped_B3HW: Tensor, valid_B1HW: Tensor) -> Tensor:
        """Return the picture, in memory of its own."""
        # The generator itself lowers what its layers read; its picture is blended in float32.
        rgb_B3HW = self._network(labels_BHW, warped_B3HW, valid_B1HW)
        return rgb_B3HW.to(torch.float32)


class CudaRunner:
    """float16 on CUDA; the layers of each picture size are recorded as a CUDA graph and then replayed.

    Graphs of the last few sizes are kept, so that clients who try many do not fill the device.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        """Copy the network to the device in half precision."""
        self.dtype = torch.float16
        self.backend = "graph"
        self._eager = EagerRunner(network, device, self.dtype)
        self._graphs: dict[tuple[int, int], _Graph | None] = {}

    def __call__(self, labels_BHW: Tensor, warped_B3HW: Tensor, valid_B1HW: Tensor) -> Tensor:
        """Return the picture, in memory of its own."""
        size_hw = (labels_BHW.shape[1], labels_BHW.shape[2])
        if size_hw not in self._graphs:
            while len(self._graphs) >= MAX_GRAPHS:
                del self._graphs[next(iter(self._graphs))]
            self._graphs[size_hw] = self._record(labels_BHW, warped_B3HW, valid_B1HW)
        graph = self._graphs[size_hw]
        if graph is None:
            return self._eager(labels_BHW, warped_B3HW, valid_B1HW)
        for place, tensor in zip(graph.inputs, (labels_BHW, warped_B3HW, valid_B1HW), strict=True):
            place.copy_(tensor)
        graph.graph.replay()
        return graph.rgb_B3HW.clone()

    def _record(self, *inputs: Tensor) -> _Graph | None:
        graph = torch.cuda.CUDAGraph()
        places = tuple(tensor.clone() for tensor in inputs)
        try:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):  # chooses algorithms and allocates workspaces, which a graph cannot record
                    self._eager(*places)
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(graph):
                rgb_B3HW = self._eager(*places)
            graph.replay()
            apart = float((rgb_B3HW - self._eager(*places)).abs().max())
            if not apart <= GRAPH_TOLERANCE:
                log.warning("the CUDA graph's picture is %.3g off: this model runs layer by layer", apart)
                return None
        except RuntimeError as error:
            log.warning("no CUDA graph for this model (%s): it runs layer by layer", error)
            return None
        return _Graph(graph, places, rgb_B3HW)


@dataclass(frozen=True)
class _Graph:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    rgb_B3HW: Tensor = field(repr=False)
