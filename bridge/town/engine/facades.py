"""Procedural facades: window bays over brick or plaster, and shop and house fronts for the ground floor.

A facade tile shows two bays of two floors; a front tile is one ground-floor bay. The last channel is gloss (glass).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge.town.engine.textures import SIZE_PX, Texture, rgb, speckled


@dataclass(frozen=True)
class WindowStyle:
    """How the windows of a facade look; `width` and `height` are fractions of the bay and of the floor."""

    frame: str = "d8d4cc"
    width: float = 0.5
    height: float = 0.6
    mullions: int = 1
    sill: bool = True
    band: bool = True
    lintel: str | None = None


def facade(wall: Texture, style: WindowStyle, seed: int) -> Texture:
    """Return two bays by two floors of windows in a wall; neighbours differ in curtains and blinds."""
    tile = wall.copy()
    bay_px = floor_px = SIZE_PX // 2
    for floor in range(2):
        for bay in range(2):
            middle = bay * bay_px + bay_px // 2
            half = int(bay_px * style.width / 2)
            top = floor * floor_px + int(floor_px * 0.2)
            foot = min(top + int(floor_px * style.height), (floor + 1) * floor_px - 8)
            if style.lintel is not None:
                tile[top - 11 : top - 3, middle - half - 6 : middle + half + 6, :3] = rgb(style.lintel)
            _window(tile, (middle - half, top, middle + half, foot), seed * 31 + floor * 7 + bay, style)
        if style.band:
            y = floor * floor_px
            tile[y : y + 4, :, :3] = tile[y : y + 4, :, :3] * 0.5 + 0.35
            tile[y + 4 : y + 6, :, :3] *= 0.7
    return tile


def _window(tile: Texture, box: tuple[int, int, int, int], seed: int, style: WindowStyle) -> None:
    """Draw one window into a box (x0, y0, x1, y1): recess, frame, glass with curtains, bars, sill."""
    x0, y0, x1, y1 = box
    rng = np.random.default_rng(seed)
    edge = 3
    frame = rgb(style.frame)
    tile[y0 - 3 : y1 + 2, x0 - 3 : x1 + 2, :3] *= 0.6
    tile[y0:y1, x0:x1, :3] = frame
    tile[y0:y1, x0:x1, 3] = 0.0
    height, width = y1 - y0 - 2 * edge, x1 - x0 - 2 * edge
    fade = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    glass = (rgb("222d36") * (1 - fade) + rgb("43525d") * fade) * np.ones((height, width, 1), np.float32)
    if rng.random() < 0.6:
        cloth = np.array([0.75, 0.72, 0.66]) * (0.6 + 0.35 * rng.random())
        if rng.random() < 0.5:
            drop = int(height * (0.2 + 0.5 * rng.random()))
            glass[:drop] = glass[:drop] * 0.35 + cloth * 0.5
        else:
            drape = int(width * 0.22)
            glass[:, :drape] = glass[:, :drape] * 0.4 + cloth * 0.5
            glass[:, -drape:] = glass[:, -drape:] * 0.4 + cloth * 0.5
    glass[: max(2, height // 14)] *= 0.55
    glass[:, :2] *= 0.7
    inner = np.s_[y0 + edge : y1 - edge, x0 + edge : x1 - edge]
    tile[inner][..., :3] = glass
    tile[inner][..., 3] = 0.85
    for bar in range(style.mullions):
        x = x0 + (x1 - x0) * (bar + 1) // (style.mullions + 1)
        tile[y0:y1, x - 1 : x + 1, :3] = frame
        tile[y0:y1, x - 1 : x + 1, 3] = 0.0
    transom = y0 + (y1 - y0) // (2 if style.mullions < 2 else 3)
    tile[transom - 1 : transom + 1, x0:x1, :3] = frame
    tile[transom - 1 : transom + 1, x0:x1, 3] = 0.0
    if style.sill:
        tile[y1 : y1 + 5, x0 - 5 : x1 + 5, :3] = rgb("b8b2a6")
        tile[y1 + 5 : y1 + 8, x0 - 5 : x1 + 5, :3] *= 0.6


def shop_front(hex_colour: str, seed: int) -> Texture:
    """Return a shop: fascia with lettering, two display windows with things in them, a glazed door."""
    tile = speckled("6f6a63", seed, 0.1, 8)
    rng = np.random.default_rng(seed)
    fascia = rgb(hex_colour)
    tile[10:62, :, :3] = fascia * (1 + 0.05 * rng.standard_normal((52, 1, 1)))
    tile[10:13, :, :3] = fascia * 0.6
    tile[58:62, :, :3] = fascia * 0.5
    _lettering(tile, fascia, rng)
    pane = WindowStyle(frame="2f2f33", mullions=1, sill=False)
    for index, (x0, x1) in enumerate(((10, 118), (176, 248))):
        _window(tile, (x0, 74, x1, 226), seed + 17 * index, pane)
        _display(tile, x0 + 6, x1 - 6, rng)
    tile[74:250, 124:170, :3] = fascia * 0.7
    _window(tile, (129, 82, 165, 200), seed + 5, WindowStyle(frame=hex_colour, mullions=0, sill=False))
    tile[236:, :, :3] *= 0.7
    return tile


def _lettering(tile: Texture, fascia: np.ndarray, rng: np.random.Generator) -> None:
    """Draw strokes that read as letters from a distance."""
    ink = np.array([0.95, 0.93, 0.86]) if fascia.mean() < 0.6 else np.array([0.15, 0.13, 0.12])
    x, end = int(rng.integers(24, 60)), int(rng.integers(180, 226))
    while x < end:
        width, height = int(rng.integers(7, 14)), int(rng.integers(14, 20))
        top = 36 - height // 2
        kind = rng.integers(4)
        tile[top : top + height, x : x + 3, :3] = ink
        if kind != 3:
            tile[top : top + height, x + width - 3 : x + width, :3] = ink
        if kind in (0, 1):
            tile[top : top + 3, x : x + width, :3] = ink
        if kind in (0, 3):
            tile[top + height - 3 : top + height, x : x + width, :3] = ink
        if kind == 2:
            tile[35:38, x : x + width, :3] = ink
        x += width + (4 if rng.random() < 0.8 else 14)


def _display(tile: Texture, x0: int, x1: int, rng: np.random.Generator) -> None:
    """Put goods on two shelves behind a display window."""
    for shelf in (168, 222):
        x = x0
        while x < x1 - 8:
            width, height = int(rng.integers(5, 14)), int(rng.integers(10, 34))
            goods = rng.random(3) * 0.5 + 0.2
            spot = np.s_[shelf - height : shelf, x : min(x + width, x1)]
            tile[spot][..., :3] = tile[spot][..., :3] * 0.35 + goods * 0.5
            tile[spot][..., 3] = 0.5
            x += width + int(rng.integers(2, 12))


def house_front(wall: Texture, door: str, seed: int, style: WindowStyle) -> Texture:
    """Return a ground-floor bay of a house: a panelled door beside a tall window."""
    tile = wall.copy()
    stone = rgb("c9c2b5")
    tile[232:, :, :3] = stone * 0.8
    _window(tile, (24, 88, 112, 206), seed, style)
    tile[64:256, 158:226, :3] = stone
    tile[72:256, 166:218, :3] = rgb(door)
    tile[72:98, 168:216, :3] = rgb("3a4750")
    tile[72:98, 168:216, 3] = 0.7
    for y0, y1 in ((106, 160), (170, 232)):
        for x0, x1 in ((172, 189), (195, 212)):
            tile[y0:y1, x0:x1, :3] *= 0.8
            tile[y1 - 2 : y1, x0:x1, :3] *= 1.4
    tile[166:170, 206:212, :3] = rgb("d9b65a")
    tile[246:, 150:234, :3] = stone * 0.9
    return tile


def office_front(seed: int) -> Texture:
    """Return a glazed ground floor: floor-to-ceiling panes between dark posts."""
    tile = speckled("4a4d50", seed, 0.05, 8)
    pane = WindowStyle(frame="2a2d30", mullions=0, sill=False)
    for index, x0 in enumerate((6, 90, 174)):
        _window(tile, (x0, 40, x0 + 78, 244), seed + index, pane)
    tile[6:34, :, :3] = rgb("35393d")
    return tile
