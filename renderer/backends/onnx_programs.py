"""Programs of ONNX Runtime: the network written as ONNX for one size, run by one of its providers.

On the CPU in float32, on CUDA in float32 too, and by TensorRT in float16. Planes and pictures go through host memory.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from renderer.backends import host
from renderer.backends.compiled import Program
from renderer.models.live import LiveGenerator

# By backend and kind of device; without TF32, whose ten bits of mantissa are not float32's.
PROVIDERS: Final[dict[tuple[str, str], tuple[str, dict[str, Any]]]] = {
    ("onnxruntime", "cpu"): ("CPUExecutionProvider", {}),
    ("onnxruntime", "cuda"): ("CUDAExecutionProvider", {"use_tf32": "0"}),
    ("tensorrt", "cuda"): ("TensorrtExecutionProvider", {"trt_fp16_enable": "1"}),
}


def session_options() -> Any:
    """Return how ONNX Runtime uses this machine's cores."""
    options = importlib.import_module("onnxruntime").SessionOptions()
    options.intra_op_num_threads = host.num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning takes the simulator's core
    return options


def missing_provider(backend: str, device_type: str) -> str:
    """Return the provider that this ONNX Runtime would need for a backend and has not; "" if all is there."""
    name = PROVIDERS[backend, device_type][0]
    return "" if name in importlib.import_module("onnxruntime").get_available_providers() else name


def onnx_maker(
    network: LiveGenerator, backend: str = "onnxruntime", device_type: str = "cpu"
) -> Callable[[tuple[int, int]], Program]:
    """Return what writes a generator for a size and loads it in ONNX Runtime."""
    runtime: Any = importlib.import_module("onnxruntime")
    from renderer.weights_export import export_live  # needs the families, which know the backends

    options = session_options()
    provider = PROVIDERS[backend, device_type]

    def make_program(size_hw: tuple[int, int]) -> Program:
        with tempfile.TemporaryDirectory(prefix="vidrive-onnx-") as folder:
            file = Path(folder) / "generator.onnx"
            export_live(network, file, size_hw)
            session = runtime.InferenceSession(file.read_bytes(), options, providers=[provider])
        names = [given.name for given in session.get_inputs()]

        def program(*inputs: Tensor) -> Tensor:
            planes = {name: tensor.contiguous().cpu().numpy() for name, tensor in zip(names, inputs, strict=True)}
            return torch.from_numpy(session.run(None, planes)[0]).to(inputs[0].device)

        return program

    return make_program
