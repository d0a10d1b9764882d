"""A training run from its first step, or its last checkpoint, to its end: progress, previews, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from renderer.train.checkpoint import save_checkpoint
from renderer.train.data import LabelledPhoto
from renderer.train.memory import answering_memory, ways_of_crops
from renderer.train.metrics import Metrics
from renderer.train.preview import contact_sheet, spread, write_picture
from renderer.train.report import Pace
from renderer.train.trainer import Trainer

Say = Callable[[str], None]


def train(
    trainer: Trainer, folder: Path, shown: Sequence[LabelledPhoto], say: Say, limit_s: float | None = None
) -> bool:
    """Train to the preset's last step, or until `limit_s` seconds have passed; return whether the run is complete.

    `shown` are the photos of the previews. A checkpoint is written now and then, and at the end.
    """
    metrics = Metrics(folder, trainer.step_index, tensorboard=trainer.preset.report.tensorboard)
    try:
        with answering_memory(trainer.device, lambda: trainer.step_index, lambda: _ways(trainer)):
            _loop(trainer, folder, shown, say, metrics, limit_s)
            save_checkpoint(folder, trainer)
            _write_preview(trainer, folder, shown, metrics)
    finally:
        metrics.close()
    return trainer.done >= 1


def _loop(
    trainer: Trainer,
    folder: Path,
    shown: Sequence[LabelledPhoto],
    say: Say,
    metrics: Metrics,
    limit_s: float | None,
) -> None:
    schedule, preview = trainer.preset.schedule, trainer.preset.preview
    trainer.begin_time(limit_s)
    pace, frames, seen_s = Pace(trainer.step_index, schedule.num_steps, limit_s), 0, 0.0
    while trainer.done < 1:
        report = trainer.step()
        now_s = pace.elapsed_s()
        trainer.spend(now_s - seen_s)
        seen_s = now_s
        frames += schedule.batch_size
        if not report.taken:
            say(f"step {report.step}: the loss or its gradient is not finite, nothing is learnt from it")
        if report.step % schedule.report_every == 0:
            throughput = pace.throughput(frames)
            judges = {f"discriminator_{index}": value for index, value in enumerate(report.discriminators)}
            terms = {**report.terms, **judges}
            say(pace.line(report.step, throughput["frames_a_second"], terms))
            metrics.write(report.step, {**terms, **throughput})
        if report.step % preview.every == 0:
            _write_preview(trainer, folder, shown, metrics)
        if limit_s is not None and pace.elapsed_s() >= limit_s:
            return
        if report.step % schedule.checkpoint_every == 0:
            save_checkpoint(folder, trainer)


def _ways(trainer: Trainer) -> list[str]:
    """Return what to lower where memory runs out."""
    schedule, clips = trainer.preset.schedule, trainer.preset.clips
    sizes = f"clips.width_px and clips.height_px (now {clips.width_px}x{clips.height_px})"
    return ways_of_crops(schedule.precision, schedule.batch_size, sizes)


def _write_preview(trainer: Trainer, folder: Path, shown: Sequence[LabelledPhoto], metrics: Metrics) -> None:
    preset = trainer.preset
    photos = spread(shown, preset.preview.num_photos)
    sheet = contact_sheet(trainer.average, photos, preset.label_space, preset.preview)
    write_picture(folder / f"preview_{trainer.step_index:06d}.png", sheet)
    metrics.show(trainer.step_index, sheet)
