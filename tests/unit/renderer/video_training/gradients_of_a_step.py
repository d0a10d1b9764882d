"""Writes the gradients that the first step of a run has in this process: PRESET DATA OUT; torchrun starts several."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from renderer.train.video.preset import find_video_preset
from renderer.train.video.processes import join_processes
from renderer.train.video.schedule import moment_of
from renderer.train.video.sequences import find_train_sequences
from renderer.train.video.trainer import VideoTrainer


def main(preset_file: str, data: str, out: str) -> None:
    torch.set_num_threads(1)
    preset = find_video_preset(preset_file)
    with join_processes("cpu") as processes:
        trainer = VideoTrainer(preset, find_train_sequences(Path(data), preset), processes, 0)
        terms, num_frames = trainer.accumulate(moment_of(0, preset.schedule))
        named = [*trainer.generator.named_parameters(), *trainer.discriminators.named_parameters()]
        gradients = {name: parameter.grad for name, parameter in named if parameter.grad is not None}
        result = {"gradients": gradients, "terms": terms, "num_frames": num_frames}
        torch.save(result, Path(out) / f"{processes.count}_{processes.rank}.pt")
        trainer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
