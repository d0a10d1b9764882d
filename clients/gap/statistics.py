"""What is counted on label maps: frame by frame, then summed over parts of sequences.

Everything is a sum or a list, so that parts can be drawn again and again (bootstrap) without reading a map twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.labels import class_names
from clients.gap.label_maps import COMMON_SPACE

NAMES: Final[tuple[str, ...]] = tuple(name for _, name in sorted(class_names(COMMON_SPACE).items()))[:11]
NUM_CLASSES: Final = len(NAMES)  # CamVid's eleven; what is unlabelled counts nowhere
SKY, ROAD = 0, 3
THINGS: Final = {2: "poles", 6: "signs", 8: "cars", 9: "people", 10: "cyclists"}
GRID_HW: Final = (24, 32)
NUM_ORIENTATIONS: Final = 8
THIN_PX: Final = 5  # what a square of this side does not fit into is thin
PRESENT_SHARE: Final = 0.001  # of a picture, from which on a class counts as seen in it
MIN_OBJECT_PX: Final = 12  # smaller components are borders' crumbs
_SIMPLIFIED_PX: Final = 1.0  # how far a polygon may stray from the outline it stands for


@dataclass(frozen=True)
class Counts:
    """Sums over some label maps.

    num_frames · pixels (11,) · grid (24,32,11) pixels by place · horizons (N,4): of each frame the row of the topmost
    road, the lowest row of sky, the column and the spread of the topmost road, as shares of height and width, NaN where
    there is none · object_areas: class -> shares of the picture, one an object · boundary_px and inside_px ·
    orientations (8,) boundary pixels by direction over 180 degrees · outlines (11,4): corners, perimeter in px, area in
    px, isoperimetric sum (4 pi A / P^2 weighted by area) · touching (11,11) pairs of neighbours of different class ·
    thin_px: of the pixels those of shapes too thin for a square · together (11,11) frames in which two classes are
    seen, on the diagonal one · changes (4,) of pairs of frames: shares of pixels that changed class, objects that came
    or went, seconds between the two, pairs.
    """

    num_frames: int
    pixels: NDArray[np.float64]
    grid: NDArray[np.float64]
    horizons: NDArray[np.float64]
    object_areas: dict[int, NDArray[np.float64]]
    boundary_px: float
    inside_px: float
    orientations: NDArray[np.float64]
    outlines: NDArray[np.float64]
    touching: NDArray[np.float64]
    thin_px: float
    together: NDArray[np.float64]
    changes: NDArray[np.float64]


def total(parts: Sequence[Counts]) -> Counts:
    """Return the counts of several parts together."""
    summed = {}
    for field in fields(Counts):
        values = [getattr(part, field.name) for part in parts]
        if field.name == "horizons":
            summed[field.name] = np.concatenate(values)
        elif field.name == "object_areas":
            summed[field.name] = {thing: np.concatenate([value[thing] for value in values]) for thing in THINGS}
        else:
            summed[field.name] = sum(values[1:], start=values[0])
    return Counts(**summed)


def count(label_map: NDArray[np.uint8], before: NDArray[np.uint8] | None = None, interval_s: float = 0.0) -> Counts:
    """Return the counts of one label map, (H,W) u8 of the common space.

    `before` is an earlier frame, if any, `interval_s` how many seconds earlier it is; 0: nobody knows.
    """
    known = label_map < NUM_CLASSES
    pixels = np.bincount(label_map[known], minlength=NUM_CLASSES).astype(np.float64)
    boundary_px, orientations = _boundaries(label_map)
    areas, outlines = _objects(label_map)
    changes = np.zeros(4)
    if before is not None and before.shape == label_map.shape and interval_s > 0:
        changed = np.count_nonzero(before != label_map) / label_map.size
        changes[:] = changed, _came(before, label_map) + _came(label_map, before), interval_s, 1
    seen = (pixels >= PRESENT_SHARE * label_map.size).astype(np.float64)
    return Counts(
        num_frames=1,
        pixels=pixels,
        grid=grid_of(label_map),
        horizons=_horizon(label_map)[None],
        object_areas=areas,
        boundary_px=boundary_px,
        inside_px=float(np.count_nonzero(label_map < NUM_CLASSES)),
        orientations=orientations,
        outlines=outlines,
        touching=_touching(label_map),
        thin_px=_thin(label_map),
        together=np.outer(seen, seen),
        changes=changes,
    )


def grid_of(label_map: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Pixels of each class in each of 24x32 cells, (24,32,11)."""
    height_px, width_px = label_map.shape
    rows = np.arange(height_px) * GRID_HW[0] // height_px
    columns = np.arange(width_px) * GRID_HW[1] // width_px
    cells = (rows[:, None] * GRID_HW[1] + columns[None, :]) * 256 + label_map
    counted = np.bincount(cells.ravel(), minlength=GRID_HW[0] * GRID_HW[1] * 256)
    return counted.reshape(*GRID_HW, 256)[..., :NUM_CLASSES].astype(np.float64)


def _horizon(label_map: NDArray[np.uint8]) -> NDArray[np.float64]:
    height_px, width_px = label_map.shape
    place = np.full(4, np.nan)
    road = label_map == ROAD
    wide = np.flatnonzero(road.sum(1) >= max(2, width_px // 100))  # a crumb of road on a hill is no horizon
    if wide.size:
        columns = np.flatnonzero(road[wide[0]])
        place[0], place[2], place[3] = wide[0] / height_px, columns.mean() / width_px, columns.std() / width_px
    sky = np.flatnonzero((label_map == SKY).any(1))
    if sky.size:
        place[1] = (sky[-1] + 1) / height_px
    return place


def _boundaries(label_map: NDArray[np.uint8]) -> tuple[float, NDArray[np.float64]]:
    """How many pixels differ from a neighbour to the right or below, and their directions.

    A border's direction is that of the structure tensor of its steps (Foerstner 1987), averaged over 5x5 pixels: unlike
    an average of gradients it does not cancel between the two sides of a pole. Borders to what is unlabelled are none.
    """
    known = label_map < NUM_CLASSES
    step_u, step_v = np.zeros(label_map.shape, np.float32), np.zeros(label_map.shape, np.float32)
    step_u[:, :-1] = (label_map[:, 1:] != label_map[:, :-1]) & known[:, 1:] & known[:, :-1]
    step_v[:-1] = (label_map[1:] != label_map[:-1]) & known[1:] & known[:-1]
    border = (step_u > 0) | (step_v > 0)
    ids = label_map.astype(np.float32)
    signed_u, signed_v = step_u.copy(), step_v.copy()
    signed_u[:, :-1] *= np.sign(ids[:, 1:] - ids[:, :-1])
    signed_v[:-1] *= np.sign(ids[1:] - ids[:-1])
    smooth_u, smooth_v = (cv2.GaussianBlur(signed, (3, 3), 0) for signed in (signed_u, signed_v))
    uu, vv, uv = (
        cv2.boxFilter(product, -1, (5, 5))[border]
        for product in (smooth_u * smooth_u, smooth_v * smooth_v, smooth_u * smooth_v)
    )
    angles = 0.5 * np.arctan2(2 * uv, uu - vv) % np.pi
    bins = np.floor(angles / np.pi * NUM_ORIENTATIONS + 0.5).astype(np.int64) % NUM_ORIENTATIONS
    return float(border.sum()), np.bincount(bins, minlength=NUM_ORIENTATIONS).astype(np.float64)


def _objects(label_map: NDArray[np.uint8]) -> tuple[dict[int, NDArray[np.float64]], NDArray[np.float64]]:
    """Areas of the connected objects of each thing class, and sums over the outlines of all classes."""
    areas = {thing: np.zeros(0) for thing in THINGS}
    outlines = np.zeros((NUM_CLASSES, 4))
    for label in np.unique(label_map):
        if label >= NUM_CLASSES:
            continue
        mask = (label_map == label).astype(np.uint8)
        if label in THINGS:
            _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
            sizes = stats[1:, cv2.CC_STAT_AREA]
            areas[int(label)] = sizes[sizes >= MIN_OBJECT_PX] / label_map.size
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            area, perimeter = cv2.contourArea(contour), cv2.arcLength(contour, closed=True)
            if area >= MIN_OBJECT_PX:
                corners = len(cv2.approxPolyDP(contour, _SIMPLIFIED_PX, closed=True))
                outlines[label] += corners, perimeter, area, 4 * np.pi * area**2 / perimeter**2
    return areas, outlines


def _touching(label_map: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How often each two classes are neighbours, (11,11), symmetric, 0 on the diagonal."""
    pairs = np.zeros((256, 256))
    for one, other in ((label_map[:, 1:], label_map[:, :-1]), (label_map[1:], label_map[:-1])):
        differ = one != other
        codes = one[differ].astype(np.int64) * 256 + other[differ]
        pairs += np.bincount(codes, minlength=65536).reshape(256, 256)
    known = pairs[:NUM_CLASSES, :NUM_CLASSES]
    return known + known.T


def _thin(label_map: NDArray[np.uint8]) -> float:
    """How many pixels of a class vanish when its shapes are opened by a square (Serra 1982): poles, bars, far signs."""
    square = np.ones((THIN_PX, THIN_PX), np.uint8)
    masks = [(label_map == label).astype(np.uint8) for label in range(NUM_CLASSES)]
    return float(sum(mask.sum() - cv2.morphologyEx(mask, cv2.MORPH_OPEN, square).sum() for mask in masks if mask.any()))


def _came(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> int:
    """How many objects are where nothing of their class was before."""
    came = 0
    for thing in THINGS:
        _, objects, stats, _ = cv2.connectedComponentsWithStats((now == thing).astype(np.uint8), connectivity=8)
        large = stats[:, cv2.CC_STAT_AREA] >= MIN_OBJECT_PX
        large[0] = False
        large[np.unique(objects[before == thing])] = False
        came += int(large.sum())
    return came
