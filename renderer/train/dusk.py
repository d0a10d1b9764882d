"""The light of dusk after rain, put over a recorded picture: the target that `street-town` learns.

A deferred shader: each surface gets a material by its class and tone, and from the picture what detail a class keeps;
then ambient occlusion, sky light, a road that mirrors what stands above it, lit windows, haze, glow and a film's curve.
It knows nothing that a generator could not see in labels with tones, but for the detail that it keeps: there is no sun,
whose direction they do not tell. Colours are linear light, 1 is white before the film's curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.labels import label_id
from renderer.temporal import SKY_DEPTH_M, EngineMotion
from renderer.tones import BRIGHT, DARK, NUM_BRIGHTNESSES, WARM

Picture = NDArray[np.floating]

_SPACE: Final = "street"
_NUM_CLASSES: Final = 13
_SKY, _BUILDING, _CAR, _PLANT, _ROAD, _SIDEWALK, _MARK = (
    label_id(_SPACE, name) for name in ("sky", "building", "car", "vegetation", "road", "sidewalk", "road line")
)
_GAMMA: Final = 2.2
_COARSE_SIGMA_PX: Final = 5.0  # wider blurs are made at a quarter of the size
_ZENITH: Final = np.array([0.08, 0.13, 0.34], np.float32)
_MIDDLE: Final = np.array([0.34, 0.26, 0.48], np.float32)
_HORIZON: Final = np.array([1.25, 0.56, 0.27], np.float32)
_AMBIENT: Final = np.array([0.62, 0.60, 0.84], np.float32)
_LAMP: Final = np.array([1.35, 0.68, 0.22], np.float32)
_GLASS: Final = np.array([0.035, 0.055, 0.11], np.float32)
_WALLS: Final = np.array([[0.34, 0.31, 0.30], [0.36, 0.17, 0.11], [0.21, 0.25, 0.33]], np.float32)
_FRAME: Final = np.array([0.55, 0.51, 0.47], np.float32)
_BODIES: Final = np.array([[0.32, 0.33, 0.36], [0.40, 0.05, 0.04], [0.05, 0.10, 0.28]], np.float32)
_LEAVES: Final = np.array([0.055, 0.105, 0.032], np.float32)
_GROUND: Final = {
    _ROAD: np.array([0.055, 0.055, 0.062], np.float32),
    _SIDEWALK: np.array([0.15, 0.14, 0.14], np.float32),
    _MARK: np.array([0.62, 0.60, 0.56], np.float32),
}


class DuskConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the light goes; shares are 0..1."""

    wetness: float = 0.8  # share of the mirror image that the road gives back where it is seen at a low angle
    haze_m: float = 420.0  # the distance at which haze has taken 63 % of a surface
    detail: float = 0.3  # share of the recorded picture's own detail on walls, leaves, bodywork and ground
    glow: float = 0.25
    exposure: float = 0.95


@dataclass(frozen=True)
class Surfaces:
    """A frame: rgb (H,W,3) u8, label ids of "street" with tones (H,W) u8, depth (H,W) f32 in metres, the camera."""

    rgb: NDArray[np.uint8]
    toned: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    motion: EngineMotion


def light_as_dusk(frame: Surfaces, config: DuskConfig) -> NDArray[np.uint8]:
    """Return the picture (H,W,3) u8 RGB of a frame at dusk after rain."""
    labels = frame.toned % _NUM_CLASSES
    sky = (labels == _SKY) | (frame.depth_m >= SKY_DEPTH_M)
    heavens = _sky(frame)
    lit = _materials(frame, labels, config.detail) * (_AMBIENT * _occlusion(frame.depth_m, sky)[..., None])
    lit += _windows(frame, labels)
    lit[sky] = heavens[sky]
    lit = _mirrored(lit, heavens, labels, frame, config.wetness)
    haze = np.where(sky, 0, 1 - np.exp(-frame.depth_m / config.haze_m)).astype(np.float32)[..., None]
    lit = lit * (1 - haze) + (0.4 * _HORIZON + 0.6 * _MIDDLE) * haze
    bright = np.clip(lit - 0.7, 0, 2)
    sigma_px = frame.rgb.shape[1] / 85
    lit += config.glow * (_blur(bright, sigma_px) + _blur(bright, 3 * sigma_px))
    return _developed(lit * config.exposure)


def _sky(frame: Surfaces) -> Picture:
    """Return the sky's colour in the direction of every pixel, above the horizon and mirrored below it."""
    height_px, width_px = frame.depth_m.shape
    x = (np.arange(width_px, dtype=np.float32) + 0.5 - width_px / 2) / frame.motion.focal_px
    y = (np.arange(height_px, dtype=np.float32) + 0.5 - height_px / 2) / frame.motion.focal_px
    up = frame.motion.world_from_camera[2, :3].astype(np.float32)
    rise = up[0] * x[None] + up[1] * y[:, None] + up[2]
    rise = np.abs(rise) / np.sqrt(1 + x[None] ** 2 + y[:, None] ** 2)
    low = np.exp(-rise / 0.11)[..., None].astype(np.float32)
    middle = np.exp(-rise / 0.42)[..., None].astype(np.float32)
    return _ZENITH * (1 - middle) + _MIDDLE * (middle - low * middle) + _HORIZON * low * middle


def _materials(frame: Surfaces, labels: NDArray[np.uint8], detail: float) -> Picture:
    """Return albedo (H,W,3): tables by class and tone, times the recorded picture's detail."""
    recorded = (frame.rgb.astype(np.float32) / 255) ** _GAMMA
    brightness, tint = _tones(frame.toned)
    albedo = recorded.copy()
    ratio = _detail(recorded, labels, detail)
    walls = labels == _BUILDING
    albedo[walls] = _WALLS[tint[walls]]
    albedo[walls & (brightness == BRIGHT)] = _FRAME
    albedo[walls & (brightness == DARK)] = _GLASS
    cars = labels == _CAR
    albedo[cars] = _BODIES[tint[cars]]
    albedo[cars & (brightness == BRIGHT)] = 0.7 * _HORIZON
    albedo[cars & (brightness == DARK)] = _GLASS * 0.6
    plants = labels == _PLANT
    albedo[plants] = _LEAVES * np.array([1.0, 0.35, 2.6], np.float32)[brightness[plants], None]
    for class_id, colour in _GROUND.items():
        albedo[labels == class_id] = colour
    made = np.isin(labels, (_BUILDING, _CAR, _PLANT, *_GROUND))[..., None]
    return np.where(made, albedo * ratio, albedo)


def _detail(recorded: Picture, labels: NDArray[np.uint8], share: float) -> Picture:
    """Return (H,W,1): how much brighter a pixel is than its class around it, to the power of `share`."""
    grey = recorded.mean(axis=-1)
    around = np.ones_like(grey)
    for class_id in np.unique(labels):
        inside = (labels == class_id).astype(np.float32)
        weight = np.maximum(_blur(inside, 12.0), 1e-3)
        around = np.where(inside > 0, _blur(grey * inside, 12.0) / weight, around)
    power = np.where(labels == _BUILDING, 0.4 * share, share)  # its own windows are not where the tones have theirs
    return (np.clip((grey + 0.02) / (around + 0.02), 0.3, 3.0) ** power).astype(np.float32)[..., None]


def _windows(frame: Surfaces, labels: NDArray[np.uint8]) -> Picture:
    """Return the light from inside: panes of warm houses and of shop fronts are lit, others mirror the sky."""
    brightness, tint = _tones(frame.toned)
    panes = (labels == _BUILDING) & (brightness == DARK)
    height_m = _height(frame)
    lamp = np.where(height_m < 3.1, 1.0, np.where(tint == WARM, 0.62, 0.0)).astype(np.float32)
    light = lamp[..., None] * _LAMP + (1 - lamp[..., None]) * (0.22 * _MIDDLE)
    return np.where(panes[..., None], light, 0).astype(np.float32)


def _height(frame: Surfaces) -> NDArray[np.float32]:
    """Return the height (H,W) of surfaces in the world, metres."""
    height_px, width_px = frame.depth_m.shape
    x = (np.arange(width_px) + 0.5 - width_px / 2) / frame.motion.focal_px
    y = (np.arange(height_px) + 0.5 - height_px / 2) / frame.motion.focal_px
    a, b, c, t = frame.motion.world_from_camera[2]
    return (frame.depth_m * (a * x[None] + b * y[:, None] + c) + t).astype(np.float32)


def _occlusion(depth_m: NDArray[np.float32], sky: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return 1 where a surface lies open, less where nearer ones surround it (Luft et al. 2006, on logarithms)."""
    near = np.where(sky, np.log(250.0), np.log(np.clip(depth_m, 0.5, 250.0))).astype(np.float32)
    darker = np.zeros_like(near)
    for sigma_px in (3.0, 12.0):
        darker += np.clip(near - _blur(near, sigma_px), 0, 0.5)
    return np.clip(1 - 1.1 * darker, 0.35, 1).astype(np.float32)


def _mirrored(lit: Picture, heavens: Picture, labels: NDArray[np.uint8], frame: Surfaces, wetness: float) -> Picture:
    """Return the picture with ground that mirrors, column by column, what stands where the column leaves the ground.

    The lower the angle the more (Schlick 1994); the further from the foot, the more blurred, as waves do.
    """
    height_px, width_px = labels.shape
    rows, columns = np.arange(height_px)[:, None], np.arange(width_px)[None]
    ground = np.isin(labels, tuple(_GROUND))
    foot = np.maximum.accumulate(np.where(ground, 0, rows), axis=0)  # the lowest row above that is no ground
    source = 2 * foot - rows
    seen = source >= 0
    image = np.where(seen[..., None], lit[np.maximum(source, 0), columns], heavens)
    soft = cv2.GaussianBlur(image, (0, 0), sigmaX=1.5, sigmaY=7.0)
    blurred = np.clip((rows - foot) / 24.0, 0, 1)[..., None]
    image = image * (1 - blurred) + soft * blurred
    drop_m = np.maximum(frame.motion.world_from_camera[2, 3] - _height(frame), 0.1)
    steepness = drop_m / np.sqrt(frame.depth_m**2 + drop_m**2)
    share = wetness * (0.12 + 0.88 * (1 - np.clip(steepness, 0, 1)) ** 4)
    share = np.where(labels == _SIDEWALK, 0.6 * share, share)
    share = np.where(ground, share, 0)[..., None]
    return (lit * (1 - share) + image * share).astype(np.float32)


def _developed(light: Picture) -> NDArray[np.uint8]:
    """Return 8-bit RGB after a film's curve (Narkowicz's fit of the ACES reference, 2015) and a faint vignette."""
    height_px, width_px = light.shape[:2]
    x = np.linspace(-1, 1, width_px, dtype=np.float32)[None]
    y = np.linspace(-1, 1, height_px, dtype=np.float32)[:, None]
    light = light * (1 - 0.12 * (x**2 + y**2))[..., None]
    curved = np.clip(light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14), 0, 1)
    return np.round(255 * curved ** (1 / _GAMMA)).astype(np.uint8)


def _tones(toned: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return brightness and tint (H,W) of labels with tones."""
    tones = toned // _NUM_CLASSES
    return tones % NUM_BRIGHTNESSES, tones // NUM_BRIGHTNESSES


def _blur(values: NDArray[np.floating], sigma_px: float) -> NDArray[np.float32]:
    if sigma_px < _COARSE_SIGMA_PX:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma_px), np.float32)
    height_px, width_px = values.shape[:2]
    coarse = cv2.resize(values, (width_px // 4, height_px // 4), interpolation=cv2.INTER_AREA)
    coarse = cv2.GaussianBlur(coarse, (0, 0), sigma_px / 4)
    return np.asarray(cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_LINEAR), np.float32)
