"""Work that does not need the last picture, done beside the work that does: on CUDA in a stream of its own, on a CPU
in a thread.

What labels alone say of a frame is half of vid2vid's work. Offline, where the next frame is known, all of it is done
while this frame is drawn; live it overlaps with what is read from the past pictures. The results are those of the same
operations in the same order: equal bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from renderer.backends.host import num_cores

Result = TypeVar("Result")


def pays_off(device: torch.device) -> bool:
    """Whether a device has room for two things at once: a CPU only if inference leaves half of its cores idle."""
    return device.type == "cuda" or (device.type == "cpu" and 2 * torch.get_num_threads() <= num_cores())


def begin(device: torch.device, work: Callable[[], Result]) -> Callable[[], Result]:
    """Begin work on a device beside what the caller does there; returns what waits for its result and returns that.

    The result's tensors must be in a tree of tuples, lists and dicts. What the work raises is raised by the wait.
    """
    if device.type == "cuda":
        return _in_stream(device, work)
    return _thread().submit(torch.inference_mode()(work)).result


@lru_cache(maxsize=1)
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="labels")


@lru_cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def _in_stream(device: torch.device, work: Callable[[], Result]) -> Callable[[], Result]:
    side = _side_stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        made = work()

    def wait() -> Result:
        here = torch.cuda.current_stream(device)
        here.wait_stream(side)
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                leaf.record_stream(here)  # its memory is not given away before this stream has read it
        return made

    return wait
