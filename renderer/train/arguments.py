"""The flags of training: of `vidrive train` and of `python -m renderer.train`, which torchrun starts."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "preset", nargs="?", default="", help="name of a preset (see --list), path of a .yaml file, or distil"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the data set (docs/training.md)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where results go (default: runs/PRESET)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=_positive(float), metavar="M", help="stop after that long; --resume goes on")
    length.add_argument("--steps", type=_positive(int), metavar="N", help="length of a live run, not the preset's")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument(
        "--from", type=Path, dest="begin", metavar="FILE", help="begin with the weights of a live model of these sizes"
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="", help="what to train on (default: CUDA where there is one)"
    )
    parser.add_argument(
        "--seed", type=_seed, metavar="N", default=0, help="of first weights and data order (default: 0)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a value of the preset: schedule.precision=float32",
    )
    parser.add_argument("--teacher", default="", metavar="NAME", help="of distil: the model that draws what is learnt")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="say which presets there are")
    what.add_argument("--check-data", action="store_true", help="say what is wrong with --data, and train nothing")
    what.add_argument(
        "--pack", type=Path, metavar="FILE", help="write the photos to a small .tar to be carried, and train nothing"
    )
    what.add_argument("--evaluate", type=Path, metavar="FILE", help="measure a live weights file, and train nothing")
    parser.add_argument(
        "--pack-mib", type=_positive(float), default=60.0, metavar="N", help="how large that file may be (default: 60)"
    )
    parser.add_argument("--style", default="", metavar="NAME", help="with --evaluate: which of the file's looks")


def _seed(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed: a number from 0 to {2**32 - 1}")
    return int(text)


def _positive(kind: type[int] | type[float]) -> Callable[[str], int | float]:
    def parse(text: str) -> int | float:
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    parse.__name__ = kind.__name__
    return parse
