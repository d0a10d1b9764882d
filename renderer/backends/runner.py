"""Runs a generator as fast as a device can: precision, memory format, and a CUDA graph where there is CUDA."""

from __future__ import annotations

import copy
from typing import Final, Protocol

import cv2
import torch
from torch import Tensor, nn

from bridge.protocol.errors import UsageError
from renderer.backends import host
from renderer.backends.graphs import Recorded, recorder_for

EAGER: Final = "eager"
GRAPH: Final = "graph"
TRIAL_SIZE_HW: Final = (256, 512)


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
    if name == "cuda":
        torch.backends.cudnn.benchmark = True  # sizes stay: the fastest algorithm of each layer is found once
    return torch.device(name)


def describe(device: torch.device, dtype: torch.dtype, backend: str = EAGER) -> str:
    """Return how a model runs, for people: "cpu, bfloat16, 1 thread", "cpu, openvino bfloat16, 1 thread"."""
    name = str(dtype).removeprefix("torch.")
    if backend not in (EAGER, name):
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


class RecordedRunner:
    """A generator whose layers are recorded once a shape and then replayed as a whole; float16 on CUDA."""

    def __init__(self, network: nn.Module, device: torch.device, dtype: torch.dtype = torch.float16) -> None:
        """Copy the network to the device in that precision."""
        self.dtype = dtype
        self.backend = GRAPH
        eager = EagerRunner(network, device, dtype)
        self._recorded = Recorded(lambda *frame: (eager(*frame),), recorder_for(device), "the generator")

    def __call__(self, labels_BHW: Tensor, warped_B3HW: Tensor, valid_B1HW: Tensor) -> Tensor:
        """Return the pictures, in memory of their own.

        A batch is filled up to a power of two with its last frame: clients come and go, and each size is a recording.
        """
        batch = labels_BHW.shape[0]
        missing = (1 << (batch - 1).bit_length()) - batch
        inputs = [_filled_up(tensor, missing) for tensor in (labels_BHW, warped_B3HW, valid_B1HW)]
        return self._recorded(*inputs)[0][:batch]


def _filled_up(tensor: Tensor, missing: int) -> Tensor:
    return tensor if not missing else torch.cat([tensor, *[tensor[-1:]] * missing])
