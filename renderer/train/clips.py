"""Clips of a moving camera in front of photos, and the endless stream of batches of them that training learns from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, Generic, Protocol, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.protocol.errors import UsageError
from renderer.rough_depth import nearness
from renderer.tones import without_tones
from renderer.train.annotation import redraw
from renderer.train.clip_config import MARGIN_PX, ClipConfig
from renderer.train.clip_plan import draw_crop, draw_motion, looks_at_focus
from renderer.train.data import LabelledPhoto
from renderer.train.motion import look, look_back, moved_by, punch_holes

_CLIP_SEED, _ORDER_SEED = 0, 1


@dataclass(frozen=True)
class ClipFrame:
    """One frame of a clip: rgb (H,W,3) u8, labels (H,W) u8, and how its pixels are found in the frame before.

    place_2HW: row and column in the canvas, [-1, 1] · source_HW2: grid for `grid_sample`, float32 · valid_HW: 1 where
    the frame before shows the same, all 0 in a first frame · style: which one is shown.
    """

    rgb: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    place_2HW: NDArray[np.float32]
    source_HW2: NDArray[np.float32]
    valid_HW: NDArray[np.float32]
    style: int = 0


@dataclass(frozen=True)
class ClipBatch:
    """A frame of each clip as tensors: photo_B3HW [-1, 1], labels_BHW uint8, style_B int64, and the rest float32; see
    `ClipFrame`."""

    photo_B3HW: Tensor
    labels_BHW: Tensor
    place_B2HW: Tensor
    source_BHW2: Tensor
    valid_B1HW: Tensor
    style_B: Tensor

    def to(self, device: torch.device) -> ClipBatch:
        """Return the same on a device, behind which the CPU need not wait."""
        planes = [getattr(self, field.name) for field in fields(self)]
        if device.type == "cuda":
            planes = [plane if plane.is_cuda else plane.pin_memory() for plane in planes]
        return ClipBatch(*(plane.to(device, non_blocking=True) for plane in planes))


def check_photo_sizes(photos: Sequence[LabelledPhoto], config: ClipConfig) -> None:
    """Raise UsageError if a photo, even at its largest scale, is smaller than a crop."""
    for photo in photos:
        height_px, width_px = (int(side * config.scale[1]) for side in photo.labels.shape)
        if height_px < config.height_px + MARGIN_PX or width_px < config.width_px + MARGIN_PX:
            raise UsageError(
                f"{photo.name} at {config.scale[1]} of its size is {width_px}x{height_px}, "
                f"a crop is {config.width_px}x{config.height_px}",
                "Use larger photos, or a preset with smaller crops",
            )


class Clip:
    """Frames in front of one photo, taken in order; the same seed and photo give the same frames."""

    def __init__(self, rng: np.random.Generator, photo: LabelledPhoto, longest_frames: int, config: ClipConfig) -> None:
        self._rng = rng
        self._config = config
        self._style = photo.style
        height_px, width_px = photo.labels.shape
        self._crop = draw_crop(rng, (width_px, height_px), config)
        self._prepare(photo)
        if looks_at_focus(rng, config):
            self._look_at_focus()
        motion = draw_motion(rng, self._crop.size_px, longest_frames, config)
        self._path, self.num_frames, self._shift = motion.path, motion.num_frames, motion.shift
        self.num_taken = 0

    @property
    def finished(self) -> bool:
        """Whether all frames have been taken."""
        return self.num_taken >= self.num_frames

    def next_frame(self) -> ClipFrame:
        """Return the next frame."""
        frame, stretch = self.num_taken, self._config.motion.largest_stretch
        pixels_HW2 = self._pixels()
        target_HW2 = look(pixels_HW2, self._near, self._path, frame, stretch)
        labels = self._sample(self._labels, target_HW2, cv2.INTER_NEAREST)
        if frame:
            previous_HW2, valid_HW = look_back(pixels_HW2, self._near, self._path, frame, stretch)
            classes = labels if self._config.num_classes is None else without_tones(labels, self._config.num_classes)
            valid_HW = punch_holes(self._rng, valid_HW, classes, self._config.holes)
        else:
            previous_HW2, valid_HW = pixels_HW2 - pixels_HW2[0, 0], np.zeros(labels.shape, np.float32)
        self.num_taken += 1
        size_px = np.array([self._config.width_px, self._config.height_px], np.float32)
        return ClipFrame(
            rgb=self._sample(self._rgb, target_HW2, cv2.INTER_LINEAR),
            labels=labels,
            place_2HW=self._place(),
            source_HW2=(2 * previous_HW2 + 1) / size_px - 1,
            valid_HW=valid_HW,
            style=self._style,
        )

    def _prepare(self, photo: LabelledPhoto) -> None:
        """Scale, mirror and expose the photo, and shake the labels' borders."""
        crop, config = self._crop, self._config
        self._kept_per_shown = np.float32(crop.kept_px[0] / crop.size_px[0])
        rgb = cv2.resize(photo.rgb, crop.kept_px, interpolation=cv2.INTER_AREA)
        classes = photo.labels
        labels = resize_labels(photo.labels, *crop.kept_px)
        if config.num_classes is not None:
            classes = without_tones(photo.labels, config.num_classes)
            labels = without_tones(labels, config.num_classes, crop.toneless)
        near = cv2.resize(nearness(classes, config.ground), crop.size_px, interpolation=cv2.INTER_LINEAR)
        if crop.mirrored:
            rgb, labels, near = rgb[:, ::-1], labels[:, ::-1], near[:, ::-1]
        labels = redrawn(crop.hand, config)(np.ascontiguousarray(labels))
        if crop.shake_2hw is not None:
            labels = moved_by(labels, crop.shake_2hw)
        exposed = rgb.astype(np.float32) * crop.exposure
        self._rgb = np.clip(exposed, 0, 255).astype(np.uint8)
        self._labels = labels
        self._near = np.ascontiguousarray(near, np.float32)

    def _look_at_focus(self) -> None:
        """Move the crop so that a pixel of a class that matters is in it; classes have the same chance."""
        rng, config = self._rng, self._config
        classes = self._labels if config.num_classes is None else without_tones(self._labels, config.num_classes)
        present = np.intersect1d(np.unique(classes), config.focus_ids)
        if not present.size:
            return
        rows, columns = np.nonzero(classes == rng.choice(present))
        chosen = int(rng.integers(rows.size))
        middle_px = float(columns[chosen] / self._kept_per_shown), float(rows[chosen] / self._kept_per_shown)
        self._crop = self._crop.around(middle_px, rng.uniform(0.25, 0.75, 2), config)

    def _pixels(self) -> NDArray[np.float32]:
        rows, columns = np.mgrid[0 : self._config.height_px, 0 : self._config.width_px].astype(np.float32)
        return np.stack(
            [columns + np.float32(self._crop.corner_px[0]), rows + np.float32(self._crop.corner_px[1])], axis=-1
        )

    def _sample(self, kept: NDArray[np.uint8], target_HW2: NDArray[np.float32], how: int) -> NDArray[np.uint8]:
        half = np.float32(0.5)
        x, y = np.moveaxis((target_HW2 + half) * self._kept_per_shown - half, -1, 0)
        return np.asarray(cv2.remap(kept, x, y, how, borderMode=cv2.BORDER_REPLICATE), np.uint8)

    def _place(self) -> NDArray[np.float32]:
        """Return the crop's place in a canvas whose middle is the photo's, with the horizon in it."""
        width_px, height_px = self._config.canvas_px
        below_px = np.arange(self._config.height_px) + self._crop.corner_px[1] + 0.5 - self._path.vanishing_px[1]
        right_px = np.arange(self._config.width_px) + self._crop.corner_px[0] + 0.5 - self._crop.size_px[0] / 2
        place = np.meshgrid(below_px / (height_px / 2), right_px / (width_px / 2) + self._shift, indexing="ij")
        return np.clip(np.stack(place), -1, 1).astype(np.float32)


_Frame_co = TypeVar("_Frame_co", covariant=True)
_Frame = TypeVar("_Frame")


class RunningClip(Protocol[_Frame_co]):
    """A clip that has begun; its frames come one after the other."""

    num_taken: int

    @property
    def finished(self) -> bool:
        """Whether all its frames were taken."""
        ...

    def next_frame(self) -> _Frame_co:
        """Return the next frame."""
        ...


class Stream(Generic[_Frame]):
    """Endless batches: a fixed number of clips side by side, one frame of each, a new clip where one has ended.

    What clips begin with comes in random order, each once before any comes again. Every clip has its own seed, so that
    a stream can be brought back to any moment from a few numbers.
    """

    def __init__(
        self,
        num_starts: int,
        num_clips: int,
        seed: int,
        begin: Callable[[np.random.Generator, int, int], RunningClip[_Frame]],
        stack: Callable[[Sequence[_Frame]], ClipBatch],
        branches: tuple[int, int] = (_CLIP_SEED, _ORDER_SEED),
    ) -> None:
        """`begin` is called with a clip's own generator, which of the `num_starts` it begins with, and its longest
        length in frames; `stack` makes a batch of a frame of each; `branches` of the seed are those of clips and of
        their order."""
        self._clip_seed, self._order_seed = branches
        self._num_starts = num_starts
        self._begin_clip = begin
        self._stack = stack
        self._seed = seed
        self._clips: list[RunningClip[_Frame] | None] = [None] * num_clips
        self._origins: list[tuple[int, int]] = [(0, 0)] * num_clips  # of each clip: its number, its longest length
        self._num_begun = 0
        self._workers = ThreadPoolExecutor(max(1, min(num_clips, (os.cpu_count() or 1) - 1)), "clips")

    def next_batch(self, longest_frames: int) -> ClipBatch:
        """Return the next frame of every clip; those that begin now have at most `longest_frames` frames."""
        begun: list[int | None] = []  # the numbers of the clips that begin now
        for clip in self._clips:
            begins = clip is None or clip.finished
            begun.append(self._num_begun if begins else None)
            self._num_begun += begins

        def next_frame(slot: int) -> _Frame:
            number, clip = begun[slot], self._clips[slot]
            if number is not None or clip is None:
                clip = self._begin(slot, number or 0, longest_frames)
            return clip.next_frame()

        return self._stack(list(self._workers.map(next_frame, range(len(self._clips)))))

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is."""
        taken = [0 if clip is None else clip.num_taken for clip in self._clips]
        origins = [list(origin) for origin in self._origins]
        return {"seed": self._seed, "num_begun": self._num_begun, "origins": origins, "taken": taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where another stream of the same data and preset was; raises KeyError or ValueError."""
        if len(state["taken"]) != len(self._clips):
            raise ValueError(f"the state is of {len(state['taken'])} clips side by side, not of {len(self._clips)}")
        self._seed, self._num_begun = int(state["seed"]), int(state["num_begun"])
        for slot, ((number, longest_frames), taken) in enumerate(zip(state["origins"], state["taken"], strict=True)):
            self._clips[slot] = None
            if taken:
                clip = self._begin(slot, int(number), int(longest_frames))
                for _ in range(int(taken)):
                    clip.next_frame()

    def _begin(self, slot: int, number: int, longest_frames: int) -> RunningClip[_Frame]:
        """Begin a clip in a slot."""
        epoch, index = divmod(number, self._num_starts)
        order = np.random.default_rng([self._seed, self._order_seed, epoch]).permutation(self._num_starts)
        rng = np.random.default_rng([self._seed, self._clip_seed, number])
        clip = self._begin_clip(rng, int(order[index]), longest_frames)
        self._clips[slot], self._origins[slot] = clip, (number, longest_frames)
        return clip


class ClipStream(Stream[ClipFrame]):
    """An endless stream of clips of photos."""

    def __init__(self, photos: Sequence[LabelledPhoto], num_clips: int, seed: int, config: ClipConfig) -> None:
        def begin(rng: np.random.Generator, index: int, longest_frames: int) -> Clip:
            return Clip(rng, photos[index], longest_frames, config)

        super().__init__(len(photos), num_clips, seed, begin, stack_frames)


def redrawn(hand: int | None, config: ClipConfig) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return what redraws the label maps (H,W) u8 of a clip, all by one hand; tones stay where the class does."""
    annotation, num_classes = config.annotation, config.num_classes
    if annotation is None or hand is None:
        return lambda labels: labels

    def by_hand(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        classes = labels if num_classes is None else without_tones(labels, num_classes)
        drawn = redraw(classes, annotation, hand)
        return np.where(drawn == classes, labels, drawn)

    return by_hand


def resize_labels(labels: NDArray[np.uint8], width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Return a label map (H,W) u8 at another size, each pixel's id that of the nearest pixel."""
    resized = cv2.resize(labels, (width_px, height_px), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, np.uint8)


def stack_frames(frames: Sequence[ClipFrame]) -> ClipBatch:
    """Return a frame of each clip as one batch."""

    def stacked(plane: Callable[[ClipFrame], NDArray[Any]]) -> Tensor:
        return torch.from_numpy(np.stack([plane(frame) for frame in frames]))

    photo_B3HW = stacked(lambda frame: frame.rgb).permute(0, 3, 1, 2).float() / 127.5 - 1
    return ClipBatch(
        photo_B3HW=photo_B3HW.contiguous(memory_format=torch.channels_last),
        labels_BHW=stacked(lambda frame: frame.labels),
        place_B2HW=stacked(lambda frame: frame.place_2HW),
        source_BHW2=stacked(lambda frame: frame.source_HW2),
        valid_B1HW=stacked(lambda frame: frame.valid_HW)[:, None],
        style_B=torch.tensor([frame.style for frame in frames]),
    )
