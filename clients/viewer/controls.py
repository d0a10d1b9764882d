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
TOP_GEAR: Final = 6
_TAKE_OVER: Final = frozenset(
    {
        Action.THROTTLE,
        Action.BRAKE,
        Action.LEFT,
        Action.RIGHT,
        Action.HAND_BRAKE,
        Action.REVERSE,
        Action.MANUAL_GEARS,
        Action.GEAR_DOWN,
        Action.GEAR_UP,
    }
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
        self._gear: int | None = None

    def press(self, code: int, *, shift: bool = False) -> Action | None:
        """Take a key that went down; return what it does, None if it does nothing."""
        key = find_key(code, shift=shift)
        if key is None:
            return None
        if key.held:
            self._held[code] = key.action
        self.do(key.action)
        return key.action

    @property
    def any_held(self) -> bool:
        """Whether a key is held that drives."""
        return bool(self._held)

    def do(self, action: Action) -> None:
        """Do what a key or a button of another device means for the driver."""
        if action in _TAKE_OVER:
            self.driving = True
        if action is Action.REVERSE:
            self._reverse = not self._reverse
        elif action is Action.MANUAL_GEARS:
            self._gear = 1 if self._gear is None else None
        elif action in (Action.GEAR_DOWN, Action.GEAR_UP) and self._gear is not None:
            step = 1 if action is Action.GEAR_UP else -1
            self._gear = min(TOP_GEAR, max(-1, self._gear + step))
        elif action is Action.AUTOPILOT:
            self.driving = not self.driving
        if action in (Action.AUTOPILOT, Action.RESPAWN):
            self._rest()

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
            reverse=self._reverse if self._gear is None else self._gear < 0,
            gear=self._gear,
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
        self._gear = None
