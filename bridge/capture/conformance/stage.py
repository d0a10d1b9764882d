"""What a check works with: a world, actors that are destroyed when it is over, and sentences for what it finds."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import carla

ROLE: Final = "vidrive_conformance"
"""The role name of everything that the checks spawn: by it they find again what is to be destroyed."""
DELTA_S: Final = 0.05
FUTURE_ACTOR: Final[Any] = carla.command.FutureActor
SENSOR_TIMEOUT_S: Final = 10.0
CLIENT_TIMEOUT_S: Final = 60.0


class Failed(Exception):
    """The server does not do what CARLA does; the message is one sentence without a full stop."""


class Skipped(Exception):
    """The check does not apply here; the message says why."""


def expect(condition: bool, sentence: str) -> None:
    """Raise Failed with a sentence unless the condition holds."""
    if not condition:
        raise Failed(sentence)


def skip(sentence: str) -> NoReturn:
    """Raise Skipped with a sentence."""
    raise Skipped(sentence)


@dataclass(frozen=True)
class Check:
    """One check: `may_refuse` if a server may answer such calls with an error and still be a good server."""

    name: str
    run: Callable[[Stage], None]
    synchronous: bool = True
    may_refuse: bool = False


class Group:
    """The checks of one subject, in the order in which they were written."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.checks: list[Check] = []

    def check(
        self, *, synchronous: bool = True, may_refuse: bool = False
    ) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
        """Enter the decorated function as a check of this group, under its docstring; see `Check`."""

        def enter(run: Callable[[Stage], None]) -> Callable[[Stage], None]:
            self.checks.append(Check((run.__doc__ or run.__name__).rstrip("."), run, synchronous, may_refuse))
            return run

        return enter


class Stage:
    """A connected world for checks: what `spawn` makes here is gone after `clear`."""

    def __init__(self, host: str, port: int) -> None:
        self.client = carla.Client(host, port)
        self.client.set_timeout(CLIENT_TIMEOUT_S)
        self.world = self.client.get_world()
        self.library = self.world.get_blueprint_library()
        self.map = self.world.get_map()
        self._spawned: list[carla.Actor] = []

    def set_synchronous(self, synchronous: bool) -> None:
        """Let ticks come from here, or from the server."""
        settings = self.world.get_settings()
        settings.synchronous_mode = synchronous
        settings.fixed_delta_seconds = DELTA_S if synchronous else None
        self.world.apply_settings(settings)

    def tick(self, times: int = 1) -> int:
        """Tick and return the last frame's id."""
        frame = 0
        for _ in range(times):
            frame = self.world.tick(CLIENT_TIMEOUT_S)
        return frame

    def blueprint(self, blueprint_id: str, **attributes: object) -> carla.ActorBlueprint:
        """Return a blueprint with attributes set, under the role name of the checks."""
        blueprint = self.library.find(blueprint_id)
        for name, value in {"role_name": ROLE, **attributes}.items():
            blueprint.set_attribute(name, str(value))
        return blueprint

    def keep(self, actor: carla.Actor) -> carla.Actor:
        """Let an actor be destroyed after the check."""
        self._spawned.append(actor)
        return actor

    def spawn(
        self,
        blueprint_id: str,
        transform: carla.Transform | None = None,
        attach_to: carla.Actor | None = None,
        **attributes: object,
    ) -> carla.Actor:
        """Spawn an actor that is destroyed after the check."""
        blueprint = self.blueprint(blueprint_id, **attributes)
        return self.keep(self.world.spawn_actor(blueprint, transform or carla.Transform(), attach_to=attach_to))

    def vehicle(self, blueprint_id: str = "vehicle.tesla.model3", *, settle: bool = True) -> carla.Vehicle:
        """Spawn a vehicle at the first free spawn point and let it come to rest."""
        blueprint = self.blueprint(blueprint_id)
        for point in self.map.get_spawn_points():
            actor = self.world.try_spawn_actor(blueprint, point)
            if isinstance(actor, carla.Vehicle):
                self.keep(actor)
                if settle:
                    self.tick(30)
                return actor
        skip("no spawn point is free")

    def walker(self) -> carla.Walker:
        """Spawn a walker somewhere on the navigation mesh, or at a spawn point where there is none."""
        blueprint = self.blueprint("walker.pedestrian.0001")
        for point in self.map.get_spawn_points():
            place = self.world.get_random_location_from_navigation() or point.location
            actor = self.world.try_spawn_actor(blueprint, carla.Transform(beside(place, z=1.0)))
            if isinstance(actor, carla.Walker):
                self.keep(actor)
                self.tick(2)
                return actor
        skip("no place for a walker is free")

    def listen(self, sensor: carla.Actor) -> queue.Queue[carla.SensorData]:
        """Listen to a sensor and return the queue of what it sends."""
        data: queue.Queue[carla.SensorData] = queue.Queue()
        assert isinstance(sensor, carla.Sensor)
        sensor.listen(data.put)
        return data

    def reading(self, data: queue.Queue[carla.SensorData], frame: int) -> carla.SensorData:
        """Return what a sensor sent for a frame; raises Failed when it does not come."""
        deadline = time.monotonic() + SENSOR_TIMEOUT_S
        while True:
            try:
                newest = data.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise Failed(f"nothing came for frame {frame} within {SENSOR_TIMEOUT_S:.0f} s") from None
            if newest.frame >= frame:
                expect(newest.frame == frame, f"after frame {frame} was asked for, frame {newest.frame} came")
                return newest

    def clear(self) -> None:
        """Destroy what was spawned since the last call."""
        spawned, self._spawned = self._spawned, []
        for actor in spawned:
            if isinstance(actor, carla.Sensor) and actor.is_alive and actor.is_listening:
                with contextlib.suppress(RuntimeError):
                    actor.stop()
        if spawned:
            commands = [carla.command.DestroyActor(actor.id) for actor in reversed(spawned)]
            self.client.apply_batch_sync(commands, False)


def beside(place: carla.Location, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> carla.Location:
    """Return a place moved along the world's axes."""
    return carla.Location(place.x + x, place.y + y, place.z + z)


def ahead(pose: carla.Transform, distance_m: float) -> carla.Transform:
    """Return a pose moved forward."""
    forward = pose.get_forward_vector()
    place = beside(pose.location, distance_m * forward.x, distance_m * forward.y, 0.3)
    return carla.Transform(place, pose.rotation)


def mounted(parent: carla.Actor, mount: carla.Transform) -> carla.Location:
    """Return where something stands that is attached to an actor."""
    # `transform` changes its argument, so it gets a copy
    place = parent.get_transform().transform(beside(mount.location))
    return carla.Location(place.x, place.y, place.z)


def give(thing: object, **values: object) -> None:
    """Set attributes that the wheel's type stubs take for constant."""
    for name, value in values.items():
        setattr(thing, name, value)


def ask(thing: object, name: str, *arguments: object) -> Any:
    """Call a method that the wheel has and its type stubs do not know."""
    return getattr(thing, name)(*arguments)


def own_actors(world: carla.World) -> list[carla.Actor]:
    """Return the actors that checks have spawned and not yet destroyed."""
    return [actor for actor in world.get_actors() if actor.attributes.get("role_name") == ROLE]


def speed_m_s(actor: carla.Actor) -> float:
    """Return how fast an actor is over ground."""
    velocity = actor.get_velocity()
    return (velocity.x * velocity.x + velocity.y * velocity.y) ** 0.5
