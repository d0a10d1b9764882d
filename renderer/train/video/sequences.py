"""Sequences of pictures with label maps on a disk, as vid2vid's users have them, and what is wrong with them.

DIR/train_A/SEQ/NAME.png      label maps            (or train_label/, or seg_maps/)
DIR/train_B/SEQ/NAME.png      real pictures         (or train_img/, or images/)
DIR/train_inst/SEQ/NAME.png   instance maps, if the generator reads their edges
DIR/train_flow/SEQ/NAME.png   motion from the last frame to this one, if there is any (or .npy)
DIR/test_A, test_B ...        the same of sequences that are only looked at
or Cityscapes' layout: `renderer.train.video.cityscapes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.protocol.errors import LabelError, UsageError, VidriveError
from renderer.dense_pictures import read_picture
from renderer.label_pictures import read_ids, read_label_map
from renderer.label_sequences import LABEL_LAYOUTS, LabelSequence, Layout, find_in_layout
from renderer.train.annotation import redraw
from renderer.train.video.cityscapes import find_cityscapes, is_cityscapes
from renderer.train.video.preset import SequenceConfig, VideoPreset
from renderer.train.video.reference_flow import FLOW_SUFFIXES, confidence, estimate_flow, read_flow

_FLOW_FOLDERS: Final = {"train_A": "train_flow", "train_label": "train_flow", "seg_maps": "flow"}
_SHOWN_SPLIT: Final = "test_"
_LAYOUT_HINT: Final = "Give train_A/SEQ/*.png label maps and train_B/SEQ/* pictures of the same names"


@dataclass(frozen=True)
class TrainSequence:
    """The files of a sequence; `flows` holds None where a frame has no flow file, and is () without any."""

    frames: LabelSequence
    flows: tuple[Path | None, ...] = ()


@dataclass(frozen=True)
class Load:
    """What a step reads of a sequence: `num_past` frames before those that are drawn, then `num_frames` drawn ones.

    `hand` is the seed of the hand that redraws the label maps, None where they stay as they are.
    """

    sequence: int
    first: int
    num_past: int
    num_frames: int
    begins: bool
    mirrored: bool
    size_hw: tuple[int, int]
    hand: int | None = None


@dataclass(frozen=True)
class LoadedFrames:
    """A load as tensors: P past frames and N drawn ones.

    labels_THW uint8, instances_T1HW int32 or None, and real_T3HW [-1, 1] of all P + N · flow_N2HW backward in pixels
    and confidence_N1HW 0 or 1 of the drawn ones.
    """

    labels_THW: Tensor
    instances_T1HW: Tensor | None
    real_T3HW: Tensor
    flow_N2HW: Tensor
    confidence_N1HW: Tensor

    def to(self, device: torch.device) -> LoadedFrames:
        """Return the same on a device."""
        instances_T1HW = None if self.instances_T1HW is None else self.instances_T1HW.to(device)
        rest = (self.real_T3HW, self.flow_N2HW, self.confidence_N1HW)
        return LoadedFrames(self.labels_THW.to(device), instances_T1HW, *(tensor.to(device) for tensor in rest))


def find_train_sequences(root: Path, preset: VideoPreset) -> list[TrainSequence]:
    """Return the sequences to learn from, checked; raises UsageError or LabelError for what is missing or odd."""
    found = _find(root, preset, shown=False)
    if not found:
        raise UsageError(f"{root} holds no sequences to learn from", _LAYOUT_HINT)
    for sequence in found:
        _check_sequence(sequence, preset)
    return found


def find_shown_sequences(root: Path, preset: VideoPreset) -> list[TrainSequence]:
    """Return the sequences of the folders test_*, which are only looked at; [] if there are none."""
    found = _find(root, preset, shown=True)
    for sequence in found:
        _check_sequence(sequence, preset)
    return found


def check_sequences(root: Path, preset: VideoPreset) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong with a data set; every file is read."""
    try:
        found = [*_find(root, preset, shown=False), *_find(root, preset, shown=True)]
    except VidriveError as error:
        yield str(error)
        return
    if not found:
        yield f"{root} holds no sequences to learn from. {_LAYOUT_HINT}"
    for sequence in found:
        try:
            _check_sequence(sequence, preset)
        except VidriveError as error:
            yield str(error)
            continue
        yield from _check_frames(sequence, preset)


def read_load(
    sequences: list[TrainSequence], load: Load, config: SequenceConfig, reads_instances: bool
) -> LoadedFrames:
    """Return the frames of a load; raises LabelError for a file that is damaged."""
    sequence = sequences[load.sequence]
    indices = range(load.first - load.num_past, load.first + load.num_frames)
    pictures = [read_scaled_picture(sequence, index, load.size_hw) for index in indices]
    flows = [
        _reference_flow(sequence, index, pictures[place - 1], pictures[place], config)
        for place, index in enumerate(indices)
        if place >= load.num_past
    ]
    labels = np.stack([_read_labels(sequence, index, load, config) for index in indices])
    instances = None
    if reads_instances:
        instances = np.stack([_read_instances(sequence, index, load.size_hw) for index in indices])
        instances = torch.from_numpy(instances.astype(np.int32))[:, None]
    loaded = LoadedFrames(
        torch.from_numpy(labels),
        instances,
        (torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(),
        torch.from_numpy(np.stack([flow for flow, _ in flows])).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(np.stack([sure for _, sure in flows])[:, None].astype(np.float32)),
    )
    return _mirror(loaded) if load.mirrored else loaded


def read_scaled_ids(path: Path, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a label map (H,W) u8 at a size, each pixel's id that of the nearest pixel."""
    return np.asarray(_nearest(read_label_map(path), size_hw), np.uint8)


def read_scaled_picture(sequence: TrainSequence, index: int, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a real picture (H,W,3) u8 RGB at a size."""
    path = sequence.frames.pictures[index]
    picture_3HW = read_picture(path)
    if picture_3HW.dtype != np.uint8:
        raise LabelError(f"{path} holds {picture_3HW.dtype}", "Give pictures of 8 bits a channel")
    rgb = np.ascontiguousarray(picture_3HW.transpose(1, 2, 0))
    smaller = rgb.shape[0] > size_hw[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, size_hw[::-1], interpolation=how), np.uint8)


def _read_labels(sequence: TrainSequence, index: int, load: Load, config: SequenceConfig) -> NDArray[np.uint8]:
    """Return a label map of a load; it is redrawn at the size of the last stage, so that coarse stages see the same."""
    path = sequence.frames.labels[index]
    if load.hand is None or not config.annotation.share:
        return read_scaled_ids(path, load.size_hw)
    labels = read_scaled_ids(path, (config.height_px, config.width_px))
    return np.asarray(_nearest(redraw(labels, config.annotation, load.hand), load.size_hw), np.uint8)


def _read_instances(sequence: TrainSequence, index: int, size_hw: tuple[int, int]) -> NDArray[np.unsignedinteger]:
    if not sequence.frames.instances:
        return np.zeros(size_hw, np.uint8)
    return _nearest(read_ids(sequence.frames.instances[index]), size_hw)


def _nearest(ids: NDArray[np.unsignedinteger], size_hw: tuple[int, int]) -> NDArray[np.unsignedinteger]:
    return np.asarray(cv2.resize(ids, size_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT), ids.dtype)


def _reference_flow(
    sequence: TrainSequence,
    index: int,
    last_rgb: NDArray[np.uint8],
    rgb: NDArray[np.uint8],
    config: SequenceConfig,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    path = sequence.flows[index] if sequence.flows and config.flow != "estimated" else None
    flow, sure = estimate_flow(rgb, last_rgb) if path is None else read_flow(path, (rgb.shape[0], rgb.shape[1]))
    return flow, sure & confidence(rgb, last_rgb, flow, config.confident_difference)


def _mirror(frames: LoadedFrames) -> LoadedFrames:
    def flipped(tensor: Tensor) -> Tensor:
        return tensor.flip(-1)

    flow_N2HW = flipped(frames.flow_N2HW)
    flow_N2HW[:, 0].neg_()
    instances_T1HW = None if frames.instances_T1HW is None else flipped(frames.instances_T1HW)
    labels_THW, real_T3HW = flipped(frames.labels_THW), flipped(frames.real_T3HW)
    return LoadedFrames(labels_THW, instances_T1HW, real_T3HW, flow_N2HW, flipped(frames.confidence_N1HW))


def _find(root: Path, preset: VideoPreset, *, shown: bool) -> list[TrainSequence]:
    if not root.is_dir():
        raise UsageError(f"there is no folder {root}", _LAYOUT_HINT)
    if is_cityscapes(root):
        if preset.label_space != "cityscapes":
            raise UsageError(
                f"{root} has Cityscapes' labels, and {preset.name} reads those of {preset.label_space}",
                "Use a preset of label space cityscapes",
            )
        frames = find_cityscapes(root, "val" if shown else "train", preset.generator.num_frames)
        return [TrainSequence(sequence) for sequence in frames]
    for layout in LABEL_LAYOUTS:
        name = layout.frames[0]
        if name.startswith(_SHOWN_SPLIT) == shown and (root / name).is_dir():
            return [_with_flow(root, layout, sequence) for sequence in find_in_layout(root, layout)]
    return []


def _with_flow(root: Path, layout: Layout, sequence: LabelSequence) -> TrainSequence:
    folder = root / _FLOW_FOLDERS.get(layout.frames[0], "test_flow") / sequence.name
    paths = [[folder / f"{frame.stem}{suffix}" for suffix in FLOW_SUFFIXES] for frame in sequence.labels]
    there = tuple(next((path for path in both if path.is_file()), None) for both in paths)
    return TrainSequence(sequence, there if any(there) else ())


def _check_sequence(sequence: TrainSequence, preset: VideoPreset) -> None:
    frames, past = sequence.frames, preset.generator.num_frames - 1
    where = frames.labels[0].parent
    if len(frames.pictures) != len(frames.labels):
        raise UsageError(
            f"{where} has {len(frames.labels)} label maps and {len(frames.pictures)} real pictures", _LAYOUT_HINT
        )
    if len(frames.labels) <= past:
        raise UsageError(
            f"{where} has {len(frames.labels)} frames, and the generator draws from {past} past ones",
            f"Give sequences of at least {past + 1} frames",
        )
    for label, picture in zip(frames.labels, frames.pictures, strict=True):
        if label.stem != picture.stem and len(label.stem) == len(picture.stem):
            raise UsageError(f"{label} and {picture} are not of one frame by their names", "Give both the same name")
    if preset.data.flow == "files" and any(path is None for path in (sequence.flows or (None,))[1:] or (None,)):
        raise UsageError(f"{where} has no flow file for each frame", "Add them, or --set data.flow=any")


def _check_frames(sequence: TrainSequence, preset: VideoPreset) -> Iterator[str]:
    frames, num_labels = sequence.frames, preset.generator.num_labels
    for index, path in enumerate(frames.labels):
        try:
            labels = read_label_map(path)
            picture_3HW = read_picture(frames.pictures[index])
            if frames.instances:
                read_ids(frames.instances[index])
            if sequence.flows and (flow := sequence.flows[index]) is not None:
                read_flow(flow, (labels.shape[0], labels.shape[1]))
        except VidriveError as error:
            yield str(error)
            continue
        if (largest := int(labels.max())) >= num_labels:
            yield f"{path} holds the id {largest}, and the preset has {num_labels} classes. {_ids_hint(largest)}"
        if abs(labels.shape[1] / labels.shape[0] / (picture_3HW.shape[2] / picture_3HW.shape[1]) - 1) > 0.02:
            size = f"{picture_3HW.shape[2]}x{picture_3HW.shape[1]}"
            yield f"{path} is {labels.shape[1]}x{labels.shape[0]}, its picture {size}. Give both the same shape"


def _ids_hint(largest: int) -> str:
    return "Map what is unlabelled to 0" if largest == 255 else "Is it another label space, or an instance map?"
