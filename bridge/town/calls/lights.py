"""Calls about traffic lights."""

from __future__ import annotations

from bridge.carla_wire import layouts
from bridge.town.calls.registry import Call, answers
from bridge.town.traffic_lights import TrafficLight


@answers("set_traffic_light_state")
def set_traffic_light_state(call: Call, actor_id: int, state: int) -> None:
    """Switch a traffic light; its time in that state begins now."""
    call.actor(actor_id, TrafficLight).set_state(state)


@answers("set_traffic_light_green_time")
def set_traffic_light_green_time(call: Call, actor_id: int, seconds: float) -> None:
    """Set how long a light is green."""
    call.actor(actor_id, TrafficLight).green_s = max(0.0, seconds)


@answers("set_traffic_light_yellow_time")
def set_traffic_light_yellow_time(call: Call, actor_id: int, seconds: float) -> None:
    """Set how long a light is yellow."""
    call.actor(actor_id, TrafficLight).yellow_s = max(0.0, seconds)


@answers("set_traffic_light_red_time")
def set_traffic_light_red_time(call: Call, actor_id: int, seconds: float) -> None:
    """Set how long a light is red."""
    call.actor(actor_id, TrafficLight).red_s = max(0.0, seconds)


@answers("freeze_traffic_light")
def freeze_traffic_light(call: Call, actor_id: int, frozen: bool) -> None:
    """Stop or start one light's time."""
    call.actor(actor_id, TrafficLight).is_frozen = frozen


@answers("freeze_all_traffic_lights")
def freeze_all_traffic_lights(call: Call, frozen: bool) -> None:
    """Stop or start all lights' time; the 0.9.16 wheel sends this for a single light as well."""
    for light in call.simulation.episode.lights:
        light.is_frozen = frozen


@answers("reset_traffic_light_group")
def reset_traffic_light_group(call: Call, actor_id: int) -> None:
    """Put a light's group at the beginning of its cycle."""
    call.simulation.episode.group_of(call.actor(actor_id, TrafficLight)).restart()


@answers("reset_all_traffic_lights")
def reset_all_traffic_lights(call: Call) -> None:
    """Put every light at the beginning of its cycle."""
    call.simulation.episode.restart_lights()


@answers("get_group_traffic_lights")
def get_group_traffic_lights(call: Call, actor_id: int) -> list[int]:
    """The ids of the lights that take turns with one, itself included."""
    group = call.simulation.episode.group_of(call.actor(actor_id, TrafficLight))
    return [light.actor_id for light in group.lights]


@answers("get_light_boxes")
def get_light_boxes(_call: Call, _actor_id: int) -> list[layouts.BoundingBox]:
    """No boxes: the lamps are part of the drawn pole."""
    return []
