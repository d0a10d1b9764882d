"""Planes as pictures: label maps, instances, depth, flow and occlusion in colours that people can read."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.labels import palette

FULL_FLOW_SHARE: Final = 0.04  # of the picture's width: flow this long has the full colour
NEAREST_SHOWN_M: Final = 2.0
GOLDEN_TURN: Final = 0.618033988749895


def labels_rgb(label_map: NDArray[np.uint8], label_space: str) -> NDArray[np.uint8]:
    """Return an (H,W) label map in its space's colours, (H,W,3) u8 RGB."""
    return np.asarray(cv2.applyColorMap(label_map, _label_colors(label_space)), np.uint8)


def instances_rgb(instance_map: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return an (H,W) u16 instance map with a colour for each actor, black where nothing moves, (H,W,3) u8 RGB."""
    low = (instance_map & 255).astype(np.uint8)
    # Ids count up, so the low byte tells neighbours apart; 0 there is not yet "nothing".
    low[(low == 0) & (instance_map > 0)] = 255
    return np.asarray(cv2.applyColorMap(low, _instance_colors()), np.uint8)


def depth_rgb(depth_m: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (H,W) depth as a colour map over its inverse, near bright and far dark, (H,W,3) u8 RGB."""
    near = np.minimum(NEAREST_SHOWN_M / np.maximum(depth_m, NEAREST_SHOWN_M), 1.0)
    shades = np.asarray(255.0 * np.sqrt(near), np.uint8)
    return np.asarray(cv2.applyColorMap(shades, _depth_colors()), np.uint8)


def flow_rgb(flow_px: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (H,W,2) flow as hue for its direction and strength for its length, (H,W,3) u8 RGB; still is white."""
    length, angle = cv2.cartToPolar(flow_px[..., 0], flow_px[..., 1], angleInDegrees=True)
    strength = np.minimum(length * (255.0 / (FULL_FLOW_SHARE * flow_px.shape[1])), 255.0)
    hsv = np.stack([(angle / 2).astype(np.uint8) % 180, strength.astype(np.uint8), np.full_like(strength, 255)], -1)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)


def occlusion_rgb(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an (H,W) u8 occlusion mask, 255 = hallucinated, as (H,W,3) u8 RGB: warm where the picture is new."""
    return np.asarray(cv2.applyColorMap(mask, _occlusion_colors()), np.uint8)


@lru_cache(maxsize=8)
def _label_colors(label_space: str) -> NDArray[np.uint8]:
    # Three channels in, three channels out: OpenCV calls them BGR, here they are RGB throughout.
    return np.ascontiguousarray(palette(label_space).reshape(256, 1, 3))


@lru_cache(maxsize=1)
def _instance_colors() -> NDArray[np.uint8]:
    hues = np.arange(256) * GOLDEN_TURN % 1.0 * 180.0  # neighbours in number are far apart in hue
    hsv = np.stack([hues, np.full(256, 190.0), 150.0 + 105.0 * (np.arange(256) % 2)], -1).astype(np.uint8)
    colors = np.asarray(cv2.cvtColor(hsv.reshape(256, 1, 3), cv2.COLOR_HSV2RGB), np.uint8)
    colors[0] = 0
    return colors


@lru_cache(maxsize=1)
def _depth_colors() -> NDArray[np.uint8]:
    shades = np.arange(256, dtype=np.uint8).reshape(256, 1)
    bgr = np.asarray(cv2.applyColorMap(shades, cv2.COLORMAP_INFERNO), np.uint8)
    return np.ascontiguousarray(bgr[..., ::-1])


@lru_cache(maxsize=1)
def _occlusion_colors() -> NDArray[np.uint8]:
    share = np.linspace(0.0, 1.0, 256)[:, None]
    colors = (1.0 - share) * np.array([24.0, 34.0, 48.0]) + share * np.array([255.0, 176.0, 64.0])
    return np.ascontiguousarray(colors.astype(np.uint8).reshape(256, 1, 3))
