"""The simulator's weather: the presets of its client library one after the other, and what it was before at the end."""

from __future__ import annotations

import re
from typing import Final

import carla

from bridge.capture.world import SyncWorld

_PRESETS: Final = tuple(name for name in sorted(dir(carla.WeatherParameters)) if re.match(r"[A-Z]", name))


class Weather:
    """Steps through the presets in the order of their names, as manual_control does; `name` is the current one."""

    def __init__(self, world: SyncWorld) -> None:
        self.name = ""
        self._world = world
        self._index: int | None = None

    def step(self, direction: int) -> str:
        """Set the next preset (1) or the one before (-1) and return its name; the first call sets the first or last."""
        if self._index is None:
            with self._world.calls("tell its weather"):
                before = self._world.world.get_weather()
            self._world.before_exit(lambda: self._world.world.set_weather(before))
            self._index = 0 if direction > 0 else len(_PRESETS) - 1
        else:
            self._index = (self._index + direction) % len(_PRESETS)
        name = _PRESETS[self._index]
        with self._world.calls("change its weather"):
            self._world.world.set_weather(getattr(carla.WeatherParameters, name))
        self.name = name
        return name
