"""Offline synthesis: folders of label maps, edge maps or poses to pictures, one after the other, nothing dropped.

Label maps alone say nothing of motion. A model that moves its last picture by exact depth and poses has neither here,
and a picture that sticks to the screen is worse than none: it draws each frame from its labels alone. A model that
estimates motion itself carries its own pictures on through a sequence, and begins anew with each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bridge.protocol.errors import LabelError, UsageError, VidriveError
from bridge.protocol.labels import map_labels
from bridge.protocol.messages import ModelCard
from renderer.dense_pictures import read_picture, read_planes
from renderer.inputs import MAX_PIXELS, ModelInput
from renderer.label_pictures import read_ids, read_label_map
from renderer.label_sequences import LabelSequence
from renderer.models.base import OWN_FAMILY, Model


@dataclass(frozen=True)
class SynthesizedFrame:
    """A picture, rgb (H,W,3) u8, with its sequence's name and its label map's file name."""

    sequence: str
    file_name: str
    rgb: NDArray[np.uint8]


@dataclass(frozen=True)
class Reading:
    """How the files of an offline input are read: `label_space` is that of label maps, "" for the model's own;
    `dense_channels` counts the planes of edge maps or poses that the model reads, 0 for label maps; `size_hw` is the
    wish for the pictures' size (height, width), None for that of the files."""

    label_space: str = ""
    dense_channels: int = 0
    size_hw: tuple[int, int] | None = None


def output_size(card: ModelCard, wish_hw: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width nearest to a wish that a model can make; the larger of two equally near ones.

    Published generators take the sizes that upstream's scripts come to: 1280x720 becomes 1280x704 where sides are
    multiples of 32. Raises UsageError for sizes beyond all reason.
    """
    rounded = {OWN_FAMILY: _nearest_or_larger, "vid2vid": _as_vid2vid}.get(card.family, _as_upstream)
    height_px, width_px = (rounded(side_px, card.size_multiple_px) for side_px in wish_hw)
    if height_px * width_px > MAX_PIXELS:
        raise UsageError(f"pictures of {width_px}x{height_px} are too large", "Choose a smaller --size")
    return height_px, width_px


def _nearest_or_larger(side_px: int, multiple: int) -> int:
    return max(1, (side_px + multiple // 2) // multiple) * multiple


def _as_upstream(side_px: int, multiple: int) -> int:
    """To the even multiple of two equally near ones, as Python rounds."""
    return max(1, round(side_px / multiple)) * multiple


def _as_vid2vid(side_px: int, multiple: int) -> int:
    """To multiples of 4 first."""
    return _as_upstream(round(side_px / 4) * 4, multiple)


def synthesize(
    model: Model[Any], sequences: Sequence[LabelSequence], reading: Reading | None = None
) -> Iterator[SynthesizedFrame]:
    """Yield the picture of each frame, in order; temporal state begins anew with each sequence.

    Raises LabelError for ids that the label space does not have, and for files that are damaged.
    """
    reading = reading or Reading()
    for sequence in sequences:
        source = _Source(sequence, reading, model)
        state: Any = None
        for path, frame in zip(sequence.labels, _with_following(source, len(sequence.labels)), strict=True):
            output, state = model.step(frame, state)
            yield SynthesizedFrame(sequence.name, picture_name(path), output.rgb)


def _with_following(source: _Source, number: int) -> Iterator[ModelInput]:
    """Yield the frames of a sequence, each with the one after it; a damaged file is said when it is its turn."""
    frame = source.read(0)
    for index in range(1, number):
        try:
            following = source.read(index)
        except VidriveError:
            yield frame
            raise
        yield replace(frame, following=following)
        frame = following
    yield frame


def picture_name(frame: Path) -> str:
    """Return the file name of a frame's picture: its own, as a PNG."""
    return frame.name if frame.suffix.lower() == ".png" else frame.with_suffix(".png").name


class _Source:
    """The frames of one sequence as a model's input."""

    def __init__(self, sequence: LabelSequence, reading: Reading, model: Model[Any]) -> None:
        self._sequence = sequence
        self._card = model.card
        self._device = model.device
        self._label_space = reading.label_space or model.card.label_space
        self._dense_channels = reading.dense_channels
        self._size_hw = output_size(model.card, reading.size_hw or sequence.size_hw)
        self._scaled_hw = self._size_hw
        # A model that has to be given its first frames takes the real pictures of the input, as upstream does.
        given = sequence.first_frames or (sequence.pictures if "rgb" in model.card.planes else ())
        self._beginning = given[: model.card.past_frames]
        if sequence.more_planes and reading.size_hw:
            self._scaled_hw = _before_cut(self._size_hw, sequence.size_hw, model.card.size_multiple_px)

    def read(self, index: int) -> ModelInput:
        """Return frame `index` with all that there is of it; raises LabelError."""
        sequence = self._sequence
        first = self._beginning[index] if index < len(self._beginning) else None
        reference = sequence.pictures[index] if index < len(sequence.pictures) else None
        return ModelInput(
            labels_BHW=self._tensor(self._labels(index))[None],
            instances_B1HW=self._instances(index),
            dense_BCHW=self._tensor(self._planes(index))[None] if self._dense_channels else None,
            first_B3HW=None if first is None else self._picture(first),
            reference_B3HW=None if reference is None else self._picture(reference),
        )

    def _labels(self, index: int) -> NDArray[np.uint8]:
        """Return label ids; of edge maps the ids of face parts, 0 where there are none."""
        if not self._dense_channels:
            return self._fit(_read_labels(self._sequence.labels[index], self._label_space, self._card))
        if not self._sequence.instances:
            return np.zeros(self._size_hw, np.uint8)
        return self._fit(read_label_map(self._sequence.instances[index]))

    def _instances(self, index: int) -> Tensor | None:
        if not self._sequence.instances or "instances" not in self._card.planes:
            return None
        ids = read_ids(self._sequence.instances[index]).astype(np.int32)
        return self._tensor(self._fit(ids))[None, None]

    def _planes(self, index: int) -> NDArray[np.float32]:
        paths = [self._sequence.labels[index], *self._sequence.more_planes[index : index + 1]]
        channels = self._dense_channels // len(paths)
        planes = np.concatenate([read_planes(path, channels) for path in paths])
        return np.stack([self._fit(plane) for plane in planes])

    def _picture(self, path: Path) -> Tensor:
        levels = torch.from_numpy(read_picture(path))
        return picture_of_size(levels, self._scaled_hw)[..., self._columns()].contiguous().to(self._device)

    def _fit(self, ids: NDArray) -> NDArray:
        """Nearest neighbour, pixel centre to pixel centre: plain INTER_NEAREST shifts most pixels by a fraction."""
        if ids.shape != self._scaled_hw:
            ids = np.asarray(cv2.resize(ids, self._scaled_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT))
        return np.ascontiguousarray(ids[:, self._columns()])

    def _columns(self) -> slice:
        left_px = (self._scaled_hw[1] - self._size_hw[1]) // 2
        return slice(left_px, left_px + self._size_hw[1])

    def _tensor(self, array: NDArray) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def picture_of_size(picture_3HW: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Return a real picture as (1, 3, H, W) float32 in -1..1 at a size.

    8-bit levels are resized as upstream does: bicubic, smoothed where they shrink, rounded to 8 bits. Floats are in
    -1..1 already, and must have the size. Raises LabelError if they have not.
    """
    if picture_3HW.dtype != torch.uint8:
        if tuple(picture_3HW.shape[1:]) != size_hw:
            raise LabelError(f"a picture of floats has the shape {tuple(picture_3HW.shape)}", f"Write (3, {size_hw})")
        return picture_3HW[None]
    levels = picture_3HW[None].float()
    if tuple(levels.shape[2:]) != size_hw:
        levels = F.interpolate(levels, size_hw, mode="bicubic", antialias=True, align_corners=False)
        levels = levels.round_().clamp_(0, 255)
    return levels / 255 * 2 - 1


def _before_cut(size_hw: tuple[int, int], source_hw: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Return what poses are scaled to before the central columns are cut out: the body keeps its shape, as upstream.

    Where that would be narrower than the picture they are stretched to it.
    """
    width_px = _as_vid2vid(size_hw[0] * source_hw[1] // source_hw[0], multiple)
    return size_hw[0], max(width_px, size_hw[1])


def _read_labels(path: Path, label_space: str, card: ModelCard) -> NDArray[np.uint8]:
    try:
        return map_labels(read_label_map(path), label_space, card.label_space)
    except LabelError as error:
        what = error.what if str(path) in error.what else f"{path}: {error.what}"
        raise LabelError(what, error.hint) from None
