"""Which backend runs a generator: what a person names, or the fastest of those whose pictures are eager's.

Eager torch is the reference, always there. Every other backend is measured and compared with it before it is trusted;
one that is missing, fails or is slower is left aside with a sentence.
"""

from __future__ import annotations

import importlib.util
import logging
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Final, Literal, get_args

import torch

from bridge.protocol.errors import UsageError
from renderer.backends import host, tensorrt_programs
from renderer.backends.calibration import Calibration
from renderer.backends.compiled import CompiledRunner, Program, ProgramRefused, first_line, trial_inputs
from renderer.backends.runner import EAGER, TRIAL_SIZE_HW, EagerRunner, RecordedRunner, Runner
from renderer.models.live import LiveGenerator

log: Final = logging.getLogger("renderer")
BackendName = Literal["auto", "eager", "compile", "onnxruntime", "openvino", "int8", "tensorrt"]
BACKEND_NAMES: Final[tuple[BackendName, ...]] = get_args(BackendName)
EXTRAS: Final = {
    "onnxruntime": ("onnx", ("onnx", "onnxruntime")),
    "openvino": ("openvino", ("openvino",)),
    "int8": ("onnx", ("onnx", "onnxruntime")),
    "tensorrt": ("onnx", ("onnx", "onnxruntime")),
}
AUTOMATIC: Final = ("openvino", "onnxruntime")  # on a CPU; the others are taken by name only
ON_CPU: Final = ("openvino", "int8")
NUM_TRIALS: Final = 9
CLEARLY: Final = 0.8  # of its rival's time that half precision may take to be chosen in eager torch
FASTER: Final = 0.95  # the same for another runtime


def missing_packages(backend: str) -> tuple[str, ...]:
    """Return the packages that a backend needs and that are not installed."""
    _, packages = EXTRAS.get(backend, ("", ()))
    if backend == "tensorrt" and tensorrt_programs.is_here():
        packages = ("onnx",)  # to write what its own package compiles
    return tuple(name for name in packages if importlib.util.find_spec(name) is None)


def install_hint(backend: str) -> str:
    """Return what installs a backend's packages."""
    return f"pip install 'vidrive[{EXTRAS[backend][0]}]'"


def recorded_backend(dtype: str) -> BackendName:
    """Return which backend repeats what a card's `dtype` says, "openvino bfloat16" say; eager where it is not here."""
    name = dtype.partition(" ")[0]
    matches: list[BackendName] = [backend for backend in BACKEND_NAMES if backend == name]
    return matches[0] if matches and not missing_packages(name) else "eager"


def numbers(runner: Runner) -> str:
    """Return how a runner computes, for cards: "bfloat16", and with another backend than eager "openvino bfloat16"."""
    name = str(runner.dtype).removeprefix("torch.")
    if runner.backend == name:
        return name  # "int8" is both
    return name if runner.backend in (EAGER, "graph") else f"{runner.backend} {name}"


def make_runner(
    network: LiveGenerator,
    device: torch.device,
    backend: BackendName = "eager",
    calibration: Calibration | None = None,
) -> Runner:
    """Return a runner for a generator; "auto" is the fastest backend that is installed and draws what eager draws.

    "int8" takes its ranges from the `calibration`, and is left aside where its pictures on frames of it that it has not
    seen are less than 30 dB of eager float32's.

    Eager torch takes bfloat16 on a CPU that has instructions for it where that is clearly faster; on CUDA it is
    float16, its layers recorded as a CUDA graph. Raises UsageError for a backend that is not there.
    """
    network = network.eval().requires_grad_(False)
    _check_there(backend, device, calibration)
    if device.type == "cuda" and backend == "auto":
        return RecordedRunner(network, device)
    reference = EagerRunner(network, device, torch.float32)
    eager: Runner = reference
    if device.type == "cuda":
        eager = EagerRunner(network, device, torch.float16)
    elif host.has_bfloat16_instructions():
        eager = _faster(reference, EagerRunner(network, device, torch.bfloat16), CLEARLY)
    if backend == EAGER:
        return eager
    best = eager
    for candidate in _candidates(network, device, reference, eager, backend, calibration):
        try:
            candidate.checked_program(TRIAL_SIZE_HW)
        except ProgramRefused as error:
            log.warning("%s is left aside: %s", candidate.backend, error)
            continue
        best = candidate if backend != "auto" else _faster(best, candidate, FASTER)
    return best


def _check_there(backend: str, device: torch.device, calibration: Calibration | None) -> None:
    """Raise UsageError for a backend that cannot be had here, with what to do about it."""
    if backend in ON_CPU and device.type == "cuda":
        raise UsageError(f"the backend {backend} runs on the CPU only", "Use --backend auto with --device cuda")
    if backend == "tensorrt" and device.type != "cuda":
        raise UsageError("the backend tensorrt runs on CUDA only", "Use --backend auto on a CPU")
    if missing := missing_packages(backend):
        raise UsageError(
            f"the backend {backend} needs {' and '.join(missing)}, which is missing",
            f"Install it: {install_hint(backend)}",
        )
    if backend == "int8" and calibration is None:
        raise UsageError(
            "int8 needs to know what the generator is given in drives",
            "Write that with vidrive weights calibrate, then give --calibration FILE",
        )
    if backend == "onnxruntime" or (backend == "tensorrt" and not tensorrt_programs.is_here()):
        from renderer.backends.onnx_programs import missing_provider

        if provider := missing_provider(backend, device.type):
            raise UsageError(
                f"this ONNX Runtime has no {provider}",
                "Install onnxruntime-gpu in its place; for the backend tensorrt, pip install tensorrt does as well",
            )


def _candidates(
    network: LiveGenerator,
    device: torch.device,
    reference: Runner,
    fallback: Runner,
    backend: BackendName,
    calibration: Calibration | None,
) -> Iterator[CompiledRunner]:
    """The runners of one backend, or of all that are worth a trial on this machine, each made when it is its turn."""
    labels = network.config.num_labels
    # What half precision costs here is known from eager torch: where that gains nothing, neither does this.
    half = fallback.dtype
    for name in AUTOMATIC if backend == "auto" else (backend,):
        if missing_packages(name):
            continue
        dtype = {"int8": torch.int8, "onnxruntime": torch.float32, "tensorrt": torch.float16}.get(name, half)
        if name == "onnxruntime" and backend == "auto" and half != torch.float32:
            continue  # it multiplies float32 only: never as fast as half precision with instructions
        try:
            make_program = _maker(name, network, device, dtype, calibration)
        except Exception as error:  # noqa: BLE001 - a package of others that does not load is no reason not to serve
            log.warning("%s is left aside: it does not load (%s)", name, first_line(error))
            continue
        judged_on = calibration if name == "int8" else None
        yield CompiledRunner(name, dtype, make_program, reference, fallback, labels, judged_on, device)


def _maker(
    name: str, network: LiveGenerator, device: torch.device, dtype: torch.dtype, calibration: Calibration | None
) -> Callable[[tuple[int, int]], Program]:
    if name == "openvino":
        from renderer.backends.openvino_programs import openvino_maker

        return openvino_maker(network, network.config.num_labels, dtype)
    if name == "int8" and calibration is not None:
        from renderer.backends.int8_programs import int8_maker

        return int8_maker(network, calibration)
    if name == "tensorrt" and tensorrt_programs.is_here():
        return tensorrt_programs.tensorrt_maker(network, device)
    if name in ("onnxruntime", "tensorrt"):
        from renderer.backends.onnx_programs import onnx_maker

        return onnx_maker(network, name, device.type)

    def compile_program(_size_hw: tuple[int, int]) -> Program:
        eager = EagerRunner(network, device, dtype)
        return torch.compile(eager.__call__, dynamic=False)

    return compile_program


@torch.inference_mode()
def _faster(first: Runner, second: Runner, share: float) -> Runner:
    """Return the first runner, unless the second needs less than `share` of its processor time.

    Processor time, the two in turns, and the median of their ratios: the choice must not depend on what else runs on
    this machine, because each draws pictures of its own, and the same drive should give the same pictures tomorrow.
    """
    frame = trial_inputs(TRIAL_SIZE_HW, 1)
    ratios = []
    for _ in range(NUM_TRIALS + 1):
        spent_s = []
        for runner in (first, second):
            start_s = time.process_time()
            runner(*frame)
            spent_s.append(time.process_time() - start_s)
        ratios.append(spent_s[1] / max(spent_s[0], 1e-9))
    ratio = statistics.median(ratios[1:])  # the first trial prepares kernels
    log.info("%s: %.2f times the time of %s", _told(second), ratio, _told(first))
    return second if ratio < share else first


def _told(runner: Runner) -> str:
    return f"{runner.backend} {str(runner.dtype).removeprefix('torch.')}"
