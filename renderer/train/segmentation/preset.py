"""A preset of configs/train_segmentation: everything that decides how a segmentation network comes out."""

from __future__ import annotations

from typing import Literal

import msgspec

from bridge.protocol.errors import UsageError
from renderer.segmentation import SIZE_MULTIPLE_PX, SegmentationConfig
from renderer.train.data import DataConfig
from renderer.train.preset import Provenance
from renderer.train.preset_files import SEGMENTATION, find_preset
from renderer.train.recordings import RecordingConfig
from renderer.train.report import ReportConfig


class CropConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is cut out of a photo, and how it is changed so that the network does not learn one camera by heart."""

    width_px: int
    height_px: int
    scale: tuple[float, float]  # relative to the photo's size
    exposure: tuple[float, float]
    gamma: tuple[float, float]
    tint: float  # by which a channel's gain differs from 1, at most
    blurred_share: float
    largest_blur_px: float


class ScheduleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Length and rates of a run; rates rise during the warm-up and fall along a cosine to nothing."""

    num_steps: int
    batch_size: int
    precision: Literal["float32", "bfloat16"]
    encoder_rate: float
    decoder_rate: float
    warm_up_steps: int
    weight_decay: float
    largest_class_weight: float  # rare classes count more, by the root of their rarity, at most this many times
    max_gradient_norm: float
    report_every: int
    checkpoint_every: int


class EvaluationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The size of the photos that a network is measured on, and the look whose pictures it is measured on too.

    Frames of recordings are measured at their own size.
    """

    width_px: int
    height_px: int
    look: str  # a file of weights of the live family that ships, or "" for none


class SegmentationPreset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of configs/train_segmentation."""

    name: str
    provenance: Provenance
    network: SegmentationConfig
    data: DataConfig
    crops: CropConfig
    schedule: ScheduleConfig
    evaluation: EvaluationConfig
    report: ReportConfig = ReportConfig()
    recordings: tuple[RecordingConfig, ...] = ()
    """How recordings are read, for presets that learn from those: frames of each of these lights. The first one's is
    measured, on all frames of the validation split."""


def find_segmentation_preset(name: str) -> SegmentationPreset:
    """Return a preset by its name or by the path of a .yaml file; raises UsageError for anything that is not one."""
    return find_preset(SEGMENTATION, name, SegmentationPreset)


def check_preset(preset: SegmentationPreset) -> SegmentationPreset:
    """Return the preset; raises UsageError where its numbers cannot be trained with."""
    crops, schedule = preset.crops, preset.schedule
    sides_px = (crops.width_px, crops.height_px)
    if min(sides_px) < 1 or any(side_px % SIZE_MULTIPLE_PX for side_px in sides_px):
        raise UsageError(
            f"the crops of {preset.name} are {crops.width_px}x{crops.height_px}",
            f"Both sides must be multiples of {SIZE_MULTIPLE_PX} px",
        )
    if min(schedule.num_steps, schedule.batch_size, schedule.report_every, schedule.checkpoint_every) < 1:
        raise UsageError(f"the schedule of {preset.name} counts less than 1 where 1 is the least", "Raise it")
    if preset.data.tones is not None:
        raise UsageError(f"{preset.name} reads tones off the photos", "Set data.tones to null: classes are found again")
    return preset
