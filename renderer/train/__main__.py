"""`python -m renderer.train PRESET --data DIR`: trains a generator, or measures one that is there.

What DIR holds depends on the preset's family: docs/training.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from renderer.backends.host import prepare_process

if __name__ == "__main__":
    prepare_process()

import msgspec

from bridge.protocol.errors import OutputError, UsageError, VidriveError, WeightsError
from configs import preset_names
from renderer.models.live import LiveGenerator, load_live
from renderer.models.style import read_style, refuse, style_shares
from renderer.segmentation import load_segmentation
from renderer.tones import without_tones
from renderer.train.arguments import add_arguments
from renderer.train.card import write_model
from renderer.train.check import check_photos
from renderer.train.checkpoint import load_checkpoint
from renderer.train.data import LabelledPhoto, load_photos
from renderer.train.device import find_device
from renderer.train.distil import LIKE, PRESET_NAME, TAUGHT_FOLDER, distil_preset, teach
from renderer.train.evaluate import Metrics, clip_frames, evaluate
from renderer.train.layouts import has_split
from renderer.train.packing import pack
from renderer.train.perceptual import load_feature_network
from renderer.train.preset import TrainPreset, check_preset, find_train_preset
from renderer.train.preset_files import KINDS, SEGMENTATION, VIDEO, kind_of
from renderer.train.preview import device_of
from renderer.train.recordings import OpenDrive, RecordingConfig, load_recordings, needed
from renderer.train.run import train
from renderer.train.segmentation import command as segmentation
from renderer.train.segmentation.measure import SegmentationMetrics, measure
from renderer.train.segmentation.preset import EvaluationConfig as SegmentationEvaluation
from renderer.train.settings import apply_settings
from renderer.train.trainer import Trainer

EXIT_ERROR: Final = 2
EXIT_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m renderer.train", description="Train a generator on pictures with label maps."
    )
    add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        return run(args)
    except VidriveError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("stopped; --resume goes on from the last checkpoint", file=sys.stderr)
        return EXIT_INTERRUPTED


def run(args: argparse.Namespace, open_drive: OpenDrive | None = None) -> int:
    """Do what the flags say; `open_drive` opens recordings, for presets that learn from them. Raises VidriveError."""
    if args.list:
        return _list()
    if not args.preset or args.data is None:
        raise UsageError("training needs a preset and --data DIR", "vidrive train --list says which presets there are")
    if args.preset == PRESET_NAME:
        return _distil(args)
    if args.teacher:
        raise UsageError("--teacher is of distil", "vidrive train distil --teacher NAME --data DIR")
    if args.check_data:
        return _check_data(args, open_drive)
    if args.pack is not None:
        return _pack(args)
    if kind_of(args.preset) == VIDEO:
        from renderer.train.video import command

        return command.run(args, _say)
    if kind_of(args.preset) == SEGMENTATION:
        return segmentation.run(args, _say, open_drive)
    return _measure(args, open_drive) if args.evaluate is not None else _train(args, open_drive)


def _list() -> int:
    for kind in KINDS:
        for name in preset_names(kind):
            header = (resources.files("configs") / kind / f"{name}.yaml").read_text().splitlines()[0]
            print(header.removeprefix("# "))
    return 0


def _check_data(args: argparse.Namespace, open_drive: OpenDrive | None) -> int:
    if kind_of(args.preset) == VIDEO:
        from renderer.train.video import command

        sentences = command.check_data(args)
    elif kind_of(args.preset) == SEGMENTATION:
        sentences = segmentation.check_data(args, open_drive)
    else:
        sentences = check_photos(args.data, _read_preset(args), open_drive)
    for sentence in sentences:
        print(sentence)
    if not sentences:
        print(f"{args.data} is as {args.preset} needs it")
    return EXIT_ERROR if sentences else 0


def _pack(args: argparse.Namespace) -> int:
    kind = kind_of(args.preset)
    preset = segmentation.read_preset(args) if kind == SEGMENTATION else None if kind == VIDEO else _read_preset(args)
    if preset is None or preset.recordings:
        raise UsageError(f"{args.preset} learns from sequences, which are not packed", "Carry its folder as it is")
    space = preset.label_space if isinstance(preset, TrainPreset) else preset.network.label_space
    packed = pack(args.data, preset.data, space, args.pack, args.pack_mib)
    how = "as they are"
    if packed.packing.quality is not None:
        how = f"as WebP of quality {packed.packing.quality}"
    if packed.packing.scale < 1:
        how += f", at {packed.packing.scale:g} of their size: sizes of the preset mean the smaller photos"
    _say(f"{args.pack} holds {packed.num_photos} photos {how}, {packed.num_bytes / 2**20:.1f} MiB")
    return 0


def _read_preset(args: argparse.Namespace) -> TrainPreset:
    preset = apply_settings(find_train_preset(args.preset), args.set)
    if args.steps is not None:
        schedule = msgspec.structs.replace(preset.schedule, num_steps=args.steps)
        preset = msgspec.structs.replace(preset, schedule=schedule)
    return check_preset(preset)


def _train(args: argparse.Namespace, open_drive: OpenDrive | None) -> int:
    preset = _read_preset(args)
    folder = _open_folder(args.out or Path("runs") / preset.name)
    return _train_photos(args, preset, args.data, folder, open_drive)


def _distil(args: argparse.Namespace) -> int:
    if args.check_data or args.evaluate is not None:
        raise UsageError("distil takes label maps and trains", f"Check or measure with {LIKE}")
    folder = _open_folder(args.out or Path("runs") / PRESET_NAME)
    args.preset = LIKE
    preset = _read_preset(args)
    lesson = teach(args.teacher, args.data, folder / TAUGHT_FOLDER, preset.label_space, _say)
    args.preset = PRESET_NAME
    return _train_photos(args, distil_preset(preset, lesson), folder / TAUGHT_FOLDER, folder)


def _train_photos(
    args: argparse.Namespace, preset: TrainPreset, data: Path, folder: Path, open_drive: OpenDrive | None = None
) -> int:
    photos, validation = _load_data(data, preset, open_drive)
    if validation:
        clip_frames(validation, preset.evaluation)  # it would be a pity to hear of it when all is learnt
    device = find_device(args.device)
    network = load_feature_network()
    trainer = Trainer(preset, photos, network if device.type == "cpu" else network.to(device), args.seed, device)
    if args.begin is not None:
        _begin_from(trainer, args.begin)
    if preset.compile and (reason := trainer.compile()):
        _say(f"torch cannot compile the networks here ({reason}); they are trained as they are")
    if args.resume:
        path = load_checkpoint(folder, trainer, _say)
        _say(f"goes on from step {trainer.step_index} of {path}")
    _say(f"{len(photos)} photos to learn from, {len(validation)} to look at, on {device.type}; results go to {folder}")
    limit_s = None if args.minutes is None else args.minutes * 60
    complete = train(trainer, folder, validation or photos, _say, limit_s)
    if complete and preset.data.styles:
        photos, _ = _load_data(data, preset, open_drive, graded=False)
    average = trainer.average
    metrics = _evaluate(average, preset, photos, validation) if complete else None
    recognition = _recognise(average, preset, validation) if complete else None
    weights = write_model(
        folder, average, preset, _command(args, preset), trainer.step_index, metrics, recognition=recognition
    )
    _say(f"{weights} is written" if complete else f"{weights} is written as it is; --resume goes on")
    return 0


def _measure(args: argparse.Namespace, open_drive: OpenDrive | None) -> int:
    preset = _read_preset(args)
    generator = _load(args.evaluate).to(find_device(args.device))
    style = read_style(args.style, files=False) if args.style else None
    if styles := generator.config.styles:
        generator = generator.in_style(style_shares(style, styles, args.preset))
    elif style is not None:
        refuse(args.preset)
    photos, validation = _load_data(args.data, preset, open_drive, graded=False)
    metrics = _evaluate(generator, preset, photos, validation)
    if metrics is None:
        raise UsageError(f"{args.data} has no val/ to measure with", "Add a validation split")
    print(msgspec.json.format(msgspec.json.encode(metrics), indent=2).decode())
    return 0


def _load(path: Path) -> LiveGenerator:
    try:
        return load_live(path)
    except (ValueError, OSError) as error:
        raise WeightsError(f"the weights {path} cannot be used ({error})", "Get the file again") from None


def _begin_from(trainer: Trainer, path: Path) -> None:
    try:
        trainer.begin_from(_load(path))
    except ValueError as error:
        raise WeightsError(f"the weights {path} do not fit the preset: {error}", "Choose those of its sizes") from None


def _evaluate(
    generator: LiveGenerator,
    preset: TrainPreset,
    photos: Sequence[LabelledPhoto],
    validation: Sequence[LabelledPhoto],
) -> Metrics | None:
    if not validation:
        return None
    _say("measures the generator on the validation split")
    network, device = load_feature_network(), device_of(generator)
    if device.type != "cpu":
        network = network.to(device)
    return evaluate(generator, validation, photos, network, preset.label_space, preset.evaluation)


def _recognise(
    generator: LiveGenerator, preset: TrainPreset, validation: Sequence[LabelledPhoto]
) -> SegmentationMetrics | None:
    """Return how well a segmentation network finds the classes in the generator's pictures, and in photos."""
    if not preset.recognised_by or not validation:
        return None
    num_classes = generator.config.num_classes
    plain = [
        LabelledPhoto(photo.name, photo.rgb, without_tones(photo.labels, num_classes), style=photo.style)
        for photo in validation
    ]
    size = preset.evaluation
    config = SegmentationEvaluation(width_px=size.width_px, height_px=size.height_px, look="")
    return measure(load_segmentation(preset.recognised_by), generator, plain, config)


def _load_data(
    folder: Path, preset: TrainPreset, open_drive: OpenDrive | None, *, graded: bool = True
) -> tuple[list[LabelledPhoto], list[LabelledPhoto]]:
    """Return the photos to learn from, graded as their styles say, and those to measure with, as they are."""
    if preset.recordings is not None:
        return _load_drives(folder, preset, preset.recordings, needed(open_drive))
    num_labels = preset.generator.num_labels
    style = preset.generator.styles[0] if preset.generator.styles else None
    space, validation = preset.label_space, list[LabelledPhoto]()
    if has_split(folder, "val"):
        validation = load_photos(folder / "val", preset.data, num_labels, style, space)
    photos = load_photos(folder / "train", preset.data, num_labels, None if graded else style, space)
    return photos, validation


def _load_drives(
    folder: Path, preset: TrainPreset, config: RecordingConfig, open_drive: OpenDrive
) -> tuple[list[LabelledPhoto], list[LabelledPhoto]]:
    drives: list[list[LabelledPhoto]] = []
    for split in ("train", "val"):
        if split == "train" or (folder / split).is_dir():
            frames = load_recordings(
                folder / split, config, preset.label_space, open_drive, tones=preset.generator.tones
            )
            drives.append([*frames])
    return drives[0], drives[1] if len(drives) > 1 else []


def _open_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made ({error.strerror})", "Choose another --out") from None
    return folder


def _command(args: argparse.Namespace, preset: TrainPreset) -> str:
    words = [
        "vidrive train" if preset.recordings is not None else "python -m renderer.train",
        args.preset,
        "--data DIR",
    ]
    words += [f"--steps {args.steps}"] if args.steps is not None else []
    words += [f"--teacher {args.teacher}"] if args.teacher else []
    words += [f"--set {setting}" for setting in args.set]
    words += [f"--from {args.begin.name}"] if args.begin is not None else []
    words += [f"--seed {args.seed}"] if args.seed else []
    return " ".join(words)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
