"""The device that a single process trains on."""

from __future__ import annotations

import torch

from bridge.protocol.errors import UsageError


def find_device(name: str) -> torch.device:
    """Return the device that `name` says: "cpu", "cuda", or "" for CUDA where there is one.

    Raises UsageError for CUDA where there is none.
    """
    cuda = torch.cuda.is_available()
    if name == "cuda" and not cuda:
        raise UsageError("there is no CUDA device here", "Use --device cpu")
    device = torch.device(name or ("cuda" if cuda else "cpu"))
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # batches have one size: the fastest convolutions are looked for once
    return device
