"""A frame's light: the weather's daylight, the sky's maps, the sun's shadows and the lamps, ready for the shader."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine import layout
from bridge.town.engine.bake import BakedTown
from bridge.town.engine.bodies import Staged
from bridge.town.engine.camera import Camera
from bridge.town.engine.daylight import Daylight
from bridge.town.engine.kernels_light import raster_from_light
from bridge.town.engine.kernels_raster import transform_vertices
from bridge.town.engine.lamps import Lights
from bridge.town.engine.light import GRID_PER_M, light_matrix
from bridge.town.engine.packing import PackedMesh
from bridge.town.engine.sky import InBands, SkyMaps, SkyPainter
from bridge.town.engine.sun_map import SunMap
from bridge.town.views import Weather

MOVING_SUN_MAP_PX = 1024
MOVING_SUN_REACH_M = 28.0
MOVING_SUN_AHEAD_M = 18.0
# Sky maps and shadows follow the sun in steps of half a degree, and the other numbers in whole ones.
SUN_STEPS_PER_DEG = 2.0
_CHANGEABLE = 10  # so many -1 begin carla.WeatherParameters.Default, by which CARLA means the map's own weather


class Lighting:
    """Keeps what depends on the weather alone, and brings it up to date when the weather changes.

    What is drawn depends on weather, bodies and camera only, not on what was drawn before.
    """

    def __init__(self, town: BakedTown, in_bands: InBands) -> None:
        self._town, self._in_bands = town, in_bands
        self._sky = SkyPainter(town.clouds)
        self._weather: Weather | None = None
        self._sky_weather: Weather | None = None
        self._sun_facing: tuple[float, float] | None = None
        self.daylight = Daylight.of_weather(Weather())
        self.sun_map = SunMap(town.mesh, town.textures, town.light)
        self.moving_depth = np.full((MOVING_SUN_MAP_PX, MOVING_SUN_MAP_PX), layout.EMPTY_LIGHT_DEPTH, np.float32)
        self.lights = Lights(town.light.ground_grid.shape[:2], GRID_PER_M)
        self._vertex_light = np.empty((0, 3), np.float32)

    @property
    def sky(self) -> SkyMaps:
        """The maps of the weather that was set last."""
        return self._sky.maps

    def set_weather(self, weather: Weather) -> Daylight:
        """Take a weather and return its light; paints nothing."""
        weather = Weather(*(value if math.isfinite(value) else 0.0 for value in weather))
        if weather[:_CHANGEABLE] == (-1.0,) * _CHANGEABLE:
            weather = Weather()
        if weather != self._weather:
            # Shadows and highlights must come from where the sky shows the sun.
            self.daylight = Daylight.of_weather(_sun_in_steps(weather))
            self._weather = weather
        return self.daylight

    def show(self, triangle_vertex: NDArray[np.int32]) -> None:
        """Let other triangles (F,3) of the static mesh cast shadows from now on."""
        self.sun_map.show(triangle_vertex)
        self._sun_facing = None

    def prepare(self, camera: Camera, mesh: PackedMesh, staged: Staged, params: NDArray[np.float32]) -> None:
        """Bring maps, shadows and lamps up to date for a camera, and write the light into the frame's parameters."""
        assert self._weather is not None
        light = self.daylight
        coarse = _in_steps(self._weather)
        if coarse != self._sky_weather:
            self._sky.paint(Daylight.of_weather(coarse), self._in_bands)
            self._sky_weather = coarse
        if light.has_sun:
            facing = (coarse.sun_azimuth_angle, coarse.sun_altitude_angle)
            if facing != self._sun_facing:
                self.sun_map.face(light.sun)
                self._sun_facing = facing
            self.sun_map.cover(camera.eye, params, self._in_bands)
            self._light_moving_bodies(camera, mesh, staged, params)
        if light.dark > 0.0:
            self.lights.set(staged.lights, self._town.light.grid_origin)
        self._write(params)

    def _write(self, params: NDArray[np.float32]) -> None:
        light = self.daylight
        for slot, colour in (
            (layout.P_SUN, light.sun),
            (layout.P_SUN_LIGHT, light.sun_light if light.has_sun else np.zeros(3)),
            (layout.P_FOG, light.fog),
            (layout.P_FOG_GLOW, light.fog_glow),
            (layout.P_AMBIENT, light.ambient),
            (layout.P_BOUNCE, light.bounce),
            (layout.P_NEAR_BOUNCE, light.near),
        ):
            params[slot : slot + 3] = colour
        params[layout.P_FOG_PER_M], params[layout.P_FOG_FROM_M] = light.fog_per_m, light.fog_from_m
        params[layout.P_FOG_PER_HEIGHT_M] = 1.0 / light.fog_height_m
        params[layout.P_BOUNCE_BASE], params[layout.P_BOUNCE_SUNLIT] = light.bounce_base, light.bounce_sunlit
        params[layout.P_DARK], params[layout.P_WET], params[layout.P_PUDDLES] = light.dark, light.wet, light.puddles

    def _light_moving_bodies(
        self, camera: Camera, mesh: PackedMesh, staged: Staged, params: NDArray[np.float32]
    ) -> None:
        """Draw the bodies ahead of the camera into the moving sun map."""
        if len(self._vertex_light) < len(mesh.vertex_position):
            self._vertex_light = np.empty((len(mesh.vertex_position), 3), np.float32)
        centre = camera.eye + camera.axes[2] * MOVING_SUN_AHEAD_M
        reach = MOVING_SUN_REACH_M
        box = np.array([[x, y, z] for x in (-reach, reach) for y in (-reach, reach) for z in (-2.0, 6.0)])
        matrix = light_matrix(self.daylight.sun, box + np.array([centre[0], centre[1], 0.0]), MOVING_SUN_MAP_PX)
        params[layout.P_MOVING_SUN : layout.P_MOVING_SUN + 12] = matrix.ravel()
        self.moving_depth.fill(layout.EMPTY_LIGHT_DEPTH)
        place = staged.world_from_object[mesh.chunk_object[staged.chunks]][:, :2, 3]
        near = staged.chunks[np.linalg.norm(place - centre[:2], axis=1) < 1.45 * reach]
        light_from_object = np.empty((len(staged.actor), 3, 4), np.float32)
        light_from_object[:, :, :3] = matrix[:, :3] @ staged.world_from_object[:, :, :3]
        light_from_object[:, :, 3] = staged.world_from_object[:, :, 3] @ matrix[:, :3].T + matrix[:, 3]
        transform_vertices(
            mesh.vertex_position,
            near,
            mesh.chunk_vertex0,
            mesh.chunk_vertex1,
            mesh.chunk_object,
            light_from_object,
            self._vertex_light,
        )
        raster_from_light(
            near,
            mesh.chunk_triangle0,
            mesh.chunk_triangle1,
            mesh.triangle_vertex,
            mesh.triangle_info,
            mesh.vertex_shading,
            self._vertex_light,
            self._town.textures,
            self.moving_depth,
        )


def _sun_in_steps(weather: Weather) -> Weather:
    steps = SUN_STEPS_PER_DEG
    return weather._replace(
        sun_azimuth_angle=round(weather.sun_azimuth_angle % 360.0 * steps) / steps,
        sun_altitude_angle=round(weather.sun_altitude_angle * steps) / steps,
    )


def _in_steps(weather: Weather) -> Weather:
    """Return a weather whose numbers are those of every weather that looks nearly the same in the sky."""
    whole = {
        name: float(round(getattr(weather, name)))
        for name in ("cloudiness", "precipitation", "fog_density", "fog_distance", "dust_storm")
    }
    unseen = {"wind_intensity": 0.0, "wetness": 0.0, "precipitation_deposits": 0.0}
    return _sun_in_steps(weather)._replace(**whole, **unseen)
