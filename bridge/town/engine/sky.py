"""The sky over the town: clouds made once, and the maps of its light, painted anew when the weather changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine import kernels_sky as kernels
from bridge.town.engine.daylight import Daylight
from bridge.town.engine.kernels_sky import CLOUD_UNITS
from bridge.town.engine.layout import SKY_LOWEST_Z, SKY_REACH
from bridge.town.engine.textures import value_noise

SKY_PX = 1280
ENVIRONMENT_PX = 256
_HOUSES = np.array([1.05, 0.97, 0.88])
_GROUND_LIGHT = 0.2
_FOG_LAYER_M = 90.0  # how much air lies over one's head, seen straight up

InBands = Callable[[int, Callable[[int, int], None]], None]


def cloud_layer(seed: int) -> NDArray[np.int16]:
    """Return (SKY_PX, SKY_PX, 2): a cloud layer's thickness seen in perspective from below, and farther inside it.

    In units of 1 / CLOUD_UNITS.
    """
    direction = _directions(SKY_PX)
    up = np.clip(direction[..., 2], 0, 1)
    fine, coarse = value_noise(1024, seed, 8, 5) - 0.5, value_noise(1024, seed + 1, 7, 3, 0.5) - 0.5
    stretch = 1 / (up + 0.12)
    fx, fy = direction[..., 0] * stretch * 150, direction[..., 1] * stretch * 150
    cx, cy = (np.floor(a / 2).astype(int) % 1024 for a in (fx, fy))

    def thickness(shift: int) -> NDArray:
        ix, iy = np.floor(fx).astype(int), np.floor(fy).astype(int)
        tx, ty = fx - ix, fy - iy
        x0, y0 = (ix + shift) % 1024, (iy + shift) % 1024
        x1, y1 = (x0 + 1) % 1024, (y0 + 1) % 1024
        top, foot = fine[y0, x0] * (1 - tx) + fine[y0, x1] * tx, fine[y1, x0] * (1 - tx) + fine[y1, x1] * tx
        return (top * (1 - ty) + foot * ty) * 1.3 + coarse[cy, cx]

    return np.round(np.stack([thickness(0), thickness(12)], -1) * CLOUD_UNITS).astype(np.int16)


@dataclass
class SkyMaps:
    """Stereographic maps: `sky` (SKY_PX,SKY_PX,3) f32, what one sees; `environment` (n,n,3) f32, what glass mirrors."""

    sky: NDArray[np.float32]
    environment: NDArray[np.float32]


class SkyPainter:
    """Paints the maps of a weather from one cloud layer."""

    def __init__(self, clouds: NDArray[np.int16]) -> None:
        self._clouds = clouds
        self._above, self._houses, self._ground = _canyon()
        self.maps = SkyMaps(np.empty((*clouds.shape[:2], 3), np.float32), np.empty((0, 0, 3), np.float32))

    def paint(self, light: Daylight, in_bands: InBands) -> None:
        """Write `maps`; `in_bands` runs a function over ranges of rows."""
        params, sky = sky_params(light), self.maps.sky
        in_bands(len(sky), lambda first, last: kernels.paint_sky_rows(first, last, self._clouds, params, sky))
        small = np.empty((ENVIRONMENT_PX, ENVIRONMENT_PX, 3), np.float32)
        kernels.shrink_sky(sky, small)
        environment = _blurred(small, 7)
        level = light.ambient / np.array([0.56, 0.65, 0.80])
        sunny = 0.45 * level + 0.55 * light.bounce_sunlit * light.bounce / np.array([0.30, 0.29, 0.27])
        houses_light = sunny.astype(np.float32)
        ground_light = (_GROUND_LIGHT * sunny).astype(np.float32)
        kernels.put_canyon(self._above, self._houses, self._ground, houses_light, ground_light, environment)
        self.maps.environment = environment


def sky_params(light: Daylight) -> NDArray[np.float32]:
    """Return the kernels' parameters of a weather's sky."""
    k = np.zeros(kernels.SKY_PARAMS, np.float32)
    for slot, colour in (
        (kernels.K_SUN, light.sun),
        (kernels.K_ZENITH, light.zenith),
        (kernels.K_HORIZON, light.horizon),
        (kernels.K_DUSK, light.dusk),
        (kernels.K_CLOUD, light.cloud),
        (kernels.K_FOG, light.fog),
    ):
        k[slot : slot + 3] = colour
    k[kernels.K_GLARE], k[kernels.K_CLOUD_BIAS], k[kernels.K_OVERCAST] = light.glare, light.cloud_bias, light.overcast
    k[kernels.K_SUN_DISC] = light.glare if light.has_sun else 0.0
    extra_per_m = max(0.0, light.fog_per_m - 0.0022)
    layer_m = min(_FOG_LAYER_M, light.fog_height_m)
    k[kernels.K_FOG_DEPTH] = extra_per_m * layer_m * np.exp(-light.fog_from_m / (4.0 * layer_m))
    return k


def _canyon() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return how much of each direction is sky, the houses' colours, and how much is ground: the street."""
    direction = _directions(ENVIRONMENT_PX)
    azimuth = np.arctan2(direction[..., 1], direction[..., 0]) / (2 * np.pi) + 0.5
    column = (azimuth * 255.9).astype(int)
    row = np.clip((direction[..., 2] + 0.25) * 200, 0, 255).astype(int)
    roofs = 0.28 + 0.10 * value_noise(256, 9, 4, 16)[0][column]
    houses = (0.10 + 0.22 * value_noise(256, 10, 5, 16)[row, column])[..., None] * _HOUSES
    above = 1 / (1 + np.exp((roofs - direction[..., 2]) * 28))
    ground = 1 / (1 + np.exp((direction[..., 2] + 0.01) * 60))
    return above.astype(np.float32), houses.astype(np.float32), ground.astype(np.float32)


def _directions(size: int) -> NDArray[np.float64]:
    """Return the unit directions of a stereographic map's texels."""
    axis = (np.arange(size) + 0.5) / size * 2 * SKY_REACH - SKY_REACH
    px, py = np.meshgrid(axis, axis)
    squared = px**2 + py**2
    z = (1 - squared) / (1 + squared)
    scale = 2 / (1 + squared)
    return np.stack([px * scale, py * scale, np.maximum(z, SKY_LOWEST_Z)], -1)


def _blurred(light: NDArray, radius: int) -> NDArray[np.float32]:
    """Return a map smoothed by two box filters along each axis."""
    for axis in (0, 1, 0, 1):
        padded = np.concatenate(
            [np.repeat(light.take([0], axis), radius, axis), light, np.repeat(light.take([-1], axis), radius, axis)],
            axis,
        )
        total = np.cumsum(np.concatenate([np.zeros_like(light.take([0], axis)), padded], axis), axis, np.float64)
        count, width = light.shape[axis], 2 * radius + 1
        light = ((total.take(range(width, width + count), axis) - total.take(range(count), axis)) / width).astype(
            np.float32
        )
    return light
