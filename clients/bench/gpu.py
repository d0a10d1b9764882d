"""The figures of a GPU, all from one command: `vidrive bench --gpu`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import numpy as np

from bridge.protocol.errors import UsageError
from clients.bench.figures import Figure
from clients.bench.parts import Part, measure_parts
from clients.bench.sessions import measure_sessions

NUM_SESSIONS: Final = 8
SESSION_SIZE_WH: Final = (512, 256)
TINY_WH: Final = (64, 32)
BUDGET_S: Final = 460.0
MOST_S: Final = 120.0  # for one part
GOALS_MS: Final = {"label2city_1024_g1": 5.0, "spade_cityscapes": 2.0, "label2city_2048": 12.8}


def measure_gpu(device_name: str, num_frames: int, *, apart: bool | None = None) -> Iterable[Figure]:
    """Yield the figures of a GPU as they come, each part in a process of its own; on the CPU those of tiny networks.

    Raises UsageError where there is no GPU.
    """
    from renderer.backends.host import prepare_process

    prepare_process()

    from renderer.backends.runner import open_device

    try:
        on_gpu = open_device(device_name).type == "cuda"
    except UsageError as error:
        raise UsageError(
            f"{error.what}, so that there is nothing to measure",
            "Run it where there is one; --gpu --device cpu proves the command itself on tiny networks",
        ) from None
    start_s = time.monotonic()
    parts = [
        Part("matrix products and transfers", _device, (device_name,), MOST_S),
        *(Part(preset, _generator, (preset, device_name), MOST_S) for preset in GOALS_MS),
        Part(f"{NUM_SESSIONS} sessions", _sessions, (device_name, num_frames), MOST_S),
        Part("own kernels", _kernels, (device_name,), MOST_S),
        Part("backends", _backends, (device_name,), MOST_S),
    ]
    yield from measure_parts(parts, BUDGET_S, apart=on_gpu if apart is None else apart)
    yield Figure("all of this took", (time.monotonic() - start_s) / 60, "min", goal=8.0)


def _device(device_name: str) -> Iterable[Figure]:
    from renderer.backends.runner import open_device
    from renderer.gpu_trial import matrix_peak_flops, measure_transfers

    device = open_device(device_name)
    yield Figure("matrix peak", matrix_peak_flops(device) / 1e12, "TFLOP/s")
    transfers = measure_transfers(device)
    yield Figure("planes of 1920x1088 to the device", transfers.upload_ms, "ms")
    yield Figure("its picture back", transfers.download_ms, "ms")


def _generator(preset: str, device_name: str) -> Iterable[Figure]:
    from renderer.backends.runner import open_device
    from renderer.gpu_trial import GENERATORS, matrix_peak_flops, measure_generator, told

    device = open_device(device_name)
    on_gpu = device.type == "cuda"
    trial = measure_generator(GENERATORS[preset], device)
    name = f"{preset} {trial.size_wh[0]}x{trial.size_wh[1]}"
    yield Figure(name, trial.served_ms, "ms", goal=GOALS_MS[preset] if on_gpu else 0.0)
    yield Figure("    recorded as a graph", float(trial.is_recorded), "", goal=1.0, at_least=True)
    for what, value, unit in told(trial, matrix_peak_flops(device)):
        yield Figure(f"    {what}", value, unit)
    exposed_ms = max(0.0, trial.beside_ms - (trial.served_ms - trial.copy_ms))
    yield Figure("    the same, beside another frame", exposed_ms, "ms", goal=1.0 if on_gpu else 0.0)


def _sessions(device_name: str, num_frames: int) -> Iterable[Figure]:
    on_gpu = device_name == "cuda"
    size_wh = SESSION_SIZE_WH if on_gpu else TINY_WH
    times = measure_sessions(NUM_SESSIONS if on_gpu else 2, num_frames if on_gpu else 10, size_wh, device_name)
    p50_ms, p95_ms = np.percentile(times.all_ms, (50, 95))
    yield Figure(f"{len(times.latency_ms)} sessions {size_wh[0]}x{size_wh[1]}, p50", float(p50_ms), "ms")
    yield Figure("    p95", float(p95_ms), "ms", goal=33.0 if on_gpu else 0.0)
    slowest_ms = max(float(np.percentile(mine, 95)) for mine in times.latency_ms)
    yield Figure("    p95 of the session that waits longest", slowest_ms, "ms")


def _kernels(device_name: str) -> Iterable[Figure]:
    from renderer.backends.runner import open_device
    from renderer.gpu_trial import measure_kernels

    for name, ratio, problem in measure_kernels(open_device(device_name)):
        yield Figure(name, ratio, "times torch's time", goal=0.95, problem=problem)


def _backends(device_name: str) -> Iterable[Figure]:
    from renderer.backends.runner import open_device
    from renderer.gpu_trial import measure_backends

    for name, figure_ms, problem in measure_backends(open_device(device_name)):
        yield Figure(name, figure_ms, "ms", problem=problem)
