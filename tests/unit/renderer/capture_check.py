"""What a CUDA graph cannot hold, found without CUDA: a function is traced, and its operations are looked at."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

# They wait for the device to know a shape or a value, or copy a fresh tensor of the host's.
WAITING = (
    "nonzero",
    "_local_scalar_dense",
    "masked_select",
    "unique",
    "bincount",
    "lift_fresh",
    "repeat_interleave.Tensor",
)


def traced(function: Callable[..., object], inputs: tuple[Tensor, ...]) -> torch.fx.GraphModule:
    """Return the function's operations for these shapes as a graph that runs by itself."""
    with torch.inference_mode(False), torch.no_grad():
        plain = tuple(tensor.clone() for tensor in inputs)
        return make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*plain)


def waiting_operations(graph: torch.fx.GraphModule) -> list[str]:
    """Return the names of operations that a CUDA graph cannot hold."""
    found = []
    for node in graph.graph.nodes:
        name = str(node.target)
        if node.op == "call_function" and any(word in name for word in WAITING):
            found.append(name)
        indices = node.args[1] if "aten.index" in name and len(node.args) > 1 and isinstance(node.args[1], list) else ()
        found += [f"{name} by a mask" for index in indices if _is_mask(index)]
    return found


def _is_mask(index: object) -> bool:
    return isinstance(index, torch.fx.Node) and index.meta["val"].dtype in (torch.bool, torch.uint8)
