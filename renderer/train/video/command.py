"""`vidrive train PRESET` for presets of configs/train_video."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from bridge.protocol.errors import OutputError, UsageError
from renderer.train.settings import apply_settings
from renderer.train.video.preset import VideoPreset, check_preset, find_video_preset
from renderer.train.video.processes import Processes, join_processes
from renderer.train.video.run import MODEL_FOLDER, train_video
from renderer.train.video.sequences import check_sequences, find_shown_sequences, find_train_sequences
from renderer.train.video.trainer import VideoTrainer

Say = Callable[[str], None]


def read_preset(args: argparse.Namespace) -> VideoPreset:
    """Return the preset that the flags name, with their settings."""
    return check_preset(apply_settings(find_video_preset(args.preset), args.set))


def run(args: argparse.Namespace, say: Say) -> int:
    """Train; return the exit code."""
    preset = read_preset(args)
    if args.steps is not None:
        raise UsageError("--steps is of live presets", "Use --set schedule.stages.0.steps=N")
    with join_processes(args.device) as processes:
        _train(preset, args, processes, say)
    return 0


def check_data(args: argparse.Namespace) -> list[str]:
    """Return a sentence for each thing that is wrong with the data set."""
    return list(check_sequences(args.data, read_preset(args)))


def _train(preset: VideoPreset, args: argparse.Namespace, processes: Processes, say: Say) -> None:
    folder = args.out or Path("runs") / preset.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made ({error.strerror})", "Choose another --out") from None
    sequences = find_train_sequences(args.data, preset)
    shown = find_shown_sequences(args.data, preset) or sequences
    trainer = VideoTrainer(preset, sequences, processes, args.seed)
    if processes.first:
        where = f"{processes.count} process{'es' if processes.count > 1 else ''} on {processes.device.type}"
        say(f"{len(sequences)} sequences to learn from, {where}; results go to {folder}")
    limit_s = None if args.minutes is None else args.minutes * 60
    try:
        complete = train_video(trainer, folder, shown[0], say, resume=args.resume, limit_s=limit_s)
    finally:
        trainer.close()
    if processes.first:
        model = folder / MODEL_FOLDER
        say(f"use it with: vidrive weights import {model} --name {preset.name.replace('_', '-')}-mine")
        if not complete:
            say("the run is not at its end; --resume goes on")
