"""Planes to a device and pictures back: through pinned memory, so that a GPU copies beside its work.

Pinned buffers come from torch's pool of them, which gives one away again when no copy uses it any more.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def upload(plane: NDArray, device: torch.device) -> Tensor:
    """Return a plane as a tensor on a device; on a CPU it shares the plane's memory.

    On CUDA the copy is only ordered: it is done before what is ordered next, and the plane may change at once.
    """
    if device.type != "cuda":
        return torch.from_numpy(plane).to(device)
    pinned = torch.empty(plane.shape, dtype=torch.from_numpy(plane[:0]).dtype, pin_memory=True)
    np.copyto(pinned.numpy(), plane)
    return pinned.to(device, non_blocking=True)


def download(tensor: Tensor) -> NDArray:
    """Return a tensor as an array in host memory, when all work on it is done; on a CPU it shares the tensor's."""
    if tensor.device.type != "cuda":
        return tensor.numpy()
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    pinned.copy_(tensor, non_blocking=True)
    done = torch.cuda.Event()
    done.record()
    done.synchronize()  # this copy, and not what other threads have ordered since
    return pinned.numpy()


def levels(rgb_B3HW: Tensor, *, rounded: bool) -> Tensor:
    """Return a picture of [-1, 1] as (H,W,3) u8 on its device: rounded to nearest, or cut off, as upstream does."""
    scaled_3HW = rgb_B3HW[0].float() * 127.5 + 127.5 if rounded else (rgb_B3HW[0].float() + 1) / 2 * 255
    scaled_3HW = scaled_3HW.round_() if rounded else scaled_3HW
    return scaled_3HW.clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()
