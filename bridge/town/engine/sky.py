"""The sky: a clear day with broken clouds, as stereographic maps of its light."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine.layout import SKY_LOWEST_Z, SKY_REACH
from bridge.town.engine.textures import value_noise

SKY_PX = 1280
ENVIRONMENT_PX = 256
_ZENITH, _HORIZON = np.array([0.16, 0.34, 0.78]), np.array([0.78, 0.86, 0.95])
_CLOUD = np.array([1.25, 1.22, 1.18])


def sky_map(sun: NDArray, seed: int) -> NDArray[np.float32]:
    """Return (SKY_PX, SKY_PX, 3) light of the directions above the horizon; `sun` is the unit vector toward it."""
    return _light(_directions(SKY_PX), sun, seed).astype(np.float32)


def environment_map(sun: NDArray, seed: int) -> NDArray[np.float32]:
    """Return (ENVIRONMENT_PX, ENVIRONMENT_PX, 3): what glass mirrors, a soft sky over a dark street canyon."""
    direction = _directions(ENVIRONMENT_PX)
    light = _blurred(_light(direction, sun, seed), 7)
    azimuth = np.arctan2(direction[..., 1], direction[..., 0]) / (2 * np.pi) + 0.5
    column = (azimuth * 255.9).astype(int)
    row = np.clip((direction[..., 2] + 0.25) * 200, 0, 255).astype(int)
    roofs = 0.28 + 0.10 * value_noise(256, 9, 4, 16)[0][column]
    houses = (0.10 + 0.22 * value_noise(256, 10, 5, 16)[row, column])[..., None] * np.array([1.05, 0.97, 0.88])
    above = 1 / (1 + np.exp((roofs - direction[..., 2]) * 28))[..., None]
    light = light * above + houses * (1 - above)
    ground = 1 / (1 + np.exp((direction[..., 2] + 0.01) * 60))[..., None]
    return (light * (1 - ground) + 0.2 * ground).astype(np.float32)


def _directions(size: int) -> NDArray[np.float64]:
    """Return the unit directions of a stereographic map's texels."""
    axis = (np.arange(size) + 0.5) / size * 2 * SKY_REACH - SKY_REACH
    px, py = np.meshgrid(axis, axis)
    squared = px**2 + py**2
    z = (1 - squared) / (1 + squared)
    scale = 2 / (1 + squared)
    return np.stack([px * scale, py * scale, np.maximum(z, SKY_LOWEST_Z)], -1)


def _light(direction: NDArray, sun: NDArray, seed: int) -> NDArray[np.float64]:
    up = np.clip(direction[..., 2], 0, 1)
    haze = np.exp(-up * 3.8)[..., None]
    light = _ZENITH * (1 - haze) + _HORIZON * haze
    toward_sun = np.clip(direction @ sun, 0, 1)[..., None]
    light = light + toward_sun**8 * np.array([0.225, 0.18, 0.108]) + toward_sun**200 * np.array([2.5, 2.3, 1.8])
    light = light + 30 * toward_sun**3000
    cover, inside = _clouds(direction, up, seed)
    cloud = _CLOUD * (1 - 0.42 * inside[..., None]) + toward_sun**6 * 0.8
    share = 0.85 * cover[..., None] ** 1.1
    return light * (1 - share) + cloud * share


def _clouds(direction: NDArray, up: NDArray, seed: int) -> tuple[NDArray, NDArray]:
    """Return cover and inner density of a cloud layer, seen in perspective from below."""
    fine, coarse = value_noise(1024, seed, 8, 5) - 0.5, value_noise(1024, seed + 1, 7, 3, 0.5) - 0.5
    stretch = 1 / (up + 0.12)
    fx, fy = direction[..., 0] * stretch * 150, direction[..., 1] * stretch * 150
    cx, cy = (np.floor(a / 2).astype(int) % 1024 for a in (fx, fy))

    def density(shift: int) -> NDArray:
        ix, iy = np.floor(fx).astype(int), np.floor(fy).astype(int)
        tx, ty = fx - ix, fy - iy
        x0, y0 = (ix + shift) % 1024, (iy + shift) % 1024
        x1, y1 = (x0 + 1) % 1024, (y0 + 1) % 1024
        top, foot = fine[y0, x0] * (1 - tx) + fine[y0, x1] * tx, fine[y1, x0] * (1 - tx) + fine[y1, x1] * tx
        return np.clip(((top * (1 - ty) + foot * ty) * 1.3 + coarse[cy, cx]) * 4.2 + 0.05, 0, 1)

    return density(0) * np.clip(up * 6, 0, 1), density(12)


def _blurred(light: NDArray, radius: int) -> NDArray:
    """Return a map smoothed by two box filters along each axis."""
    for axis in (0, 1, 0, 1):
        padded = np.concatenate(
            [np.repeat(light.take([0], axis), radius, axis), light, np.repeat(light.take([-1], axis), radius, axis)],
            axis,
        )
        total = np.cumsum(np.concatenate([np.zeros_like(light.take([0], axis)), padded], axis), axis)
        count, width = light.shape[axis], 2 * radius + 1
        light = (total.take(range(width, width + count), axis) - total.take(range(count), axis)) / width
    return light
