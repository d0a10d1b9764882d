"""A training run of the family "vid2vid", from its first step or its last checkpoint to its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from renderer.train.checkpoint import load_checkpoint, replacing, save_checkpoint
from renderer.train.memory import answering_memory
from renderer.train.metrics import Metrics
from renderer.train.report import Pace
from renderer.train.video.preview import draw_sequence, write_preview
from renderer.train.video.schedule import load_frames, moment_of
from renderer.train.video.sequences import TrainSequence
from renderer.train.video.trainer import VideoTrainer

MODEL_FOLDER: Final = "model"

Say = Callable[[str], None]


def train_video(
    trainer: VideoTrainer,
    folder: Path,
    shown: TrainSequence,
    say: Say,
    *,
    resume: bool = False,
    limit_s: float | None = None,
) -> bool:
    """Train to the preset's last step, or until `limit_s` seconds have passed; return whether the run is complete.

    Only the first process writes and speaks. `shown` is the sequence of the previews.
    """
    first = trainer.processes.first
    if resume:
        path = load_checkpoint(folder, trainer, say if first else _silent)
        if first:
            say(f"goes on from step {trainer.step_index} of {path}")
    report = trainer.preset.report
    metrics = Metrics(folder, trainer.step_index, tensorboard=report.tensorboard) if first else None
    try:
        with answering_memory(trainer.processes.device, lambda: trainer.step_index, lambda: _ways(trainer)):
            return _loop(trainer, folder, shown, say if first else _silent, metrics, limit_s)
    finally:
        if metrics is not None:
            metrics.close()


def _loop(
    trainer: VideoTrainer, folder: Path, shown: TrainSequence, say: Say, metrics: Metrics | None, limit_s: float | None
) -> bool:
    preset = trainer.preset
    num_steps, every = preset.schedule.num_steps, preset.report
    pace, frames = Pace(trainer.step_index, num_steps), 0
    while trainer.step_index < num_steps:
        report = trainer.step()
        frames += report.num_frames
        if not report.taken:
            say(f"step {report.step}: the gradient is not finite, nothing is learnt from it")
        if report.step % every.metrics_every == 0:
            throughput = pace.throughput(frames)
            say(pace.line(report.step, throughput["frames_a_second"], report.terms))
            if metrics is not None:
                metrics.write(report.step, {**report.terms, **throughput})
        if report.step % every.preview_every == 0 and metrics is not None:
            show(trainer, folder, shown, metrics)
        if _time_is_over(trainer, pace.elapsed_s(), limit_s):
            break
        if report.step % every.checkpoint_every == 0:
            save(folder, trainer)
    save(folder, trainer)
    if metrics is not None:
        show(trainer, folder, shown, metrics)
        write_model(folder / MODEL_FOLDER, trainer)
    trainer.processes.wait_for_all()
    return trainer.step_index >= num_steps


def save(folder: Path, trainer: VideoTrainer) -> None:
    """Write a checkpoint; all processes call it together, and the first one writes."""
    state = trainer.state_dict()
    if trainer.processes.first:
        save_checkpoint(folder, trainer, state)


def show(trainer: VideoTrainer, folder: Path, shown: TrainSequence, metrics: Metrics) -> None:
    """Write pictures and a video of the averaged generator, and their PSNR among the metrics."""
    preset = trainer.preset
    stage = preset.schedule.stages[moment_of(trainer.step_index - 1, preset.schedule).stage]
    frames, psnr_db = draw_sequence(trainer.average, shown, preset, stage.num_scales, preset.report.preview_frames)
    metrics.show(trainer.step_index, write_preview(folder, trainer.step_index, frames))
    metrics.write(trainer.step_index, {"preview_psnr_db": psnr_db})


def write_model(folder: Path, trainer: VideoTrainer) -> None:
    """Write the averaged generator as vid2vid's own files, which `vidrive weights import` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    config, data = trainer.preset.generator, trainer.preset.data
    for scale in range(trainer.preset.schedule.stages[-1].num_scales):
        tensors = trainer.average.get_submodule(f"G{scale}").state_dict()
        with replacing(folder / f"latest_net_G{scale}.pth") as unfinished:
            torch.save({key: tensor.cpu() for key, tensor in tensors.items()}, unfinished)
    options = {
        "label_nc": config.num_labels,
        "loadSize": data.width_px,
        "no_first_img": config.first_pictures == "none",
        "use_real_img": config.first_pictures == "given",
        "fg_labels": list(config.foreground_labels),
    }
    with replacing(folder / "opt.txt") as unfinished:
        unfinished.write_text("".join(f"{name}: {value}\n" for name, value in options.items()))


def _time_is_over(trainer: VideoTrainer, spent_s: float, limit_s: float | None) -> bool:
    """Whether the time is over, by the clock of the first process: all stop after the same step."""
    if limit_s is None:
        return False
    return bool(trainer.processes.gather(spent_s >= limit_s)[0])


def _ways(trainer: VideoTrainer) -> list[str]:
    """Return what to lower where memory runs out."""
    preset = trainer.preset
    moment = moment_of(trainer.step_index, preset.schedule)
    data, num_frames = preset.data, load_frames(moment, preset.schedule)
    ways = [f"--set schedule.load_frames=[1,1] (now {num_frames} frames a step)"] if num_frames > 1 else []
    if preset.schedule.backpropagated_frames > 1:
        ways.append("--set schedule.backpropagated_frames=1")
    if preset.schedule.precision == "float32":
        ways.append("--set schedule.precision=bfloat16")
    return [*ways, f"data.width_px and data.height_px (now {data.width_px}x{data.height_px})", "generator.width"]


def _silent(_: str) -> None:
    """Say nothing."""
