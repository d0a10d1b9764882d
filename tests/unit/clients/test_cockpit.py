from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pygame
import pytest

from bridge.edits.desk import EditDesk
from bridge.edits.rules import load_edits
from bridge.prefetch import ControlSource
from bridge.protocol.frames import CameraIntrinsics, EgoControl, FramePair, SensorFrame
from clients.viewer import cockpit, screen, window
from clients.viewer.cockpit import Cockpit
from clients.viewer.composer import Composer
from clients.viewer.display import WindowDisplay
from clients.viewer.hud import HudState
from clients.viewer.keys import KEYS, Action
from clients.viewer.layouts import LAYOUTS
from clients.viewer.screen import Screen
from clients.viewer.seat import Seat
from clients.viewer.timewarp import Timewarp
from clients.viewer.wishes import Wishes

DEADLINE_S = 30.0


class Drive:
    """A drive that only notes what the cockpit asks of it."""

    def __init__(self) -> None:
        self.plan = SimpleNamespace(rig=SimpleNamespace(width_px=64, height_px=48), layout=LAYOUTS[0], pad="")
        self.standing = "connecting to the simulator"
        self.running = True
        self.controls: list[EgoControl | None] = []
        self.num_respawns = 0
        self.asked: list[str] = []
        self.desk = EditDesk(load_edits("town"))
        self.mouse = ""
        self.styles: tuple[str, ...] = ()
        self.source: ControlSource | None = None
        self.timewarp = Timewarp()

    def stop(self) -> None:
        self.running = False

    def respawn(self) -> None:
        self.num_respawns += 1

    def take_controls(self, source: ControlSource) -> None:
        self.source = source

    def step_weather(self, direction: int) -> None:
        self.asked.append(f"weather {direction}")

    def next_mount(self) -> None:
        self.asked.append("mount")

    def next_model(self, direction: int) -> None:
        self.asked.append(f"model {direction}")

    def change_style(self, style: str) -> None:
        self.asked.append(f"style {style}")

    def say(self, sentence: str) -> None:
        self.asked.extend([sentence] if sentence else [])


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


def run(drive: Drive, keys_by_round: list[list[Any]], monkeypatch: pytest.MonkeyPatch) -> Cockpit:
    """Run a cockpit that presses these keys, one round after the other, and then closes the window."""
    rounds = iter(keys_by_round)
    take_keys = window.Window.take_keys

    def press_and_take(self: window.Window, driver: Any) -> list[Any]:
        keys = next(rounds, None)
        for key in keys or ():
            code, mod = key if isinstance(key, tuple) else (key, 0)
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=code, mod=mod))
        if keys is None:
            pygame.event.post(pygame.event.Event(pygame.QUIT))
        actions = take_keys(self, driver)
        assert drive.source is not None
        drive.controls.append(drive.source().control)
        return actions

    monkeypatch.setattr(cockpit, "REFRESH_S", 0.0)  # one reading of the keys between two pictures
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


def test_every_key_of_the_table_does_something_in_the_window(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(action: Action) -> list[Any]:
        key = next(key for key in KEYS if key.action is action)
        return [(key.codes[0], pygame.KMOD_LSHIFT if key.shift else 0)]

    acted: list[Action] = []
    for taker in (Wishes, Screen):
        act = taker.act

        def note(self: Any, action: Action, act: Any = act) -> bool:
            done = act(self, action)
            acted.extend([action] if done else [])
            return done

        monkeypatch.setattr(taker, "act", note)
    others = [key.action for key in KEYS if key.group != "driving" and key.action is not Action.QUIT]
    run(drive, [press(action) for action in others], monkeypatch)
    assert acted == others
    assert drive.asked[:3] == ["weather 1", "weather -1", "mount"]
    assert {"model 1", "model -1", "style 1", "there is nothing to take back"} <= set(drive.asked)
    assert [rule.enabled for rule in drive.desk.edits.rules] == [False, False, True]
    assert not drive.desk.on
    assert drive.mouse == "paint to vegetation, 12 px"


def test_every_driving_key_changes_what_is_driven(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [key for key in KEYS if key.group == "driving" and key.action is not Action.AUTOPILOT]
    manual = [pygame.K_m]
    for key in keys:
        seat = Seat()
        before = [seat.press(code) for code in manual] and seat.sample().control
        if key.action in (Action.REVERSE, Action.MANUAL_GEARS):
            seat, before = Seat(), None
        assert seat.press(key.codes[0]) is key.action
        time.sleep(0.002)
        assert seat.sample().control not in (None, before)


def test_a_glance_at_the_wheel_does_not_turn_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    seat = Seat()
    seat.press(pygame.K_d)
    now_s += 0.1
    glances = [seat.glance().control for _ in range(3)]
    assert glances[0] is not None
    assert glances[0].steer > 0.0
    assert glances == [seat.sample().control] * 3


def test_the_age_of_input_is_that_of_the_last_reading() -> None:
    seat = Seat()
    seat.was_read()
    sample = seat.sample()
    assert sample.control is None
    assert 0.0 <= time.monotonic() - sample.read_s < 1.0
