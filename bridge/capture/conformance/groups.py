"""The groups of checks, in the order in which they run."""

from __future__ import annotations

from typing import Final

from bridge.capture.conformance import (
    actors,
    connection,
    episodes,
    library,
    lights,
    recorder,
    sensors,
    town_map,
    traffic,
    vehicles,
    walkers,
    world,
)
from bridge.capture.conformance.stage import Group

GROUPS: Final[tuple[Group, ...]] = tuple(
    module.GROUP
    for module in (
        connection,
        world,
        town_map,
        library,
        actors,
        vehicles,
        walkers,
        lights,
        sensors,
        traffic,
        recorder,
        episodes,
    )
)
