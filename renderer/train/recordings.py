"""Recordings as data of the live family: label maps, pictures, and where every pixel was in the frame before.

Nothing is guessed here: depth, instances and poses give labels their tones and clips their motion by the code that
serves a drive, so that a generator learns on what it will be given. DIR/train and DIR/val hold recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from bridge.protocol.errors import LabelError, RecordingError, UsageError
from bridge.protocol.frames import SensorFrame
from bridge.protocol.labels import LabelSpace, map_labels
from renderer.surface_tones import surface_tones
from renderer.temporal import EngineMotion, TemporalState, remember, warp_previous
from renderer.tones import without_tones
from renderer.train.clip_config import ClipConfig
from renderer.train.clip_plan import draw_hand
from renderer.train.clips import ClipFrame, Stream, redrawn, stack_frames
from renderer.train.data import LabelledPhoto
from renderer.train.dusk import DuskConfig, Surfaces, light_as_dusk
from renderer.train.motion import punch_holes

_CLIP_SEED, _ORDER_SEED = 2, 3
_MANIFEST_NAME: Final = "manifest.json"
_NEEDED_PLANES: Final = ("rgb", "depth_m", "instances")


class RecordingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of recordings is used: of `every` frames the first `frames_in_a_row`, which follow each other."""

    every: int
    frames_in_a_row: int
    dusk: DuskConfig | None = None
    """The light that the pictures are put into; None: as they were recorded."""


class Drive(Protocol):
    """What is read of a recording: `bridge.recording.reader.Recording`, which this layer does not know."""

    folder: Path
    manifest: Any
    rows: Sequence[Any]

    def sensor_frame(self, index: int) -> SensorFrame:
        """Return all planes of a row."""
        ...


OpenDrive = Callable[[Path], Drive]


@dataclass(frozen=True)
class RecordedFrame(LabelledPhoto):
    """A recorded frame as a photo with labels, and its geometry: depth (H,W) f32 metres, instances (H,W), poses.

    `follows` is whether the frame before it in the list is the one before it in the drive.
    """

    depth_m: NDArray[np.float32]
    instances: NDArray[np.uint16]
    motion: EngineMotion = field(compare=False)
    follows: bool


def load_recordings(
    folder: Path, config: RecordingConfig, label_space: LabelSpace, open_drive: OpenDrive, *, tones: bool
) -> list[RecordedFrame]:
    """Return frames of all recordings of a folder, by name and time, in memory: 1.3 MB each at 512x256.

    Raises UsageError for a folder without recordings, or for one that lacks a plane or keeps its pictures as a video,
    RecordingError for damaged ones, and LabelError for labels that have no place in the label space.
    """
    paths = sorted(path.parent for path in folder.glob(f"*/{_MANIFEST_NAME}"))
    if not paths:
        raise UsageError(
            f"{folder} holds no recordings", "vidrive record --pictures lossless --out DIR/train/NAME makes one"
        )
    return [frame for path in paths for frame in _load(open_drive(path), config, label_space, tones)]


def check_recordings(
    folder: Path, config: RecordingConfig, label_space: LabelSpace, clips: ClipConfig, open_drive: OpenDrive
) -> list[str]:
    """Return a sentence for each recording of FOLDER/train and FOLDER/val that cannot be used, or where none is."""
    sentences: list[str] = []
    for split in ("train", "val"):
        paths = sorted(path.parent for path in (folder / split).glob(f"*/{_MANIFEST_NAME}"))
        if not paths:
            what = "nothing can be measured" if split == "val" else "there is nothing to learn from"
            sentences.append(f"{folder / split} holds no recordings, so {what}. Record some into it")
        for path in paths:
            sentences += _complaint(path, config, label_space, clips, open_drive)
    return sentences


def _complaint(
    path: Path, config: RecordingConfig, label_space: LabelSpace, clips: ClipConfig, open_drive: OpenDrive
) -> list[str]:
    try:
        check_frame_sizes(_load(open_drive(path), config, label_space, False), clips)
    except (UsageError, LabelError, RecordingError) as error:
        return [str(error)]
    return []


def needed(open_drive: OpenDrive | None) -> OpenDrive:
    """Return what opens recordings; raises UsageError where a program has none."""
    if open_drive is None:
        raise UsageError("python -m renderer.train does not read recordings", "Use vidrive train")
    return open_drive


def check_frame_sizes(frames: Sequence[RecordedFrame], config: ClipConfig) -> None:
    """Raise UsageError if a frame is smaller than a crop."""
    for frame in frames:
        height_px, width_px = frame.labels.shape
        if height_px < config.height_px or width_px < config.width_px:
            raise UsageError(
                f"{frame.name} is {width_px}x{height_px}, a crop is {config.width_px}x{config.height_px}",
                "Record larger pictures, or use a preset with smaller crops",
            )


def _load(recording: Drive, config: RecordingConfig, label_space: LabelSpace, tones: bool) -> list[RecordedFrame]:
    _refuse_missing_planes(recording)
    frames: list[RecordedFrame] = []
    last_id = -1
    for index, row in enumerate(recording.rows):
        if index % config.every >= config.frames_in_a_row:
            continue
        follows = index % config.every > 0 and row.frame_id == last_id + 1
        frames.append(_frame(recording.sensor_frame(index), recording.folder.name, config, label_space, tones, follows))
        last_id = row.frame_id
    return frames


def _refuse_missing_planes(recording: Drive) -> None:
    planes = recording.manifest.planes
    if missing := [name for name in _NEEDED_PLANES if name not in planes]:
        raise UsageError(f"{recording.folder} has no {', '.join(missing)}", "Record with a rig that has these planes")
    if planes["rgb"].codec == "h264":
        raise UsageError(
            f"{recording.folder} keeps its pictures as a video, whose losses would be learnt",
            "Record with --pictures lossless",
        )


def _frame(
    sensor: SensorFrame, name: str, config: RecordingConfig, label_space: LabelSpace, tones: bool, follows: bool
) -> RecordedFrame:
    if sensor.rgb is None or sensor.depth_m is None or sensor.instance_map is None:
        raise UsageError(f"{name} lacks a plane at frame {sensor.frame_id}", "Record again")
    bodies = {body.instance_id: body.world_from_body for body in sensor.bodies}
    motion = EngineMotion(sensor.intrinsics.focal_px, sensor.world_from_camera, bodies)
    plain = map_labels(sensor.label_map, sensor.label_space, label_space)
    depth_m, instances = sensor.depth_m.astype(np.float32), sensor.instance_map.astype(np.uint16)
    toned = plain
    if tones or config.dusk is not None:
        toned = surface_tones(
            torch.from_numpy(plain.copy())[None], _plane(depth_m), _plane(instances.astype(np.int32)), motion
        )[0].numpy()
    rgb = sensor.rgb
    if config.dusk is not None:
        rgb = light_as_dusk(Surfaces(rgb, toned, depth_m, motion), config.dusk)
    return RecordedFrame(
        name=f"{name.replace('_', '-')}_{sensor.frame_id:08d}",
        rgb=rgb,
        labels=toned if tones else plain,
        depth_m=depth_m,
        instances=instances,
        motion=motion,
        follows=follows,
    )


def _plane(values_HW: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(values_HW)[None, None]


class RecordedClip:
    """A crop of frames that follow each other, taken in order; the same seed and frames give the same clip."""

    def __init__(self, rng: np.random.Generator, frames: Sequence[RecordedFrame], config: ClipConfig) -> None:
        self._rng = rng
        self._frames = frames
        self._config = config
        height_px, width_px = frames[0].labels.shape
        self._top = int(rng.integers(height_px - config.height_px + 1))
        self._left = int(rng.integers(width_px - config.width_px + 1))
        self._mirrored = bool(rng.random() < config.mirror_share)
        self._exposure = rng.uniform(*config.exposure)
        self._toneless: list[int] = []
        if config.num_classes is not None:
            self._toneless = np.nonzero(rng.random(config.num_classes) < config.tone_loss_share)[0].tolist()
        self._redrawn = redrawn(draw_hand(rng, config), config)
        self.num_taken = 0

    @property
    def finished(self) -> bool:
        """Whether all frames have been taken."""
        return self.num_taken >= len(self._frames)

    def next_frame(self) -> ClipFrame:
        """Return the next frame."""
        frame = self._frames[self.num_taken]
        before = self._frames[self.num_taken - 1] if self.num_taken else None
        height_px, width_px = frame.labels.shape
        labels = self._redrawn(self._crop(frame.labels))
        classes = labels
        if self._config.num_classes is not None:
            classes = without_tones(labels, self._config.num_classes)
            labels = without_tones(labels, self._config.num_classes, self._toneless)
        source_HW2, valid_HW = np.zeros((*labels.shape, 2), np.float32), np.zeros(labels.shape, np.float32)
        if before is not None:
            source_HW2, valid_HW = self._source(before, frame)
            valid_HW = punch_holes(self._rng, valid_HW, classes, self._config.holes)
        rows, columns = (np.linspace(-1, 1, side_px, dtype=np.float32) for side_px in (height_px, width_px))
        place_HW2 = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
        crop = slice(self._top, self._top + labels.shape[0]), slice(self._left, self._left + labels.shape[1])
        self.num_taken += 1
        exposed = self._crop(frame.rgb).astype(np.float32) * self._exposure
        return ClipFrame(
            rgb=np.clip(exposed, 0, 255).astype(np.uint8),
            labels=labels,
            place_2HW=np.ascontiguousarray(np.moveaxis(place_HW2[crop], -1, 0)),
            source_HW2=source_HW2,
            valid_HW=valid_HW,
        )

    def _source(self, before: RecordedFrame, frame: RecordedFrame) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the grid of where the crop's pixels were in the last crop, and 1 where that is known and inside."""
        place_HW2, valid_HW = true_motion(before, frame)
        height_px, width_px = valid_HW.shape
        pixels_HW2 = (self._crop(place_HW2) + 1) / 2 * np.array([width_px, height_px], np.float32)
        valid_HW = self._crop(valid_HW)
        if self._mirrored:
            pixels_HW2[..., 0] = width_px - pixels_HW2[..., 0]
        size_px = np.array([self._config.width_px, self._config.height_px], np.float32)
        grid_HW2 = 2 * (pixels_HW2 - np.array([self._left, self._top], np.float32)) / size_px - 1
        inside = (np.abs(grid_HW2) <= 1).all(axis=-1)
        return np.ascontiguousarray(grid_HW2, np.float32), valid_HW * inside

    def _crop(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return the crop of a plane, which is mirrored first as a whole."""
        seen = plane[:, ::-1] if self._mirrored else plane
        crop = seen[self._top : self._top + self._config.height_px, self._left : self._left + self._config.width_px]
        return np.ascontiguousarray(crop)


def true_motion(before: RecordedFrame, frame: RecordedFrame) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return where each pixel was in the frame before, (H,W,2) x and y from -1 to 1, and 1 where it was visible there.

    It is found as the generator's last picture is moved in a drive: a picture of places takes that picture's place.
    """
    height_px, width_px = frame.labels.shape
    x, y = ((np.arange(side_px, dtype=np.float32) * 2 + 1) / side_px - 1 for side_px in (width_px, height_px))
    place_HW2 = np.stack(np.meshgrid(x, y, indexing="xy"), axis=-1)
    place_3HW = np.stack([place_HW2[..., 0], place_HW2[..., 1], np.zeros_like(place_HW2[..., 0])])
    state: TemporalState = remember(
        torch.from_numpy(place_3HW)[None],
        _plane(before.depth_m),
        _plane(before.instances.astype(np.int32)),
        before.motion,
    )
    moved_B3HW, valid_B1HW = warp_previous(
        state, _plane(frame.depth_m), _plane(frame.instances.astype(np.int32)), frame.motion
    )
    return np.moveaxis(moved_B3HW[0, :2].numpy(), 0, -1), valid_B1HW[0, 0].numpy()


class RecordedStream(Stream[ClipFrame]):
    """An endless stream of recorded clips."""

    def __init__(self, frames: Sequence[RecordedFrame], num_clips: int, seed: int, config: ClipConfig) -> None:
        check_frame_sizes(frames, config)

        def begin(rng: np.random.Generator, first: int, longest_frames: int) -> RecordedClip:
            single = longest_frames < 2 or rng.random() < config.single_share
            num_frames = 1 if single else int(rng.integers(2, longest_frames + 1))
            last = first + 1
            while last < len(frames) and last - first < num_frames and frames[last].follows:
                last += 1
            return RecordedClip(rng, frames[first:last], config)

        super().__init__(len(frames), num_clips, seed, begin, stack_frames, (_CLIP_SEED, _ORDER_SEED))
