"""A preset of configs/train_video: everything that decides how a generator of the family "vid2vid" comes out."""

from __future__ import annotations

from typing import Literal

import msgspec

from bridge.protocol.errors import UsageError
from bridge.protocol.labels import LabelSpace
from renderer.models.vid2vid import SIZE_MULTIPLE_PX
from renderer.models.vid2vid_config import Vid2vidConfig
from renderer.train.annotation import AnnotationConfig
from renderer.train.preset_files import VIDEO, find_preset
from renderer.train.video.discriminators import DiscriminatorConfig
from renderer.train.video.objective import ObjectiveConfig
from renderer.train.video.schedule import ScheduleConfig


class SequenceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How frames are read: scaled to this size, that of the last stage."""

    width_px: int
    height_px: int
    mirror_share: float
    flow: Literal["files", "estimated", "any"]
    """The reference flow: from files beside the pictures, by OpenCV's DIS, or from files where there are some."""
    confident_difference: float
    """Flow is believed where the warped picture's squared difference, summed over RGB [-1, 1], is below this."""
    annotation: AnnotationConfig
    """How label maps are redrawn as a person would draw them."""


class PerceptualConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose features the perceptual loss compares; `weights` is the file of VGG19's, as torchvision publishes it."""

    network: Literal["lite0", "vgg19", "none"]
    weights: str


class ReportConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every how many steps a run writes what."""

    metrics_every: int
    checkpoint_every: int
    preview_every: int
    preview_frames: int
    tensorboard: bool


class VideoPreset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of configs/train_video."""

    name: str
    label_space: LabelSpace
    generator: Vid2vidConfig
    discriminators: DiscriminatorConfig
    objective: ObjectiveConfig
    perceptual: PerceptualConfig
    data: SequenceConfig
    schedule: ScheduleConfig
    report: ReportConfig


def find_video_preset(name: str) -> VideoPreset:
    """Return a preset by its name or by the path of a .yaml file; raises UsageError for anything that is not one."""
    return find_preset(VIDEO, name, VideoPreset)


def check_preset(preset: VideoPreset) -> VideoPreset:
    """Return the preset; raises UsageError where its parts contradict each other."""
    num_scales = preset.generator.num_scales
    stages = [stage.num_scales for stage in preset.schedule.stages]
    if not stages or stages != sorted(stages) or not 1 <= stages[0] <= stages[-1] <= num_scales:
        raise UsageError(f"the stages of {preset.name} train {stages} of {num_scales} scales", "Go from coarse to fine")
    if preset.generator.dense_channels:
        raise UsageError(f"{preset.name} reads edge maps or poses", "Training is of label maps")
    if preset.generator.single is not None or preset.generator.first_pictures == "single":
        raise UsageError(
            f"{preset.name} begins with a network for first frames, which is not trained here",
            "Set generator.first_pictures to given or none, and generator.single to null",
        )
    multiple = SIZE_MULTIPLE_PX << (stages[-1] - stages[0])
    width_px, height_px = preset.data.width_px, preset.data.height_px
    if min(width_px, height_px) < multiple or width_px % multiple or height_px % multiple:
        raise UsageError(
            f"{preset.name} trains pictures of {width_px}x{height_px} in {stages[-1] - stages[0] + 1} sizes",
            f"Both sides must be multiples of {multiple} px",
        )
    counts = (preset.schedule.num_sequences, preset.schedule.double_every, preset.schedule.backpropagated_frames)
    if min(*counts, *preset.schedule.sequence_frames, *preset.schedule.load_frames, preset.schedule.num_steps) < 1:
        raise UsageError(f"the schedule of {preset.name} counts less than 1 where 1 is the least", "Raise it")
    return preset
