"""One episode of the town: its actors, settings, weather and time, from loading to reloading."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import TypeVar

import numpy as np
from msgspec.structs import astuple

from bridge.carla_wire import layouts
from bridge.carla_wire.snapshot import LAMPS_CHANGED, MAP_CHANGED, EpisodeState, encode_snapshot
from bridge.town.actors import Actor, HalfExtents, Vehicle, pose_of
from bridge.town.blueprints import build_library
from bridge.town.collisions import STOREY_M, Collision, StaticWorld, collide, collide_with_props, footprint
from bridge.town.debug_drawing import DrawingBoard
from bridge.town.environment import hidden_numbers
from bridge.town.footprints import overlaps, overlaps_any
from bridge.town.pose import Pose
from bridge.town.prop_kinds import PREFIX
from bridge.town.props import Prop
from bridge.town.sensor_table import SENSOR_CLASSES
from bridge.town.sensors import BadAttribute, GeoReference, Sensor
from bridge.town.streets import StreetNetwork
from bridge.town.traffic_lights import LightGroup, RoadSigns, TrafficLight, TrafficSign, light_groups, sign_actor
from bridge.town.views import LampState, StreetState, Weather
from bridge.town.walkers import Walker

SPECTATOR_POSE = Pose(z_m=20.0, pitch_deg=-30.0)

_A = TypeVar("_A", bound=Actor)


class SpawnRefused(Exception):
    """An actor cannot be spawned; the message is CARLA's where CARLA has one."""


class Episode:
    """Everything that begins anew when a client loads or reloads the world.

    Actor ids count from 1 and are never used twice in an episode, so the same calls give the same ids.
    """

    def __init__(
        self, episode_id: int, network: StreetNetwork, half_extents_m: HalfExtents, first_frame: int = 0
    ) -> None:
        self.episode_id = episode_id
        self.network = network
        self.half_extents_m = half_extents_m
        self.frame = first_frame
        self.elapsed_s = 0.0
        self.settings = layouts.EpisodeSettings()
        self.weather = layouts.WeatherParameters(*Weather())
        self.lamps = [LampState()] * len(network.lamps)
        self.drawings = DrawingBoard()
        self.has_new_lamps = False
        """Clients are to ask for the street lamps anew."""
        self.geo_reference = GeoReference.of_opendrive(network.opendrive)
        self.library = {definition.id: definition for definition in build_library()}
        self.actors: dict[int, Actor] = {}
        self.map_name = network.name
        """As clients know it: layered maps have a name of their own."""
        self.hidden: frozenset[int] = frozenset()
        """The numbers of the static town's things that do not show and are not solid; see `environment`."""
        self._disabled: set[int] = set()
        self._unloaded = 0
        self._hide()
        self.collisions: list[Collision] = []
        """What hit what in the last tick."""
        self._last_id = 0
        self._is_fresh = True
        self.spectator = self._add(Actor(self._new_id(), layouts.ActorDescription(0, "spectator"), SPECTATOR_POSE))
        self._add_signs()

    # ---- actors

    def of_kind(self, kind: type[_A]) -> Iterator[_A]:
        """Yield the actors of a kind in the order of their ids."""
        return (actor for actor in self.actors.values() if isinstance(actor, kind))

    def spawn(
        self,
        description: layouts.ActorDescription,
        transform: layouts.Transform,
        parent: Actor | None = None,
        stream_id: int = 0,
    ) -> Actor:
        """Create an actor at a transform (relative to `parent` if there is one); raises SpawnRefused."""
        definition = self.library.get(description.id)
        if definition is None:
            raise SpawnRefused(f"The town has no blueprint '{description.id}'")
        actor = self._create(self._last_id + 1, description, pose_of(transform), stream_id)
        if parent is not None:
            actor.parent = parent
            actor.move_to(actor.pose)
        elif self._is_blocked(actor):
            raise SpawnRefused("Spawn failed because of collision at spawn position")
        self._new_id()
        return self._add(actor)

    def destroy(self, actor_id: int) -> Actor | None:
        """Remove an actor and return it; what was attached to it stays where it is. None if there is none."""
        actor = self.actors.get(actor_id)
        if actor is None or actor is self.spectator or isinstance(actor, TrafficSign):
            return None
        del self.actors[actor_id]
        for other in self.actors.values():
            if other.parent is actor:
                other.parent = None
        return actor

    def reserve(self, actor_id: int) -> None:
        """Let the next actor have an id, if no actor of this episode can have had it."""
        self._last_id = max(self._last_id, actor_id - 1)

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _add(self, actor: _A) -> _A:
        self.actors[actor.actor_id] = actor
        return actor

    def _create(self, actor_id: int, description: layouts.ActorDescription, pose: Pose, stream_id: int) -> Actor:
        blueprint_id = description.id
        if blueprint_id.startswith("vehicle."):
            vehicle = Vehicle(actor_id, description, pose, half_extents_m=self.half_extents_m(blueprint_id))
            vehicle.speed_limit_kmh = self.network.speed_limit_at_kmh(pose.x_m, pose.y_m)
            return vehicle
        if blueprint_id.startswith("walker."):
            return Walker(actor_id, description, pose, half_extents_m=self.half_extents_m(blueprint_id))
        if blueprint_id.startswith(PREFIX):
            return Prop(actor_id, description, pose)
        sensor_class = SENSOR_CLASSES.get(blueprint_id)
        if sensor_class is None:
            return Actor(actor_id, description, pose)
        try:
            return sensor_class(actor_id, description, pose, stream_id=stream_id)
        except BadAttribute as error:
            raise SpawnRefused(f"The attribute {error}") from error

    def _is_blocked(self, actor: Actor) -> bool:
        """Tell whether something solid stands where a vehicle, walker or prop is to be spawned."""
        if not isinstance(actor, Vehicle | Walker | Prop):
            return False
        place = footprint(actor)
        for other in self.actors.values():
            if (
                isinstance(other, Vehicle | Walker | Prop)
                and abs(other.pose.z_m - actor.pose.z_m) < STOREY_M
                and overlaps(place, footprint(other))
            ):
                return True
        if isinstance(actor, Prop):
            return False  # CARLA puts props into houses, too
        return actor.pose.z_m < STOREY_M and overlaps_any(place, self.solid_boxes)

    # ---- the static town

    def switch_things(self, numbers: Collection[int], *, are_shown: bool) -> None:
        """Let things of the static town show and be solid, or neither; numbers of nothing are no error."""
        known = {thing.number for thing in self.network.environment}.intersection(numbers)
        self._disabled = self._disabled - known if are_shown else self._disabled | known
        self._hide()

    def unload_layers(self, layers: int) -> None:
        """Take all things of some map layers (CARLA's bits) away."""
        self._unloaded |= layers
        self._hide()

    def load_layers(self, layers: int) -> None:
        """Bring all things of some map layers back; what was away is all enabled then, as in CARLA."""
        back = layers & self._unloaded
        self._disabled -= {thing.number for thing in self.network.environment if thing.layer & back}
        self._unloaded &= ~layers
        self._hide()

    def _hide(self) -> None:
        network = self.network
        hidden = hidden_numbers(network.environment, self._disabled, self._unloaded)
        stands = ~np.isin(network.static_numbers, np.fromiter(hidden, np.int32, len(hidden)))
        self.solid_boxes = network.static_boxes[stands]
        """As `StreetNetwork.static_boxes`, without what is hidden."""
        self._static_world = StaticWorld(self.solid_boxes, network.static_tags[stands])
        self.hidden = hidden

    # ---- traffic lights

    def _add_signs(self) -> None:
        poles: dict[int, int] = {}
        for site in (*self.network.traffic_lights, *self.network.signs):
            pole = poles.get(site.group, 0)
            poles[site.group] = pole + 1
            self._add(sign_actor(self._new_id(), site, pole))
        self.lights = tuple(self.of_kind(TrafficLight))
        self.light_groups = light_groups(self.lights)
        self._road_signs = RoadSigns(self.of_kind(TrafficSign))

    def restart_lights(self) -> None:
        """Put every light at the beginning of its cycle."""
        for group in self.light_groups:
            group.restart()

    def group_of(self, light: TrafficLight) -> LightGroup:
        """Return the group of lights that a light takes turns with."""
        return next(group for group in self.light_groups if light in group.lights)

    # ---- time

    def step(self, dt_s: float) -> None:
        """Let `dt_s` simulation seconds pass: physics, then the frame counter, then what follows from the motion."""
        for actor in self.actors.values():
            actor.begin_tick()
        vehicles, walkers = list(self.of_kind(Vehicle)), list(self.of_kind(Walker))
        self._advance(vehicles, walkers, dt_s)
        self.collisions = collide(vehicles, walkers, self._static_world, dt_s)
        self.collisions += collide_with_props(vehicles, list(self.of_kind(Prop)), dt_s)
        for actor in self.actors.values():
            actor.follow_parent()
        self.frame += 1
        self.elapsed_s += dt_s
        for group in self.light_groups:
            group.advance(dt_s)
        self._road_signs.direct(vehicles)
        for vehicle in vehicles:
            vehicle.speed_limit_kmh = self.network.speed_limit_at_kmh(vehicle.pose.x_m, vehicle.pose.y_m)
        for walker in walkers:
            if walker.is_gone:
                self.destroy(walker.actor_id)
        for actor in self.actors.values():
            actor.end_tick()

    def _advance(self, vehicles: list[Vehicle], walkers: list[Walker], dt_s: float) -> None:
        """Move everybody over the ground under each wheel and foot."""
        places = [vehicle.chassis.wheel_places(dt_s) for vehicle in vehicles]
        feet = [(walker.pose.x_m, walker.pose.y_m) for walker in walkers]
        x_m, y_m = np.concatenate([*places, np.array(feet).reshape(-1, 2)]).T
        heights = self.network.ground_height_m(x_m, y_m).tolist()
        for number, vehicle in enumerate(vehicles):
            vehicle.advance(dt_s, heights[4 * number : 4 * number + 4])
        for walker, ground_m in zip(walkers, heights[4 * len(vehicles) :], strict=True):
            walker.advance(dt_s, ground_m)

    def street_state(self) -> StreetState:
        """Return all that the engine draws beside the static street."""
        bodies = tuple(actor.body() for actor in self.actors.values() if isinstance(actor, Vehicle | Walker | Prop))
        return StreetState(
            bodies,
            tuple(light.head() for light in self.lights),
            Weather(*astuple(self.weather)),
            tuple(self.lamps),
            elapsed_s=self.elapsed_s,
            hidden=self.hidden,
        )

    def snapshot(self, dt_s: float) -> bytes:
        """Return this frame's snapshot message; the first of an episode says that the map has changed."""
        state = (MAP_CHANGED if self._is_fresh else 0) | (LAMPS_CHANGED if self.has_new_lamps else 0)
        self._is_fresh = self.has_new_lamps = False
        head = EpisodeState(self.episode_id, time.perf_counter(), dt_s, state)
        return encode_snapshot(self.frame, self.elapsed_s, head, (actor.state() for actor in self.actors.values()))

    def sensors(self) -> Iterator[Sensor]:
        """Yield the actors that have a stream."""
        return self.of_kind(Sensor)
