"""The figures of a GPU, all from one command: `vidrive bench --gpu`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Final

import numpy as np

from bridge.protocol.errors import UsageError
from clients.bench.figures import Figure
from clients.bench.sessions import measure_sessions

NUM_SESSIONS: Final = 8
SESSION_SIZE_WH: Final = (512, 256)
TINY_WH: Final = (64, 32)
NUM_FRAMES: Final = 300


def measure_gpu(device_name: str, num_frames: int = NUM_FRAMES) -> Iterable[Figure]:
    """Yield the figures of a GPU; on the CPU those of tiny networks, by the same code.

    Raises UsageError where there is no GPU.
    """
    from renderer.backends.host import prepare_process

    prepare_process()

    from renderer.backends.runner import open_device
    from renderer.gpu_trial import GENERATORS, matrix_peak_flops, measure_generator, measure_transfers, shares

    try:
        device = open_device(device_name)
    except UsageError as error:
        raise UsageError(
            f"{error.what}, so that there is nothing to measure",
            "Run it where there is one; --gpu --device cpu proves the command itself on tiny networks",
        ) from None
    on_gpu = device.type == "cuda"
    start_s = time.monotonic()
    _say("matrix products ...")
    peak_flops = matrix_peak_flops(device)
    yield Figure("matrix peak", peak_flops / 1e12, "TFLOP/s")
    for generator in GENERATORS:
        _say(f"{generator.preset} ...")
        trial = measure_generator(generator, device)
        name = f"{generator.preset} {trial.size_wh[0]}x{trial.size_wh[1]}"
        yield Figure(name, trial.served_ms, "ms", goal=generator.goal_ms if on_gpu else 0.0)
        for told, value in shares(trial, peak_flops):
            yield Figure(f"    {told}", value, "")
        exposed_ms = max(0.0, trial.whole_ms - trial.served_ms)
        yield Figure("    planes from the host, beyond that", exposed_ms, "ms", goal=1.0 if on_gpu else 0.0)
    transfers = measure_transfers(device)
    yield Figure("planes of 1920x1088 to the device", transfers.upload_ms, "ms")
    yield Figure("its picture back", transfers.download_ms, "ms")
    _say(f"{NUM_SESSIONS} sessions ...")
    size_wh = SESSION_SIZE_WH if on_gpu else TINY_WH
    times = measure_sessions(NUM_SESSIONS if on_gpu else 2, num_frames if on_gpu else 10, size_wh, device_name)
    p50_ms, p95_ms = np.percentile(times.all_ms, (50, 95))
    yield Figure(f"{len(times.latency_ms)} sessions {size_wh[0]}x{size_wh[1]}, p50", float(p50_ms), "ms")
    yield Figure("    p95", float(p95_ms), "ms", goal=33.0 if on_gpu else 0.0)
    slowest_ms = max(float(np.percentile(mine, 95)) for mine in times.latency_ms)
    yield Figure("    p95 of the session that waits longest", slowest_ms, "ms")
    yield Figure("all of this took", (time.monotonic() - start_s) / 60, "min", goal=8.0)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
