from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pygame
import pytest

from bridge.protocol.errors import UsageError
from clients.viewer.controls import Action, KeyboardDriver
from clients.viewer.window import Window, display_missing, fit


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


def red_bgra(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 4), (0, 0, 255, 255), np.uint8)


def test_the_picture_is_shown_in_its_colours_at_the_windows_size(window: Window) -> None:
    window.show(red_bgra(640, 160))
    pixels = shown_rgb()
    assert pixels.shape[1] > 640
    top, bottom = pixels.shape[0] // 2 - 5, pixels.shape[0] // 2 + 5
    assert (pixels[top:bottom, 2:-2] == (255, 0, 0)).all()


def test_a_picture_of_the_windows_size_is_shown_pixel_for_pixel(window: Window) -> None:
    height, width = shown_rgb().shape[:2]
    canvas = np.random.default_rng(0).integers(0, 255, (height, width, 4), np.uint8)
    window.show(canvas)
    assert (shown_rgb() == canvas[..., 2::-1]).all()


def test_halves_that_fill_the_window(window: Window) -> None:
    width, height = window.half_size_px(320, 160)
    assert width / height == pytest.approx(2.0, abs=0.02)
    pygame.display.set_mode((1000, 100), pygame.RESIZABLE)
    assert window.half_size_px(320, 160) == (200, 100)


def test_after_a_resize_the_rest_is_black(window: Window) -> None:
    pygame.display.set_mode((400, 400), pygame.RESIZABLE)
    window.show(red_bgra(640, 160))
    pixels = shown_rgb()
    assert (pixels[200, 200] == (255, 0, 0)).all()
    assert (pixels[:100] == 0).all()
    assert (pixels[-100:] == 0).all()


def test_keys_reach_the_driver_and_closing_quits(window: Window) -> None:
    driver = KeyboardDriver()
    window.take_keys(driver)
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_w))
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_F12))
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_l))
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    assert window.take_keys(driver) == [Action.THROTTLE, Action.LABELS, Action.QUIT]
    assert driver.step(0.1).throttle > 0
    pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.K_w))
    assert window.take_keys(driver) == []
    assert driver.step(0.1).throttle == 0


def test_a_window_that_loses_focus_takes_the_foot_off(window: Window) -> None:
    driver = KeyboardDriver()
    driver.press(pygame.K_w)
    pygame.event.post(pygame.event.Event(pygame.WINDOWFOCUSLOST))
    window.take_keys(driver)
    assert driver.step(0.1).throttle == 0


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


@pytest.mark.parametrize(
    ("window_size", "place"),
    [
        ((200, 50), (0, 0, 200, 50)),
        ((200, 100), (0, 25, 200, 50)),
        ((300, 50), (50, 0, 200, 50)),
        ((1, 1), (0, 0, 1, 1)),
    ],
)
def test_fitting_keeps_the_shape(window_size: tuple[int, int], place: tuple[int, int, int, int]) -> None:
    assert fit(400, 100, *window_size) == place
