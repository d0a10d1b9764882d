"""The window while a drive runs: pictures in, keys out, and never a wait for anything but the screen."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Final

from clients.driving import DriveThread
from clients.viewer.composer import Composer
from clients.viewer.display import WindowDisplay
from clients.viewer.keys import Action
from clients.viewer.pads import Pads
from clients.viewer.screen import REFRESH_S, Screen
from clients.viewer.seat import Seat
from clients.viewer.window import Window
from clients.viewer.wishes import Wishes

TITLE: Final = "vidrive"
READ_EVERY_S: Final = 0.004  # how often keys and pads are read while the next pair is waited for


class Cockpit:
    """Shows a drive in a window and drives it by keyboard, gamepad or wheel. For the main thread."""

    def __init__(self, drive: DriveThread, display: WindowDisplay) -> None:
        self._drive = drive
        self._display = display
        self._composer = Composer(drive.plan.layout)

    def run(self, check: Callable[[], None] = lambda: None) -> bool:
        """Show the drive until it ends; return whether a person closed the window before.

        `check` is called before each picture, and ends it by what it raises.
        """
        rig = self._drive.plan.rig
        closed = False
        with (
            Window(TITLE, *self._composer.layout.natural_size_px((rig.width_px, rig.height_px))) as window,
            contextlib.closing(Pads(self._drive.plan.pad)) as pads,
        ):
            seat = Seat(pads)
            screen = Screen(window, self._composer, self._display, lambda: self._drive.standing, self._drive.timewarp)
            wishes = Wishes(self._drive, self._composer, window)
            window.take_mouse = lambda event: wishes.take_mouse(event) or screen.take(event)
            self._drive.take_controls(seat.sample)
            self._drive.timewarp.follow_devices(seat.glance)
            while self._drive.running:
                check()
                began_s = time.monotonic()
                screen.show(0.0)
                wishes.frame = screen.frame
                # A timewarp's pictures come in time with the display; others need not take all of a core.
                shown_s = began_s if self._drive.timewarp.enabled else time.monotonic()
                closed = self._read_until(shown_s + REFRESH_S, window, screen, seat, wishes) or closed
        return closed

    def _read_until(self, next_s: float, window: Window, screen: Screen, seat: Seat, wishes: Wishes) -> bool:
        """Take keys, mouse and pads, once at least, until there is a pair to show or it is time for the next picture;
        return whether to quit.
        """
        quits = False
        while True:
            for action in window.take_keys(seat):
                if action is Action.QUIT:
                    self._drive.stop()
                    quits = True
                elif not wishes.act(action):
                    screen.act(action)
            seat.was_read()
            left_s = next_s - time.monotonic()
            if quits or left_s <= 0.0 or self._display.wait(min(READ_EVERY_S, left_s)) is not None:
                return quits
            if self._drive.timewarp.stale:
                return quits
