"""Calls about street lamps: what each does, and switching them."""

from __future__ import annotations

from dataclasses import replace

from bridge.carla_wire import layouts
from bridge.town.calls.registry import Call, answers, finite
from bridge.town.episode import Episode
from bridge.town.views import LampState

STREET_GROUP = 2
FULL_INTENSITY = 1000.0
"""What clients are told of a lamp that shines as it was built; half of it is half as bright."""
DARK_BELOW_DEG = 4.0
"""Lamps that follow the dark are on when the sun stands lower; the pictures let clouds shift it a little."""


def is_dark(weather: layouts.WeatherParameters) -> bool:
    """Tell whether lamps that follow the dark are on."""
    is_default = weather.cloudiness == -1.0 == weather.sun_altitude_angle
    return weather.sun_altitude_angle < DARK_BELOW_DEG and not is_default


def _is_on(episode: Episode, state: LampState) -> bool:
    return is_dark(episode.weather) if state.is_on is None else state.is_on


@answers("query_lights_state", neutral=[])
def query_lights_state(call: Call, _client: str) -> list[layouts.LightState]:
    """Every street lamp: place, colour, intensity, and whether it is on."""
    episode = call.simulation.episode
    return [
        layouts.LightState(
            number,
            layouts.Vector3D(site.x_m, site.y_m, site.z_m),
            FULL_INTENSITY * state.intensity,
            STREET_GROUP,
            layouts.ColorRgb(*state.color_rgb),
            _is_on(episode, state),
        )
        for number, (site, state) in enumerate(zip(call.simulation.network.lamps, episode.lamps, strict=True), 1)
    ]


@answers("update_lights_state")
def update_lights_state(call: Call, _client: str, lights: list[layouts.LightState], _discards: bool) -> None:
    """Switch, colour and dim street lamps; every client is told with the next tick."""
    episode = call.simulation.episode
    for light in lights:
        finite(light.intensity)
        if 1 <= light.id <= len(episode.lamps):
            colour = (light.color.r, light.color.g, light.color.b)
            intensity = max(0.0, light.intensity / FULL_INTENSITY)
            episode.lamps[light.id - 1] = LampState(light.active, intensity, colour)
    episode.has_new_lamps = True


@answers("update_day_night_cycle")
def update_day_night_cycle(call: Call, _client: str, is_active: bool) -> None:
    """Let every lamp follow the dark by itself, or keep it as it is now."""
    episode = call.simulation.episode
    episode.lamps[:] = [replace(state, is_on=None if is_active else _is_on(episode, state)) for state in episode.lamps]
    episode.has_new_lamps = True
