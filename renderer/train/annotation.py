"""Label maps as a person would have drawn them: an engine's are exact to the pixel, and no annotation is.

Borders stray, polygons cut corners, poles come out thicker, and what is small is left out. A generator that has learnt
from such maps relies less on what real label maps do not have.
"""

from __future__ import annotations

from typing import Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from renderer.train.motion import shake_borders

_NUM_IDS: Final = 256


class AnnotationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How label maps are redrawn; sizes in pixels of a video's last stage."""

    share: float
    """Of the runs of frames that one hand has drawn; the others keep exact labels."""
    border_px: float  # how far borders stray, on average
    border_period_px: int  # along them, before they stray another way
    corner_px: float  # how far the edges of a polygon may be from what they go round
    thin_ids: tuple[int, ...]  # drawn thicker, by `thin_px` on each side
    thin_px: int
    small_area_px: int  # regions below this are left out, of `left_out_share` of the classes
    left_out_share: float


def redraw(labels: NDArray[np.uint8], config: AnnotationConfig, hand: int) -> NDArray[np.uint8]:
    """Return a label map (H,W) u8 as drawn by a hand: a seed, whose labels are always off in the same way."""
    rng = np.random.default_rng(hand)
    if rng.random() >= config.share:
        return labels
    drawn = leave_out_small(labels, config.small_area_px, rng.random(_NUM_IDS) < config.left_out_share)
    drawn = cut_corners(drawn, config.corner_px)
    drawn = thicken(drawn, config.thin_ids, config.thin_px)
    return shake_borders(rng, drawn, config.border_px, config.border_period_px) if config.border_px else drawn


def leave_out_small(labels: NDArray[np.uint8], small_area_px: int, left_out: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the label map (H,W) u8 with small regions of the classes `left_out` (256,) filled from around them."""
    gone = np.zeros(labels.shape, np.bool_)
    for label in np.unique(labels[left_out[labels]]).tolist():
        _, region, statistics, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8), connectivity=8)
        small = statistics[:, cv2.CC_STAT_AREA] < small_area_px
        small[0] = False  # the other classes
        gone |= small[np.asarray(region, np.int32)]
    return _filled(labels, gone)


def cut_corners(labels: NDArray[np.uint8], corner_px: float) -> NDArray[np.uint8]:
    """Return the label map (H,W) u8 of polygons (Douglas and Peucker 1973), the largest drawn first."""
    if corner_px <= 0:
        return labels
    polygons: list[tuple[float, int, NDArray[np.int32]]] = []
    for label in np.unique(labels).tolist():
        outlines, tree = cv2.findContours((labels == label).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        for outline, (_, _, _, parent) in zip(outlines, tree[0], strict=True):
            if parent < 0:  # a hole is drawn by what is in it, which is smaller
                simple = np.asarray(cv2.approxPolyDP(outline, corner_px, True), np.int32)
                polygons.append((float(cv2.contourArea(outline)), label, simple))
    drawn, bare = np.zeros_like(labels), np.ones_like(labels)
    for _, label, polygon in sorted(polygons, key=lambda one: -one[0]):
        cv2.fillPoly(drawn, [polygon], label)
        cv2.fillPoly(bare, [polygon], 0)
    return _filled(drawn, bare > 0)


def thicken(labels: NDArray[np.uint8], thin_ids: tuple[int, ...], thin_px: int) -> NDArray[np.uint8]:
    """Return the label map (H,W) u8 with the regions of some classes grown on all sides."""
    thin = np.isin(labels, thin_ids)
    if thin_px <= 0 or not thin.any():
        return labels
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thin_px + 1, 2 * thin_px + 1))
    near = np.asarray(cv2.dilate(thin.astype(np.uint8), brush)) > 0
    return np.where(near, _filled(labels, ~thin), labels)


def _filled(labels: NDArray[np.uint8], unknown: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the label map with what is unknown taken from the nearest pixel that is known; all, if none is."""
    if not unknown.any() or unknown.all():
        return labels
    _, numbers = cv2.distanceTransformWithLabels(
        unknown.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest, known = np.asarray(numbers, np.int32), ~unknown
    by_number = np.zeros(int(nearest.max()) + 1, np.uint8)
    by_number[nearest[known]] = labels[known]
    return by_number[nearest]
