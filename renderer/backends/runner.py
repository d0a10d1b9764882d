"""Runs a generator as fast as a device can: precision, memory format, and a CUDA graph where there is CUDA."""

from __future__ import annotations

import copy
import logging
import time
from dataclasses import dataclass, field
from typing import Final, Protocol

import cv2
import torch
from torch import Tensor, nn

from bridge.protocol.errors import UsageError
from renderer.backends import host

log: Final = logging.getLogger("renderer")
TRIAL_SIZE_HW: Final = (256, 512)
NUM_TRIALS: Final = 5
CLEARLY: Final = 0.8  # how much of its rival's time a precision may take to be chosen: no tie is left to chance
MAX_GRAPHS: Final = 4  # picture sizes; each graph keeps the memory of all its layers


class Runner(Protocol):
    """A generator on its device: labels_BHW uint8, warped_B3HW and valid_B1HW float32 -> rgb_B3HW float32 [-1, 1]."""

    dtype: torch.dtype

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


def make_runner(network: nn.Module, device: torch.device) -> Runner:
    """Return a runner for a generator; float16 on CUDA, on a CPU bfloat16 where that has instructions and is faster."""
    network = network.eval().requires_grad_(False)
    if device.type == "cuda":
        return CudaRunner(network, device)
    runner = EagerRunner(network, device, torch.float32)
    if not host.has_bfloat16_instructions():
        return runner
    return _faster(runner, EagerRunner(network, device, torch.bfloat16))


def describe(device: torch.device, dtype: torch.dtype) -> str:
    """Return how a model runs, for people: "cpu, bfloat16, 1 thread"."""
    name = str(dtype).removeprefix("torch.")
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {name}"
    threads = torch.get_num_threads()
    return f"cpu, {name}, {threads} thread{'s' if threads > 1 else ''}"


class EagerRunner:
    """Layer by layer, in one precision."""

    def __init__(self, network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        """Copy the network to the device in that precision, channels last."""
        self.dtype = dtype
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
        except RuntimeError as error:
            log.warning("no CUDA graph for this model (%s): it runs layer by layer", error)
            return None
        return _Graph(graph, places, rgb_B3HW)


@dataclass(frozen=True)
class _Graph:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    rgb_B3HW: Tensor = field(repr=False)


@torch.inference_mode()
def _faster(first: EagerRunner, second: EagerRunner) -> EagerRunner:
    """Return the first runner, unless the second needs a fifth less CPU time in the best of interleaved trials.

    CPU time and the best, because the choice must not depend on what else runs on this machine: both precisions give
    pictures of their own, and the same drive should give the same pictures tomorrow.
    """
    height_px, width_px = TRIAL_SIZE_HW
    frame = (
        torch.zeros(1, height_px, width_px, dtype=torch.uint8),
        torch.zeros(1, 3, height_px, width_px),
        torch.zeros(1, 1, height_px, width_px),
    )
    best_s = {first: float("inf"), second: float("inf")}
    for trial in range(NUM_TRIALS + 1):
        for runner in best_s:
            start_s = time.process_time()
            runner(*frame)
            if trial > 0:  # the first one prepares kernels
                best_s[runner] = min(best_s[runner], time.process_time() - start_s)
    return second if best_s[second] < CLEARLY * best_s[first] else first
