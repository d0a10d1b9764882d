"""Keys into a driver's wish; which key does what says the table in `clients.viewer.keys`.

Driving keys are those of CARLA's manual_control, with its way of smoothing: throttle and brake build up while a key is
held, steering winds up while held and springs back when released.
"""

from __future__ import annotations

from typing import Final

from bridge.protocol.frames import EgoControl
from clients.viewer.keys import Action, find_key

THROTTLE_PER_S: Final = 6.0  # manual_control adds 0.1 a frame at 60 frames a second
BRAKE_PER_S: Final = 12.0  # and 0.2 a frame
STEER_PER_S: Final = 0.5  # 5e-4 a millisecond
MAX_STEER: Final = 0.7
_TAKE_OVER: Final = frozenset(
    {Action.THROTTLE, Action.BRAKE, Action.LEFT, Action.RIGHT, Action.HAND_BRAKE, Action.REVERSE}
)


class KeyboardDriver:
    """Turns key presses into a driver's wish.

    It is `driving` from the first driving key until autopilot is given the wheel back; while it is not, the car is the
    autopilot's. Time is an argument, so that the same presses give the same drive.
    """

    def __init__(self) -> None:
        self.driving = False
        self._held: dict[int, Action] = {}
        self._throttle = 0.0
        self._brake = 0.0
        self._steer = 0.0
        self._reverse = False

    def press(self, code: int, *, shift: bool = False) -> Action | None:
        """Take a key that went down; return what it does, None if it does nothing."""
        key = find_key(code, shift=shift)
        if key is None:
            return None
        if key.action in _TAKE_OVER:
            self.driving = True
        if key.held:
            self._held[code] = key.action
        elif key.action is Action.REVERSE:
            self._reverse = not self._reverse
        elif key.action is Action.AUTOPILOT:
            self.driving = not self.driving
        if key.action in (Action.AUTOPILOT, Action.RESPAWN):
            self._rest()
        return key.action

    def release(self, code: int) -> None:
        """Take a key that went up."""
        self._held.pop(code, None)

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
        return action in self._held.values()

    def _rest(self) -> None:
        self._throttle = self._brake = self._steer = 0.0
        self._reverse = False
