"""A preset of configs/train_segmentation: everything that decides how a segmentation network comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from bridge.protocol.errors import UsageError
from configs import load_preset, preset_names
from renderer.segmentation import SIZE_MULTIPLE_PX, SegmentationConfig
from renderer.train.data import DataConfig
from renderer.train.preset import Provenance

KIND: Final = "train_segmentation"
_SUFFIX: Final = ".yaml"


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
    """The size of the pictures that a network is measured on, and the look whose pictures it is measured on too."""

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


def is_segmentation_preset(name: str) -> bool:
    """Whether a name, or the path of a .yaml file, is that of a preset of a segmentation network."""
    if not name.endswith(_SUFFIX):
        return name in preset_names(KIND)
    try:
        tree = msgspec.yaml.decode(Path(name).read_bytes())
    except (OSError, msgspec.DecodeError):
        return False
    return isinstance(tree, dict) and "network" in tree


def find_segmentation_preset(name: str) -> SegmentationPreset:
    """Return a preset by its name or by the path of a .yaml file; raises UsageError for anything that is not one."""
    try:
        if name.endswith(_SUFFIX):
            return msgspec.yaml.decode(Path(name).read_bytes(), type=SegmentationPreset)
        return load_preset(KIND, name, SegmentationPreset)
    except KeyError:
        known = ", ".join(preset_names(KIND))
        raise UsageError(f"there is no training preset {name!r}", f"Use one of {known}, or a {_SUFFIX} file") from None
    except OSError as error:
        raise UsageError(f"the preset {name} cannot be read ({error.strerror})", "Check the path") from None
    except (ValueError, msgspec.DecodeError) as error:
        raise UsageError(f"the preset {name} does not fit: {error}", f"Compare it with configs/{KIND}") from None


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
