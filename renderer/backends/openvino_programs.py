"""Programs of OpenVINO, Intel's runtime for CPUs: the traced network, compiled for one size and one precision."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from renderer.backends import host
from renderer.backends.compiled import Program, trial_inputs
from renderer.backends.runner import TRIAL_SIZE_HW


def openvino_maker(network: nn.Module, num_labels: int, dtype: torch.dtype) -> Callable[[tuple[int, int]], Program]:
    """Return what compiles a generator for a size, in float32 or bfloat16; tracing it takes seconds, once."""
    runtime: Any = importlib.import_module("openvino")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing: sizes are checked in Python, and every size is compiled anew
        traced = runtime.convert_model(network, example_input=trial_inputs(TRIAL_SIZE_HW, num_labels))
    precision = "bf16" if dtype == torch.bfloat16 else "f32"
    settings = {
        "INFERENCE_NUM_THREADS": host.num_threads(),
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }

    def make_program(size_hw: tuple[int, int]) -> Program:
        model = traced.clone()
        model.reshape({0: [1, *size_hw], 1: [1, 3, *size_hw], 2: [1, 1, *size_hw]})
        request = runtime.Core().compile_model(model, "CPU", settings).create_infer_request()

        def program(*inputs: Tensor) -> Tensor:
            planes = [tensor.contiguous().numpy() for tensor in inputs]
            for index, plane in enumerate(planes):
                request.set_input_tensor(index, runtime.Tensor(plane, shared_memory=True))
            request.infer()
            return torch.from_numpy(request.get_output_tensor(0).data.copy())

        return program

    return make_program
