"""What keys and mouse ask of a drive beside driving: weather, mounts, edits, looks."""

from __future__ import annotations

from typing import Final

import pygame

from bridge.edits.desk import BRUSH_CLASSES
from bridge.protocol.frames import SensorFrame
from clients.driving import DriveThread
from clients.viewer.composer import Composer
from clients.viewer.keys import RULE_ACTIONS, Action
from clients.viewer.window import Window

MOUSE_MODES: Final = ("", "paint", "change class", "change object", "remove object")
BRUSHES_PX: Final = (3.0, 6.0, 12.0, 24.0, 48.0)
STYLES: Final = ("", "1", "2", "3", "4")  # of models that have no names for theirs
LEFT_BUTTON: Final = 1


class Wishes:
    """Does what actions and the mouse ask for. For the window's thread; `frame` is the one that is shown."""

    def __init__(self, drive: DriveThread, composer: Composer, window: Window) -> None:
        self.frame: SensorFrame | None = None
        self._drive = drive
        self._composer = composer
        self._window = window
        self._mode = self._brush_class = 0
        self._brush = 2
        self._style = 0
        self._painting = False

    def act(self, action: Action) -> bool:
        """Do what a key asks for; return whether it was one of these."""
        desk = self._drive.desk
        if action is Action.RESPAWN:
            self._drive.respawn()
        elif action in (Action.WEATHER, Action.WEATHER_BACK):
            self._drive.step_weather(1 if action is Action.WEATHER else -1)
        elif action is Action.CAMERA:
            self._drive.next_mount()
        elif action is Action.EDITS:
            desk.toggle()
        elif action in RULE_ACTIONS:
            self._drive.say(desk.toggle_rule(RULE_ACTIONS.index(action)))
        elif action is Action.UNDO:
            self._drive.say(desk.undo())
        elif action in (Action.MODEL, Action.MODEL_BACK):
            self._drive.next_model(1 if action is Action.MODEL else -1)
            self._style = 0
        elif action is Action.STYLE:
            named = self._drive.styles
            styles = ("", *named[1:]) if named else STYLES
            self._style = (self._style + 1) % len(styles)
            self._drive.change_style(styles[self._style])
        else:
            return self._turn_brush(action)
        return True

    def take_mouse(self, event: pygame.event.Event) -> bool:
        """Edit where the mouse points, if it is to; return whether it was."""
        if event.type == pygame.MOUSEBUTTONUP and event.button == LEFT_BUTTON:
            self._painting = False
        if self._mode == 0 or self.frame is None:
            return False
        pressed = event.type == pygame.MOUSEBUTTONDOWN and event.button == LEFT_BUTTON
        if not pressed and not (event.type == pygame.MOUSEMOTION and self._painting):
            return False
        found = self._composer.pixel_at(self._window.to_surface_px(event.pos))
        if found is None:
            return False
        at_px = float(found[1]), float(found[2])
        desk, mode, to = self._drive.desk, MOUSE_MODES[self._mode], BRUSH_CLASSES[self._brush_class]
        if mode == "paint":
            if pressed:
                desk.begin_stroke()
                self._painting = True
            self._drive.say(desk.paint(self.frame, at_px, BRUSHES_PX[self._brush], to))
        elif mode == "change class":
            self._drive.say(desk.change_class(self.frame, at_px, to))
        elif mode == "change object":
            self._drive.say(desk.change_object(self.frame, at_px, to))
        else:
            self._drive.say(desk.remove_object(self.frame, at_px))
        return True

    def _turn_brush(self, action: Action) -> bool:
        if action is Action.MOUSE:
            self._mode = (self._mode + 1) % len(MOUSE_MODES)
        elif action in (Action.BRUSH_CLASS, Action.BRUSH_CLASS_BACK):
            step = 1 if action is Action.BRUSH_CLASS else -1
            self._brush_class = (self._brush_class + step) % len(BRUSH_CLASSES)
        elif action in (Action.BRUSH_LARGER, Action.BRUSH_SMALLER):
            step = 1 if action is Action.BRUSH_LARGER else -1
            self._brush = min(len(BRUSHES_PX) - 1, max(0, self._brush + step))
        else:
            return False
        mode = MOUSE_MODES[self._mode]
        to = "" if mode in ("", "remove object") else f" to {BRUSH_CLASSES[self._brush_class]}"
        size = f", {BRUSHES_PX[self._brush]:g} px" if mode == "paint" else ""
        self._drive.mouse = f"{mode}{to}{size}"
        return True
