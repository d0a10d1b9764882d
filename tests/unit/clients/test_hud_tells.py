"""What a person reads of the drive in the window: edits, look, speed and gear, as the panel's own text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pygame
import pytest

from bridge.edits.desk import EditDesk
from bridge.edits.rules import load_edits
from bridge.protocol.frames import CameraIntrinsics, EgoState, FramePair, RenderedFrame, SensorFrame
from clients.viewer import text
from clients.viewer.composer import Composer
from clients.viewer.layouts import LAYOUTS
from clients.viewer.state import HudState

Read = Callable[[HudState], list[str]]


def pair() -> FramePair:
    sensor = SensorFrame(
        frame_id=1,
        time_s=0.0,
        label_map=np.full((128, 256), 1, np.uint8),
        label_space="carla",
        intrinsics=CameraIntrinsics(256, 128, 90.0),
        world_from_camera=np.eye(4),
        captured_s=0.0,
        rgb=np.zeros((128, 256, 3), np.uint8),
        ego=EgoState(speed_m_s=10.0, gear=3, autopilot=False),
    )
    return FramePair(sensor, RenderedFrame(1, 1, np.zeros((128, 256, 3), np.uint8), {}), 0.0)


@pytest.fixture(params=[(1280, 720), (1920, 1080), (3840, 2160)], ids=str)
def read(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Compose a frame at a size and return every text that is drawn into it."""

    def texts(hud: HudState) -> list[str]:
        drawn: list[str] = []
        draw = text.text

        def note(of_font: pygame.font.Font, sentence: str, color: text.Color) -> pygame.Surface:
            drawn.append(sentence)
            return draw(of_font, sentence, color)

        monkeypatch.setattr(text, "text", note)
        composer = Composer(LAYOUTS[0])
        composer.size_px = request.param
        composer.render(pair(), hud)
        monkeypatch.setattr(text, "text", draw)
        return drawn

    return texts


def test_edits_are_named_while_they_are_on(read: Read) -> None:
    desk = EditDesk(load_edits("town"))
    desk.on = True
    while not desk.summary():
        desk.toggle_rule(0)
    one = desk.summary()
    assert one in read(HudState(model="street-photo", edits=one))
    for rule in range(len(desk.edits.rules)):
        if not desk.edits.rules[rule].enabled:
            desk.toggle_rule(rule)
    every = desk.summary()
    assert every == ", ".join(rule.title for rule in desk.edits.rules)
    drawn = read(HudState(model="street-photo", edits=every))
    assert every in drawn
    assert {"edits", "speed"} <= set(drawn)
    desk.toggle()
    assert desk.summary() == ""
    assert "edits" not in read(HudState(model="street-photo", edits=desk.summary()))


def test_speed_gear_model_and_look_are_read_off(read: Read) -> None:
    drawn = read(HudState(model="street-photo", look="style 7"))
    assert {"36 km/h", "street-photo", "style 7"} <= set(drawn)
    assert "D3" in drawn
