"""Simulator, capture and renderer agree on what depth, poses and instance ids mean: the town's own picture of one tick,
warped by the engine's motion, is its picture of the next."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

pytest.importorskip("carla", reason="there is no carla wheel for this platform")

from bridge.capture.drive import open_drive
from bridge.capture.presets import load_rig, load_session
from bridge.protocol.frames import SensorFrame
from bridge.render_request import make_request
from clients.processes import Child
from renderer.inputs import ModelInput, model_input
from renderer.models import registry
from renderer.temporal import remember, warp_previous

READY_S = 180.0
NUM_TICKS = 50


def as_input(frame: SensorFrame) -> ModelInput:
    """What a server would make of this frame, through the same request and the same decoding."""
    preset = registry.find_preset(registry.DEFAULT_MODEL)
    card = registry.make_card(preset, "", preset.licence, torch.device("cpu"), torch.float32)
    message, arrays = make_request(card, frame, 0, "raw")
    planes = {header.name: array for header, array in zip(message.planes, arrays, strict=True)}
    return model_input(card, planes, message.motion, torch.device("cpu"))


def picture(frame: SensorFrame) -> torch.Tensor:
    assert frame.rgb is not None
    return torch.from_numpy(frame.rgb.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None].contiguous()


def test_the_last_picture_warped_is_the_next_picture() -> None:
    session = load_session("demo")
    rig = msgspec.structs.replace(load_rig(session.rig), width_px=256, height_px=128)
    valid_shares, errors, errors_unwarped = [], [], []
    with Child("town", ["town", "--port", "0", "--seed", "1"]) as town:
        port = int(town.wait_ready(READY_S)[-1].rpartition(":")[2])
        with open_drive(session, rig, host="127.0.0.1", port=port) as drive:
            before = drive.read(drive.tick(None))
            for _ in range(NUM_TICKS):
                now = drive.read(drive.tick(None))
                was, given = as_input(before), as_input(now)
                assert given.depth_B1HW is not None and given.motion is not None
                state = remember(picture(before), was.depth_B1HW, was.instances_B1HW, was.motion)
                warped, valid = warp_previous(state, given.depth_B1HW, given.instances_B1HW, given.motion)
                mask = valid[0, 0] > 0
                valid_shares.append(float(valid.mean()))
                errors.append(float((warped - picture(now)).abs()[0].mean(0)[mask].mean()))
                errors_unwarped.append(float((picture(before) - picture(now)).abs()[0].mean(0)[mask].mean()))
                before = now
    assert np.mean(errors_unwarped) > 0.03, "the drive stands still"
    assert np.mean(valid_shares) > 0.9
    assert np.mean(errors) < 0.6 * np.mean(errors_unwarped)
