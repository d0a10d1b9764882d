"""The configurations of vid2vid: what the options of upstream's scripts come to."""

from __future__ import annotations

from typing import Literal

import msgspec


class SingleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network that makes first pictures: `kind` "global", "local" (a global one at half the size and an enhancer)
    or "features" (of faces: a global one that reads an encoded look)."""

    kind: Literal["global", "local", "features"]
    width: int
    num_down: int
    num_blocks: int = 9
    num_local_blocks: int = 3
    encoder_width: int = 0
    encoder_down: int = 0
    feature_rows: tuple[int, ...] = ()
    """How many known looks there are of each face part, where they came with the weights."""


class Vid2vidConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One configuration: what the options of upstream's training scripts come to.

    A model reads `num_labels` classes, with instance edges as one more plane, or `dense_channels` planes as they are.
    `first_pictures` says where those of a sequence come from: the `single` network, whoever asks ("given"), or nowhere
    ("none": the third frame begins from black). `foreground_labels` are drawn by a branch of their own.
    """

    num_labels: int
    instance_edges: bool
    dense_channels: int
    width: int
    num_scales: int
    num_down: int
    num_blocks: int
    num_local_blocks: int
    num_frames: int
    foreground: bool
    foreground_labels: tuple[int, ...]
    flow: bool
    affine_norms: bool
    first_pictures: Literal["single", "given", "none"]
    single: SingleConfig | None
    native_size_hw: tuple[int, int]

    @property
    def frame_channels(self) -> int:
        """How many planes one frame has."""
        return self.dense_channels or self.num_labels + self.instance_edges
