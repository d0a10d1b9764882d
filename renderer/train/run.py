"""A training run from its first step, or its last checkpoint, to its end: progress, previews, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from renderer.train.checkpoint import save_checkpoint
from renderer.train.data import LabelledPhoto
from renderer.train.preview import contact_sheet, spread, write_picture
from renderer.train.trainer import StepReport, Trainer

Say = Callable[[str], None]


def train(
    trainer: Trainer, folder: Path, shown: Sequence[LabelledPhoto], say: Say, limit_s: float | None = None
) -> bool:
    """Train to the preset's last step, or until `limit_s` seconds have passed; return whether the run is complete.

    `shown` are the photos of the previews. A checkpoint is written now and then, and at the end.
    """
    schedule, preview = trainer.preset.schedule, trainer.preset.preview
    pace = _Pace(trainer.step_index, schedule.num_steps)
    while trainer.step_index < schedule.num_steps:
        report = trainer.step()
        if not report.taken:
            say(f"step {report.step}: the loss is not finite, nothing is learnt from it")
        if report.step % schedule.report_every == 0:
            say(_progress(report, schedule.num_steps, pace))
        if report.step % preview.every == 0:
            _write_preview(trainer, folder, shown)
        if limit_s is not None and pace.elapsed_s() >= limit_s:
            break
        if report.step % schedule.checkpoint_every == 0:
            save_checkpoint(folder, trainer)
    save_checkpoint(folder, trainer)
    _write_preview(trainer, folder, shown)
    return trainer.step_index >= schedule.num_steps


class _Pace:
    """How long the rest of a run takes, by the steps of this process."""

    def __init__(self, first_step: int, num_steps: int) -> None:
        self._first_step = first_step
        self._num_steps = num_steps
        self._start_s = time.monotonic()

    def elapsed_s(self) -> float:
        """Return the seconds since this process began to train."""
        return time.monotonic() - self._start_s

    def left_s(self, step: int) -> float:
        """Return the seconds that the steps after `step` will take at the pace so far."""
        return self.elapsed_s() / max(step - self._first_step, 1) * (self._num_steps - step)


def _progress(report: StepReport, num_steps: int, pace: _Pace) -> str:
    terms = " ".join(f"{name} {value:.3f}" for name, value in report.terms.items())
    judges = "".join(f" {value:.2f}" for value in report.discriminators)
    left_min = math.ceil(pace.left_s(report.step) / 60)
    line = f"step {report.step}/{num_steps}, {left_min} min left: {terms}"
    return f"{line}, discriminators{judges}" if judges else line


def _write_preview(trainer: Trainer, folder: Path, shown: Sequence[LabelledPhoto]) -> None:
    preset = trainer.preset
    photos = spread(shown, preset.preview.num_photos)
    sheet = contact_sheet(trainer.average, photos, preset.label_space, preset.preview)
    write_picture(folder / f"preview_{trainer.step_index:06d}.png", sheet)
