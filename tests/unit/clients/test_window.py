from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pygame
import pytest

from bridge.protocol.errors import UsageError
from bridge.protocol.frames import EgoControl
from clients.viewer.composer import Composer
from clients.viewer.hud import HudState
from clients.viewer.keys import Action
from clients.viewer.seat import Seat
from clients.viewer.window import Window, display_missing
from tests.unit.clients.test_composer import GREEN, RED, pair


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.delenv("SDL_FRAMEBUFFER_ACCELERATION", raising=False)
    with Window("vidrive", 640, 160) as opened:
        yield opened
    assert not pygame.display.get_init()


def shown_rgb() -> np.ndarray:
    surface = pygame.display.get_surface()
    assert surface is not None
    return pygame.surfarray.array3d(surface).swapaxes(0, 1)


def test_what_is_drawn_is_shown_pixel_for_pixel(window: Window) -> None:
    height, width = shown_rgb().shape[:2]
    assert (width, height) == window.size_px
    canvas = np.random.default_rng(0).integers(0, 255, (height, width, 4), np.uint8)
    picture = pygame.image.frombuffer(canvas.data.cast("B"), (width, height), "BGRA")
    picture.set_alpha(None)
    window.draw(lambda surface: surface.blit(picture, (0, 0)))
    assert (shown_rgb() == canvas[..., 2::-1]).all()


def test_a_frame_pair_fills_a_window_of_any_size_and_the_rest_is_black(window: Window) -> None:
    composer = Composer()
    composer.show_hud = False
    pygame.display.set_mode((400, 400), pygame.RESIZABLE)
    for _ in range(2):
        window.draw(lambda surface: composer.draw(surface, pair(), HudState(notice="said over the margin")))
    window.draw(lambda surface: composer.draw(surface, pair(), HudState()))
    pixels = shown_rgb()
    assert (pixels[150:250, :200] == RED).all()
    assert (pixels[150:250, 200:] == GREEN).all()
    assert (pixels[:150] == 0).all()
    assert (pixels[250:] == 0).all()


def test_full_screen_and_back(window: Window) -> None:
    before_px = window.size_px
    window.toggle_full_screen()
    assert window.full_screen
    window.toggle_full_screen()
    assert not window.full_screen
    assert window.size_px == before_px


def test_keys_reach_the_driver_and_closing_quits(window: Window) -> None:
    driver = Seat()
    window.take_keys(driver)
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_w))
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_F12))
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_l))
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    assert window.take_keys(driver) == [Action.THROTTLE, Action.LABELS, Action.QUIT]
    assert (driver.sample().control or EgoControl()).throttle > 0
    pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.K_w))
    assert window.take_keys(driver) == []
    assert (driver.sample().control or EgoControl()).throttle == 0


def test_a_window_that_loses_focus_takes_the_foot_off(window: Window) -> None:
    driver = Seat()
    driver.press(pygame.K_w)
    pygame.event.post(pygame.event.Event(pygame.WINDOWFOCUSLOST))
    window.take_keys(driver)
    assert (driver.sample().control or EgoControl()).throttle == 0


def test_a_display_that_refuses_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    monkeypatch.setenv("DISPLAY", ":4711")
    with pytest.raises(UsageError, match=r"the display cannot be used \(.*\)\. Add --headless"):
        Window("vidrive", 640, 160)


@pytest.mark.parametrize(("name", "value", "missing"), [("DISPLAY", ":0", False), ("DISPLAY", "", True)])
def test_whether_there_is_a_display(monkeypatch: pytest.MonkeyPatch, name: str, value: str, missing: bool) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv(name, value)
    assert bool(display_missing()) == missing
