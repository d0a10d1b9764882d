"""Programs of ONNX Runtime: the network written as ONNX for one size, float32, on the CPU."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from renderer.backends import host
from renderer.backends.compiled import Program
from renderer.models.live import LiveGenerator


def session_options() -> Any:
    """Return how ONNX Runtime uses this machine's cores."""
    options = importlib.import_module("onnxruntime").SessionOptions()
    options.intra_op_num_threads = host.num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning takes the simulator's core
    return options


def onnx_maker(network: LiveGenerator) -> Callable[[tuple[int, int]], Program]:
    """Return what writes a generator for a size and loads it in ONNX Runtime."""
    runtime: Any = importlib.import_module("onnxruntime")
    from renderer.weights_export import export_live  # needs the families, which know the backends

    options = session_options()

    def make_program(size_hw: tuple[int, int]) -> Program:
        with tempfile.TemporaryDirectory(prefix="vidrive-onnx-") as folder:
            file = Path(folder) / "generator.onnx"
            export_live(network, file, size_hw)
            session = runtime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
        names = [given.name for given in session.get_inputs()]

        def program(*inputs: Tensor) -> Tensor:
            planes = {name: tensor.contiguous().numpy() for name, tensor in zip(names, inputs, strict=True)}
            return torch.from_numpy(session.run(None, planes)[0])

        return program

    return make_program
