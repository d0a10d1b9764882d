"""When memory runs out in training: an answer that says what to lower."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import torch

from bridge.protocol.errors import UsageError

_NO_MEMORY: Final = ("not enough memory", "can't allocate memory", "out of memory")


@contextmanager
def answering_memory(
    device: torch.device, step: Callable[[], int], ways: Callable[[], Sequence[str]]
) -> Iterator[None]:
    """Turn a lack of memory into a UsageError: at which step, counted from 0, and what may be lowered."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        ran_out = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not ran_out and not any(sign in str(error).lower() for sign in _NO_MEMORY):
            raise
        raise UsageError(
            f"the memory of the {device.type} ran out at step {step() + 1}",
            f"Lower one of these: {', '.join(ways())}",
        ) from None


def ways_of_crops(precision: str, batch_size: int, sizes: str) -> list[str]:
    """Return what a trainer of crops can lower: its precision, the crops of a step, and their size as `sizes` says."""
    ways = [f"--set schedule.batch_size={max(batch_size // 2, 1)} (now {batch_size})"] if batch_size > 1 else []
    if precision == "float32":
        ways.append("--set schedule.precision=bfloat16")
    return [*ways, sizes]
