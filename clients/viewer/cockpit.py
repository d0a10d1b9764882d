"""The window while a drive runs: pictures in, keys out, and never a wait for anything but the screen."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from bridge.protocol.frames import FramePair
from clients.driving import DriveThread
from clients.viewer.composer import Composer
from clients.viewer.controls import KeyboardDriver
from clients.viewer.display import WindowDisplay
from clients.viewer.hud import HudState
from clients.viewer.keys import Action
from clients.viewer.window import Window

REFRESH_S: Final = 1 / 60
SILENCE_S: Final = 1.0  # after that long without a frame the picture says so
TITLE: Final = "vidrive"


class Cockpit:
    """Shows a drive in a window and drives it by keyboard. For the main thread."""

    def __init__(self, drive: DriveThread, display: WindowDisplay) -> None:
        self._drive = drive
        self._display = display
        self._composer = Composer()
        self._driver = KeyboardDriver()
        self._last: tuple[FramePair, HudState] | None = None
        self._last_shown_s = time.monotonic()

    def run(self) -> bool:
        """Show the drive until it ends; return whether a person closed the window before."""
        rig = self._drive.plan.rig
        closed = False
        with Window(TITLE, 2 * rig.width_px, rig.height_px) as window:
            last_step_s = time.monotonic()
            while self._drive.running:
                self._show(window)
                now_s = time.monotonic()
                closed = self._take_keys(window, now_s - last_step_s) or closed
                last_step_s = now_s
        return closed

    def _show(self, window: Window) -> None:
        """Show the next pair when it comes; without one, keep the window fresh."""
        waiting = self._display.wait(REFRESH_S)
        rig = self._drive.plan.rig
        self._composer.half_size_px = window.half_size_px(rig.width_px, rig.height_px)
        if waiting is not None:
            self._last, self._last_shown_s = waiting, time.monotonic()
            window.show(self._composer.render(*waiting))
            self._display.shown(waiting[0])
            return
        if self._last is None:
            window.show(self._composer.waiting(rig.width_px, rig.height_px, self._drive.standing))
            return
        silent_s = time.monotonic() - self._last_shown_s
        if silent_s > SILENCE_S:
            pair, hud = self._last
            told = f"no frame from the simulator for {silent_s:.0f} s"
            window.show(self._composer.render(pair, replace(hud, notice=told)))

    def _take_keys(self, window: Window, duration_s: float) -> bool:
        """Hand the keys on; return whether they ask to quit."""
        quits = False
        for action in window.take_keys(self._driver):
            if action is Action.QUIT:
                self._drive.stop()
                quits = True
            elif action is Action.RESPAWN:
                self._drive.respawn()
            elif action is Action.LABELS:
                self._composer.show_labels = not self._composer.show_labels
            elif action is Action.HUD:
                self._composer.show_hud = not self._composer.show_hud
            elif action is Action.HELP:
                self._composer.show_help = not self._composer.show_help
        control = self._driver.step(duration_s)
        self._drive.set_control(control if self._driver.driving else None)
        return quits
