"""Programs of TensorRT through its own package: the network written as ONNX in float16, compiled for this GPU.

Planes and pictures stay on the device. The network is strongly typed, as TensorRT 10 can and later ones must have it:
it computes in the types that the file names. No machine of this project has run it yet.
"""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from renderer.backends.compiled import Program, ProgramRefused
from renderer.models.live import LiveGenerator

PACKAGE: Final = "tensorrt"


def is_here() -> bool:
    """Whether TensorRT's own package is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def tensorrt_maker(network: LiveGenerator, device: torch.device) -> Callable[[tuple[int, int]], Program]:
    """Return what writes a generator for a size and compiles it, which takes a minute or so."""
    tensorrt: Any = importlib.import_module(PACKAGE)
    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    from renderer.weights_export import export_live  # needs the families, which know the backends

    def make_program(size_hw: tuple[int, int]) -> Program:
        with tempfile.TemporaryDirectory(prefix="vidrive-tensorrt-") as folder:
            file = Path(folder) / "generator.onnx"
            export_live(network, file, size_hw, torch.float16)
            engine = _compiled(tensorrt, logger, file.read_bytes())
        return _program(tensorrt, logger, engine, device, size_hw)

    return make_program


def _compiled(tensorrt: Any, logger: Any, written: bytes) -> Any:
    """The serialized engine of an ONNX file; raises ProgramRefused with what TensorRT has against it."""
    builder = tensorrt.Builder(logger)
    typed = getattr(tensorrt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    definition = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = tensorrt.OnnxParser(definition, logger)
    if not parser.parse(written):
        found = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise ProgramRefused(f"TensorRT cannot read it ({found[:200]})")
    engine = builder.build_serialized_network(definition, builder.create_builder_config())
    if engine is None:
        raise ProgramRefused("TensorRT cannot compile it; its lines above say why")
    return engine


def _program(tensorrt: Any, logger: Any, serialized: Any, device: torch.device, size_hw: tuple[int, int]) -> Program:
    runtime = tensorrt.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(serialized)
    alive = (runtime, engine, engine.create_execution_context())  # a context does not keep those that it came from
    side = torch.cuda.Stream(device)  # on the default stream TensorRT would wait for the device

    def program(labels_BHW: Tensor, warped_B3HW: Tensor, valid_B1HW: Tensor) -> Tensor:
        current = torch.cuda.current_stream(device)
        planes = {
            "labels": labels_BHW.to(torch.int32).contiguous(),
            "warped": warped_B3HW.float().contiguous(),
            "valid": valid_B1HW.float().contiguous(),
            "rgb": torch.empty(1, 3, *size_hw, device=device),
        }
        for name, tensor in planes.items():
            alive[2].set_tensor_address(name, tensor.data_ptr())
            tensor.record_stream(side)  # its memory is not given away before the side stream is done with it
        side.wait_stream(current)
        if not alive[2].execute_async_v3(side.cuda_stream):
            raise RuntimeError("TensorRT could not begin a frame")
        current.wait_stream(side)
        return planes["rgb"]

    return program
