"""Gamepads and steering wheels: which axis steers and which button does what is a preset, configs/pads/*.yaml."""

from __future__ import annotations

import logging
from typing import Annotated, Final, Literal

import msgspec
import pygame
import pygame.joystick

from bridge.protocol.errors import UsageError
from bridge.protocol.frames import EgoControl
from clients.viewer.keys import Action
from configs import PresetError, load_preset_or_file, preset_names

Number = Annotated[int, msgspec.Meta(ge=0, le=63)]
Stretch = Annotated[float, msgspec.Meta(ge=-1.0, le=1.0)]
ActionName = Annotated[str, msgspec.Meta(pattern=r"^[a-z_0-9]+$")]
HatSide = Literal["up", "down", "left", "right"]
DEFAULT_PAD: Final = "gamepad"
TAKES_OVER: Final = 0.1  # of a pedal or the wheel: less is a thumb that rests there
_HAT_SIDES: Final[dict[tuple[int, int], HatSide]] = {(0, 1): "up", (0, -1): "down", (-1, 0): "left", (1, 0): "right"}
_log: Final = logging.getLogger("vidrive")


class Steer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The axis that steers, -1 left to 1 right; `scale` is what a full lock gives.

    A `curve` above 1 is gentler near the middle.
    """

    axis: Number
    dead_zone: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.0
    curve: Annotated[float, msgspec.Meta(gt=0.0, le=5.0)] = 1.0
    scale: Stretch = 1.0

    def value(self, reading: float) -> float:
        """Return -1..1 for a reading of the axis, -1..1."""
        beyond = max(0.0, abs(reading) - self.dead_zone) / (1.0 - self.dead_zone)
        size = min(1.0, beyond) ** self.curve * self.scale
        return size if reading > 0.0 else -size


class Pedal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The axis of a pedal or trigger: its readings at `rest` and when it is fully pressed."""

    axis: Number
    rest: Stretch
    full: Stretch
    dead_zone: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.0

    def __post_init__(self) -> None:
        if self.rest == self.full:
            raise ValueError("rest and full are the same reading")

    def value(self, reading: float) -> float:
        """Return 0..1 for a reading of the axis."""
        pressed = (reading - self.rest) / (self.full - self.rest)
        return min(1.0, max(0.0, pressed - self.dead_zone) / (1.0 - self.dead_zone))


class PadPreset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a pad's axes and buttons do. `devices` are parts of the names, in small letters, of pads that it is for.

    `buttons` and `hat` name actions of `clients.viewer.keys.Action` in small letters; throttle, brake and steering are
    axes.
    """

    devices: tuple[str, ...]
    steer: Steer
    throttle: Pedal
    brake: Pedal
    buttons: dict[Number, ActionName] = {}
    hat: dict[HatSide, ActionName] = {}

    def __post_init__(self) -> None:
        for name in (*self.buttons.values(), *self.hat.values()):
            if name.upper() not in Action.__members__ or Action[name.upper()] in _AXES:
                raise ValueError(f"there is no action {name!r} for a button")


_AXES: Final = (Action.THROTTLE, Action.BRAKE, Action.LEFT, Action.RIGHT)


def load_pad(name: str) -> PadPreset:
    """Return a pad's preset by name, or from a YAML file by its path; raises UsageError for what is neither."""
    try:
        return load_preset_or_file("pads", name, PadPreset)
    except PresetError as error:
        raise UsageError(error.what, error.hint) from None


def preset_for(device: str) -> str:
    """Return the name of the preset for a device by the name that it gives itself; wheels before pads."""
    for name in sorted(preset_names("pads"), reverse=True):
        if any(part in device.lower() for part in load_pad(name).devices):
            return name
    return DEFAULT_PAD


class Pads:
    """The pads that are plugged in, also while one drives; the one that was moved last drives.

    `wanted` names a preset for all of them, "" chooses by the device's name. For the window's thread.
    """

    def __init__(self, wanted: str = "") -> None:
        self._wanted = wanted
        self._chosen = load_pad(wanted) if wanted else None
        self._pads: dict[int, tuple[pygame.joystick.JoystickType, PadPreset]] = {}
        self._active: int | None = None
        self._held: set[Action] = set()
        self._rested: set[tuple[int, int]] = set()  # pedals that were seen at rest, by pad and axis
        pygame.joystick.init()

    def close(self) -> None:
        """Let go of all pads."""
        self._pads.clear()
        pygame.joystick.quit()

    def take(self, event: pygame.event.Event) -> tuple[bool, Action | None]:
        """Take an event; return whether somebody moved a pad with it, and what its button does."""
        if event.type == pygame.JOYDEVICEADDED:
            self._plug_in(event.device_index)
        elif event.type == pygame.JOYDEVICEREMOVED:
            self._pads.pop(event.instance_id, None)
            self._active = None if self._active == event.instance_id else self._active
        elif getattr(event, "instance_id", None) in self._pads:
            return self._moved(event)
        return False, None

    def control(self, *, reverse: bool, gear: int | None) -> EgoControl | None:
        """Return what the pad that drives is set to now, read from the device; None without one."""
        if self._active is None:
            return None
        pad, preset = self._pads[self._active]
        return EgoControl(
            throttle=self._pressed(pad, preset.throttle),
            brake=self._pressed(pad, preset.brake),
            steer=preset.steer.value(_axis(pad, preset.steer.axis)),
            reverse=reverse,
            hand_brake=Action.HAND_BRAKE in self._held,
            gear=gear,
        )

    def _plug_in(self, index: int) -> None:
        pad = pygame.joystick.Joystick(index)
        name = self._wanted or preset_for(pad.get_name())
        self._pads[pad.get_instance_id()] = pad, self._chosen or load_pad(name)
        _log.info("pad %s: buttons and axes as in %s", pad.get_name(), name)

    def _moved(self, event: pygame.event.Event) -> tuple[bool, Action | None]:
        _, preset = self._pads[event.instance_id]
        if event.type == pygame.JOYAXISMOTION:
            moved = self._is_moved(preset, event.instance_id, event.axis, event.value)
            self._active = event.instance_id if moved else self._active
            return moved, None
        action: Action | None = None
        if event.type in (pygame.JOYBUTTONDOWN, pygame.JOYBUTTONUP):
            name = preset.buttons.get(event.button)
            action = Action[name.upper()] if name else None
            if action is Action.HAND_BRAKE:
                self._hold(action, down=event.type == pygame.JOYBUTTONDOWN)
                self._active = event.instance_id
                return event.type == pygame.JOYBUTTONDOWN, None
            if event.type == pygame.JOYBUTTONUP:
                return False, None
        elif event.type == pygame.JOYHATMOTION:
            side = _HAT_SIDES.get(tuple(event.value))
            action = Action[preset.hat[side].upper()] if side in preset.hat else None
        return False, action

    def _is_moved(self, preset: PadPreset, pad_id: int, axis: int, reading: float) -> bool:
        """Whether a reading is somebody's wish: some triggers say that they are half pressed until they are touched."""
        for pedal in (preset.throttle, preset.brake):
            if pedal.axis == axis and pedal.value(reading) == 0.0:
                self._rested.add((pad_id, axis))
            elif pedal.axis == axis and (pad_id, axis) in self._rested and pedal.value(reading) > TAKES_OVER:
                return True
        return preset.steer.axis == axis and abs(preset.steer.value(reading)) > TAKES_OVER

    def _pressed(self, pad: pygame.joystick.JoystickType, pedal: Pedal) -> float:
        rested = (pad.get_instance_id(), pedal.axis) in self._rested
        return pedal.value(_axis(pad, pedal.axis)) if rested else 0.0

    def _hold(self, action: Action, *, down: bool) -> None:
        if down:
            self._held.add(action)
        else:
            self._held.discard(action)


def _axis(pad: pygame.joystick.JoystickType, number: int) -> float:
    return pad.get_axis(number) if number < pad.get_numaxes() else 0.0
