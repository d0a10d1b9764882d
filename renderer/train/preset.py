"""A training preset: everything that decides how a model comes out, read from configs/train."""

from __future__ import annotations

import msgspec

from bridge.protocol.errors import UsageError
from bridge.protocol.labels import LabelSpace
from renderer.models.live import SIZE_MULTIPLE_PX, LiveConfig
from renderer.train.clip_config import ClipConfig
from renderer.train.data import DataConfig
from renderer.train.discriminator import DiscriminatorConfig
from renderer.train.evaluate import EvaluationConfig
from renderer.train.losses import LossConfig
from renderer.train.preset_files import LIVE, find_preset
from renderer.train.preview import PreviewConfig
from renderer.train.recordings import RecordingConfig
from renderer.train.report import ReportConfig
from renderer.train.schedule import ScheduleConfig


class Provenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model card says of the data and of what may be done with weights trained on it."""

    licence: str
    data: str
    citation: str


class TrainPreset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of configs/train."""

    name: str
    label_space: LabelSpace
    provenance: Provenance
    generator: LiveConfig
    data: DataConfig
    clips: ClipConfig
    discriminators: DiscriminatorConfig
    losses: LossConfig
    schedule: ScheduleConfig
    preview: PreviewConfig
    evaluation: EvaluationConfig
    report: ReportConfig = ReportConfig()
    compile: bool = False
    """Whether torch compiles the networks, which takes minutes before the first step; where it fails they are not."""
    recognised_by: str = ""
    """The look whose segmentation network says at the end what of the classes is left in the pictures; "": none."""
    recordings: RecordingConfig | None = None
    """How recordings are read, for presets that learn from those. Of `data` and `clips` they use nothing that makes
    labels, depth or motion up: size, mirroring, exposure, holes, `single_share`, `num_classes`, `tone_loss_share`."""


def find_train_preset(name: str) -> TrainPreset:
    """Return a preset by its name or by the path of a .yaml file; raises UsageError for anything that is not one."""
    return check_preset(find_preset(LIVE, name, TrainPreset))


def check_preset(preset: TrainPreset) -> TrainPreset:
    """Return the preset; raises UsageError where its parts contradict each other, or count nothing."""
    _check_sizes(preset)
    schedule = preset.schedule
    counts = (schedule.batch_size, schedule.warm_up_steps, schedule.report_every, schedule.checkpoint_every)
    if min(*counts, preset.preview.every, schedule.num_steps if schedule.num_steps is not None else 1) < 1:
        raise UsageError(f"the schedule of {preset.name} counts less than 1 where 1 is the least", "Raise it")
    if preset.generator.styles != tuple(style.name for style in preset.data.styles):
        raise UsageError(
            f"the preset {preset.name} has other styles in its generator than in its data",
            "Name the same ones in the same order",
        )
    return preset


def _check_sizes(preset: TrainPreset) -> None:
    sizes = {
        "clips": (preset.clips.width_px, preset.clips.height_px),
        "preview": (preset.preview.width_px, preset.preview.height_px),
        "evaluation": (preset.evaluation.width_px, preset.evaluation.height_px),
    }
    for part, (width_px, height_px) in sizes.items():
        if width_px < 1 or height_px < 1 or width_px % SIZE_MULTIPLE_PX or height_px % SIZE_MULTIPLE_PX:
            raise UsageError(
                f"the {part} of preset {preset.name} are {width_px}x{height_px}",
                f"Both sides must be multiples of {SIZE_MULTIPLE_PX} px",
            )
