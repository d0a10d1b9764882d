"""Calls about the world as a whole: version, episode, settings, map, weather, ticks, streams, files."""

from __future__ import annotations

from typing import Any

from msgspec.structs import astuple

from bridge.carla_wire import layouts
from bridge.carla_wire.streams import SNAPSHOT_STREAM_ID
from bridge.town.actors import Vehicle, pose_of, transform_of
from bridge.town.calls.registry import LATER, Call, CallRefused, answers, finite
from bridge.town.walkers import Walker

SERVED_VERSION = "0.9.16"
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
    """The one map there is."""
    return [f"/Game/Carla/Maps/{call.simulation.network.name}"]


@answers("load_new_episode", takes_lock=False)
def load_new_episode(call: Call, name: str, reset_settings: bool, _layers: int) -> Any:
    """Begin a new episode on the same map, for load_world and reload_world."""
    known = {folder + call.simulation.network.name for folder in MAP_FOLDERS}
    if name and name not in known:
        raise CallRefused(f"Map '{name}' not found; the town has one map, '{call.simulation.network.name}'")

    def load() -> None:
        with call.simulation.lock:
            call.simulation.load(reset_settings=reset_settings)

    call.connection.begin_load(call.msgid, lambda: call.clock.between_ticks(load))
    return LATER


@answers("get_map_info")
def get_map_info(call: Call) -> layouts.MapInfo:
    """The map's name and its spawn points."""
    network = call.simulation.network
    return layouts.MapInfo(f"Carla/Maps/{network.name}", [transform_of(pose) for pose in network.spawn_points])


@answers("get_map_data")
def get_map_data(call: Call) -> str:
    """The map's OpenDRIVE text."""
    return call.simulation.network.opendrive


@answers("get_required_files")
def get_required_files(call: Call, folder: str) -> list[str]:
    """The files that a client should fetch: the pedestrians' navigation mesh."""
    return [call.simulation.navigation.name] if folder == "Nav" else []


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
    call.simulation.episode.weather = weather


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


@answers("load_map_layer", "unload_map_layer", without_effect=True)
def map_layer(_call: Call, _layers: int) -> None:
    """Nothing: like CARLA's maps without layers, the town's map has none to show or hide."""


@answers("get_names_of_all_objects")
def get_names_of_all_objects(call: Call) -> list[str]:
    """The names of the actors, for the town's static world is one object."""
    return [f"{actor.blueprint_id}_{actor.actor_id}" for actor in call.simulation.episode.actors.values()]


@answers("get_environment_objects")
def get_environment_objects(_call: Call, _tag: int) -> list[layouts.EnvironmentObject]:
    """No objects: the town's static world is one piece and cannot be switched off in parts."""
    return []


@answers("get_all_level_BBs")
def get_all_level_bbs(call: Call, tag: int) -> list[layouts.BoundingBox]:
    """The boxes of vehicles and walkers with a tag, in world axes (255: all)."""
    boxes = []
    for actor in call.simulation.episode.actors.values():
        if not isinstance(actor, Vehicle | Walker) or not (tag == 255 or bytes([tag]) == actor.semantic_tags):
            continue
        box = actor.bounding_box
        centre = actor.pose.compose(pose_of(layouts.Transform(box.location)))
        world = transform_of(centre)
        boxes.append(layouts.BoundingBox(world.location, box.extent, world.rotation, actor.actor_id))
    return boxes


@answers("enable_environment_objects", without_effect=True)
def enable_environment_objects(_call: Call, _ids: list[int], _enabled: bool) -> None:
    """Nothing: there are no environment objects."""


@answers("draw_debug_shape", without_effect=True)
def draw_debug_shape(_call: Call, _shape: layouts.DebugShape) -> None:
    """Nothing: the town's pictures show no debug drawings."""


@answers("clear_debug_shape", "clear_debug_string", without_effect=True)
def clear_debug(_call: Call) -> None:
    """Nothing: there are no debug drawings."""


@answers("set_annotations_traverse_translucency", without_effect=True)
def set_annotations_traverse_translucency(_call: Call, _enabled: bool) -> None:
    """Nothing: labels see windows as solid."""
