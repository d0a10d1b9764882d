"""A generator of any family teaches one of the live family: it draws the pictures that the small one learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import LabelError, OutputError, UsageError
from bridge.protocol.labels import LabelSpace, map_labels
from bridge.protocol.messages import ModelCard
from renderer.label_sequences import find_sequences
from renderer.models.base import Model
from renderer.models.registry import load_model
from renderer.synthesize import synthesize
from renderer.train.checkpoint import replacing
from renderer.train.layouts import IMAGE_FOLDER, LABEL_FOLDER
from renderer.train.preset import Provenance, TrainPreset
from renderer.train.preview import write_picture
from renderer.train.video.sequences import read_scaled_ids

PRESET_NAME: Final = "distil"
LIKE: Final = "street-photo"  # whose sizes, losses and schedule a distilled generator has
TAUGHT_FOLDER: Final = "taught"
_LESSON_NAME: Final = "lesson.json"

Say = Callable[[str], None]


class Lesson(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a folder of taught pictures was drawn by, and of what."""

    teacher: str
    weights_sha256: str
    licence: str
    data: str
    num_pictures: int


def distil_preset(preset: TrainPreset, lesson: Lesson) -> TrainPreset:
    """Return a preset of photos as one of taught pictures: none is left out, their licence is the teacher's."""
    provenance = Provenance(
        licence=lesson.licence,
        data=f"{lesson.num_pictures} pictures drawn by {lesson.teacher} of label maps",
        citation="",
    )
    data = msgspec.structs.replace(preset.data, excluded_drives=(), lane_marks=None, styles=())
    generator = msgspec.structs.replace(preset.generator, styles=())
    return msgspec.structs.replace(preset, name=PRESET_NAME, provenance=provenance, data=data, generator=generator)


def teach(teacher: str, data: Path, out: Path, label_space: LabelSpace, say: Say) -> Lesson:
    """Let a model draw all label maps of a folder into OUT/train, beside them in the learner's label space.

    What an earlier run drew of the same folder by the same weights is not drawn again. Raises UsageError, WeightsError
    or LabelError for a model, a folder or label maps that cannot be used.
    """
    if not teacher:
        raise UsageError("distil needs a teacher", "Name a model with --teacher; vidrive weights list says which")
    model = load_model(teacher)
    card: ModelCard = model.card
    sequences = find_sequences(data)
    paths = [(sequence.name, path) for sequence in sequences for path in sequence.labels]
    lesson = Lesson(
        teacher=teacher,
        weights_sha256=card.weights_sha256,
        licence=card.licence,
        data=str(data.resolve()),
        num_pictures=len(paths),
    )
    if _known(out / _LESSON_NAME) == lesson:
        say(f"{out} holds what {teacher} drew before")
        return lesson
    try:
        _draw(model, sequences, paths, out / "train", label_space, say)
    except LabelError as error:
        raise LabelError(
            error.what, f"{teacher} draws label maps of the space {card.label_space}: give it those"
        ) from None
    with replacing(out / _LESSON_NAME) as unfinished:
        unfinished.write_bytes(msgspec.json.encode(lesson))
    return lesson


def _draw(
    model: Model[Any],
    sequences: Sequence[Any],
    paths: Sequence[tuple[str, Path]],
    folder: Path,
    label_space: LabelSpace,
    say: Say,
) -> None:
    try:
        for part in (IMAGE_FOLDER, LABEL_FOLDER):
            (folder / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made ({error.strerror})", "Choose another --out") from None
    for number, (frame, (sequence, path)) in enumerate(zip(synthesize(model, sequences), paths, strict=True), 1):
        name = f"{(sequence or 'frames').replace('_', '-')}_{path.stem}.png"
        labels = read_scaled_ids(path, (frame.rgb.shape[0], frame.rgb.shape[1]))
        write_picture(folder / IMAGE_FOLDER / name, frame.rgb)
        _write_labels(folder / LABEL_FOLDER / name, map_labels(labels, model.card.label_space, label_space))
        if number % 50 == 0 or number == len(paths):
            say(f"{model.card.name} has drawn {number} of {len(paths)} pictures")


def _write_labels(path: Path, labels: NDArray[np.uint8]) -> None:
    if not cv2.imwrite(str(path), labels):
        raise OutputError(f"{path} cannot be written", "Choose another --out")


def _known(path: Path) -> Lesson | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Lesson)
    except (OSError, msgspec.DecodeError):
        return None
