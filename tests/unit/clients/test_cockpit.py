from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pygame
import pytest

from bridge.protocol.frames import CameraIntrinsics, EgoControl, FramePair, SensorFrame
from clients.viewer import screen, window
from clients.viewer.cockpit import Cockpit
from clients.viewer.composer import Composer
from clients.viewer.display import WindowDisplay
from clients.viewer.hud import HudState
from clients.viewer.layouts import LAYOUTS

DEADLINE_S = 30.0


class Drive:
    """A drive that only notes what the cockpit asks of it."""

    def __init__(self) -> None:
        self.plan = SimpleNamespace(rig=SimpleNamespace(width_px=64, height_px=48), layout=LAYOUTS[0])
        self.standing = "connecting to the simulator"
        self.running = True
        self.controls: list[EgoControl | None] = []
        self.num_respawns = 0

    def stop(self) -> None:
        self.running = False

    def respawn(self) -> None:
        self.num_respawns += 1

    def set_control(self, control: EgoControl | None) -> None:
        self.controls.append(control)


def pair(frame_id: int) -> FramePair:
    sensor = SensorFrame(
        frame_id=frame_id,
        time_s=0.0,
        label_map=np.full((48, 64), 1, np.uint8),
        label_space="carla",
        intrinsics=CameraIntrinsics(64, 48, 90.0),
        world_from_camera=np.eye(4),
        captured_s=0.0,
    )
    return FramePair(sensor, None, 0.0)


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> Drive:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    return Drive()


def run(drive: Drive, keys_by_round: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> Cockpit:
    """Run a cockpit that presses these keys, one round after the other, and then closes the window."""
    rounds = iter(keys_by_round)
    take_keys = window.Window.take_keys

    def press_and_take(self: window.Window, driver: Any) -> list[Any]:
        keys = next(rounds, None)
        for key in keys or ():
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
        if keys is None:
            pygame.event.post(pygame.event.Event(pygame.QUIT))
        return take_keys(self, driver)

    monkeypatch.setattr(window.Window, "take_keys", press_and_take)
    made = Cockpit(cast("Any", drive), WindowDisplay(lambda _: HudState()))
    assert made.run()
    assert not pygame.display.get_init()
    return made


def test_until_somebody_drives_the_autopilot_does(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    run(drive, [[], [pygame.K_w], [], [pygame.K_p], []], monkeypatch)
    driven = [control is not None for control in drive.controls]
    assert driven[:5] == [False, True, True, False, False]
    assert any(control.throttle > 0 for control in drive.controls if control is not None)


def test_keys_switch_the_view_and_respawn(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, bool, bool]] = []
    waiting = Composer.draw_waiting

    def look(self: Composer, *args: Any) -> Any:
        seen.append((self.show_labels, self.show_hud, self.show_help))
        return waiting(self, *args)

    monkeypatch.setattr(Composer, "draw_waiting", look)
    run(drive, [[], [pygame.K_l], [pygame.K_F1], [pygame.K_h], [pygame.K_h, pygame.K_BACKSPACE], []], monkeypatch)
    assert seen[0] == (False, True, False)
    assert seen[2:6] == [(True, True, False), (True, False, False), (True, False, True), (True, False, False)]
    assert drive.num_respawns == 1


def test_before_the_first_frame_it_says_what_it_waits_for(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    sentences: list[str] = []
    waiting = Composer.draw_waiting

    def listen(self: Composer, surface: pygame.Surface, sentence: str) -> Any:
        sentences.append(sentence)
        return waiting(self, surface, sentence)

    monkeypatch.setattr(Composer, "draw_waiting", listen)
    run(drive, [[], []], monkeypatch)
    assert set(sentences) == {"connecting to the simulator"}


def test_pairs_are_shown_and_silence_is_told(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    notices: list[str] = []
    told = threading.Event()
    draw = Composer.draw

    def listen(self: Composer, surface: pygame.Surface, shown: FramePair, hud: HudState) -> Any:
        notices.append(hud.notice)
        if hud.notice:
            told.set()
            drive.stop()
        return draw(self, surface, shown, hud)

    monkeypatch.setattr(Composer, "draw", listen)
    monkeypatch.setattr(screen, "SILENCE_S", 0.05)
    display = WindowDisplay(lambda _: HudState())
    feeder = threading.Thread(target=display.accept, args=(pair(1),))
    feeder.start()
    assert not Cockpit(cast("Any", drive), display).run()
    feeder.join(DEADLINE_S)
    assert told.is_set()
    assert notices[0] == ""
    assert notices[-1].startswith("no frame from the simulator for")
