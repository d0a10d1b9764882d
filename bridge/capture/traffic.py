"""Traffic by CARLA's own TrafficManager and walker controllers, the same for the same seed."""

from __future__ import annotations

import logging
import random
import socket
from typing import Final

import carla

from bridge.capture.ego import Ego, is_car
from bridge.capture.world import SyncWorld

_GAP_M: Final = 2.5
_CLEAR_OF_EGO_M: Final = 8.0
_WALKER_TRIES: Final = 3  # places in the navigation mesh may be taken
_PLACES_ASKED: Final = 200  # for each walker, until one is near enough: a large town has few places within a street
_log = logging.getLogger(__name__)


class Traffic:
    """The other vehicles and the walkers; `port` is where this process's TrafficManager listens."""

    def __init__(self, world: SyncWorld, *, seed: int = 0) -> None:
        """Start a TrafficManager of our own, in step with the world's ticks, on a free port."""
        self._world = world
        self._random = random.Random(seed)
        self._seed = seed
        self.port = _free_port()
        with world.calls("run a TrafficManager"):
            self._manager = world.client.get_trafficmanager(self.port)
            self._manager.set_synchronous_mode(True)
            self._manager.set_random_device_seed(seed)
            self._manager.set_global_distance_to_leading_vehicle(_GAP_M)
            world.world.set_pedestrians_seed(seed)
        world.before_exit(self._stop)
        world.when_lost(lambda: self._manager.set_synchronous_mode(False))  # it waits for no tick any more

    def spawn_vehicles(self, count: int, ego: Ego) -> int:
        """Spawn up to `count` cars, clear of the ego vehicle, and let them drive; return how many found a place."""
        with self._world.calls("spawn traffic"):
            library = self._world.world.get_blueprint_library()
            cars = [b for b in sorted(library.filter("vehicle.*"), key=lambda b: b.id) if is_car(b)]
            home = ego.spawn_location
            points = [p for p in self._world.map.get_spawn_points() if p.location.distance(home) > _CLEAR_OF_EGO_M]
            self._random.shuffle(points)
            spawned = 0
            for point in points:
                if spawned == count or not cars:
                    break
                actor = self._world.world.try_spawn_actor(self._dress(self._random.choice(cars)), point)
                if not isinstance(actor, carla.Vehicle):
                    continue
                self._world.own(actor)
                actor.set_autopilot(True, self.port)
                spawned += 1
        return spawned

    def spawn_walkers(self, count: int, ego: Ego, within_m: float = 0.0) -> int:
        """Spawn up to `count` walkers who stroll about; return how many found a place, 0 without a navigation mesh.

        They begin within `within_m` of the ego vehicle's start where there are such places, 0 means anywhere.
        """
        walkers: list[carla.Actor] = []
        controllers: list[carla.WalkerAIController] = []
        with self._world.calls("spawn walkers"):
            world = self._world.world
            library = world.get_blueprint_library()
            people = sorted(library.filter("walker.pedestrian.*"), key=lambda b: b.id)
            minds = library.filter("controller.ai.walker")
            if not count or not people or not len(minds):
                return 0
            for _ in range(count * _WALKER_TRIES):
                if len(walkers) == count:
                    break
                place = self._place_to_walk(ego.spawn_location, within_m)
                if place is None:
                    break
                body = world.try_spawn_actor(self._dress(self._random.choice(people)), carla.Transform(place))
                if body is not None:
                    self._world.own(body)
                    walkers.append(body)
        if not walkers:
            _log.info("no walkers: the simulator has no navigation mesh")
            return 0
        self._world.tick()  # a controller that starts before its walker is in a snapshot crashes the library
        with self._world.calls("spawn walkers"):
            for body in walkers:
                mind = world.spawn_actor(minds[0], carla.Transform(), attach_to=body)
                self._world.own(mind)
                if isinstance(mind, carla.WalkerAIController):
                    controllers.append(mind)
        self._world.tick()
        with self._world.calls("send walkers on their way"):
            for mind in controllers:
                mind.start()
                goal = world.get_random_location_from_navigation()
                if goal is not None:
                    mind.go_to_location(goal)
                mind.set_max_speed(1.0 + 0.8 * self._random.random())
        return len(walkers)

    def _place_to_walk(self, home: carla.Location, within_m: float) -> carla.Location | None:
        """Draw a place of the navigation mesh, one near `home` if some can be found; None without a mesh."""
        place = self._world.world.get_random_location_from_navigation()
        for _ in range(_PLACES_ASKED if within_m else 0):
            if place is None or place.distance(home) <= within_m:
                break
            place = self._world.world.get_random_location_from_navigation()
        return place

    def _dress(self, blueprint: carla.ActorBlueprint) -> carla.ActorBlueprint:
        for name in ("color", "driver_id"):
            if blueprint.has_attribute(name):
                choices = blueprint.get_attribute(name).recommended_values
                if choices:
                    blueprint.set_attribute(name, self._random.choice(list(choices)))
        blueprint.set_attribute("role_name", "autopilot")
        return blueprint

    def _stop(self) -> None:
        # Left alone it would go on asking the server in its thread, step at the ticks of this process's next drive,
        # and abort the process when the server ends.
        self._manager.shut_down()


def _free_port() -> int:
    """Return a port that is free now; a TrafficManager at a port that another client announced would be theirs."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        return int(listener.getsockname()[1])
