"""What weather and night add to a shaded picture, in order: wet ground's mirror, rain, the lens's glare."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine.camera import Buffers
from bridge.town.engine.daylight import Daylight
from bridge.town.engine.kernels_plane import S_PLANE_COUNT
from bridge.town.engine.kernels_weather import add_glare_rows, draw_streaks, mirror_rows, spread_glare
from bridge.town.engine.packing import PackedMesh

STREAKS_PER_PX = 0.012  # of the picture's width, in the heaviest rain
RAIN_HZ = 50.0  # how often the drops' places change
_GLARE_SHARES = ((0.006, 1.5), (0.035, 0.75))  # radius as a share of the picture's width, and strength

InBands = Callable[[int, Callable[[int, int], None]], None]


class WeatherEffects:
    """Works on a picture's buffers in place."""

    def mirror(
        self,
        buffers: Buffers,
        mesh: PackedMesh,
        vertex_camera: NDArray[np.float32],
        params: NDArray[np.float32],
        environment: NDArray[np.float32],
        grid: NDArray[np.float32],
        in_bands: InBands,
    ) -> None:
        """Lay the picture's mirror on the wet ground."""
        np.copyto(buffers.before_weather, buffers.bgra)

        def band(first: int, last: int) -> None:
            mirror_rows(
                first,
                last,
                buffers.sample,
                buffers.inverse_z,
                mesh.triangle_vertex,
                mesh.triangle_info,
                vertex_camera,
                params,
                environment,
                grid,
                np.empty(S_PLANE_COUNT, np.float32),
                buffers.before_weather,
                buffers.bgra,
            )

        in_bands(len(buffers.bgra), band)

    def rain(self, buffers: Buffers, light: Daylight, elapsed_s: float) -> None:
        """Draw falling drops; the same time gives the same drops."""
        if light.rain <= 0.0:
            return
        height, width = buffers.bgra.shape[:2]
        count = max(1, round(STREAKS_PER_PX * width * 40 * light.rain))
        rng = np.random.default_rng(int(elapsed_s * RAIN_HZ) & 0xFFFFFFFF)
        near = rng.random(count) ** 3
        length = np.maximum(2.0, height * (0.02 + 0.13 * near))
        slant = 0.32 * light.wind + 0.06 * rng.standard_normal(count)
        place = rng.random((2, count)) * np.array([[width * 1.2], [height * 1.2]]) - 0.1 * np.array([[width], [height]])
        opacity = (0.10 + 0.20 * near) * (0.45 + 0.55 * light.rain)
        streaks = np.stack([place[0], place[1], length, slant, opacity], 1).astype(np.float32)
        level = 255.0 * min(0.95, 0.2 + 0.75 * float(light.ambient.mean()) ** 0.5)
        draw_streaks(streaks, np.float32(level), buffers.bgra)

    def glare(self, buffers: Buffers, light: Daylight, in_bands: InBands) -> None:
        """Let lamps glare: a small bright ring, and a wide soft one that grows in mist and rain."""
        misty = min(1.0, light.fog_per_m * 25.0 + 0.4 * light.rain)
        width = buffers.glare.shape[1]
        scratch = np.empty(max(buffers.glare.shape[:2]), np.float32)
        total = np.zeros_like(buffers.glare)
        for (share, strength), grow in zip(_GLARE_SHARES, (0.0, 1.2), strict=True):
            ring = buffers.glare.copy()
            spread_glare(ring, max(1, round(share * width)), scratch)
            total += strength * (1.0 + grow * misty) * light.dark * ring
        in_bands(len(buffers.bgra), lambda first, last: add_glare_rows(first, last, total, buffers.bgra))
