"""The window while a drive runs: pictures in, keys out, and never a wait for anything but the screen."""

from __future__ import annotations

import time
from typing import Final

from clients.driving import DriveThread
from clients.viewer.composer import Composer
from clients.viewer.controls import KeyboardDriver
from clients.viewer.display import WindowDisplay
from clients.viewer.keys import Action
from clients.viewer.screen import Screen
from clients.viewer.window import Window

TITLE: Final = "vidrive"


class Cockpit:
    """Shows a drive in a window and drives it by keyboard. For the main thread."""

    def __init__(self, drive: DriveThread, display: WindowDisplay) -> None:
        self._drive = drive
        self._display = display
        self._composer = Composer(drive.plan.layout)
        self._driver = KeyboardDriver()

    def run(self) -> bool:
        """Show the drive until it ends; return whether a person closed the window before."""
        rig = self._drive.plan.rig
        closed = False
        with Window(TITLE, *self._composer.layout.natural_size_px((rig.width_px, rig.height_px))) as window:
            screen = Screen(window, self._composer, self._display, lambda: self._drive.standing)
            window.take_mouse = screen.take
            last_step_s = time.monotonic()
            while self._drive.running:
                screen.show()
                now_s = time.monotonic()
                closed = self._take_keys(window, screen, now_s - last_step_s) or closed
                last_step_s = now_s
        return closed

    def _take_keys(self, window: Window, screen: Screen, duration_s: float) -> bool:
        """Hand the keys on; return whether they ask to quit."""
        quits = False
        for action in window.take_keys(self._driver):
            if action is Action.QUIT:
                self._drive.stop()
                quits = True
            elif action is Action.RESPAWN:
                self._drive.respawn()
            else:
                screen.act(action)
        control = self._driver.step(duration_s)
        self._drive.set_control(control if self._driver.driving else None)
        return quits
