"""Simulator, capture and renderer agree on what depth, poses and instance ids mean: the town's own picture of one tick,
warped by the engine's motion, is its picture of the next."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import cast

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("carla", reason="there is no carla wheel for this platform")

from bridge.capture.drive import open_drive
from bridge.capture.presets import load_rig, load_session
from bridge.protocol.frames import SensorFrame
from bridge.protocol.messages import PlaneName
from bridge.render_request import make_request
from clients.processes import Child
from renderer.inputs import ModelInput, model_input
from renderer.models import registry
from renderer.temporal import remember, warp_previous

READY_S = 180.0
NUM_TICKS = 50
NUM_FLICKER_TICKS = 120
NUM_STARTING_TICKS = 20  # until the car drives
MAX_FLICKER_RATIO = 1.1


def as_input(frame: SensorFrame) -> ModelInput:
    """What a server would make of this frame, through the same request and the same decoding."""
    preset = registry.find_preset(registry.DEFAULT_MODEL)
    card = registry.make_card(preset, "", preset.licence, torch.device("cpu"), "float32")
    message, arrays = make_request(card, frame, 0, "raw")
    planes: dict[PlaneName, NDArray] = {
        cast(PlaneName, header.name): array for header, array in zip(message.planes, arrays, strict=True)
    }
    return model_input(card, planes, message.motion, torch.device("cpu"))


def tensor(rgb: NDArray[np.uint8] | None) -> torch.Tensor:
    assert rgb is not None
    return torch.from_numpy(rgb.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None].contiguous()


def driven(width_px: int, height_px: int, num_ticks: int) -> Iterator[SensorFrame]:
    session = load_session("demo")
    rig = msgspec.structs.replace(load_rig(session.rig), width_px=width_px, height_px=height_px)
    with Child("town", ["town", "--port", "0", "--seed", "1"]) as town:
        port = int(town.wait_ready(READY_S)[-1].rpartition(":")[2])
        with open_drive(session, rig, host="127.0.0.1", port=port) as drive:
            for _ in range(num_ticks):
                yield drive.read(drive.tick(None))


def warp(last: torch.Tensor, was: ModelInput, given: ModelInput) -> tuple[torch.Tensor, torch.Tensor]:
    assert given.depth_B1HW is not None and given.motion is not None
    state = remember(last, was.depth_B1HW, was.instances_B1HW, was.motion)
    return warp_previous(state, given.depth_B1HW, given.instances_B1HW, given.motion)


def test_the_last_picture_warped_is_the_next_picture() -> None:
    valid_shares, errors, errors_unwarped = [], [], []
    for before, now in pairwise(driven(256, 128, NUM_TICKS)):
        warped, valid = warp(tensor(before.rgb), as_input(before), as_input(now))
        mask = valid[0, 0] > 0
        valid_shares.append(float(valid.mean()))
        errors.append(float((warped - tensor(now.rgb)).abs()[0].mean(0)[mask].mean()))
        errors_unwarped.append(float((tensor(before.rgb) - tensor(now.rgb)).abs()[0].mean(0)[mask].mean()))
    assert np.mean(errors_unwarped) > 0.03, "the drive stands still"
    assert np.mean(valid_shares) > 0.9
    assert np.mean(errors) < 0.6 * np.mean(errors_unwarped)


@pytest.mark.parametrize("model_name", registry.shipped_names())
def test_the_synthesized_street_flickers_no_more_than_the_original(model_name: str) -> None:
    """Flicker: how much a pixel differs from where its surface was a frame ago, where that was visible. Shown by -s."""
    model = registry.load_model(model_name, "cpu")
    flicker: dict[str, list[float]] = {"original": [], "synthesized": []}
    last: tuple[dict[str, torch.Tensor], ModelInput] | None = None
    state = None
    for frame in driven(512, 256, NUM_FLICKER_TICKS):
        given = as_input(frame)
        output, state = model.step(given, state)
        pictures = {"original": tensor(frame.rgb), "synthesized": tensor(output.rgb)}
        for name, now in pictures.items():
            if last is None:
                break
            warped, valid = warp(last[0][name], last[1], given)
            flicker[name].append(float((warped - now).abs()[0].mean(0)[valid[0, 0] > 0].mean()) * 127.5)
        last = pictures, given
    original, synthesized = (np.array(flicker[name])[NUM_STARTING_TICKS:] for name in ("original", "synthesized"))
    ratio = synthesized.mean() / original.mean()
    print(
        f"flicker in grey levels: {original.mean():.2f} original, {synthesized.mean():.2f} synthesized, x {ratio:.2f}"
    )
    assert original.mean() > 0.5, "the drive stands still"
    assert ratio < MAX_FLICKER_RATIO
