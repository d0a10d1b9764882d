"""Procedural textures: square tiles that wrap, as (SIZE, SIZE, 4) float32, sRGB 0..1 and gloss (or coverage) last."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIZE_PX = 256
Texture = NDArray[np.float32]


def rgb(hex_colour: str) -> NDArray[np.float32]:
    """Return a colour such as "b58a66" as three floats, 0..1."""
    return np.array([int(hex_colour[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255.0


def value_noise(size: int, seed: int, octaves: int = 6, cells: int = 4, persistence: float = 0.55) -> NDArray:
    """Return (size, size) fractal noise in 0..1 that wraps at its edges; `cells` is the coarsest grid."""
    rng = np.random.default_rng(seed)
    out = np.zeros((size, size), np.float32)
    amplitude, total = 1.0, 0.0
    for octave in range(octaves):
        count = min(cells << octave, size)
        grid = rng.random((count, count), dtype=np.float32)
        at = np.arange(size) * count / size
        cell = at.astype(int)
        blend = (at - cell).astype(np.float32)
        blend = blend * blend * (3 - 2 * blend)
        following = (cell + 1) % count
        upper = grid[cell][:, cell] * (1 - blend) + grid[cell][:, following] * blend
        lower = grid[following][:, cell] * (1 - blend) + grid[following][:, following] * blend
        out += amplitude * (upper * (1 - blend)[:, None] + lower * blend[:, None])
        total += amplitude
        amplitude *= persistence
    return out / total


def solid(hex_colour: str, gloss: float = 0.0) -> Texture:
    """Return an even colour."""
    tile = np.empty((SIZE_PX, SIZE_PX, 4), np.float32)
    tile[..., :3] = rgb(hex_colour)
    tile[..., 3] = gloss
    return tile


def speckled(
    hex_colour: str, seed: int, contrast: float = 0.25, cells: int = 8, grain: float = 0.06, gloss: float = 0.0
) -> Texture:
    """Return a colour with fractal blotches (`contrast`) and white noise (`grain`)."""
    tile = solid(hex_colour, gloss)
    blotches = value_noise(SIZE_PX, seed, 6, cells) - 0.5
    noise = np.random.default_rng(seed + 99).random((SIZE_PX, SIZE_PX, 1), dtype=np.float32) - 0.5
    tile[..., :3] = tile[..., :3] * (1 + 2 * contrast * blotches[..., None]) + grain * noise
    return tile


def asphalt(seed: int) -> Texture:
    """Return tarmac: fine aggregate, faint mottling, a few hairline cracks."""
    tile = speckled("5a5a5c", seed, 0.045, 6, 0.06)
    stones = np.random.default_rng(seed + 3).random((SIZE_PX, SIZE_PX), dtype=np.float32)
    tile[stones > 0.985, :3] *= 1.16
    tile[stones < 0.02, :3] *= 0.85
    crack = np.abs(value_noise(SIZE_PX, seed + 7, 5, 3) - 0.5) < 0.0026
    tile[..., :3] *= 1 - 0.16 * crack[..., None]
    return tile


def paving(seed: int, hex_colour: str = "938d85", slabs: int = 4) -> Texture:
    """Return concrete slabs with joints."""
    tile = speckled(hex_colour, seed, 0.12, 16, 0.05)
    slab_px = SIZE_PX // slabs
    rng = np.random.default_rng(seed)
    shade = 0.91 + 0.17 * rng.random((slabs, slabs), dtype=np.float32)
    tile[..., :3] *= np.kron(shade, np.ones((slab_px, slab_px), np.float32))[..., None]
    joint = np.arange(SIZE_PX) % slab_px < 2
    tile[joint, :, :3] *= 0.74
    tile[:, joint, :3] *= 0.74
    return tile


def brick(hex_colour: str, seed: int, mortar: str = "9c948a") -> Texture:
    """Return stretcher-bond brickwork."""
    tile = speckled(hex_colour, seed, 0.15, 16, 0.06)
    rng = np.random.default_rng(seed)
    height_px, width_px = 8, 24
    joint = rgb(mortar) * 0.9
    for row in range(SIZE_PX // height_px):
        y0 = row * height_px
        offset = (row % 2) * width_px // 2
        for column in range(-1, SIZE_PX // width_px + 2):
            x0, x1 = max(0, column * width_px + offset), min(SIZE_PX, (column + 1) * width_px + offset)
            if x1 > x0:
                tile[y0 : y0 + height_px, x0:x1, :3] *= 0.84 + 0.32 * rng.random()
                tile[y0 : y0 + height_px, x0 : x0 + 1, :3] = joint
        tile[y0 : y0 + 1, :, :3] = joint
    return tile


def slates(hex_colour: str, seed: int) -> Texture:
    """Return a slate or tile roof, rows across."""
    tile = speckled(hex_colour, seed, 0.18, 16, 0.05)
    rng = np.random.default_rng(seed)
    for row in range(16):
        y0, offset = row * 16, (row % 2) * 8
        for column in range(17):
            x0, x1 = max(0, column * 16 - offset), min(SIZE_PX, (column + 1) * 16 - offset)
            tile[y0 : y0 + 16, x0:x1, :3] *= 0.85 + 0.3 * rng.random()
            tile[y0 : y0 + 16, max(0, x1 - 1) : x1, :3] *= 0.75
        tile[y0 + 14 : y0 + 16, :, :3] *= 0.6
    return tile


def leaves(hex_colour: str, seed: int, count: int = 150) -> Texture:
    """Return a round spray of leaves; the last channel is coverage."""
    tile = np.zeros((SIZE_PX, SIZE_PX, 4), np.float32)
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX].astype(np.float32)
    base = rgb(hex_colour)
    for _ in range(count):
        direction, reach = rng.random() * 2 * np.pi, 112 * np.sqrt(rng.random())
        x, y = 128 + reach * np.cos(direction), 128 + reach * np.sin(direction)
        turn = rng.random() * 2 * np.pi
        half_length, half_width = 15 + 8 * rng.random(), 7 + 4 * rng.random()
        window = np.s_[max(0, int(y - 26)) : int(y + 26), max(0, int(x - 26)) : int(x + 26)]
        dx, dy = columns[window] - x, rows[window] - y
        along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        inside = (along / half_length) ** 2 + (across / half_width) ** 2 < 1
        tint = np.array([0.9 + 0.25 * rng.random(), 1.0, 0.85 + 0.2 * rng.random()])
        shade = (1 - 0.25 * np.abs(across / half_width) * (across > 0))[..., None]
        leaf = base * (0.65 + 0.6 * rng.random()) * tint * shade
        tile[window][..., :3] = np.where(inside[..., None], leaf, tile[window][..., :3])
        tile[window][..., 3] = np.where(inside, 1.0, tile[window][..., 3])
    tile[tile[..., 3] < 0.5, :3] = base * 0.8
    return tile


def hedge(hex_colour: str, seed: int) -> Texture:
    """Return clipped foliage without holes."""
    tile = leaves(hex_colour, seed, 320)
    fill = speckled(hex_colour, seed + 1, 0.4, 32, 0.12)
    bare = tile[..., 3] < 0.5
    tile[bare, :3] = fill[bare, :3] * 0.7
    tile[..., 3] = 0.0
    return tile


def worn_paint(hex_colour: str, seed: int) -> Texture:
    """Return road paint; the last channel is coverage, with a few worn spots."""
    tile = speckled(hex_colour, seed, 0.1, 16)
    tile[..., 3] = np.where(value_noise(SIZE_PX, seed + 40, 6, 48) > 0.76, 0.0, 1.0)
    return tile


def iron_fence() -> Texture:
    """Return iron railings; the last channel is coverage. One tile is 2 m wide and 1.4 m tall."""
    tile = solid("22262a")
    columns = np.arange(SIZE_PX)
    tile[:, columns % 16 >= 5, 3] = 0.0
    tile[:, columns % 16 < 5, 3] = 1.0
    tile[20:30, :, 3] = tile[218:230, :, 3] = 1.0
    tile[:8, :, 3] = 0.0
    return tile


def pickets() -> Texture:
    """Return a white picket fence; the last channel is coverage."""
    tile = speckled("e4e2da", 90, 0.05, 8, 0.03)
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX]
    across = columns % 32
    tip = np.abs(across - 11) * 2
    tile[..., 3] = ((across < 22) & (rows > 8 + tip)) | ((rows > 60) & (rows < 82)) | ((rows > 180) & (rows < 202))
    return tile


def wire_mesh() -> Texture:
    """Return a mesh of wires; the last channel is coverage."""
    tile = solid("8d9296")
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX]
    tile[..., 3] = ((rows + columns) % 32 < 5) | ((rows - columns) % 32 < 5)
    return tile


def sheet_metal(hex_colour: str, seed: int, ribs: int = 16, *, upright: bool = True) -> Texture:
    """Return corrugated sheet: shaded ribs that run up (or across), streaked by rain."""
    tile = speckled(hex_colour, seed, 0.1, 4, 0.02)
    wave = np.sin(2.0 * np.pi * ribs * np.arange(SIZE_PX) / SIZE_PX).astype(np.float32)
    shade = (1.0 + 0.16 * wave)[None, :, None] if upright else (1.0 + 0.16 * wave)[:, None, None]
    tile[..., :3] *= shade
    return tile


def wheel_face(seed: int) -> Texture:
    """Return a car wheel seen from the side: tyre, rim, five spokes."""
    tile = solid("9a9da0", 0.35)
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX]
    radius = np.hypot(columns - 128, rows - 128)
    turn = np.arctan2(rows - 128, columns - 128) / (2 * np.pi) * 5
    tile[radius > 84, :3] = rgb("151517")
    tile[radius > 84, 3] = 0.02
    gap = (radius < 76) & (radius > 24) & (np.abs(turn % 1 - 0.5) < 0.2)
    tile[gap, :3] = 0.12
    tile[..., :3] *= 1 + 0.1 * (value_noise(SIZE_PX, seed, 4, 8)[..., None] - 0.5)
    return tile


def bicycle_wheel() -> Texture:
    """Return a spoked wheel; the last channel is coverage."""
    tile = solid("191919")
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX]
    radius = np.hypot(columns - 128, rows - 128)
    turn = np.arctan2(rows - 128, columns - 128) / (2 * np.pi) * 16
    spoke = np.abs(turn % 1 - 0.5) * radius < 1.1 * 16 / (2 * np.pi)
    tile[..., 3] = (radius > 112) | (radius < 12) | spoke
    tile[(radius < 112) & (radius > 12), :3] = 0.5
    return tile
