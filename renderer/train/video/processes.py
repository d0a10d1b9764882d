"""The processes that train together: one for each device, started by torchrun, or a single one.

Each draws its share of the sequences of a step; gradients are summed over all, so that every process takes the same
step with the same weights. The number of processes does not change what is learnt, but for the order of sums.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor

from bridge.protocol.errors import UsageError
from renderer.train.device import find_device

_DEADLINE: Final = timedelta(minutes=10)


@dataclass(frozen=True)
class Processes:
    """This process among all: its number, how many there are, and the device that it trains on."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and speaks."""
        return self.rank == 0

    def lanes(self, num_lanes: int) -> range:
        """Return the numbers of the sequences that this process draws."""
        return range(self.rank, num_lanes, self.count)

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Add up each tensor over all processes, in place; all have the same shapes in the same order."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Add up the gradients over all processes; a parameter that none of them has one for keeps none."""
        if self.count == 1:
            return
        has = torch.tensor([parameter.grad is not None for parameter in parameters], device=self.device).float()
        dist.all_reduce(has)
        shared = [parameter for parameter, count in zip(parameters, has.tolist(), strict=True) if count]
        for parameter in shared:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.sum([parameter.grad for parameter in shared if parameter.grad is not None])

    def gather(self, value: Any) -> list[Any]:
        """Return the value of every process, in the order of their numbers; tensors in it must be on the CPU."""
        if self.count == 1:
            return [value]
        gathered: list[Any] = [None] * self.count
        dist.all_gather_object(gathered, value)
        return gathered

    def wait_for_all(self) -> None:
        """Return when every process is here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def join_processes(device_name: str) -> Iterator[Processes]:
    """Join the processes that torchrun started, or be the only one; `device_name` is "", "cpu" or "cuda"."""
    kind = find_device(device_name).type
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if kind == "cuda" and local >= torch.cuda.device_count():
        raise UsageError(f"process {local} has no CUDA device of its own", "Lower --nproc-per-node")
    device = torch.device(kind, local) if kind == "cuda" else torch.device("cpu")
    if kind == "cuda":
        torch.cuda.set_device(device)
    if count == 1:
        yield Processes(0, 1, device)
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo", timeout=_DEADLINE)
    try:
        yield Processes(rank, count, device)
    finally:
        dist.destroy_process_group()
