"""The town at work: the current episode, its ticks, and what each of them sends to the listening clients."""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.carla_wire import layouts
from bridge.carla_wire.streams import SNAPSHOT_STREAM_ID, SensorType, StreamToken, encode_measurement
from bridge.town.actors import GRAVITY_M_S2, Actor, HalfExtents
from bridge.town.cameras import Shot, plan_shots, take
from bridge.town.collisions import event_of
from bridge.town.debug_drawing import Segment
from bridge.town.environment import ALL_LAYERS
from bridge.town.episode import Episode
from bridge.town.navmesh import NavigationFile, build_navigation
from bridge.town.ray_sensors import Moment, RaySensor, Sweep
from bridge.town.recorder import Recorder
from bridge.town.replayer import UNREADABLE, Replayer, ReplayOptions
from bridge.town.sensor_table import SENSOR_CLASSES
from bridge.town.sensors import Camera, CollisionSensor, GnssSensor, ImuSensor, Sensor
from bridge.town.streams import StreamHub
from bridge.town.streets import StreetNetwork
from bridge.town.views import Painter, StreetState

logger = logging.getLogger(__name__)

SNAPSHOT_BACKLOG = 16
"""Snapshots are small: in asynchronous mode a slow client may have so many waiting before it misses one."""


@dataclass(frozen=True)
class Place:
    """A world that can be loaded: its streets, what draws it, and where one can walk in it."""

    network: StreetNetwork
    painter: Painter
    navigation: NavigationFile


class Simulation:
    """The state that calls change and ticks advance; hold `lock` for either.

    `hub` and `stream_port` are set by the server before anything else happens.
    """

    hub: StreamHub
    stream_port: int

    def __init__(
        self,
        network: StreetNetwork,
        painter: Painter,
        half_extents_m: HalfExtents,
        recordings_dir: Path,
        painter_of: Callable[[StreetNetwork], Painter] | None = None,
    ) -> None:
        """`painter_of` returns the painter of a client's world; without it `painter` draws that as well."""
        self.lock = threading.RLock()
        self.home = Place(network, painter, build_navigation(network))
        """The town itself."""
        self.drafted: Place | None = None
        """The world of the OpenDRIVE text that a client sent last."""
        self._place = self.home
        self._painter_of = painter_of
        self.last_snapshot: bytes | None = None
        self.on_tick: list[Callable[[], None]] = []
        self.traffic_managers: dict[int, str] = {}
        self.awaits_subscription = False
        """An episode has just begun: the next tick waits for announced subscriptions, in either mode."""
        self.gravity_m_s2 = GRAVITY_M_S2
        """What IMUs feel."""
        self.recordings_dir = recordings_dir
        self.recorder: Recorder | None = None
        self.replayer: Replayer | None = None
        self.replay_options = ReplayOptions()
        self._half_extents_m = half_extents_m
        self._last_stream_id = SNAPSHOT_STREAM_ID
        self.episode = Episode(1, network, half_extents_m)

    @property
    def network(self) -> StreetNetwork:
        """The present world's streets."""
        return self._place.network

    @property
    def painter(self) -> Painter:
        """The present world's painter."""
        return self._place.painter

    @property
    def navigation(self) -> NavigationFile:
        """The present world's navigation mesh; without a name where nobody can walk."""
        return self._place.navigation

    def draft(self, network: StreetNetwork) -> None:
        """Make a client's world ready to load; takes the lock itself, and a second or two."""
        painter = self.home.painter if self._painter_of is None else self._painter_of(network)
        place = Place(network, painter, build_navigation(network))
        with self.lock:
            self.drafted = place

    def first_message(self, stream_id: int) -> bytes | None:
        """Return what a new subscriber of a stream gets at once: of the snapshots, the last one."""
        return self.last_snapshot if stream_id == SNAPSHOT_STREAM_ID else None

    def token(self, stream_id: int) -> bytes:
        """Return the token by which clients find a stream."""
        return StreamToken(stream_id, self.stream_port).pack()

    # ---- changes; hold the lock

    def load(
        self,
        *,
        reset_settings: bool,
        place: Place | None = None,
        map_name: str = "",
        layers: int = ALL_LAYERS,
    ) -> None:
        """Begin a new episode, on the present map unless another is given, with some of its layers (CARLA's bits).

        Frames go on counting, so that clients which look on do not take it for the past.
        """
        old = self.episode
        self.stop_recorder()
        self.stop_replayer(keeps_actors=True)
        for sensor in old.sensors():
            self.hub.retire(sensor.stream_id)
        self._place = place or self._place
        self.episode = Episode(old.episode_id + 1, self.network, self._half_extents_m, old.frame)
        self.episode.map_name = map_name or old.map_name
        self.episode.unload_layers(ALL_LAYERS & ~layers)
        if not reset_settings:
            self.episode.settings = old.settings
        self.last_snapshot = None
        # the client that loads subscribes anew, and no snapshot may reach it while it has no episode at all
        self.hub.announce(SNAPSHOT_STREAM_ID)
        self.awaits_subscription = True

    def stop_recorder(self) -> None:
        """End the recording, if there is one."""
        if self.recorder is not None:
            self.recorder.close()
            self.recorder = None

    def stop_replayer(self, *, keeps_actors: bool) -> None:
        """End the replay, if there is one; the actors that it made stay or go."""
        if self.replayer is not None:
            replayer, self.replayer = self.replayer, None
            replayer.stop(keeps_actors=keeps_actors)

    def apply_settings(self, settings: layouts.EpisodeSettings) -> None:
        """Change the world's settings; synchronous mode begins with the lights at the beginning of their cycle.

        Asynchronous ticks follow the clock on the wall; without the restart no two synchronous runs were alike.
        """
        if settings.synchronous_mode and not self.episode.settings.synchronous_mode:
            self.episode.restart_lights()
        self.episode.settings = settings

    def spawn(
        self, description: layouts.ActorDescription, transform: layouts.Transform, parent: Actor | None = None
    ) -> Actor:
        """Create an actor, with a stream if it is a sensor; raises SpawnRefused."""
        has_stream = description.id in SENSOR_CLASSES
        stream_id = self._last_stream_id + 1 if has_stream else 0
        actor = self.episode.spawn(description, transform, parent, stream_id)
        if has_stream:
            self._last_stream_id = stream_id
            actor.stream_token = self.token(stream_id)
            self.hub.open(stream_id)
        return actor

    def destroy(self, actor_id: int) -> bool:
        """Remove an actor and its stream; False if there is no such actor or it belongs to the town."""
        actor = self.episode.destroy(actor_id)
        if isinstance(actor, Sensor):
            self.hub.retire(actor.stream_id)
        return actor is not None

    # ---- ticks; called by the clock alone

    def tick(self, dt_s: float, *, with_sensors: bool = True) -> None:
        """Advance the world by one frame and send it: physics, frame counter, sensors, and the snapshot last."""
        with self.lock:
            episode = self.episode
            is_sync = episode.settings.synchronous_mode
            self._step(episode, dt_s)
            due = self._due_sensors(episode) if with_sensors else []
            readings = [(sensor.stream_id, *self._read(sensor, episode)) for sensor in due]
            readings += self._collisions(episode)
            cameras = [
                (sensor, sensor.header(sensor.kind, episode.frame, episode.elapsed_s))
                for sensor in due
                if isinstance(sensor, Camera)
            ]
            shots = plan_shots(cameras)
            moment = Moment(episode.frame, episode.elapsed_s, dt_s, dict(episode.actors))
            sweeps = [sweep for s in due if isinstance(s, RaySensor) and (sweep := s.plan(moment)) is not None]
            state = episode.street_state() if shots or sweeps else StreetState()
            drawings = episode.drawings.shown(episode.elapsed_s) if shots else ()
            snapshot = episode.snapshot(dt_s)
        for stream_id, *buffers in readings:
            if buffers:
                self.hub.send(stream_id, *buffers, may_drop=not is_sync)
        for sweep in sweeps:
            self._sweep(sweep, state, may_drop=not is_sync)
        for shot in shots:
            self._shoot(shot, state, drawings, may_drop=not is_sync)
        self.last_snapshot = snapshot
        self.hub.send(SNAPSHOT_STREAM_ID, snapshot, may_drop=not is_sync, backlog=SNAPSHOT_BACKLOG)
        for call in self.on_tick:
            call()

    def _shoot(self, shot: Shot, state: StreetState, drawings: Sequence[Segment], *, may_drop: bool) -> None:
        try:
            for camera, header, pixels in take(shot, self.painter, state, drawings):
                self.hub.send(camera.stream_id, header, pixels, may_drop=may_drop)
        except Exception:
            logger.exception("the engine could not draw a %dx%d view", shot.view.width_px, shot.view.height_px)

    def _step(self, episode: Episode, dt_s: float) -> None:
        """Let the episode's time pass, with its replay, and record it."""
        replayer = self.replayer
        if replayer is not None:
            try:
                replayer.advance(dt_s)
            except UNREADABLE as error:
                logger.warning("the replay ends: %s", error)
                self.stop_replayer(keeps_actors=True)
                replayer = None
        episode.step(dt_s)
        if replayer is not None:
            replayer.set_velocities(dt_s)
            if replayer.is_over:
                self.stop_replayer(keeps_actors=True)
        if self.recorder is not None:
            try:
                self.recorder.record(episode, dt_s)
            except (OSError, OverflowError, struct.error) as error:  # the last two: a number too large for the log
                logger.warning("the recording %s ends: %s", self.recorder.path, error)
                self.stop_recorder()

    def _sweep(self, sweep: Sweep, state: StreetState, *, may_drop: bool) -> None:
        bodies = [body for body in state.bodies if body.actor_id != sweep.blind_to]
        try:
            hits = self.painter.cast(sweep.origins_m, sweep.directions, sweep.reach_m, bodies, state.hidden)
            body = sweep.body_of(hits)
            if body is not None:
                self.hub.send(sweep.stream_id, sweep.header, body, may_drop=may_drop)
        except Exception:
            logger.exception("the engine could not follow %d rays", len(sweep.directions))

    def _due_sensors(self, episode: Episode) -> list[Sensor]:
        draws = not episode.settings.no_rendering_mode
        return [
            sensor
            for sensor in episode.sensors()
            if (draws or not isinstance(sensor, Camera))
            and self.hub.has_subscribers(sensor.stream_id)
            and sensor.is_due(episode.elapsed_s)
        ]

    def _collisions(self, episode: Episode) -> list[tuple[int, bytes, bytes]]:
        """Return stream, header and body of what the collision sensors have to tell."""
        return [
            (
                sensor.stream_id,
                sensor.header(SensorType.COLLISION, episode.frame, episode.elapsed_s),
                encode_measurement(event_of(collision)),
            )
            for collision in episode.collisions
            for sensor in episode.of_kind(CollisionSensor)
            if sensor.parent is collision.actor and self.hub.has_subscribers(sensor.stream_id)
        ]

    def _read(self, sensor: Sensor, episode: Episode) -> tuple[bytes, ...]:
        if isinstance(sensor, GnssSensor):
            return sensor.header(SensorType.GNSS, episode.frame, episode.elapsed_s), sensor.measure(
                episode.geo_reference
            )
        if isinstance(sensor, ImuSensor):
            return sensor.header(SensorType.IMU, episode.frame, episode.elapsed_s), sensor.measure(self.gravity_m_s2)
        return ()
