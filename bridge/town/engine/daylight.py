"""Weather as light: the colours and strengths that sky, shader and lamps work with.

Keys along the sun's altitude hold the colours that a camera with an open iris at night would see: they are display
colours, so there is no exposure to adapt. The key at 50 degrees is the town's own look.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.town.views import Weather

Colour = NDArray[np.float64]

# Sun altitude (degrees) and the light there: sun, zenith, horizon, glow around the sun, fog.
_KEYS_DEG = (-12.0, -7.0, -3.0, 0.5, 6.0, 15.0, 30.0, 50.0, 90.0)
_SUN = (
    (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.55, 0.19, 0.06), (2.1, 1.02, 0.42), (3.0, 2.05, 1.25),
    (3.15, 2.6, 1.98), (3.1, 2.75, 2.25), (3.15, 2.85, 2.4),
)  # fmt: skip
_ZENITH = (
    (0.0035, 0.005, 0.012), (0.012, 0.02, 0.052), (0.05, 0.075, 0.17), (0.09, 0.145, 0.31), (0.13, 0.23, 0.48),
    (0.15, 0.3, 0.66), (0.16, 0.33, 0.75), (0.16, 0.34, 0.78), (0.15, 0.33, 0.78),
)  # fmt: skip
_HORIZON = (
    (0.016, 0.016, 0.021), (0.055, 0.05, 0.075), (0.26, 0.2, 0.22), (0.56, 0.42, 0.36), (0.72, 0.61, 0.54),
    (0.79, 0.77, 0.76), (0.79, 0.84, 0.9), (0.78, 0.86, 0.95), (0.76, 0.86, 0.97),
)  # fmt: skip
# How strongly the sky glows toward the sun, low over the horizon (dusk) and all around it (day).
_DUSK = (0.0, 0.10, 0.55, 1.0, 0.75, 0.25, 0.05, 0.0, 0.0)
_DUSK_COLOUR = np.array([1.15, 0.46, 0.14])
_GLARE = (0.0, 0.0, 0.1, 0.7, 1.0, 1.0, 1.0, 1.0, 1.0)
# Light from the whole sky, of which half comes from the zenith's side, and its share of the town's own look.
_SKY_AMBIENT = (
    (0.013, 0.0145, 0.022), (0.042, 0.046, 0.072), (0.20, 0.20, 0.26), (0.43, 0.42, 0.47), (0.58, 0.56, 0.60),
    (0.57, 0.60, 0.68), (0.56, 0.64, 0.77), (0.56, 0.65, 0.80), (0.57, 0.66, 0.81),
)  # fmt: skip
_BOUNCE = np.array([0.30, 0.29, 0.27])
_NEAR = np.array([0.10, 0.095, 0.085])
_CLEAR_SUN = np.array([3.1, 2.75, 2.25])
_CLEAR_AMBIENT = np.array([0.56, 0.65, 0.80])
_FOG_OF_HORIZON = np.array([0.62, 0.72, 0.84]) / np.array([0.78, 0.86, 0.95])
_FOG_GLOW = np.array([0.45, 0.36, 0.2])
_DUST = np.array([0.66, 0.47, 0.29])
_GREY = np.array([0.93, 1.0, 1.06])
_CLOUD = np.array([1.25, 1.22, 1.18])
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_CLEAR_FOG_PER_M, _CLEAR_FOG_DENSITY, _FOG_POWER = 0.0021, 2.0, 0.68
LOWEST_SUN_DEG = 3.0  # shadows are cast from no lower


@dataclass(frozen=True)
class Daylight:
    """What the weather makes of the light; colours are linear, 1 is about the display's white.

    sun (3,): unit vector toward the sun in the street frame · sun_light: its light, 0 when none arrives · ambient,
    bounce, near: from above, from below, from the sunny ground close by · bounce_base, bounce_sunlit: how much of
    `bounce` is there in shade and in sun · zenith, horizon, dusk, cloud: the sky's colours · glare: of the sun in the
    sky · cloud_bias: how far clouds spread · overcast 0..1 · fog: its colour · fog_glow: what it adds toward the sun ·
    fog_per_m, fog_from_m, fog_height_m: density, beginning, scale height · dark 0..1: how much lamps are needed · wet,
    puddles, rain 0..1 · wind 0..1.
    """

    sun: Colour
    sun_light: Colour
    ambient: Colour
    bounce: Colour
    near: Colour
    bounce_base: float
    bounce_sunlit: float
    zenith: Colour
    horizon: Colour
    dusk: Colour
    cloud: Colour
    glare: float
    cloud_bias: float
    overcast: float
    fog: Colour
    fog_glow: Colour
    fog_per_m: float
    fog_from_m: float
    fog_height_m: float
    dark: float
    wet: float
    puddles: float
    rain: float
    wind: float

    @classmethod
    def of_weather(cls, weather: Weather) -> Daylight:
        """Return the light of a weather; values beyond CARLA's ranges count as the nearest within; all are finite."""
        altitude_deg = min(90.0, max(-90.0, weather.sun_altitude_angle))
        cloudiness, rain = _share(weather.cloudiness), _share(weather.precipitation)
        overcast = _smooth(0.5, 0.95, cloudiness)
        sun_light = _at(_SUN, altitude_deg)
        zenith, horizon, ambient, grey = _sky_light(altitude_deg, overcast, rain)
        through = (1.0 - overcast) ** 1.5
        dimmed = sun_light * through
        strength = float(dimmed @ _LUMINANCE / (_CLEAR_SUN @ _LUMINANCE))
        ambience = float(ambient @ _LUMINANCE / (_CLEAR_AMBIENT @ _LUMINANCE))
        tint = dimmed / max(float(dimmed.max()), 1e-6) * (_CLEAR_SUN.max() / _CLEAR_SUN)
        dusk = float(np.interp(altitude_deg, _KEYS_DEG, _DUSK)) * (1.0 - 0.95 * overcast)
        glare = float(np.interp(altitude_deg, _KEYS_DEG, _GLARE)) * through
        dust = _share(weather.dust_storm)
        dark = _smooth(7.0, -2.0, altitude_deg + 2.0 * (1.0 - overcast))
        # Fog that nothing lights hides less than fog that glows in the day.
        fog, per_m = _fog(weather, horizon, dust, rain)
        per_m *= 1.0 - 0.6 * dark
        lit = float(np.clip(sun_light.max() / 3.0 + ambience * 0.05, 0.0, 1.0))
        return cls(
            sun=_toward_sun(weather, altitude_deg),
            sun_light=dimmed,
            ambient=ambient,
            bounce=_BOUNCE * ambience if strength < 1e-3 else _BOUNCE * (ambience * (1 - strength) + strength * tint),
            near=_NEAR * strength * tint if strength > 1e-3 else np.zeros(3),
            bounce_base=0.35 + 0.25 * overcast,
            bounce_sunlit=strength,
            zenith=zenith,
            horizon=horizon,
            dusk=_DUSK_COLOUR * dusk,
            cloud=_clouds_colour(altitude_deg, horizon, overcast, grey),
            glare=glare,
            cloud_bias=float(np.interp(cloudiness, [0, 0.05, 0.3, 0.6, 0.85, 1], [-2.6, -1.1, 0.05, 0.75, 1.9, 3.2])),
            overcast=overcast,
            fog=fog,
            fog_glow=_FOG_GLOW * glare * min(1.0, lit * 1.2),
            fog_per_m=per_m,
            fog_from_m=max(0.0, weather.fog_distance - 1.0),
            fog_height_m=min(1e4, 12.0 / max(1e-3, weather.fog_falloff)),
            dark=dark,
            wet=max(_share(weather.wetness), _smooth(0.0, 0.35, rain), 0.6 * _share(weather.precipitation_deposits)),
            puddles=_share(weather.precipitation_deposits),
            rain=rain,
            wind=_share(weather.wind_intensity),
        )

    @property
    def has_sun(self) -> bool:
        """Whether the sun casts light at all."""
        return bool(self.sun_light.max() > 0.01)


def _share(percent: float) -> float:
    return min(1.0, max(0.0, percent / 100.0))


def _smooth(edge0: float, edge1: float, value: float) -> float:
    """Return 0 at edge0, 1 at edge1, and a smooth step between."""
    part = min(1.0, max(0.0, (value - edge0) / (edge1 - edge0)))
    return part * part * (3.0 - 2.0 * part)


def _at(table: tuple[tuple[float, float, float], ...], altitude_deg: float) -> Colour:
    return np.array([np.interp(altitude_deg, _KEYS_DEG, [row[k] for row in table]) for k in range(3)])


def _sky_light(altitude_deg: float, overcast: float, rain: float) -> tuple[Colour, Colour, Colour, Colour]:
    """Return zenith, horizon and ambient light under clouds, and their grey.

    Under a closed sky the light is grey and comes from everywhere; heavy rain clouds are darker.
    """
    zenith, horizon = _at(_ZENITH, altitude_deg), _at(_HORIZON, altitude_deg)
    ambient = _at(_SKY_AMBIENT, altitude_deg)
    gloom = 1.0 - 0.28 * rain
    grey = _GREY * float((0.35 * zenith + 0.65 * horizon) @ _LUMINANCE) * gloom
    cloudy = _GREY * (float(ambient @ _LUMINANCE) * 1.9 * gloom)
    return (
        zenith + (1.15 * grey - zenith) * overcast,
        horizon + (1.3 * grey - horizon) * overcast,
        ambient + (cloudy - ambient) * overcast,
        grey,
    )


def _toward_sun(weather: Weather, altitude_deg: float) -> Colour:
    """Return the unit vector toward the sun; the street frame's y is the reverse of CARLA's."""
    altitude = math.radians(max(LOWEST_SUN_DEG, altitude_deg))
    azimuth = math.radians(weather.sun_azimuth_angle % 360.0)
    flat = math.cos(altitude)
    return np.array([flat * math.cos(azimuth), -flat * math.sin(azimuth), math.sin(altitude)])


def _clouds_colour(altitude_deg: float, horizon: Colour, overcast: float, grey: Colour) -> Colour:
    """Return the colour of a cloud's lit side: white by day, of the horizon in the evening, grey in a closed sky."""
    day = _smooth(-4.0, 25.0, altitude_deg)
    lit = _CLOUD * day + horizon * np.array([1.12, 0.95, 0.9]) * (1.0 - day)
    return lit + (1.4 * grey - lit) * overcast


def _fog(weather: Weather, horizon: Colour, dust: float, rain: float) -> tuple[Colour, float]:
    """Return the fog's colour and density per metre; dust and falling rain thicken it."""
    density = 100.0 * _share(weather.fog_density)
    per_m = _CLEAR_FOG_PER_M * (density / _CLEAR_FOG_DENSITY) ** _FOG_POWER if density > 0.0 else 0.0
    thick = _smooth(0.003, 0.02, per_m)
    level = float(horizon @ _LUMINANCE)
    fog = horizon * _FOG_OF_HORIZON
    fog = fog + (level * np.array([0.88, 0.92, 0.96]) - fog) * thick
    fog = fog + (level * 0.9 * _DUST / float(_DUST @ _LUMINANCE) - fog) * min(1.0, 1.5 * dust)
    return fog, per_m + 0.035 * dust + 0.0035 * rain
