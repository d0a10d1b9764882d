"""Writes what a run is for: the weights file, and its model card with where it comes from and what it is worth."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from renderer.models.live import SIZE_MULTIPLE_PX, LiveGenerator, save_live
from renderer.train.checkpoint import replacing
from renderer.train.evaluate import Metrics
from renderer.train.preset import TrainPreset
from renderer.train.segmentation.measure import SegmentationMetrics

_PLANES: Final = ("labels", "depth_m", "instances")


class TrainedCard(msgspec.Struct, frozen=True, kw_only=True):
    """The model card beside a weights file: the fields of `renderer.weights_catalogue.WeightsCard`, and more."""

    name: str
    family: str = "live"
    label_space: str
    planes: tuple[str, ...] = _PLANES
    size_multiple_px: int = SIZE_MULTIPLE_PX
    past_frames: int = 1
    licence: str
    weights_sha256: str
    data: str
    citation: str
    styles: tuple[str, ...] = ()
    command: str
    steps: int
    history: str = ""  # in what a file came about otherwise than by that command in one go
    metrics: Metrics | None
    recognition: SegmentationMetrics | None = None


def write_model(
    folder: Path,
    generator: LiveGenerator,
    preset: TrainPreset,
    command: str,
    steps: int,
    metrics: Metrics | None,
    history: str = "",
    recognition: SegmentationMetrics | None = None,
) -> Path:
    """Write NAME.safetensors and NAME.json into a folder; return the path of the weights.

    `history` says in what the weights came about otherwise than by the command in one go, if they did.
    """
    weights = folder / f"{preset.name}.safetensors"
    with replacing(weights) as unfinished:
        save_live(unfinished, generator, {"name": preset.name, "licence": preset.provenance.licence})
    card = TrainedCard(
        name=preset.name,
        label_space=preset.label_space,
        licence=preset.provenance.licence,
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        data=preset.provenance.data,
        citation=preset.provenance.citation,
        styles=generator.config.styles,
        command=command,
        steps=steps,
        history=history,
        metrics=metrics,
        recognition=recognition,
    )
    with replacing(weights.with_suffix(".json")) as unfinished:
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    return weights
