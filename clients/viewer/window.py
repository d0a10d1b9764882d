"""The window on the desktop: shows composed pictures at any size, and hands on the keys.

Everything of SDL that needs a display is in this file. All methods belong to the main thread.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Final

import cv2
import numpy as np
import pygame
import pygame.display
import pygame.event
import pygame.surfarray
from numpy.typing import NDArray

from bridge.protocol.errors import UsageError
from clients.viewer.controls import KeyboardDriver
from clients.viewer.keys import Action

FIRST_WIDTH_PX: Final = 1280
DESKTOP_SHARE: Final = 0.9
BGRA_MASKS: Final = (0xFF0000, 0xFF00, 0xFF)
GPU_DEVICES: Final = ("/dev/dri", "/dev/nvidia0", "/dev/dxg")


def display_missing() -> str:
    """Return why no window can be opened here, a sentence; "" where one can."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    return ""


class Window:
    """A resizable window; the picture keeps its shape and is centred on black.

    Raises UsageError where the display refuses. Use it as a context manager.
    """

    def __init__(self, title: str, width_px: int, height_px: int) -> None:
        """Open a window for pictures of this size, at that size or at a handsome multiple of it."""
        if not any(Path(device).exists() for device in GPU_DEVICES):
            # Without a GPU, SDL would send every picture through a software OpenGL: nine times slower at 1080p.
            os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
        try:
            pygame.display.init()
            self._screen = pygame.display.set_mode(_first_size(width_px, height_px), pygame.RESIZABLE)
        except pygame.error as error:
            raise UsageError(
                f"the display cannot be used ({error})", "Add --headless, or set DISPLAY to one that can"
            ) from None
        pygame.display.set_caption(title)
        self._shown_size = (0, 0)
        self._place = (0, 0, 1, 1)

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the window."""
        pygame.display.quit()

    def half_size_px(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Return the size at which two halves of this shape fill the window."""
        width, height = fit(2 * width_px, height_px, *pygame.display.get_surface().get_size())[2:]
        return max(1, width // 2), height

    def take_keys(self, driver: KeyboardDriver) -> list[Action]:
        """Hand all keys since the last call to the driver; return what they do, in order (closing is QUIT)."""
        actions: list[Action] = []
        for event in self.take_events():
            if event.type == pygame.QUIT:
                actions.append(Action.QUIT)
            elif event.type == pygame.KEYDOWN:
                action = driver.press(event.key, shift=bool(getattr(event, "mod", 0) & pygame.KMOD_SHIFT))
                if action is not None:
                    actions.append(action)
            elif event.type == pygame.KEYUP:
                driver.release(event.key)
            elif event.type == pygame.WINDOWFOCUSLOST:
                driver.release_all()
        return actions

    def take_events(self) -> list[pygame.event.Event]:
        """Return everything that happened since the last call."""
        return pygame.event.get()

    def place_in_picture(self, at_px: tuple[int, int]) -> tuple[float, float]:
        """Return where in the picture a point of the window is, across and down, 0..1 inside it."""
        left, top, width, height = self._place
        return (at_px[0] - left) / width, (at_px[1] - top) / height

    def show(self, canvas_bgra: NDArray[np.uint8]) -> None:
        """Show a picture, (H,W,4) u8 BGRA; it may be changed as soon as this returns."""
        screen = self._screen = pygame.display.get_surface()
        self._place = fit(canvas_bgra.shape[1], canvas_bgra.shape[0], *screen.get_size())
        left, top, width, height = self._place
        if screen.get_size() != self._shown_size:
            screen.fill((0, 0, 0))
            self._shown_size = screen.get_size()
        if screen.get_bitsize() == 32 and screen.get_masks()[:3] == BGRA_MASKS:
            self._draw_into(screen, canvas_bgra, left, top, width, height)
        else:
            scaled = _scaled(canvas_bgra, width, height)
            picture = pygame.image.frombuffer(scaled.data.cast("B"), (width, height), "BGRA")
            screen.blit(picture, (left, top))
        pygame.display.flip()

    @staticmethod
    def _draw_into(
        screen: pygame.Surface, canvas_bgra: NDArray[np.uint8], left: int, top: int, width: int, height: int
    ) -> None:
        """Write the picture into the window's own memory: one pass over it instead of three."""
        pixels = pygame.surfarray.pixels2d(screen).T  # (H,W) u32, and the window stays locked while this lives
        scaled = _scaled(canvas_bgra, width, height)
        np.copyto(pixels[top : top + height, left : left + width], scaled.view(np.uint32)[..., 0])


def fit(width_px: int, height_px: int, into_width_px: int, into_height_px: int) -> tuple[int, int, int, int]:
    """Return left, top, width and height of a picture fitted into a window, centred, its shape kept."""
    scale = min(into_width_px / width_px, into_height_px / height_px)
    width, height = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    width, height = min(width, into_width_px), min(height, into_height_px)
    return (into_width_px - width) // 2, (into_height_px - height) // 2, width, height


def _scaled(canvas_bgra: NDArray[np.uint8], width_px: int, height_px: int) -> NDArray[np.uint8]:
    if canvas_bgra.shape[:2] == (height_px, width_px):
        return canvas_bgra
    smaller = width_px < canvas_bgra.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(canvas_bgra, (width_px, height_px), interpolation=method), np.uint8)


def _first_size(width_px: int, height_px: int) -> tuple[int, int]:
    """The picture's size, widened to fill a desktop's eye and narrowed to fit the desktop."""
    desktop_width, desktop_height = pygame.display.get_desktop_sizes()[0]
    scale = max(1.0, FIRST_WIDTH_PX / width_px)
    scale = min(scale, DESKTOP_SHARE * desktop_width / width_px, DESKTOP_SHARE * desktop_height / height_px)
    return max(1, round(width_px * scale)), max(1, round(height_px * scale))
