"""A recording as what int8 is calibrated on: the inputs of the generator along its drive."""

from __future__ import annotations

from pathlib import Path

from bridge.protocol.errors import UsageError
from clients.recordings.pairs import RecordedPairs
from clients.recordings.rendering import picture_size, render_pairs
from renderer.backends.calibration import Calibration, Tap
from renderer.backends.runner import Runner
from renderer.models.registry import load_model, shipped_names

NUM_LEAST = 4  # frames that were kept: of fewer neither ranges nor a judgement can be taken


def calibration_of(folder: Path, model_name: str) -> Calibration:
    """Draw a recording's first frames with eager torch and return what the generator was given.

    Raises UsageError for a model whose generator is not vidrive's own and for a recording of a few frames, and what a
    recording that cannot be read raises.
    """
    if model_name not in shipped_names() and not model_name.endswith(".safetensors"):
        raise UsageError(f"{model_name} is a published generator, and those run in torch", "Leave --backend out")
    taps: list[Tap] = []

    def wrap(runner: Runner) -> Runner:
        taps.append(Tap(runner))
        return taps[-1]

    model = load_model(model_name, "cpu", None, "eager", wrap)
    with RecordedPairs(folder) as pairs:
        for _ in render_pairs(pairs, lambda _: (model, ""), picture_size(model.card, pairs.recording.size_hw, None)):
            if taps[0].is_full:
                break
    if len(taps[0].kept) < NUM_LEAST:
        raise UsageError(f"the recording {folder} is too short to calibrate on", "Record some seconds of a drive")
    return taps[0].calibration(str(folder))
