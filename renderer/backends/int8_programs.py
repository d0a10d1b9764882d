"""Programs in int8: convolutions of bytes, whose ranges are those of real drives.

ONNX Runtime measures the ranges and writes the network with them; OpenVINO runs that where it is installed, which is
faster, else ONNX Runtime itself. Activations are unsigned bytes, because OpenVINO's convolutions of signed ones
saturate; the first convolution and the last two stay as they are: they read positions and draw what people see.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from renderer.backends import host
from renderer.backends.calibration import Calibration, Inputs
from renderer.backends.compiled import Program
from renderer.backends.onnx_programs import session_options
from renderer.models.live import LiveGenerator

INPUTS: Final = ("labels", "warped", "valid")
NUM_FIRST, NUM_LAST = 1, 2  # convolutions that stay as they are


def int8_maker(network: LiveGenerator, calibration: Calibration) -> Callable[[tuple[int, int]], Program]:
    """Return what writes a generator for a size in int8 and loads it."""
    for package in ("onnx", "onnxruntime"):
        importlib.import_module(package)

    def make_program(size_hw: tuple[int, int]) -> Program:
        frames, _ = calibration.at(size_hw)
        with tempfile.TemporaryDirectory(prefix="vidrive-int8-") as folder:
            file = _write(network, size_hw, frames, Path(folder))
            return _openvino_program(file) if importlib.util.find_spec("openvino") else _onnx_program(file)

    return make_program


def _write(network: LiveGenerator, size_hw: tuple[int, int], frames: tuple[Inputs, ...], folder: Path) -> Path:
    from renderer.weights_export import export_live  # needs the families, which know the backends

    quantization: Any = importlib.import_module("onnxruntime.quantization")
    plain, file = folder / "generator.onnx", folder / "generator-int8.onnx"
    export_live(network, plain, size_hw)
    onnx: Any = importlib.import_module("onnx")
    convolutions = [node.name for node in onnx.load(plain).graph.node if node.op_type == "Conv"]
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # its advice is for people who call it themselves
    try:
        quantization.quantize_static(
            str(plain),
            str(file),
            _Reader(frames),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[*convolutions[:NUM_FIRST], *convolutions[-NUM_LAST:]],
        )
    finally:
        root.setLevel(level)
    return file


class _Reader:
    """Frames one after another, as ONNX Runtime asks for them."""

    def __init__(self, frames: tuple[Inputs, ...]) -> None:
        self._frames: Iterator[Inputs] = iter(frames)

    def get_next(self) -> dict[str, Any] | None:
        inputs = next(self._frames, None)
        return None if inputs is None else _named(*inputs)


def _named(*inputs: Tensor) -> dict[str, Any]:
    return {name: tensor.contiguous().numpy() for name, tensor in zip(INPUTS, inputs, strict=True)}


def _onnx_program(file: Path) -> Program:
    runtime: Any = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(file.read_bytes(), session_options(), providers=["CPUExecutionProvider"])
    return lambda *inputs: torch.from_numpy(session.run(None, _named(*inputs))[0])


def _openvino_program(file: Path) -> Program:
    runtime: Any = importlib.import_module("openvino")
    settings = {
        "INFERENCE_NUM_THREADS": host.num_threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if host.has_bfloat16_instructions() else "f32",
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    core = runtime.Core()
    request = core.compile_model(core.read_model(str(file)), "CPU", settings).create_infer_request()

    def program(*inputs: Tensor) -> Tensor:
        for index, tensor in enumerate(inputs):
            request.set_input_tensor(index, runtime.Tensor(tensor.contiguous().numpy(), shared_memory=True))
        request.infer()
        return torch.from_numpy(request.get_output_tensor(0).data.copy())

    return program
