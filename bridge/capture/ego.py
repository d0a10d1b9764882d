"""The ego vehicle: spawned where the seed says, driven by TrafficManager or by a person."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import carla

from bridge.capture.world import SyncWorld
from bridge.protocol.errors import SimulatorError
from bridge.protocol.frames import EgoControl, EgoState

DEFAULT_BLUEPRINTS: Final = ("vehicle.lincoln.mkz_2020", "vehicle.tesla.model3", "vehicle.audi.tt")
_ELSEWHERE_M: Final = 20.0
_ROOM_M: Final = 6.0


class Ego:
    """The vehicle that carries the rig, with CARLA's role name "hero"."""

    def __init__(
        self, world: SyncWorld, *, seed: int = 0, spawn_point: int = -1, blueprints: Sequence[str] = DEFAULT_BLUEPRINTS
    ) -> None:
        """Spawn it at a spawn point of the map, or at the next one that is free; -1 draws one by the seed."""
        self._world = world
        self._points = world.map.get_spawn_points()
        if not self._points:
            raise SimulatorError("the simulator's map has no spawn points", "Load a map with roads")
        first = random.Random(seed).randrange(len(self._points)) if spawn_point < 0 else spawn_point
        self._point = first % len(self._points)
        self._traffic_port: int | None = None
        self._control: EgoControl | None = None
        self.actor = self._spawn(blueprints)
        world.own(self.actor)

    @property
    def autopilot(self) -> bool:
        """Whether TrafficManager drives."""
        return self._traffic_port is not None and self._control is None

    @property
    def spawn_location(self) -> carla.Location:
        """Where it was put down last."""
        return self._points[self._point].location

    def give_to(self, traffic_port: int) -> None:
        """Let the TrafficManager at that port drive whenever no person does."""
        self._traffic_port = traffic_port
        if self._control is None:
            with self._world.calls("hand the ego vehicle to TrafficManager"):
                self.actor.set_autopilot(True, traffic_port)

    def apply(self, control: EgoControl | None) -> None:
        """Drive by this control from the next tick on; None hands over to TrafficManager (or lets go of everything)."""
        with self._world.calls("drive the ego vehicle"):
            if self._traffic_port is not None and (control is None) != (self._control is None):
                self.actor.set_autopilot(control is None, self._traffic_port)
            self._control = control
            if control is not None:
                self.actor.apply_control(
                    carla.VehicleControl(
                        throttle=control.throttle,
                        steer=control.steer,
                        brake=control.brake,
                        hand_brake=control.hand_brake,
                        reverse=control.reverse,
                        manual_gear_shift=control.gear is not None,
                        gear=control.gear or 0,
                    )
                )

    def respawn(self) -> None:
        """Put it, standing, on the map's next spawn point that is elsewhere and free."""
        with self._world.calls("respawn the ego vehicle"):
            self._point = self._free_point()
            self.actor.set_transform(self._points[self._point])
            self.actor.set_target_velocity(carla.Vector3D(0.0, 0.0, 0.0))
            self.actor.set_target_angular_velocity(carla.Vector3D(0.0, 0.0, 0.0))

    def state(self) -> EgoState:
        """Return what it does at the last tick; asks nothing of the server."""
        try:  # nothing is asked, so nothing can hang: `calls`, which looks first, would cost more than both
            velocity = self.actor.get_velocity()
            control = self.actor.get_control()
        except RuntimeError as error:
            raise self._world.failure("say what the ego vehicle does", error) from None
        return EgoState(
            speed_m_s=float(velocity.length()),
            throttle=control.throttle,
            brake=control.brake,
            steer=control.steer,
            gear=-1 if control.reverse else control.gear,
            autopilot=self.autopilot,
        )

    def _free_point(self) -> int:
        here = self.actor.get_location()
        others = [a.get_location() for a in self._world.world.get_actors().filter("vehicle.*") if a.id != self.actor.id]
        order = [(self._point + step) % len(self._points) for step in range(1, len(self._points) + 1)]
        for index in order:
            place = self._points[index].location
            if place.distance(here) > _ELSEWHERE_M and all(place.distance(other) > _ROOM_M for other in others):
                return index
        return order[0]

    def _spawn(self, blueprints: Sequence[str]) -> carla.Vehicle:
        blueprint = self._blueprint(blueprints or DEFAULT_BLUEPRINTS)
        for _ in self._points:
            with self._world.calls("spawn the ego vehicle"):
                actor = self._world.world.try_spawn_actor(blueprint, self._points[self._point])
            if isinstance(actor, carla.Vehicle):
                return actor
            self._point = (self._point + 1) % len(self._points)
        raise SimulatorError("every spawn point of the simulator is taken", "Clear the street or restart the simulator")

    def _blueprint(self, wanted: Sequence[str]) -> carla.ActorBlueprint:
        with self._world.calls("list its vehicles"):
            library = self._world.world.get_blueprint_library()
            known = {blueprint.id: blueprint for blueprint in library.filter("vehicle.*")}
        chosen = next((known[name] for name in wanted if name in known), None)
        if chosen is None:
            cars = [b for _, b in sorted(known.items()) if is_car(b)]
            if not cars:
                raise SimulatorError("the simulator has no car to drive", "Use a CARLA server with its vehicles")
            chosen = cars[0]
        chosen.set_attribute("role_name", "hero")
        return chosen


def is_car(blueprint: carla.ActorBlueprint) -> bool:
    """Whether a blueprint is a vehicle of four wheels."""
    return blueprint.has_attribute("number_of_wheels") and int(blueprint.get_attribute("number_of_wheels")) == 4
