"""Offline synthesis: folders of label maps to pictures, one after the other, nothing dropped.

Label maps alone say nothing of motion: without depth and poses there is no way to know where the last picture's
surfaces are now, and a picture that sticks to the screen is worse than none. So each frame is synthesized from its
labels alone; equal label maps give equal pictures, whatever stands before them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from bridge.protocol.errors import LabelError, UsageError
from bridge.protocol.labels import map_labels
from bridge.protocol.messages import ModelCard
from renderer.inputs import MAX_PIXELS, ModelInput
from renderer.label_pictures import read_ids, read_label_map
from renderer.label_sequences import LabelSequence
from renderer.models.base import Model


@dataclass(frozen=True)
class SynthesizedFrame:
    """A picture, rgb (H,W,3) u8, with its sequence's name and its label map's file name."""

    sequence: str
    file_name: str
    rgb: NDArray[np.uint8]


def output_size(card: ModelCard, wish_hw: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width nearest to a wish that a model can make; the larger of two equally near ones.

    Raises UsageError for sizes beyond all reason.
    """
    multiple = card.size_multiple_px
    height_px, width_px = (max(1, (side + multiple // 2) // multiple) * multiple for side in wish_hw)
    if height_px * width_px > MAX_PIXELS:
        raise UsageError(f"pictures of {width_px}x{height_px} are too large", "Choose a smaller --size")
    return height_px, width_px


def synthesize(
    model: Model, sequences: Sequence[LabelSequence], label_space: str = "", size_hw: tuple[int, int] | None = None
) -> Iterator[SynthesizedFrame]:
    """Yield the picture of each label map, in order; temporal state begins anew with each sequence.

    `label_space` is that of the files, "" for the model's own; `size_hw` is the wish for the pictures' size, None for
    that of the label maps; both are met as `output_size` says. Raises LabelError for ids that the space does not have.
    """
    for sequence in sequences:
        target_hw = output_size(model.card, size_hw or sequence.size_hw)
        state = None
        for index, path in enumerate(sequence.labels):
            labels = _resize(_read_labels(path, label_space or model.card.label_space, model.card), target_hw)
            instances = None
            if sequence.instances and "instances" in model.card.planes:
                instances = _resize(read_ids(sequence.instances[index]), target_hw)
            output, state = model.step(_input(labels, instances, model.device), state)
            yield SynthesizedFrame(sequence.name, path.name, output.rgb)


def _read_labels(path: Path, label_space: str, card: ModelCard) -> NDArray[np.uint8]:
    try:
        return map_labels(read_label_map(path), label_space, card.label_space)
    except LabelError as error:
        what = error.what if str(path) in error.what else f"{path}: {error.what}"
        raise LabelError(what, error.hint) from None


def _resize(ids: NDArray, size_hw: tuple[int, int]) -> NDArray:
    """Nearest neighbour, pixel centre to pixel centre: plain INTER_NEAREST shifts most pixels by a fraction."""
    if ids.shape == size_hw:
        return ids
    return np.asarray(cv2.resize(ids, size_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT))


def _input(labels: NDArray[np.uint8], instances: NDArray | None, device: torch.device) -> ModelInput:
    return ModelInput(
        labels_BHW=torch.from_numpy(labels).to(device)[None],
        instances_B1HW=None
        if instances is None
        else torch.from_numpy(instances.astype(np.int32)).to(device)[None, None],
    )
