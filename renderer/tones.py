"""Tones: each class of a label map may be split by brightness, against its surroundings, and by tint.

Label maps say where a house is, not where its windows are. A generator whose label ids carry tones can be told: in
training they are read off the photos, in a drive they follow from where each surface is in the world.
A tone is `brightness + 3 * tint`, and an id with a tone `id + tone * num_classes`: a map with tones is a label map with
nine times the ids.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

PLAIN: Final = 0
DARK: Final = 1
BRIGHT: Final = 2
NUM_BRIGHTNESSES: Final = 3
NEUTRAL: Final = 0
WARM: Final = 1  # red, brown, yellow
COOL: Final = 2  # green, blue; of plants, green alone
NUM_TONES: Final = 9


class ToneConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tones are read off photos; sizes at full size."""

    class_ids: tuple[int, ...]  # classes of several brightnesses
    tinted_ids: tuple[int, ...]  # classes of several tints
    plant_ids: tuple[int, ...]  # those of them whose cool tint is green alone, not the sky between branches
    plant_levels: tuple[float, float]  # grey levels: plants below are dark, above bright (the sky shines through)
    tint_px: float  # the deviation of the Gaussian over which a tint is averaged
    min_chroma: float  # from grey, in the units of CIELAB
    surroundings_px: float  # the deviation of the Gaussian that is a pixel's surroundings
    smoothing_px: float
    min_contrast: float  # grey levels from the surroundings
    speckle_px: int  # odd; tones smaller than this are left out


def read_tones(rgb: NDArray[np.uint8], labels: NDArray[np.uint8], config: ToneConfig) -> NDArray[np.uint8]:
    """Return the tone (H,W) u8 of each pixel of a photo (H,W,3) u8 RGB."""
    return _brightness(rgb, labels, config) + np.uint8(NUM_BRIGHTNESSES) * _tint(rgb, labels, config)


def _brightness(rgb: NDArray[np.uint8], labels: NDArray[np.uint8], config: ToneConfig) -> NDArray[np.uint8]:
    """Return whether pixels (H,W) are darker or brighter than what is of their own class around them.

    Plants are compared with fixed levels, because what is around a twig is the sky.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), config.smoothing_px)
    brightness = np.full(labels.shape, 1, np.uint8)  # 0, 1, 2: dark, plain, bright, in the order that a median needs
    for class_id in config.class_ids:
        inside = (labels == class_id).astype(np.float32)
        if not inside.any():
            continue
        share = cv2.GaussianBlur(inside, (0, 0), config.surroundings_px)
        around = cv2.GaussianBlur(grey * inside, (0, 0), config.surroundings_px) / np.maximum(share, 1e-3)
        low, high = around - config.min_contrast, around + config.min_contrast
        if class_id in config.plant_ids:
            low, high = (np.full_like(grey, level) for level in config.plant_levels)
        brightness[(grey < low) & (inside > 0)] = 0
        brightness[(grey > high) & (inside > 0)] = 2
    brightness = np.asarray(cv2.medianBlur(brightness, config.speckle_px), np.uint8)
    brightness[~np.isin(labels, config.class_ids)] = 1
    return np.array([DARK, PLAIN, BRIGHT], np.uint8)[brightness]


def _tint(rgb: NDArray[np.uint8], labels: NDArray[np.uint8], config: ToneConfig) -> NDArray[np.uint8]:
    """Return the tint of pixels (H,W), by the mean chroma of what is of their own class around them."""
    chroma = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 1:]
    tints = np.zeros(labels.shape, np.uint8)
    for class_id in config.tinted_ids:
        inside = labels == class_id
        if not inside.any():
            continue
        share = np.maximum(cv2.GaussianBlur(inside.astype(np.float32), (0, 0), config.tint_px), 1e-3)[..., None]
        red, yellow = np.moveaxis(cv2.GaussianBlur(chroma * inside[..., None], (0, 0), config.tint_px) / share, -1, 0)
        green = (red < -0.3 * config.min_chroma) & (yellow > 0.2 * config.min_chroma)
        blue = (yellow < -0.7 * config.min_chroma) | (red < -0.5 * config.min_chroma)
        warm = (red + yellow > config.min_chroma) & (red > -1.0)
        tints[inside & (green if class_id in config.plant_ids else blue)] = COOL
        tints[inside & warm] = WARM
    return tints


def with_tones(labels: NDArray[np.uint8], tones: NDArray[np.uint8], num_classes: int) -> NDArray[np.uint8]:
    """Return label ids with tones (H,W) u8."""
    return (labels + tones * np.uint8(num_classes)).astype(np.uint8)


def without_tones(
    labels: NDArray[np.uint8], num_classes: int, class_ids: Collection[int] | None = None
) -> NDArray[np.uint8]:
    """Return the map (H,W) u8 without the tones of some classes, or of all."""
    plain = labels % np.uint8(num_classes)
    return plain if class_ids is None else np.where(np.isin(plain, list(class_ids)), plain, labels)
