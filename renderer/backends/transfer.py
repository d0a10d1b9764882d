"""Planes to a device and pictures back: through pinned memory, so that a GPU copies beside its work.

Pinned buffers come from torch's pool of them, which gives one away again when no copy uses it any more: while one is
on its way another is filled. Uploads have a stream of their own, so that a frame's planes come while another frame is
computed; what is ordered after them waits for them.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def stage(plane: NDArray, dtype: type[np.generic], device: torch.device) -> Tensor:
    """Return a copy of a borrowed plane in host memory, of a type, where the way to the device is shortest."""
    if device.type != "cuda":
        return torch.from_numpy(np.array(plane, dtype, order="C"))
    staged = torch.empty(plane.shape, dtype=torch.from_numpy(np.empty(0, dtype)).dtype, pin_memory=True)
    np.copyto(staged.numpy(), plane, casting="unsafe")
    return staged


def upload(staged: Tensor, device: torch.device) -> Tensor:
    """Return a staged tensor on a device; on a CPU it is the same.

    On CUDA the copy is only ordered: it is done before what the current stream is given next.
    """
    if device.type != "cuda":
        return staged.to(device)
    current, side = torch.cuda.current_stream(device), _upload_stream(device)
    with torch.cuda.stream(side):
        there = staged.to(device, non_blocking=True)
    current.wait_stream(side)
    there.record_stream(current)  # its memory is the side stream's: not to be given away before this one is done
    return there


@functools.cache
def _upload_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


class Download:
    """A tensor of a CUDA device on its way to host memory: `wait` returns it when it has come."""

    def __init__(self, tensor: Tensor) -> None:
        """Order the copy behind what the current stream was given."""
        self._pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        self._pinned.copy_(tensor, non_blocking=True)
        self._done = torch.cuda.Event()
        self._done.record()

    def wait(self) -> NDArray:
        """Return it as an array, when this copy is done, and not what was ordered since."""
        self._done.synchronize()
        return self._pinned.numpy()


def begin_download(tensor: Tensor) -> NDArray | Download:
    """Return a tensor as an array, which on a CPU shares its memory, or on CUDA what waits for it."""
    return Download(tensor) if tensor.device.type == "cuda" else tensor.numpy()


def download(tensor: Tensor) -> NDArray:
    """Return a tensor as an array in host memory, when all work on it is done; on a CPU it shares the tensor's."""
    begun = begin_download(tensor)
    return begun.wait() if isinstance(begun, Download) else begun


def levels(rgb_B3HW: Tensor, *, rounded: bool) -> Tensor:
    """Return a picture of [-1, 1] as (H,W,3) u8 on its device: rounded to nearest, or cut off, as upstream does."""
    scaled_3HW = rgb_B3HW[0].float() * 127.5 + 127.5 if rounded else (rgb_B3HW[0].float() + 1) / 2 * 255
    scaled_3HW = scaled_3HW.round_() if rounded else scaled_3HW
    return scaled_3HW.clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()
