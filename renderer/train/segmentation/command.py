"""`vidrive train PRESET` for presets of configs/train_segmentation."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from bridge.protocol.errors import OutputError, UsageError, VidriveError
from renderer.models.live import LiveGenerator, load_live
from renderer.segmentation import Segmentation, load_segmentation, save_segmentation
from renderer.train.checkpoint import load_checkpoint, replacing, save_checkpoint
from renderer.train.data import LabelledPhoto, complaints, load_photos
from renderer.train.device import find_device
from renderer.train.layouts import has_split
from renderer.train.memory import answering_memory, ways_of_crops
from renderer.train.metrics import Metrics
from renderer.train.perceptual import load_feature_network
from renderer.train.recordings import OpenDrive, load_recordings, needed
from renderer.train.report import Pace
from renderer.train.segmentation.measure import SegmentationMetrics, measure, measure_recorded
from renderer.train.segmentation.preset import SegmentationPreset, check_preset, find_segmentation_preset
from renderer.train.segmentation.trainer import SegmentationTrainer, check_photo_sizes
from renderer.train.settings import apply_settings
from renderer.weights_catalogue import find_weights

Say = Callable[[str], None]
_ALL: Final = 1 << 30  # frames in a row: every one of a recording


class SegmentationCard(msgspec.Struct, frozen=True, kw_only=True):
    """The model card beside the weights: the fields of `renderer.weights_catalogue.WeightsCard`, and more."""

    name: str
    label_space: str
    licence: str
    weights_sha256: str
    data: str
    citation: str
    command: str
    steps: int
    metrics: SegmentationMetrics | None


def run(args: argparse.Namespace, say: Say, open_drive: OpenDrive | None = None) -> int:
    """Train, or measure the network that --evaluate names; return the exit code."""
    preset = read_preset(args)
    if args.evaluate is not None:
        metrics = _measure(load_segmentation(str(args.evaluate)), preset, args.data, open_drive)
        print(msgspec.json.format(msgspec.json.encode(metrics), indent=2).decode())
        return 0
    _train(preset, args, say, open_drive)
    return 0


def check_data(args: argparse.Namespace, open_drive: OpenDrive | None = None) -> list[str]:
    """Return a sentence for each thing that is wrong with the data set."""
    preset = read_preset(args)
    try:
        if preset.recordings:
            check_photo_sizes(_load(args.data / "train", preset, open_drive), preset.crops)
            return []
        space, num_classes = preset.network.label_space, preset.network.num_classes
        sentences = complaints(
            args.data / "train",
            preset.data,
            num_classes,
            space,
            lambda photo: check_photo_sizes([photo], preset.crops),
        )
        if has_split(args.data, "val"):
            sentences += complaints(args.data / "val", preset.data, num_classes, space, lambda _: None)
    except VidriveError as error:
        return [str(error)]
    return sentences


def read_preset(args: argparse.Namespace) -> SegmentationPreset:
    """Return the preset that the flags name, with their settings; raises UsageError for what does not fit."""
    settings = [*args.set, *([f"schedule.num_steps={args.steps}"] if args.steps is not None else [])]
    return check_preset(apply_settings(find_segmentation_preset(args.preset), settings))


def _train(preset: SegmentationPreset, args: argparse.Namespace, say: Say, open_drive: OpenDrive | None) -> None:
    folder: Path = args.out or Path("runs") / preset.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made ({error.strerror})", "Choose another --out") from None
    photos = _load(args.data / "train", preset, open_drive)
    trainer = SegmentationTrainer(preset, photos, load_feature_network(), args.seed, find_device(args.device))
    if args.resume:
        path = load_checkpoint(folder, trainer, say)
        say(f"goes on from step {trainer.step_index} of {path}")
    say(f"{len(photos)} photos to learn from; results go to {folder}")
    complete = _steps(trainer, folder, say, None if args.minutes is None else args.minutes * 60)
    trained = trainer.network.cpu().eval()
    weights = folder / f"{preset.name}.safetensors"
    with replacing(weights) as unfinished:
        save_segmentation(unfinished, trained, {"name": preset.name, "licence": preset.provenance.licence})
    metrics = None
    if complete and has_split(args.data, "val"):
        say("measures the network on the validation split")
        network = Segmentation(trained, preset.name, "", preset.provenance.licence)
        metrics = _measure(network, preset, args.data, open_drive)
    _write_card(weights, preset, trainer.step_index, metrics)
    say(f"{weights} is written" if complete else f"{weights} is written as it is; --resume goes on")


def _steps(trainer: SegmentationTrainer, folder: Path, say: Say, limit_s: float | None) -> bool:
    """Train up to the run's end, or up to the limit; return whether it is complete."""
    schedule, crops = trainer.preset.schedule, trainer.preset.crops
    sizes = f"crops.width_px and crops.height_px (now {crops.width_px}x{crops.height_px})"
    ways = ways_of_crops(schedule.precision, schedule.batch_size, sizes)
    metrics = Metrics(folder, trainer.step_index, tensorboard=trainer.preset.report.tensorboard)
    try:
        with answering_memory(trainer.device, lambda: trainer.step_index, lambda: ways):
            _loop(trainer, folder, say, metrics, limit_s)
    finally:
        metrics.close()
    return trainer.step_index >= schedule.num_steps


def _loop(trainer: SegmentationTrainer, folder: Path, say: Say, metrics: Metrics, limit_s: float | None) -> None:
    schedule = trainer.preset.schedule
    first_step, losses = trainer.step_index, list[float]()
    pace = Pace(first_step, schedule.num_steps)
    while trainer.step_index < schedule.num_steps:
        if limit_s is not None and pace.elapsed_s() >= limit_s:
            break
        losses.append(trainer.step())
        step = trainer.step_index
        if step % schedule.report_every == 0 or step == schedule.num_steps:
            throughput = pace.throughput((step - first_step) * schedule.batch_size)
            terms = {"loss": sum(losses) / len(losses)}
            say(pace.line(step, throughput["frames_a_second"], terms))
            metrics.write(step, {**terms, **throughput})
            losses.clear()
        if step % schedule.checkpoint_every == 0:
            save_checkpoint(folder, trainer)
    if trainer.step_index % schedule.checkpoint_every or trainer.step_index == first_step:
        save_checkpoint(folder, trainer)


def _write_card(weights: Path, preset: SegmentationPreset, steps: int, metrics: SegmentationMetrics | None) -> None:
    card = SegmentationCard(
        name=preset.name,
        label_space=preset.network.label_space,
        licence=preset.provenance.licence,
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        data=preset.provenance.data,
        citation=preset.provenance.citation,
        command=f"python -m renderer.train {preset.name} --data DIR",
        steps=steps,
        metrics=metrics,
    )
    with replacing(weights.with_suffix(".json")) as unfinished:
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")


def _look(preset: SegmentationPreset) -> LiveGenerator | None:
    name = preset.evaluation.look
    if not name:
        return None
    try:
        return load_live(find_weights(name))
    except ValueError as error:
        raise UsageError(
            f"the look {name} cannot be used ({error})", "Set evaluation.look to another, or to ''"
        ) from None


def _measure(
    network: Segmentation, preset: SegmentationPreset, data: Path, open_drive: OpenDrive | None
) -> SegmentationMetrics:
    if not preset.recordings:
        return measure(network, _look(preset), _load(data / "val", preset, None), preset.evaluation)
    whole = msgspec.structs.replace(preset.recordings[0], every=_ALL, frames_in_a_row=_ALL)
    space = preset.network.label_space
    return measure_recorded(
        network, _look(preset), load_recordings(data / "val", whole, space, needed(open_drive), tones=True)
    )


def _load(folder: Path, preset: SegmentationPreset, open_drive: OpenDrive | None) -> list[LabelledPhoto]:
    if not preset.recordings:
        return load_photos(folder, preset.data, preset.network.num_classes, label_space=preset.network.label_space)
    return [
        frame
        for config in preset.recordings
        for frame in load_recordings(folder, config, preset.network.label_space, needed(open_drive), tones=False)
    ]
