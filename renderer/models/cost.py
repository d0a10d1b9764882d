"""What a generator's frames cost, counted on the meta device without any weights: operations and memory."""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from renderer.models.family import Family

SLOWEST_LIVE_S: Final = 0.5  # a frame; below two a second nobody drives
_TRIAL_CHANNELS: Final = 256
_TRIAL_SIZE_HW: Final = (32, 64)


@dataclass(frozen=True)
class Cost:
    """One frame's floating point operations (two for a multiplication with addition; convolutions and matrices alone),
    and the most bytes of features in float32 that are alive at once, without weights."""

    flops: int
    peak_bytes: int


def measure(family: Family, config: msgspec.Struct, size_hw: tuple[int, int]) -> dict[str, Cost]:
    """Return what a frame of a size (height, width) costs: "first" where a sequence begins, "steady" after it."""
    costs: dict[str, Cost] = {}
    with torch.device("meta"), torch.no_grad():
        frames = family.dry_run(family.build(config).eval(), config, size_hw)
        while True:
            with FlopCounterMode(display=False) as flops, _LiveBytes() as memory:
                kind = next(frames, None)
            if kind is None:
                return costs
            costs[kind] = Cost(flops.get_total_flops(), memory.peak_bytes)


def flops_per_s(device: torch.device) -> float:
    """Return how many operations of convolutions a device does in a second, by a trial of about a tenth of one."""
    features = torch.zeros(1, _TRIAL_CHANNELS, *_TRIAL_SIZE_HW, device=device)
    kernel = torch.zeros(_TRIAL_CHANNELS, _TRIAL_CHANNELS, 3, 3, device=device)
    flops = 2 * 9 * _TRIAL_CHANNELS**2 * _TRIAL_SIZE_HW[0] * _TRIAL_SIZE_HW[1]
    best_s = float("inf")
    with torch.inference_mode():
        for _ in range(4):
            start_s = time.perf_counter()
            F.conv2d(features, kernel, padding=1).sum().item()
            best_s = min(best_s, time.perf_counter() - start_s)
    return flops / best_s


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors that operations make for as long as they live."""

    def __init__(self) -> None:
        super().__init__()
        self.live_bytes = 0
        self.peak_bytes = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, num_bytes = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live_bytes += num_bytes
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        weakref.finalize(storage, self._forget, key, num_bytes)

    def _forget(self, key: int, num_bytes: int) -> None:
        self._known.discard(key)
        self.live_bytes -= num_bytes
