"""Keys: one table that drives the car, switches the view, and prints the help.

Driving keys are those of CARLA's manual_control, with its way of smoothing: throttle and brake build up while a key is
held, steering winds up while held and springs back when released.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import pygame

from bridge.protocol.frames import EgoControl

THROTTLE_PER_S: Final = 6.0  # manual_control adds 0.1 a frame at 60 frames a second
BRAKE_PER_S: Final = 12.0  # and 0.2 a frame
STEER_PER_S: Final = 0.5  # 5e-4 a millisecond
MAX_STEER: Final = 0.7


class Action(Enum):
    """What a key does."""

    THROTTLE = "throttle"
    BRAKE = "brake"
    LEFT = "steer left"
    RIGHT = "steer right"
    HAND_BRAKE = "hand brake"
    REVERSE = "reverse gear on or off"
    AUTOPILOT = "autopilot on or off"
    RESPAWN = "start again elsewhere"
    LABELS = "label overlay on or off"
    HUD = "HUD on or off"
    HELP = "this help"
    QUIT = "quit"


@dataclass(frozen=True)
class Key:
    """One action and the keys that do it."""

    action: Action
    names: str
    codes: tuple[int, ...]
    held: bool = False  # acts for as long as it is held, rather than once


KEYS: Final[tuple[Key, ...]] = (
    Key(Action.THROTTLE, "W, up", (pygame.K_w, pygame.K_UP), held=True),
    Key(Action.BRAKE, "S, down", (pygame.K_s, pygame.K_DOWN), held=True),
    Key(Action.LEFT, "A, left", (pygame.K_a, pygame.K_LEFT), held=True),
    Key(Action.RIGHT, "D, right", (pygame.K_d, pygame.K_RIGHT), held=True),
    Key(Action.HAND_BRAKE, "space", (pygame.K_SPACE,), held=True),
    Key(Action.REVERSE, "Q", (pygame.K_q,)),
    Key(Action.AUTOPILOT, "P", (pygame.K_p,)),
    Key(Action.RESPAWN, "backspace", (pygame.K_BACKSPACE,)),
    Key(Action.LABELS, "L", (pygame.K_l,)),
    Key(Action.HUD, "F1", (pygame.K_F1,)),
    Key(Action.HELP, "H, ?", (pygame.K_h, pygame.K_QUESTION)),
    Key(Action.QUIT, "escape", (pygame.K_ESCAPE,)),
)
_BY_CODE: Final = {code: key for key in KEYS for code in key.codes}
_TAKE_OVER: Final = frozenset(
    {Action.THROTTLE, Action.BRAKE, Action.LEFT, Action.RIGHT, Action.HAND_BRAKE, Action.REVERSE}
)


def help_rows() -> tuple[tuple[str, str], ...]:
    """Return (keys, what they do) for every row of the table."""
    return tuple((key.names, key.action.value) for key in KEYS)


class KeyboardDriver:
    """Turns key presses into a driver's wish.

    It is `driving` from the first driving key until autopilot is given the wheel back; while it is not, the car is the
    autopilot's. Time is an argument, so that the same presses give the same drive.
    """

    def __init__(self) -> None:
        self.driving = False
        self._held: set[int] = set()
        self._throttle = 0.0
        self._brake = 0.0
        self._steer = 0.0
        self._reverse = False

    def press(self, code: int) -> Action | None:
        """Take a key that went down; return what it does, None if it does nothing."""
        key = _BY_CODE.get(code)
        if key is None:
            return None
        if key.action in _TAKE_OVER:
            self.driving = True
        if key.held:
            self._held.add(code)
        elif key.action is Action.REVERSE:
            self._reverse = not self._reverse
        elif key.action is Action.AUTOPILOT:
            self.driving = not self.driving
        if key.action in (Action.AUTOPILOT, Action.RESPAWN):
            self._rest()
        return key.action

    def release(self, code: int) -> None:
        """Take a key that went up."""
        self._held.discard(code)

    def release_all(self) -> None:
        """Take all feet off: the window lost the keyboard, so key-up events may never come."""
        self._held.clear()

    def step(self, duration_s: float) -> EgoControl:
        """Return the wish after the held keys were held for that long."""
        self._throttle = min(1.0, self._throttle + THROTTLE_PER_S * duration_s) if self._is(Action.THROTTLE) else 0.0
        self._brake = min(1.0, self._brake + BRAKE_PER_S * duration_s) if self._is(Action.BRAKE) else 0.0
        self._steer = self._steered(duration_s)
        return EgoControl(
            throttle=self._throttle,
            brake=self._brake,
            steer=self._steer,
            reverse=self._reverse,
            hand_brake=self._is(Action.HAND_BRAKE),
        )

    def _steered(self, duration_s: float) -> float:
        if self._is(Action.LEFT):
            return max(-MAX_STEER, min(self._steer, 0.0) - STEER_PER_S * duration_s)
        if self._is(Action.RIGHT):
            return min(MAX_STEER, max(self._steer, 0.0) + STEER_PER_S * duration_s)
        return 0.0

    def _is(self, action: Action) -> bool:
        return any(_BY_CODE[code].action is action for code in self._held)

    def _rest(self) -> None:
        self._throttle = self._brake = self._steer = 0.0
        self._reverse = False
