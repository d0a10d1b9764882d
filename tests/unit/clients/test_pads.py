"""Gamepads and wheels, with virtual devices that SDL itself makes: what it reads from them is what pygame reads."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import pygame
import pytest

from bridge.protocol.errors import UsageError
from bridge.protocol.frames import EgoControl
from clients.viewer.keys import Action
from clients.viewer.pads import Pads, load_pad, preset_for
from clients.viewer.seat import Seat
from configs import preset_names

GAME_CONTROLLER = 1


def sdl() -> ctypes.CDLL:
    """The SDL that pygame has loaded into this process."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split()[-1]
        if "/libSDL2-2" in path:
            return ctypes.CDLL(path)
    pytest.skip("pygame's SDL is not found in this process")


class VirtualPad:
    """A gamepad that a test moves."""

    def __init__(self) -> None:
        self._sdl = sdl()
        self._sdl.SDL_JoystickOpen.restype = ctypes.c_void_p
        self._index = self._sdl.SDL_JoystickAttachVirtual(GAME_CONTROLLER, 6, 11, 1)
        assert self._index >= 0
        self._pad = ctypes.c_void_p(self._sdl.SDL_JoystickOpen(self._index))

    def axis(self, number: int, value: float) -> None:
        self._sdl.SDL_JoystickSetVirtualAxis(self._pad, number, ctypes.c_int16(round(value * 32767)))

    def button(self, number: int, down: bool) -> None:
        self._sdl.SDL_JoystickSetVirtualButton(self._pad, number, ctypes.c_uint8(down))

    def hat(self, value: int) -> None:
        self._sdl.SDL_JoystickSetVirtualHat(self._pad, 0, ctypes.c_uint8(value))

    def detach(self) -> None:
        self._sdl.SDL_JoystickDetachVirtual(self._index)


@pytest.fixture
def seat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seat]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS", "1")
    pygame.display.init()
    pads = Pads("gamepad")
    yield Seat(pads)
    pads.close()
    pygame.display.quit()


@pytest.fixture
def pad(seat: Seat) -> Iterator[VirtualPad]:
    virtual = VirtualPad()
    for trigger in (2, 5):
        virtual.axis(trigger, -1.0)
    pump(seat)
    yield virtual
    virtual.detach()


def pump(seat: Seat) -> list[Action]:
    pygame.joystick.init()
    actions = [seat.take_pad(event) for event in pygame.event.get()]
    return [action for action in actions if action is not None]


def control(seat: Seat) -> EgoControl:
    wish = seat.sample().control
    assert wish is not None
    return wish


def test_triggers_and_stick_drive(seat: Seat, pad: VirtualPad) -> None:
    assert seat.sample().control is None
    pad.axis(5, 1.0)
    pad.axis(2, -1.0)
    pad.axis(0, -1.0)
    pump(seat)
    assert control(seat).throttle == pytest.approx(1.0, abs=1e-3)
    assert control(seat).brake == 0.0
    assert control(seat).steer == pytest.approx(-0.7, abs=1e-3)
    pad.axis(5, -1.0)
    pad.axis(2, 0.0)
    pad.axis(0, 0.05)
    pump(seat)
    assert control(seat).throttle == 0.0
    assert control(seat).brake == pytest.approx(0.479, abs=0.01)
    assert control(seat).steer == 0.0


def test_a_pedal_counts_from_its_first_rest_on(seat: Seat) -> None:
    """Some devices say that a trigger is half pressed until somebody touches it."""
    virtual = VirtualPad()
    pump(seat)
    assert seat.sample().control is None
    virtual.detach()


def test_every_button_does_what_the_preset_says(seat: Seat, pad: VirtualPad) -> None:
    for number, name in load_pad("gamepad").buttons.items():
        pad.button(number, True)
        actions = pump(seat)
        pad.button(number, False)
        if name == "hand_brake":
            assert actions == []
            assert control(seat).hand_brake
            pump(seat)
            assert not control(seat).hand_brake
        else:
            assert actions == [Action[name.upper()]]
            assert pump(seat) == []


def test_the_hat_does_too(seat: Seat, pad: VirtualPad) -> None:
    seen: list[Action] = []
    for value in (1, 2, 4, 8):  # up, right, down, left
        pad.hat(value)
        seen += pump(seat)
        pad.hat(0)
        assert pump(seat) == []
    assert seen == [Action.MODEL, Action.HUD, Action.MODEL_BACK, Action.LABELS]


def test_keys_take_the_wheel_back_and_an_unplugged_pad_lets_go(seat: Seat, pad: VirtualPad) -> None:
    pad.axis(5, 1.0)
    pump(seat)
    assert control(seat).throttle == pytest.approx(1.0, abs=1e-3)
    seat.press(pygame.K_s)
    assert control(seat).throttle == 0.0
    seat.release(pygame.K_s)


@pytest.mark.parametrize("name", preset_names("pads"))
def test_presets_load(name: str) -> None:
    assert load_pad(name).buttons


def test_the_preset_is_chosen_by_the_device() -> None:
    assert preset_for("Logitech G29 Driving Force Racing Wheel") == "wheel"
    assert preset_for("Microsoft X-Box 360 pad") == "gamepad"
    assert preset_for("something else") == "gamepad"


@pytest.mark.parametrize(
    ("change", "reason"),
    [("0: hand_brake", "0: handbrake"), ("rest: -1.0, full: 1.0", "rest: 1.0, full: 1.0"), ("axis: 0", "axis: x")],
)
def test_a_mistake_is_a_sentence(change: str, reason: str, tmp_path: Path) -> None:
    source = Path(__file__).parents[3] / "configs" / "pads" / "gamepad.yaml"
    path = tmp_path / "mine.yaml"
    path.write_text(source.read_text().replace(change, reason))
    with pytest.raises(UsageError, match="has a mistake"):
        load_pad(str(path))
