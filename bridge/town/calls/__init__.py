"""The calls that the town answers, by subject; importing this package fills the registry."""

from bridge.town.calls import (
    actors,
    environment,
    lights,
    rays,
    recorder,
    refused,
    street_lights,
    traffic_manager,
    vehicles,
    world,
)
from bridge.town.calls.registry import ANSWERS, LATER, REFUSALS, Call, CallRefused, Connection

__all__ = [
    "ANSWERS",
    "LATER",
    "REFUSALS",
    "Call",
    "CallRefused",
    "Connection",
    "actors",
    "environment",
    "lights",
    "rays",
    "recorder",
    "refused",
    "street_lights",
    "traffic_manager",
    "vehicles",
    "world",
]
