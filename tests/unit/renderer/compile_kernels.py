"""Compiles the own kernels for a GPU of compute capability 9.0, down to its machine code: that needs none."""

from __future__ import annotations

import importlib
from typing import Any

from renderer.backends import triton_kernels

HALF, SINGLE, BYTE, NUMBER = "*fp16", "*fp32", "*u8", "i32"
TYPES = {
    "features": HALF, "weight": HALF, "bias": HALF, "residual": HALF, "gamma": HALF, "beta": HALF, "columns": HALF,
    "out": HALF, "foreground": HALF, "kinds": BYTE, "levels": BYTE, "epsilon": "fp32", "slope": "fp32",
}  # fmt: skip
POINTERS = (
    "means",
    "squares",
    "scale",
    "shift",
    "mean",
    "factor",
    "raw",
    "flow",
    "occlusion",
    "last",
    "covered",
    "picture",
)
CHOICES: tuple[tuple[str, dict[str, int | bool]], ...] = (
    ("partial_statistics", {"BLOCK_R": 32, "BLOCK_C": 128}),
    ("combine_statistics", {"AFFINE": True, "BLOCK_P": 32, "BLOCK_C": 64}),
    ("combine_statistics", {"AFFINE": False, "BLOCK_P": 32, "BLOCK_C": 16}),
    ("apply_norm", {"PAD": 1, "RELU": True, "RESIDUAL": False, "BLOCK_X": 32, "BLOCK_C": 64}),
    ("apply_norm", {"PAD": 0, "RELU": False, "RESIDUAL": True, "BLOCK_X": 32, "BLOCK_C": 128}),
    ("modulate", {"ACTIVATION": True, "BLOCK_R": 32, "BLOCK_C": 64}),
    ("modulate", {"ACTIVATION": False, "BLOCK_R": 32, "BLOCK_C": 64}),
    ("gathered_stem", {"FRAMES": 3, "SIDE": 7, "BLOCK_P": 32, "BLOCK_C": 64}),
    ("warp_and_blend", {"FOREGROUND": True, "BLOCK_P": 128}),
    ("warp_and_blend", {"FOREGROUND": False, "BLOCK_P": 128}),
)


def compile_all() -> None:
    compiler: Any = importlib.import_module("triton.compiler")
    target = importlib.import_module("triton.backends.compiler").GPUTarget("cuda", 90, 32)
    for name, chosen in CHOICES:
        kernel = getattr(triton_kernels, name)
        types = {
            argument: "constexpr"
            if argument in chosen
            else TYPES.get(argument, SINGLE if argument in POINTERS else NUMBER)
            for argument in kernel.arg_names
        }
        made = compiler.compile(compiler.ASTSource(fn=kernel, signature=types, constexprs=chosen), target=target)
        print(name, len(made.asm["cubin"]), ".local" in made.asm["ptx"])


if __name__ == "__main__":
    compile_all()
