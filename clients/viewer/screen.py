"""What the window shows while a drive runs: its newest pair, or why there is none; and how long it was away."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pygame

from bridge.protocol.frames import FramePair, SensorFrame
from clients.viewer.composer import Composer
from clients.viewer.display import WindowDisplay
from clients.viewer.keys import Action
from clients.viewer.state import HudState
from clients.viewer.timewarp import Timewarp
from clients.viewer.window import Window

REFRESH_S: Final = 1 / 60
SPLIT_STEP: Final = 0.05
SWITCHES: Final = {Action.LABELS: "show_labels", Action.HUD: "show_hud", Action.HELP: "show_help"}
SILENCE_S: Final = 1.0  # after that long without a frame the picture says so


class Screen:
    """Shows a drive in a window. For the main thread; `show` waits for nothing but the next pair, and that briefly."""

    def __init__(
        self,
        window: Window,
        composer: Composer,
        display: WindowDisplay,
        standing: Callable[[], str],
        timewarp: Timewarp | None = None,
    ) -> None:
        """`standing` says what the drive waits for; "" while it goes on."""
        self._timewarp = timewarp or Timewarp()
        self._window = window
        self._composer = composer
        self._display = display
        self._standing = standing
        self.frame: SensorFrame | None = None  # that is on the screen
        self._last: tuple[FramePair, HudState] | None = None
        self._last_shown_s = self._began_s = time.monotonic()
        self._was_standing = ""

    def show(self, timeout_s: float = REFRESH_S) -> None:
        """Show the next pair, if it comes in time; without one, keep the window fresh."""
        waiting = self._display.wait(timeout_s)
        if waiting is not None:
            self._last, self._last_shown_s, self._was_standing = waiting, time.monotonic(), self._standing()
            self._timewarp.take(waiting[0])
            self._draw(*waiting)
            self._display.shown(waiting[0])
            return
        if self._last is None:
            sentence = self._waiting_sentence()
            self._window.draw(lambda surface: self._composer.draw_waiting(surface, sentence))
            return
        pair, hud = self._last
        silent_s = time.monotonic() - self._last_shown_s
        if silent_s > SILENCE_S:
            standing = self._standing()
            told = f"no frame from the simulator for {silent_s:.0f} s"
            hud = replace(hud, notice=f"{standing} ({silent_s:.0f} s)" if standing != self._was_standing else told)
        self._draw(pair, hud)

    def _draw(self, pair: FramePair, hud: HudState) -> None:
        """Draw a pair, or what the timewarp makes of it."""
        shown = self._timewarp.pair() or pair
        self.frame = shown.sensor
        if told := self._timewarp.told():
            hud = replace(hud, timewarp=told)
        self._window.draw(lambda surface: self._composer.draw(surface, shown, hud))
        self._timewarp.shown(shown)

    def act(self, action: Action) -> bool:
        """Do what a key of the window asks for; return whether it was one."""
        composer = self._composer
        if action in (Action.LAYOUT, Action.LAYOUT_BACK):
            composer.switch_layout(1 if action is Action.LAYOUT else -1)
        elif action in (Action.SPLIT_LEFT, Action.SPLIT_RIGHT):
            composer.move_split(SPLIT_STEP if action is Action.SPLIT_RIGHT else -SPLIT_STEP)
        elif action is Action.TIMEWARP:
            self._timewarp.enabled = not self._timewarp.enabled
        elif action is Action.FULL_SCREEN:
            self._window.toggle_full_screen()
        elif action in SWITCHES:
            setattr(composer, SWITCHES[action], not getattr(composer, SWITCHES[action]))
        else:
            return False
        return True

    def take(self, event: pygame.event.Event) -> bool:
        """Let the mouse drag the line of a wipe or blend; return whether the event was for that."""
        if event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
            return self._composer.grab(self._window.to_surface_px(event.pos))
        if event.type == pygame.MOUSEMOTION:
            return self._composer.drag(self._window.to_surface_px(event.pos))
        if event.type == pygame.MOUSEBUTTONUP:
            return self._composer.release()
        return False

    def _waiting_sentence(self) -> str:
        """What is being waited for, and for how long already."""
        standing = self._standing()
        now_s = time.monotonic()
        if standing != self._was_standing:
            self._was_standing, self._began_s = standing, now_s
        waited_s = int(now_s - self._began_s)
        return f"{standing} ({waited_s} s)" if waited_s >= 1 else standing
