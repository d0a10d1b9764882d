"""Calls about the world as a whole: version, episode, settings, map, weather, ticks, streams, files."""

from __future__ import annotations

import math
from typing import Any

from msgspec.structs import astuple

from bridge.carla_wire import layouts
from bridge.carla_wire.debug_shapes import decode_color, decode_primitive, numbers_of
from bridge.carla_wire.streams import SNAPSHOT_STREAM_ID
from bridge.town.actors import transform_of
from bridge.town.calls.registry import LATER, Call, CallRefused, answers, finite
from bridge.town.calls.street_lights import is_dark
from bridge.town.client_world import OpenDriveRefused, build_client_world
from bridge.town.environment import ALL_LAYERS
from bridge.town.simulation import Place

SERVED_VERSION = "0.9.16"
FARTHEST_DRAWN_M = 1e9
"""Numbers of debug shapes beyond this would overflow where pictures are drawn."""
LAYERED = "_Opt"
"""What the names of CARLA's layered maps end with."""
MAP_FOLDERS = ("", "/Game/Carla/Maps/", "Carla/Maps/")


@answers("version")
def version(_call: Call) -> str:
    """The CARLA version whose protocol the town speaks."""
    return SERVED_VERSION


@answers("get_episode_info")
def get_episode_info(call: Call) -> layouts.EpisodeInfo:
    """The episode's id and the token of the snapshot stream."""
    simulation = call.simulation
    return layouts.EpisodeInfo(simulation.episode.episode_id, layouts.Token(simulation.token(SNAPSHOT_STREAM_ID)))


@answers("get_sensor_token")
def get_sensor_token(call: Call, stream_id: int) -> layouts.Token:
    """The token of a sensor's stream; the next synchronous tick waits for the subscription that this announces."""
    has_loaded = stream_id == SNAPSHOT_STREAM_ID and call.connection.end_hold()
    call.simulation.hub.announce(stream_id, alone=has_loaded)
    return layouts.Token(call.simulation.token(stream_id))


@answers("get_episode_settings", neutral=layouts.EpisodeSettings())
def get_episode_settings(call: Call) -> Any:
    """The world's settings; a client that asks in a loop is answered once a frame."""
    if call.connection.park_settings(call.msgid):
        return LATER
    return call.simulation.episode.settings


@answers("set_episode_settings")
def set_episode_settings(call: Call, settings: layouts.EpisodeSettings) -> int:
    """Change the settings; answers the current frame."""
    fixed_s = layouts.optional_value(settings.fixed_delta_seconds)
    if fixed_s is not None and not 0.0 <= fixed_s <= 10.0:
        raise CallRefused("fixed_delta_seconds must be between 0 and 10 seconds")
    call.simulation.apply_settings(settings)
    call.clock.settings_changed()
    return call.simulation.episode.frame


@answers("tick_cue")
def tick_cue(call: Call) -> Any:
    """Ask for one synchronous tick; answers its frame when all of it has been sent.

    A client that has its answer waits for the snapshot in a loop that takes a whole core; until then it sleeps.
    """
    call.clock.cue(lambda frame: call.connection.answer(call, "tick_cue", frame))
    return LATER


@answers("get_available_maps")
def get_available_maps(call: Call) -> list[str]:
    """The town, its layered twin, and the world of the OpenDRIVE text that was sent last."""
    return [f"/Game/Carla/Maps/{name}" for name in _maps(call)]


def _maps(call: Call) -> dict[str, Place]:
    """Return what can be loaded, by name."""
    simulation = call.simulation
    town = simulation.home.network.name
    maps = {town: simulation.home, town + LAYERED: simulation.home}
    return maps if simulation.drafted is None else {**maps, simulation.drafted.network.name: simulation.drafted}


@answers("load_new_episode", takes_lock=False)
def load_new_episode(call: Call, name: str, reset_settings: bool, layers: int) -> Any:
    """Begin a new episode, for load_world, reload_world and generate_opendrive_world; `Town_Opt` takes map_layers."""
    with call.simulation.lock:
        maps, present = _maps(call), call.simulation.episode.map_name
    wanted = next((short for short in maps if name in {folder + short for folder in MAP_FOLDERS}), "")
    if name and not wanted:
        plain, layered, *_ = maps
        raise CallRefused(f"Map '{name}' not found; the town has one map, '{plain}', and with layers '{layered}'")
    chosen = layers if (wanted or present).endswith(LAYERED) else ALL_LAYERS
    place = maps.get(wanted)

    def load() -> None:
        with call.simulation.lock:
            call.simulation.load(reset_settings=reset_settings, place=place, map_name=wanted, layers=chosen)

    call.connection.begin_load(call.msgid, lambda: call.clock.between_ticks(load))
    return LATER


@answers("copy_opendrive_to_file", takes_lock=False)
def copy_opendrive_to_file(call: Call, text: str, _parameters: layouts.OpendriveGenerationParameters) -> None:
    """Make a flat world of a client's OpenDRIVE roads, to be loaded as `OpenDriveMap`; for generate_opendrive_world."""
    try:
        call.simulation.draft(build_client_world(text))
    except OpenDriveRefused as error:
        raise CallRefused(str(error)) from error


@answers("get_map_info")
def get_map_info(call: Call) -> layouts.MapInfo:
    """The map's name and its spawn points."""
    network = call.simulation.network
    return layouts.MapInfo(
        f"Carla/Maps/{call.simulation.episode.map_name}", [transform_of(pose) for pose in network.spawn_points]
    )


@answers("get_map_data")
def get_map_data(call: Call) -> str:
    """The map's OpenDRIVE text."""
    return call.simulation.network.opendrive


@answers("get_required_files")
def get_required_files(call: Call, folder: str) -> list[str]:
    """The files that a client should fetch: the pedestrians' navigation mesh."""
    name = call.simulation.navigation.name
    return [name] if folder == "Nav" and name else []


@answers("request_file")
def request_file(call: Call, name: str) -> bytes:
    """The bytes of a required file."""
    navigation = call.simulation.navigation
    if name != navigation.name:
        raise CallRefused(f"The town has no file '{name}'")
    return navigation.data


@answers("get_navigation_mesh")
def get_navigation_mesh(call: Call) -> bytes:
    """The pedestrians' navigation mesh."""
    return call.simulation.navigation.data


@answers("get_weather_parameters", neutral=layouts.WeatherParameters())
def get_weather_parameters(call: Call) -> layouts.WeatherParameters:
    """The weather that was set last; at first the town's own, a bright day."""
    return call.simulation.episode.weather


@answers("set_weather_parameters")
def set_weather_parameters(call: Call, weather: layouts.WeatherParameters) -> None:
    """Change the weather that pictures show: sun, clouds, fog, rain, puddles, night."""
    finite(*astuple(weather))
    episode = call.simulation.episode
    # clients keep what they know of the street lamps until they are told to ask anew
    episode.has_new_lamps |= is_dark(weather) != is_dark(episode.weather)
    episode.weather = weather


@answers("get_spectator")
def get_spectator(call: Call) -> layouts.Actor:
    """The spectator, an actor without a body."""
    return call.simulation.episode.spectator.record()


@answers("get_imui_gravity")
def get_imui_gravity(call: Call) -> float:
    """The gravity that IMUs feel, m/s2."""
    return call.simulation.gravity_m_s2


@answers("set_imui_gravity")
def set_imui_gravity(call: Call, gravity_m_s2: float) -> None:
    """Set the gravity that IMUs feel, m/s2; bodies go on falling as before."""
    finite(gravity_m_s2)
    call.simulation.gravity_m_s2 = gravity_m_s2


@answers("load_map_layer")
def load_map_layer(call: Call, layers: int) -> None:
    """Bring back all things of some layers: buildings, decals, foliage, ground, parked cars, props, lamps, walls."""
    call.simulation.episode.load_layers(layers)


@answers("unload_map_layer")
def unload_map_layer(call: Call, layers: int) -> None:
    """Take all things of some layers away: they do not show, throw no shadow and stop nobody."""
    call.simulation.episode.unload_layers(layers)


@answers("draw_debug_shape")
def draw_debug_shape(call: Call, shape: layouts.DebugShape) -> None:
    """Draw a point, line, arrow or box into colour cameras' pictures; texts are for CARLA's own window only."""
    primitive = decode_primitive(shape.primitive)
    finite(shape.life_time)
    if primitive is None:
        return
    numbers = tuple(numbers_of(primitive))
    finite(*numbers)
    if max(map(abs, numbers)) > FARTHEST_DRAWN_M:
        raise CallRefused(f"Debug shapes must lie within {FARTHEST_DRAWN_M:g} m")
    episode = call.simulation.episode
    lasts_s = shape.life_time if shape.life_time > 0.0 else math.inf if shape.persistent_lines else 0.0
    episode.drawings.draw(primitive, decode_color(shape.color), episode.elapsed_s + lasts_s)


@answers("clear_debug_shape", "clear_debug_string")
def clear_debug(call: Call) -> None:
    """Take all debug drawings away."""
    call.simulation.episode.drawings.clear()


@answers("set_annotations_traverse_translucency", without_effect=True)
def set_annotations_traverse_translucency(_call: Call, _enabled: bool) -> None:
    """Nothing: labels see windows as solid."""
