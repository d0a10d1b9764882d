"""`vidrive train`: a generator learnt from pictures with label maps, or from another generator."""

from __future__ import annotations

import argparse

from renderer.train.arguments import add_arguments as add_train_arguments

DESCRIPTION = (
    "Train a generator: a small one of the live family on photos with label maps, a vid2vid on sequences of them, or "
    "(distil) a small one on what another model draws. Several devices: torchrun --nproc-per-node N -m renderer.train."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `vidrive train`."""
    add_train_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train, list presets, check data, or measure."""
    from renderer.backends.host import prepare_process

    prepare_process()
    from bridge.recording.reader import Recording
    from renderer.train.__main__ import run as run_training

    return run_training(args, Recording)
