"""The driver's seat: keyboard, gamepads and wheels together, read by the window and asked at each tick."""

from __future__ import annotations

import copy
import threading
import time

import pygame

from bridge.prefetch import ControlSample
from bridge.protocol.frames import EgoControl
from clients.viewer.controls import KeyboardDriver
from clients.viewer.keys import Action
from clients.viewer.pads import Pads

_LONGEST_STEP_S = 0.25  # a tick that came late does not press the pedals for longer than that


class Seat:
    """Takes events in the window's thread; `sample` gives the wish in the capture's, at the moment before a tick.

    What was moved last drives: keys or a pad.
    """

    def __init__(self, pads: Pads | None = None) -> None:
        self.keyboard = KeyboardDriver()
        self._pads = pads
        self._pad_drives = False
        self._lock = threading.Lock()
        self._read_s = self._stepped_s = time.monotonic()

    def press(self, code: int, *, shift: bool = False) -> Action | None:
        """Take a key that went down; return what it does, None if it does nothing."""
        with self._lock:
            action = self.keyboard.press(code, shift=shift)
            self._pad_drives = self._pad_drives and not self.keyboard.any_held
            return action

    def release(self, code: int) -> None:
        """Take a key that went up."""
        with self._lock:
            self.keyboard.release(code)

    def release_all(self) -> None:
        """Take all feet off the keys."""
        with self._lock:
            self.keyboard.release_all()

    def take_pad(self, event: pygame.event.Event) -> Action | None:
        """Take an event that is not of the keyboard; return what a pad's button does, None for all else."""
        if self._pads is None:
            return None
        with self._lock:
            moved, action = self._pads.take(event)
            if moved:
                self._pad_drives = self.keyboard.driving = True
            if action is not None:
                self.keyboard.do(action)
            return action

    def was_read(self) -> None:
        """Note that all that happened until now has been taken."""
        with self._lock:
            self._read_s = time.monotonic()

    def glance(self) -> ControlSample:
        """Return what `sample` would, without counting the time as driven: for whoever only looks ahead."""
        with self._lock:
            wish = copy.copy(self.keyboard).step(min(_LONGEST_STEP_S, time.monotonic() - self._stepped_s))
            return self._wish(wish)

    def sample(self) -> ControlSample:
        """Return the wish now, None in it for the autopilot, and when the devices were read."""
        with self._lock:
            now_s = time.monotonic()
            control = self.keyboard.step(min(_LONGEST_STEP_S, now_s - self._stepped_s))
            self._stepped_s = now_s
            return self._wish(control)

    def _wish(self, control: EgoControl) -> ControlSample:
        if self._pad_drives and self._pads is not None:
            control = self._pads.control(reverse=control.reverse, gear=control.gear) or control
        return ControlSample(control if self.keyboard.driving else None, self._read_s)
