"""A whole drive in a simulator, assembled in the order that makes it repeatable, and taken apart again."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.capture.ego import Ego
from bridge.capture.presets import RigPreset, SessionPreset, load_mount
from bridge.capture.rig import Rig
from bridge.capture.traffic import Traffic
from bridge.capture.weather import Weather
from bridge.capture.world import DEFAULT_PORT, DEFAULT_TIMEOUT_S, SyncWorld, connect
from bridge.protocol.frames import BodyPose, EgoControl, SensorFrame
from bridge.protocol.memory import keep_freed_memory
from configs import preset_names

_log = logging.getLogger(__name__)


RIG_MOUNT: Final = "rig"


@dataclass
class Drive:
    """An ego vehicle with its rig among traffic, in a world that is synchronous; what `FrameLoop` ticks and reads.

    `mount` names where the cameras sit: "rig" as the rig's preset has them, or a preset of configs/mounts.
    """

    world: SyncWorld
    ego: Ego
    rig: Rig
    traffic: Traffic
    weather: Weather
    mount: str = RIG_MOUNT
    _first_preset: RigPreset = field(init=False)

    def __post_init__(self) -> None:
        self._first_preset = self.rig.preset

    @property
    def stages_ms(self) -> dict[str, float]:
        """What the last `read` took: "wait" and "decode"."""
        return self.rig.stages_ms

    @property
    def fixed_delta_s(self) -> float:
        """Simulation time of a tick."""
        return self.world.fixed_delta_s

    def tick(self, control: EgoControl | None) -> int:
        """Apply a control (None: autopilot), tick, and return the frame's id."""
        self.ego.apply(control)
        return self.world.tick()

    def read(self, frame_id: int) -> SensorFrame:
        """Return the frame that the last tick made."""
        return self.rig.read(frame_id)

    def poses(self) -> tuple[NDArray[np.float64], tuple[BodyPose, ...]] | None:
        """Return where the last tick put camera and bodies, before its pictures have come; see `Rig.poses`."""
        return self.rig.poses()

    def respawn(self) -> None:
        """Put the ego vehicle on the next spawn point."""
        self.ego.respawn()

    def step_weather(self, direction: int) -> str:
        """Change to the next weather (1) or the one before (-1) and return its name."""
        return self.weather.step(direction)

    def next_mount(self) -> str:
        """Move the cameras to the next mount and return its name; the simulator ticks until all of them see again."""
        names = (RIG_MOUNT, *preset_names("mounts"))
        name = names[(names.index(self.mount) + 1) % len(names)]
        first = self._first_preset
        preset = first if name == RIG_MOUNT else msgspec.structs.replace(first, mount=load_mount(name))
        # New cameras: a real CARLA moves an attached one by its world transform, which a moving car makes out of date.
        self.rig.close()
        self.rig = Rig(self.world, self.ego, preset)
        self.rig.warm_up()
        self.mount = name
        return name


@contextlib.contextmanager
def open_drive(
    session: SessionPreset,
    rig: RigPreset,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    seed: int = 0,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    wait_s: float = 0.0,
) -> Iterator[Drive]:
    """Connect to a CARLA server, put an ego vehicle, its rig and traffic into it, and undo all of it on the way out.

    The same seed gives the same drive on a freshly started simulator. Raises a SimulatorError for everything that a
    simulator can refuse, see `connect`.
    """
    keep_freed_memory()
    with connect(host, port, timeout_s=timeout_s, wait_s=wait_s, fixed_delta_s=session.fixed_delta_s) as world:
        ego = Ego(world, seed=seed, spawn_point=session.spawn_point, blueprints=session.ego_blueprints)
        cameras = Rig(world, ego, rig)
        cameras.warm_up()
        traffic = Traffic(world, seed=seed)
        vehicles = traffic.spawn_vehicles(session.num_vehicles, ego)
        walkers = traffic.spawn_walkers(session.num_walkers, ego, session.walkers_within_m)
        ego.give_to(traffic.port)
        with world.calls("reset its traffic lights"):
            world.world.reset_all_traffic_lights()
        _log.info("CARLA %s at %s: %d vehicles, %d walkers", world.version, world.address, vehicles, walkers)
        yield Drive(world, ego, cameras, traffic, Weather(world))
