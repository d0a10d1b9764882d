"""The switches of how a published generator is computed: each leaves its pictures as they are, up to rounding."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Precision = Literal["float32", "float16", "bfloat16"]
KernelName = Literal["norm", "modulation", "stem", "blend"]


class Speed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a generator is computed; `REFERENCE` is upstream's own formulation, operation by operation."""

    present_classes: bool = True
    """Convolutions on one-hot stacks read only the classes that the frames hold; the others are zero everywhere."""
    uniform_regions: bool = True
    """What norms read of a label map is computed once a class for the insides of regions, where nothing changes."""
    merged_encoders: bool = True
    """First convolutions that read the same label stack are one convolution."""
    fused_norms: bool = True
    """A norm and the activation after it write in place instead of to memory of their own."""
    channels_last: bool = True
    """Features lie in memory with their channels next to each other, as convolutions on CPUs and GPUs read them."""
    winograd: bool = True
    """On a CPU wide 3x3 convolutions take 16 multiplications for four pixels in place of 36."""
    narrow_heads: bool = True
    """On a CPU convolutions to a picture's few channels are one matrix product, shifted and added."""
    labels_beside: bool = True
    """What depends on labels alone is computed beside the rest of a frame, ahead of it where the next one is known."""
    precision: Precision = "float32"
    """Of convolutions; statistics of norms, flow, sampling and blend are float32 always."""
    recorded: bool = False
    """A steady frame, from labels to bytes, is recorded once and replayed as a whole: on CUDA one launch a frame."""
    kernels: tuple[KernelName, ...] = ()
    """Own kernels in place of several of the library's passes; `live_speed` names those that proved themselves here."""


def live_speed(device_name: str) -> Speed:
    """Return how published generators are computed while somebody drives: on CUDA in float16 as graphs.

    What a graph holds must not depend on what a frame shows, so that there all classes are read everywhere. Own kernels
    are tried on the device once a process.
    """
    if device_name != "cuda":
        return Speed()
    from renderer.backends.kernel_trial import trusted_kernels

    return Speed(
        present_classes=False,
        uniform_regions=False,
        labels_beside=False,
        precision="float16",
        recorded=True,
        kernels=trusted_kernels(),
    )


REFERENCE: Final = Speed(
    present_classes=False,
    uniform_regions=False,
    merged_encoders=False,
    fused_norms=False,
    channels_last=False,
    winograd=False,
    narrow_heads=False,
    labels_beside=False,
)
