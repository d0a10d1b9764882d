"""Settings of a process that runs networks on a CPU; imports nothing heavy: it is called before torch is there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from bridge.protocol.memory import keep_freed_memory

_BFLOAT16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})


def prepare_process() -> None:
    """Set what must be set before torch is imported: OpenMP sleeps instead of spinning, buffers stay in the heap.

    With a simulator on the other cores, threads that spin while they wait make inference up to ten times slower.
    """
    if "torch" in sys.modules:
        raise RuntimeError("torch is imported already: its thread pool no longer reads these settings")
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ["GOMP_SPINCOUNT"] = "0"
    keep_freed_memory()


def num_threads() -> int:
    """Return how many threads inference uses: all cores but one, which the simulator needs, and at least one."""
    return max(1, num_cores() - 1)


def has_bfloat16_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether the CPU multiplies bfloat16 itself; emulated, it is two to seven times slower than float32."""
    try:
        flags = next(line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return not _BFLOAT16_FLAGS.isdisjoint(flags.split())


def num_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
