"""The town's painter: every plane of a camera from one rasterised view of the streets."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine import layout, measuring
from bridge.town.engine.bake import bake_client_world, load_or_bake
from bridge.town.engine.bodies import Stage, Staged
from bridge.town.engine.camera import Buffers, Camera
from bridge.town.engine.culling import chunk_corners, find_visible
from bridge.town.engine.kernels_light import clear_contacts, stamp_contacts
from bridge.town.engine.kernels_raster import clear_samples, find_uncovered, raster_chunks, transform_vertices
from bridge.town.engine.kernels_shade import S_COUNT, shade_rows
from bridge.town.engine.lamps import lamp_places
from bridge.town.engine.light import GRID_PER_M
from bridge.town.engine.lighting import Lighting
from bridge.town.engine.rays import RayCaster
from bridge.town.engine.switches import Switches, dark_lamps
from bridge.town.engine.weather_effects import WeatherEffects
from bridge.town.pose import Pose
from bridge.town.streets import StreetNetwork
from bridge.town.views import Body, CameraView, Plane, Planes, RayHits, StreetState, Weather

LOG = logging.getLogger(__name__)
CONTACT_REACH_M = 70.0


def default_threads() -> int:
    """Return one thread on up to two cores (the neural renderer needs the other), else up to four."""
    cores = os.cpu_count() or 1
    return 1 if cores <= 2 else min(4, cores - 2)


class TownPainter:
    """Draws the streets of a network for any camera; the town's `Painter`.

    RGB averages four samples per pixel (a regular 2x2 grid centred on the pixel); labels, depth and flow belong to the
    triangle that covers most of those samples and are taken at the pixel's centre. Equal inputs give bit-identical
    planes, whatever the number of threads. One thread at a time may call `render`.
    """

    def __init__(
        self,
        network: StreetNetwork,
        *,
        seed: int = 0,
        threads: int | None = None,
        cache_dir: Path | None = None,
        like: TownPainter | None = None,
    ) -> None:
        """Load or build the town; the first start on a machine takes a while, later ones a few seconds.

        `threads`: how many draw (default: `default_threads`); `cache_dir`: where the baked town is kept (default: the
        user's cache); `like`: another town's painter, for a client's world, which is built at once with its textures.
        """
        self._threads = default_threads() if threads is None else max(1, threads)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="town-painter")
        self._town = bake_client_world(network, like._town) if like else load_or_bake(network, seed, cache_dir)
        self._stage = Stage(self._town.mesh, network.traffic_lights, lamp_places(network))
        self._lighting = Lighting(self._town, self._in_bands)
        self._effects = WeatherEffects()
        self._static_corners = chunk_corners(self._town.mesh, self._stage.static_chunks)
        self._rays = RayCaster(self._town.mesh)
        self._switches = Switches(self._town.mesh, self._town.light, network.environment)
        self._kerbside, self._hidden = network.plan.things, frozenset[int]()
        self._vertex_camera = np.empty((0, 3), np.float32)
        self._buffers: dict[tuple[int, int], Buffers] = {}
        self._state: StreetState | None = None
        self._staged: Staged | None = None
        self._view: CameraView | None = None
        self._timings_ms: dict[str, float] = {}

    @property
    def timings_ms(self) -> dict[str, float]:
        """Wall milliseconds of the last `render`'s stages, by name."""
        return dict(self._timings_ms)

    def warm_up(self) -> None:
        """Compile (or load) every kernel by drawing two small pictures: all planes, and a wet night.

        What rays need is made ready in a thread of its own: not every drive has a lidar.
        """
        start = time.perf_counter()
        LOG.info("preparing the town's renderer (the first time on a machine this takes up to a minute)")
        view = CameraView(32, 16, 90.0, Pose(z_m=1.6))
        self.render(view, view.pose, StreetState(), ("rgb", "semantic", "instance", "depth", "flow", "normals"))
        wet_night = Weather(precipitation=50.0, precipitation_deposits=50.0, sun_altitude_angle=-90.0)
        self.render(view, view.pose, StreetState(weather=wet_night), ("rgb",))
        self._view = None
        LOG.info("the town's renderer is ready: %.1f s", time.perf_counter() - start)
        threading.Thread(target=self._rays.prepare, name="town-rays", daemon=True).start()

    def render(self, view: CameraView, previous_pose: Pose, state: StreetState, planes: Collection[Plane]) -> Planes:
        """Draw the asked-for planes of one camera.

        Asking again with an equal view and the same `state` object reuses the rasterised view. `state.signals` are in
        the order of the network's traffic lights. Raises ValueError for a view that is no picture and for bodies of
        blueprints that are neither vehicles nor walkers.
        """
        self._timings_ms = {}
        camera = Camera.of_view(view)
        buffers = self._buffers.get((view.width_px, view.height_px))
        if buffers is None:
            buffers = self._buffers[view.width_px, view.height_px] = Buffers.of_size(view.width_px, view.height_px)
        staged = self._staged_for(state)
        if view != self._view:
            self._rasterise(camera, staged, buffers)
            self._view = view
        params = self._params(camera)
        wanted, mesh, vertices = frozenset(planes), self._stage.mesh, self._vertex_camera
        if "rgb" in wanted:
            with self._timed("light"):
                self._lighting.prepare(camera, mesh, staged, params)
            with self._timed("shade"):
                self._shade(staged, params, buffers)
            with self._timed("weather"):
                self._add_weather(state, params, buffers)
        if wanted & {"semantic", "instance"}:
            with self._timed("labels"):
                measuring.label(mesh, staged, buffers, self._in_bands)
        if "depth" in wanted:
            with self._timed("depth"):
                measuring.measure_depth(mesh, vertices, params, buffers, self._in_bands)
        if "flow" in wanted:
            with self._timed("flow"):
                measuring.measure_flow(mesh, vertices, camera, previous_pose, staged, params, buffers, self._in_bands)
        if "normals" in wanted:
            with self._timed("normals"):
                measuring.measure_normals(mesh, vertices, staged, params, buffers, self._in_bands)
        return Planes(
            bgra=buffers.bgra if "rgb" in wanted else None,
            semantic=buffers.semantic if "semantic" in wanted else None,
            instance=buffers.instance if "instance" in wanted else None,
            depth_m=buffers.depth_m if "depth" in wanted else None,
            flow_px=buffers.flow_px if "flow" in wanted else None,
            normals=buffers.normals if "normals" in wanted else None,
        )

    def _staged_for(self, state: StreetState) -> Staged:
        """Everything that stands and moves in a state, ready to be drawn; the same for the same object."""
        if state.hidden != self._hidden:
            self._switch(state.hidden)
        if self._staged is None or state is not self._state:
            with self._timed("stage"):
                dark = self._lighting.set_weather(state.weather).dark
                self._staged = self._stage.stage(state, dark)
            self._state, self._view = state, None
        return self._staged

    def cast(
        self,
        origins_m: NDArray[np.floating],
        directions: NDArray[np.floating],
        reach_m: float,
        bodies: Sequence[Body],
        hidden: frozenset[int] = frozenset(),
    ) -> RayHits:
        """Return what rays meet; see `views.Painter.cast`. Any thread may ask, also during `render`."""
        return self._rays.cast(origins_m, directions, reach_m, bodies, hidden)

    def close(self) -> None:
        """Stop the drawing threads."""
        self._pool.shutdown()

    def _switch(self, hidden: frozenset[int]) -> None:
        """Let things of the static town vanish, and all others show."""
        shown = self._switches.show_all_but(hidden)
        self._stage.show(shown, dark_lamps(self._kerbside, hidden))
        self._lighting.show(shown)
        self._hidden, self._state = hidden, None

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._timings_ms[stage] = 1e3 * (time.perf_counter() - start)

    def _in_bands(self, count: int, work: Callable[[int, int], None], *, step: int = 1) -> None:
        """Run work(first, last) over 0..count in one band per thread; bands begin at multiples of `step`."""
        if self._threads == 1 or count <= step:
            work(0, count)
            return
        edges = [count * k // self._threads // step * step for k in range(self._threads)] + [count]
        for done in [self._pool.submit(work, edges[k], edges[k + 1]) for k in range(self._threads)]:
            done.result()

    def _rasterise(self, camera: Camera, staged: Staged, buffers: Buffers) -> None:
        """Fill the sample buffers: near chunks first, then what they do not hide of the far ones."""
        mesh = self._stage.mesh
        if len(self._vertex_camera) < len(mesh.vertex_position):
            self._vertex_camera = np.empty((len(mesh.vertex_position), 3), np.float32)
        matrices = np.empty((len(staged.actor), 3, 4), np.float32)
        matrices[:, :, :3] = camera.axes @ staged.world_from_object[:, :, :3]
        matrices[:, :, 3] = (staged.world_from_object[:, :, 3] - camera.eye) @ camera.axes.T
        with self._timed("cull"):
            moving = chunk_corners(mesh, staged.chunks)
            world = staged.world_from_object[mesh.chunk_object[staged.chunks]]
            moving = moving @ world[:, :, :3].transpose(0, 2, 1) + world[:, None, :, 3]
            corners = (np.concatenate([self._static_corners, moving]) - camera.eye) @ camera.axes.T
            chunks = np.concatenate([self._stage.static_chunks, staged.chunks])
            near, far, rectangle, nearest_w = find_visible(mesh, chunks, corners, camera)
        with self._timed("raster"):
            self._in_bands(len(buffers.sample), lambda a, b: clear_samples(buffers.inverse_z[a:b], buffers.sample[a:b]))
            self._raster(near, matrices, camera, buffers)
            if len(far):
                is_uncovered = np.empty(len(far), np.bool_)
                find_uncovered(rectangle, nearest_w, buffers.inverse_z, is_uncovered)
                self._raster(far[is_uncovered], matrices, camera, buffers)

    def _raster(self, chunks: NDArray[np.int32], matrices: NDArray, camera: Camera, buffers: Buffers) -> None:
        mesh, n = self._stage.mesh, layout.SAMPLES_PER_AXIS
        transform_vertices(
            mesh.vertex_position,
            chunks,
            mesh.chunk_vertex0,
            mesh.chunk_vertex1,
            mesh.chunk_object,
            matrices,
            self._vertex_camera,
        )
        focal, centre_x, centre_y, near = (
            np.float32(v) for v in (n * camera.focal_px, n * camera.centre_x, n * camera.centre_y, layout.NEAR_M)
        )

        def band(first: int, last: int) -> None:
            raster_chunks(
                chunks,
                mesh.chunk_triangle0,
                mesh.chunk_triangle1,
                mesh.triangle_vertex,
                mesh.triangle_info,
                mesh.texel_density,
                mesh.vertex_shading,
                self._vertex_camera,
                focal,
                centre_x,
                centre_y,
                near,
                self._town.textures,
                np.empty((4, 5), np.float32),
                buffers.inverse_z,
                buffers.sample,
                first,
                last,
            )

        self._in_bands(buffers.sample.shape[1], band)

    def _params(self, camera: Camera) -> NDArray[np.float32]:
        params = np.zeros(layout.NUM_PARAMS, np.float32)
        light = self._town.light
        params[:4] = camera.focal_px, camera.focal_px, camera.centre_x, camera.centre_y
        params[layout.P_EYE : layout.P_EYE + 3] = camera.eye
        params[layout.P_GRID_X], params[layout.P_GRID_Y] = light.grid_origin
        params[layout.P_GRID_PER_M] = GRID_PER_M
        world_from_camera = np.concatenate([camera.axes.T, camera.eye[:, None]], 1)
        params[layout.P_WORLD_FROM_CAMERA : layout.P_WORLD_FROM_CAMERA + 12] = world_from_camera.ravel()
        return params

    def _shade(self, staged: Staged, params: NDArray[np.float32], buffers: Buffers) -> None:
        mesh, town = self._stage.mesh, self._town
        matrices = staged.world_from_object.astype(np.float32)
        close = (
            np.linalg.norm(staged.contacts[:, :2] - params[layout.P_EYE : layout.P_EYE + 2], axis=1) < CONTACT_REACH_M
        )
        contacts = staged.contacts[close]
        grid, origin, per_m = town.light.ground_grid, town.light.grid_origin, np.float32(GRID_PER_M)
        stamp_contacts(contacts, grid, origin[0], origin[1], per_m, layout.GRID_CONTACT)

        light = self._lighting
        buffers.glare.fill(0.0)

        def band(first: int, last: int) -> None:
            shade_rows(
                first,
                last,
                buffers.sample,
                mesh.triangle_vertex,
                mesh.triangle_info,
                mesh.texel_density,
                self._vertex_camera,
                mesh.vertex_shading,
                matrices,
                staged.look,
                params,
                town.textures,
                light.sky.sky,
                light.sky.environment,
                light.sun_map.depth,
                light.sun_map.bounds,
                light.sun_map.coarse,
                light.moving_depth,
                grid,
                light.lights.rows,
                light.lights.cells,
                np.empty(S_COUNT, np.float32),
                buffers.glare,
                buffers.bgra,
            )

        self._in_bands(len(buffers.bgra), band, step=layout.GLARE_PX)
        clear_contacts(contacts, grid, origin[0], origin[1], per_m)

    def _add_weather(self, state: StreetState, params: NDArray[np.float32], buffers: Buffers) -> None:
        """Add to the shaded picture what wet ground mirrors, falling rain and the lamps' glare."""
        light, effects = self._lighting, self._effects
        if light.daylight.wet > 0.0:
            effects.mirror(
                buffers,
                self._stage.mesh,
                self._vertex_camera,
                params,
                light.sky.environment,
                self._town.light.ground_grid,
                self._in_bands,
            )
        effects.rain(buffers, light.daylight, state.elapsed_s)
        if light.daylight.dark > 0.0:
            effects.glare(buffers, light.daylight, self._in_bands)
