"""The frame loop's displays: one without a window, one that hands pairs over to the window's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.protocol.frames import FramePair
from clients.viewer.composer import Composer
from clients.viewer.layouts import LAYOUTS, Layout
from clients.viewer.state import HudState

SHOW_DEADLINE_S: Final = 0.1  # a window that is being dragged does not hold the drive up for longer

HudSource = Callable[[FramePair], HudState]


class OffscreenDisplay:
    """Composes every pair as the window would; `canvas_bgra` is the last picture, for whoever records it."""

    def __init__(self, hud: HudSource, layout: Layout = LAYOUTS[0]) -> None:
        self.composer = Composer(layout)
        self.canvas_bgra: NDArray[np.uint8] = np.zeros((0, 0, 4), np.uint8)
        self._hud = hud

    def accept(self, pair: FramePair) -> None:
        """Compose a pair."""
        self.compose(pair)

    def compose(self, pair: FramePair) -> NDArray[np.uint8]:
        """Compose a pair and return the picture, (H,W,4) u8 BGRA, read-only."""
        self.canvas_bgra = self.composer.render(pair, self._hud(pair))
        return self.canvas_bgra


class WindowDisplay:
    """A slot of one between the drive's thread and the window's: the newest pair waits there until it is shown."""

    def __init__(self, hud: HudSource) -> None:
        self._hud = hud
        self._changed = threading.Condition()
        self._waiting: tuple[FramePair, HudState] | None = None

    def accept(self, pair: FramePair) -> None:
        """Give a pair to the window and wait, a little, until it is shown. For the drive's thread."""
        hud = self._hud(pair)
        with self._changed:
            self._waiting = (pair, hud)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting is None, SHOW_DEADLINE_S)

    def wait(self, timeout_s: float) -> tuple[FramePair, HudState] | None:
        """Return the pair to show next, or None if none comes in time; `shown` must follow. For the window's thread."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None, timeout_s)
            return self._waiting

    def shown(self, pair: FramePair) -> None:
        """Say that this pair is on the screen; a newer one keeps waiting. For the window's thread."""
        with self._changed:
            if self._waiting is not None and self._waiting[0] is pair:
                self._waiting = None
                self._changed.notify_all()
