"""Models for the frames of a recording: one that a person names, or each frame's own look."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from bridge.protocol.errors import UsageError
from bridge.protocol.messages import ModelCard
from bridge.recording.looks import RecordedLook
from bridge.recording.rows import Row
from clients.recordings.pairs import RecordedPairs
from renderer.backends.choice import recorded_backend
from renderer.models.base import Model
from renderer.models.imported import ModelOptions
from renderer.models.registry import load_model, shipped_names
from renderer.models.style import read_style

RECORDED: Final = "recorded"  # instead of a model's name: every frame by the model and style that it had
_log: Final = logging.getLogger("vidrive")

ModelOf: TypeAlias = Callable[[Row], tuple[Model, str]]
"""Gives the model of a row, the same object for all rows that share temporal state, and its recorded style."""


def models_of(pairs: RecordedPairs, name: str, device_name: str, options: ModelOptions | None) -> ModelOf:
    """Return what gives each row its model: that of `name`, or with "recorded" the one that it was recorded with.

    Raises a VidriveError for a model that cannot be loaded, at once or where its first frame comes; UsageError for a
    recording whose looks are wanted and which has none.
    """
    if options is not None and options.flow == "engine" and "depth_m" not in pairs.recording.manifest.planes:
        _log.warning("%s has no depth: the flow is guessed", pairs.recording.folder)
        options = replace(options, flow="guessed")
    if name != RECORDED:
        card = pairs.recording.manifest.card
        backend = recorded_backend(card.dtype if card is not None and card.name == name else "")
        model = load_model(name, device_name, options, backend)
        return lambda _: (model, "")
    options = options or ModelOptions()
    if options.style is not None:
        raise UsageError("the recorded looks have their own styles", "Leave out --style, or name a --model")
    loaded: dict[RecordedLook, Model] = {}

    def model_of(row: Row) -> tuple[Model, str]:
        look = pairs.looks.at(row.frame_id)
        if look is None:
            raise UsageError(f"{pairs.recording.folder} was recorded without a model", "Name one with --model")
        if look not in loaded:
            loaded[look] = _load(look, device_name, options)
        return loaded[look], look.style

    model_of(pairs.recording.rows[0])  # what cannot be loaded is told before anything is written
    return model_of


def same_weights(recorded: ModelCard | None, card: ModelCard) -> bool:
    """Return whether a model is the one of a recording, in the same precision and flow on the same kind of device."""
    if recorded is None:
        return False
    return _made_by(recorded) == _made_by(card)


def _made_by(card: ModelCard) -> tuple[object, ...]:
    return card.weights_sha256, card.device, card.dtype, card.flow


def _load(look: RecordedLook, device_name: str, options: ModelOptions) -> Model:
    name = look.card.name
    own = name in shipped_names()  # which are steady by themselves, and the only ones that other runtimes draw
    options = replace(
        options,
        style=read_style(look.style) if look.style else None,
        stabilise=options.stabilise and not own,
        flow="engine" if look.card.flow == "engine" else "guessed",
    )
    model = load_model(name, device_name, options, recorded_backend(look.card.dtype) if own else "eager")
    if not same_weights(look.card, model.card):
        _log.warning("%s is another than the recorded one: its weights, device or precision", name)
    return model
