"""The window on the desktop: a surface of any size to draw into, and what the keys and the mouse did.

Everything of SDL that needs a display is in this file. All methods belong to the main thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

import pygame
import pygame.display
import pygame.event

from bridge.protocol.errors import UsageError
from clients.viewer.keys import Action
from clients.viewer.seat import Seat

FIRST_WIDTH_PX: Final = 1280
FIRST_SHARE: Final = 0.5  # of the desktop's width: HiDPI displays have more pixels, not more room
DESKTOP_SHARE: Final = 0.9
MOUSE: Final = (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP, pygame.MOUSEMOTION, pygame.MOUSEWHEEL)
BGRA_MASKS: Final = (0xFF0000, 0xFF00, 0xFF)
GPU_DEVICES: Final = ("/dev/dri", "/dev/nvidia0", "/dev/dxg")


def display_missing() -> str:
    """Return why no window can be opened here, a sentence; "" where one can."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    return ""


class Window:
    """A resizable window; `take_mouse` gets what the mouse does.

    Raises UsageError where the display refuses. Use it as a context manager.
    """

    def __init__(self, title: str, width_px: int, height_px: int) -> None:
        """Open a window for pictures of this size, at that size or at a handsome multiple of it."""
        if not any(Path(device).exists() for device in GPU_DEVICES):
            # Without a GPU, SDL would send every picture through a software OpenGL: nine times slower at 1080p.
            os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
        # Without this Windows magnifies the picture on HiDPI displays, and text is blurred.
        os.environ.setdefault("SDL_WINDOWS_DPI_AWARENESS", "permonitorv2")
        try:
            pygame.display.init()
            self._screen = pygame.display.set_mode(_first_size(width_px, height_px), pygame.RESIZABLE)
        except pygame.error as error:
            raise UsageError(
                f"the display cannot be used ({error})", "Add --headless, or set DISPLAY to one that can"
            ) from None
        pygame.display.set_caption(title)
        self.take_mouse: Callable[[pygame.event.Event], object] = lambda _: None
        self._windowed_px: tuple[int, int] | None = None
        self._buffer: pygame.Surface | None = None

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the window."""
        pygame.display.quit()

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of what is drawn into, in pixels."""
        return pygame.display.get_surface().get_size()

    @property
    def full_screen(self) -> bool:
        """Whether it fills the screen."""
        return self._windowed_px is not None

    def toggle_full_screen(self) -> None:
        """Fill the screen, or go back to the size from before."""
        if self._windowed_px is None:
            self._windowed_px = self.size_px
            pygame.display.set_mode((0, 0), pygame.FULLSCREEN)
        else:
            size_px, self._windowed_px = self._windowed_px, None
            for _ in range(2):  # some drivers of SDL leave full screen first, and take the size the second time
                pygame.display.set_mode(size_px, pygame.RESIZABLE)

    def draw(self, paint: Callable[[pygame.Surface], None]) -> None:
        """Let `paint` fill a surface of the window's size and BGRA's masks, and show it.

        That surface is the window's own memory where its format allows: one pass over the pixels instead of two.
        """
        screen = pygame.display.get_surface()
        if screen.get_bitsize() == 32 and screen.get_masks()[:3] == BGRA_MASKS:
            paint(screen)
        else:
            if self._buffer is None or self._buffer.get_size() != screen.get_size():
                self._buffer = pygame.Surface(screen.get_size(), 0, 32, (*BGRA_MASKS, 0))
            paint(self._buffer)
            screen.blit(self._buffer, (0, 0))
        pygame.display.flip()

    def to_surface_px(self, at_px: tuple[int, int]) -> tuple[float, float]:
        """Return where on the drawn surface a point of the mouse is: on HiDPI displays the two count differently."""
        width, height = pygame.display.get_window_size()
        surface_width, surface_height = self.size_px
        return at_px[0] * surface_width / max(1, width), at_px[1] * surface_height / max(1, height)

    def take_keys(self, driver: Seat) -> list[Action]:
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
            elif event.type in MOUSE:
                self.take_mouse(event)
            elif (action := driver.take_pad(event)) is not None:
                actions.append(action)
        return actions

    def take_events(self) -> list[pygame.event.Event]:
        """Return everything that happened since the last call."""
        return pygame.event.get()


def _first_size(width_px: int, height_px: int) -> tuple[int, int]:
    """The picture's size, widened to fill a desktop's eye and narrowed to fit the desktop."""
    desktop_width, desktop_height = pygame.display.get_desktop_sizes()[0]
    scale = max(1.0, max(FIRST_WIDTH_PX, FIRST_SHARE * desktop_width) / width_px)
    scale = min(scale, DESKTOP_SHARE * desktop_width / width_px, DESKTOP_SHARE * desktop_height / height_px)
    return max(1, round(width_px * scale)), max(1, round(height_px * scale))
