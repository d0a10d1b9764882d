"""`python -m renderer.train PRESET --data DIR`: trains a generator, or measures one that is there.

DIR holds train/ and val/, each with image/NAME.jpg and label/NAME.png; without val/ nothing is measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from renderer.backends.host import prepare_process

if __name__ == "__main__":
    prepare_process()

import msgspec

from bridge.protocol.errors import OutputError, UsageError, VidriveError, WeightsError
from renderer.models.live import LiveGenerator, load_live
from renderer.train.card import write_model
from renderer.train.checkpoint import load_checkpoint
from renderer.train.data import LabelledPhoto, load_photos
from renderer.train.evaluate import Metrics, evaluate
from renderer.train.perceptual import load_feature_network
from renderer.train.preset import TrainPreset, find_train_preset
from renderer.train.run import train
from renderer.train.trainer import Trainer

EXIT_ERROR: Final = 2
EXIT_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = _parser().parse_args(argv)
    try:
        return _measure(args) if args.evaluate is not None else _train(args)
    except VidriveError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("stopped; --resume goes on from the last checkpoint", file=sys.stderr)
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m renderer.train", description="Train a live generator on photos with label maps."
    )
    parser.add_argument("preset", help="name of a preset in configs/train, or the path of a .yaml file")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with train/ and val/")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where results go (default: runs/PRESET)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=_positive(float), metavar="M", help="stop after that long; --resume goes on")
    length.add_argument("--steps", type=_positive(int), metavar="N", help="length of the run instead of the preset's")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument("--seed", type=int, default=0, help="of first weights and data order (default: 0)")
    parser.add_argument("--evaluate", type=Path, metavar="FILE", help="measure a weights file instead of training one")
    return parser


def _positive(kind: type[int] | type[float]):
    def parse(text: str) -> int | float:
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    parse.__name__ = kind.__name__
    return parse


def _train(args: argparse.Namespace) -> int:
    preset = find_train_preset(args.preset)
    if args.steps is not None:
        schedule = msgspec.structs.replace(preset.schedule, num_steps=args.steps)
        preset = msgspec.structs.replace(preset, schedule=schedule)
    folder = _open_folder(args.out or Path("runs") / preset.name)
    photos, validation = _load_data(args.data, preset)
    trainer = Trainer(preset, photos, load_feature_network(), args.seed)
    if args.resume:
        path = load_checkpoint(folder, trainer)
        _say(f"goes on from step {trainer.step_index} of {path}")
    _say(f"{len(photos)} photos to learn from, {len(validation)} to look at; results go to {folder}")
    limit_s = None if args.minutes is None else args.minutes * 60
    complete = train(trainer, folder, validation or photos, _say, limit_s)
    metrics = _evaluate(trainer.average, preset, photos, validation) if complete else None
    weights = write_model(folder, trainer.average, preset, _command(args), trainer.step_index, metrics)
    _say(f"{weights} is written" if complete else f"{weights} is written as it is; --resume goes on")
    return 0


def _measure(args: argparse.Namespace) -> int:
    preset = find_train_preset(args.preset)
    try:
        generator = load_live(args.evaluate)
    except (ValueError, OSError) as error:
        raise WeightsError(f"the weights {args.evaluate} cannot be used ({error})", "Get the file again") from None
    photos, validation = _load_data(args.data, preset)
    metrics = _evaluate(generator, preset, photos, validation)
    if metrics is None:
        raise UsageError(f"{args.data} has no val/ to measure with", "Add a validation split")
    print(msgspec.json.format(msgspec.json.encode(metrics), indent=2).decode())
    return 0


def _evaluate(
    generator: LiveGenerator,
    preset: TrainPreset,
    photos: Sequence[LabelledPhoto],
    validation: Sequence[LabelledPhoto],
) -> Metrics | None:
    if not validation:
        return None
    _say("measures the generator on the validation split")
    network = load_feature_network()
    return evaluate(generator, validation, photos, network, preset.label_space, preset.evaluation)


def _load_data(folder: Path, preset: TrainPreset) -> tuple[list[LabelledPhoto], list[LabelledPhoto]]:
    num_labels = preset.generator.num_labels
    photos = load_photos(folder / "train", preset.data, num_labels)
    validation = load_photos(folder / "val", preset.data, num_labels) if (folder / "val").is_dir() else []
    return photos, validation


def _open_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made ({error.strerror})", "Choose another --out") from None
    return folder


def _command(args: argparse.Namespace) -> str:
    words = ["python -m renderer.train", args.preset, "--data DIR"]
    words += [f"--steps {args.steps}"] if args.steps is not None else []
    words += [f"--seed {args.seed}"] if args.seed else []
    return " ".join(words)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
