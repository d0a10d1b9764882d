"""Faces of traffic signs: speed limits, stop and yield, as textures whose last channel is coverage."""

from __future__ import annotations

import numpy as np

from bridge.town.engine.textures import SIZE_PX, Texture, rgb, solid

RED = "c1121f"
# Letters and digits of five columns by seven rows.
_GLYPHS = {
    "0": ("01110", "10001", "10001", "10001", "10001", "10001", "01110"),
    "3": ("11110", "00001", "00001", "01110", "00001", "00001", "11110"),
    "4": ("00010", "00110", "01010", "10010", "11111", "00010", "00010"),
    "5": ("11111", "10000", "11110", "00001", "00001", "10001", "01110"),
    "S": ("01111", "10000", "10000", "01110", "00001", "00001", "11110"),
    "T": ("11111", "00100", "00100", "00100", "00100", "00100", "00100"),
    "O": ("01110", "10001", "10001", "10001", "10001", "10001", "01110"),
    "P": ("11110", "10001", "10001", "11110", "10000", "10000", "10000"),
}


def speed_sign(limit_kmh: int) -> Texture:
    """Return a speed limit: black digits in a red ring."""
    tile, x, y = _blank()
    tile[np.hypot(x, y) > 0.74, :3] = rgb(RED)
    _write(tile, str(limit_kmh), 14, 0.05)
    tile[..., 3] = np.hypot(x, y) < 0.98
    return tile


def stop_sign() -> Texture:
    """Return a red octagon that says STOP."""
    tile, x, y = _blank()
    edge = np.maximum(np.maximum(np.abs(x), np.abs(y)), (np.abs(x) + np.abs(y)) / np.sqrt(2.0))
    tile[edge < 0.9, :3] = rgb(RED)
    _write(tile, "STOP", 8, 0.95)
    tile[..., 3] = edge < 0.97
    return tile


def yield_sign() -> Texture:
    """Return a white triangle with a red rim that stands on its tip."""
    tile, x, y = _blank()
    inside = np.minimum(y + 0.85, np.minimum(-y * 0.5 - x * 0.9 + 0.5, -y * 0.5 + x * 0.9 + 0.5))
    tile[inside < 0.2, :3] = rgb(RED)
    tile[..., 3] = inside > 0.0
    return tile


def _blank() -> tuple[Texture, np.ndarray, np.ndarray]:
    """Return a white tile and its coordinates, -1..1, y down."""
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX].astype(np.float32)
    half = 0.5 * SIZE_PX
    return solid("f2f2f2"), (columns - half) / half, (rows - half) / half


def _write(tile: Texture, text: str, pixel: int, ink: float) -> None:
    """Write text in the middle of a tile, each dot of its letters so many texels wide."""
    width = (6 * len(text) - 1) * pixel
    left, top = (SIZE_PX - width) // 2, (SIZE_PX - 7 * pixel) // 2
    for number, letter in enumerate(text):
        for row, line in enumerate(_GLYPHS[letter]):
            for column, dot in enumerate(line):
                if dot == "1":
                    x, y = left + (6 * number + column) * pixel, top + row * pixel
                    tile[y : y + pixel, x : x + pixel, :3] = ink
