"""The town's materials: names, textures and what the shader must know of each; and their mip chains."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bridge.town.engine import facades, sign_faces, textures
from bridge.town.engine.facades import WindowStyle
from bridge.town.engine.textures import SIZE_PX, Texture

# What a material asks of rasteriser and shader; kept per triangle.
ALPHA_TEST = 1  # the last channel is coverage
GLOSSY = 2  # the last channel is gloss
DECAL = 4  # lies on another surface and wins against it
FOLIAGE = 8  # lets light through
PAINTED = 16  # takes its body's paint colour
LAMP = 32  # shines when its object's lamps are on
WINDOWS = 64  # its glossy parts are windows with rooms behind them, two bays and two floors a tile
SHOP = 128  # with WINDOWS: one bay a tile, lit in the evening
LAMP_KIND_SHIFT = 12  # flags above tell which of a body's lamps shines: the column of `object_look` after LOOK_LAMPS


def lamp(kind: int) -> int:
    """Return the flags of a lamp of a kind: 0 by itself, 1 head, 2 tail, 3 left, 4 right, 5 reverse."""
    return LAMP | kind << LAMP_KIND_SHIFT


MIP_TEXELS = (4 * SIZE_PX * SIZE_PX - 1) // 3

_Painter = Callable[[], Texture]
_SASH = WindowStyle(frame="e8e4dc", width=0.42, height=0.62, lintel="cfc7b8")
_DOOR_COLOURS = ("2c4a3c", "7a1f2b", "20385e", "1d1f22")
_SHOPS = ("1f4d3a", "7a1f2b", "20385e", "b8741f", "2b2b2f", "4d6f73", "d8d2c2", "5a2d4f")


def _walls() -> dict[str, _Painter]:
    return {
        "wall0": lambda: textures.brick("96543f", 10),
        "wall1": lambda: textures.brick("b59468", 11),
        "wall2": lambda: textures.speckled("d9d0bd", 12, 0.06, 6),
        "wall3": lambda: textures.speckled("b9b4ad", 13, 0.08, 6),
        "wall4": lambda: textures.speckled("d8c094", 14, 0.06, 6),
        "wall5": lambda: textures.speckled("8f9aa0", 15, 0.05, 6),
        "wall6": lambda: textures.brick("6d4a40", 16),
        "wall7": lambda: textures.speckled("c9a79a", 17, 0.06, 6),
    }


def _facades() -> dict[str, _Painter]:
    styles = (
        _SASH,
        WindowStyle(frame="e9e5db", width=0.46, height=0.6, lintel="a5523f"),
        WindowStyle(frame="5b4636", width=0.44, height=0.64),
        WindowStyle(frame="474b50", width=0.78, height=0.5, mullions=3),
        WindowStyle(frame="efe9dc", width=0.42, height=0.62, lintel="efe6d0"),
        WindowStyle(frame="30363b", width=0.9, height=0.66, mullions=2, band=False),
        WindowStyle(frame="2b2e30", width=0.62, height=0.6, mullions=2, sill=False, band=False),
        WindowStyle(frame="f2eee6", width=0.46, height=0.6, lintel="f0e8dd"),
    )
    walls = _walls()
    painted: dict[str, _Painter] = {}
    for index, style in enumerate(styles):
        wall = walls[f"wall{index}"]
        painted[f"facade{index}"] = lambda wall=wall, style=style, index=index: facades.facade(
            wall(), style, 20 + index
        )
    for index, wall_index in enumerate((0, 1, 2, 7)):
        wall, door = walls[f"wall{wall_index}"], _DOOR_COLOURS[index]
        painted[f"house{index}"] = lambda wall=wall, door=door, index=index: facades.house_front(
            wall(), door, 60 + index, _SASH
        )
    for index, colour in enumerate(_SHOPS):
        painted[f"shop{index}"] = lambda colour=colour, index=index: facades.shop_front(colour, 30 + index)
    painted["office"] = lambda: facades.office_front(70)
    return painted


_MATTE: dict[str, _Painter] = {
    "asphalt": lambda: textures.asphalt(1),
    "paving": lambda: textures.paving(2),
    "kerb": lambda: textures.speckled("b3aea5", 3, 0.15, 16),
    "grass": lambda: textures.speckled("5a7038", 5, 0.28, 16, 0.12),
    "dirt": lambda: textures.speckled("6d5a44", 6, 0.3),
    **_walls(),
    "roof": lambda: textures.speckled("5b534e", 40, 0.25, 16),
    "sheet0": lambda: textures.sheet_metal("a9aeb0", 91),
    "sheet1": lambda: textures.sheet_metal("5f7480", 92),
    "roller": lambda: textures.sheet_metal("c3c5c2", 93, 20, upright=False),
    "slate": lambda: textures.slates("4f545c", 43),
    "tiles": lambda: textures.slates("8c4a36", 44),
    "stone": lambda: textures.speckled("c6bfb2", 41, 0.15, 8),
    "bark": lambda: textures.speckled("5a4636", 42, 0.5, 32),
    "wood": lambda: textures.speckled("7a5232", 45, 0.3, 32),
    "hedge": lambda: textures.hedge("466027", 46),
    "plate": lambda: textures.solid("e9e9e2"),
    "skin": lambda: textures.solid("c99a7b"),
    "hair": lambda: textures.speckled("ffffff", 61, 0.4, 48),
    "cloth": lambda: textures.speckled("ffffff", 60, 0.12, 16),
    "manhole": lambda: textures.paving(48, "4a4846", 8),
}
_GLOSSY: dict[str, _Painter] = {
    "metal": lambda: textures.solid("6a6e73", 0.25),
    "dark": lambda: textures.solid("1b1c1e", 0.1),
    "glass": lambda: textures.solid("12171b", 0.9),
    "tyre": lambda: textures.solid("17171a", 0.02),
    "wheel": lambda: textures.wheel_face(47),
    "chrome": lambda: textures.solid("a9adb0", 0.7),
    "postbox": lambda: textures.solid("b3141c", 0.3),
}
_SPECIAL: dict[str, tuple[_Painter, int]] = {
    "mark": (lambda: textures.worn_paint("e6e4da", 4), ALPHA_TEST | DECAL),
    "mark_yellow": (lambda: textures.worn_paint("e6b23c", 4), ALPHA_TEST | DECAL),
    "patch": (lambda: textures.speckled("48484a", 49, 0.08, 8, 0.07), DECAL),
    "cover": (lambda: textures.paving(48, "4a4846", 8), DECAL),
    "leaves0": (lambda: textures.leaves("4f6a2c", 50), ALPHA_TEST | FOLIAGE),
    "leaves1": (lambda: textures.leaves("5f7433", 51), ALPHA_TEST | FOLIAGE),
    "leaves2": (lambda: textures.leaves("3f5a2b", 52), ALPHA_TEST | FOLIAGE),
    "railings": (textures.iron_fence, ALPHA_TEST),
    **{f"sign_speed{limit}": (lambda limit=limit: sign_faces.speed_sign(limit), ALPHA_TEST) for limit in (30, 40, 50)},
    "sign_stop": (sign_faces.stop_sign, ALPHA_TEST),
    "sign_yield": (sign_faces.yield_sign, ALPHA_TEST),
    "pickets": (textures.pickets, ALPHA_TEST),
    "wire_mesh": (textures.wire_mesh, ALPHA_TEST),
    "spokes": (textures.bicycle_wheel, ALPHA_TEST),
    "paint": (lambda: textures.solid("ffffff", 0.35), GLOSSY | PAINTED),
    "headlamp": (lambda: textures.solid("f4f1e4", 0.5), GLOSSY | lamp(1)),
    "tail_lamp": (lambda: textures.solid("a01318", 0.4), GLOSSY | lamp(2)),
    "indicator_left": (lambda: textures.solid("c8741a", 0.4), GLOSSY | lamp(3)),
    "indicator_right": (lambda: textures.solid("c8741a", 0.4), GLOSSY | lamp(4)),
    "reverse_lamp": (lambda: textures.solid("d9d6cf", 0.4), GLOSSY | lamp(5)),
    "lens_red": (lambda: textures.solid("46100c", 0.3), GLOSSY | lamp(0)),
    "lens_yellow": (lambda: textures.solid("46340a", 0.3), GLOSSY | lamp(0)),
    "lens_green": (lambda: textures.solid("083c20", 0.3), GLOSSY | lamp(0)),
    "lamp_glass": (lambda: textures.solid("d8d4c8", 0.3), GLOSSY | PAINTED | lamp(0)),
}


def _catalogue() -> dict[str, tuple[_Painter, int]]:
    table: dict[str, tuple[_Painter, int]] = {name: (paint, 0) for name, paint in _MATTE.items()}
    table |= {name: (paint, GLOSSY) for name, paint in _GLOSSY.items()}
    table |= {name: (paint, GLOSSY | _window_flags(name)) for name, paint in _facades().items()}
    return table | _SPECIAL


def _window_flags(name: str) -> int:
    return WINDOWS | (0 if name.startswith("facade") else SHOP)


_CATALOGUE = _catalogue()
MATERIAL_IDS: dict[str, int] = {name: index for index, name in enumerate(_CATALOGUE)}


def material_flags() -> NDArray[np.int32]:
    """Return the flags of every material, by id."""
    return np.array([flags for _, flags in _CATALOGUE.values()], np.int32)


def paint_materials() -> NDArray[np.uint8]:
    """Return (materials, MIP_TEXELS, 4) u8: every texture's mip chain, finest first, flattened row by row.

    Colour is the square root of linear light (so squaring it in the shader linearises), the last channel gloss or
    coverage. Coverage keeps its share of texels above one half at every level, so far trees do not thin out.
    """
    chains = np.empty((len(_CATALOGUE), MIP_TEXELS, 4), np.uint8)
    for index, (paint, flags) in enumerate(_CATALOGUE.values()):
        chains[index] = _mip_chain(np.clip(paint(), 0.0, 1.0), keep_coverage=bool(flags & ALPHA_TEST))
    return chains


def _mip_chain(texture: Texture, *, keep_coverage: bool) -> NDArray[np.uint8]:
    level = texture.copy()
    level[..., :3] = np.power(level[..., :3], 2.2)
    covered = float((texture[..., 3] > 0.5).mean())
    flat: list[NDArray[np.uint8]] = []
    while True:
        encoded = level.copy()
        encoded[..., :3] = np.sqrt(np.clip(level[..., :3], 0.0, 1.0))
        if keep_coverage and len(level) < SIZE_PX and covered < 1.0:
            threshold = max(float(np.quantile(level[..., 3], 1.0 - covered)), 0.02)
            encoded[..., 3] = np.clip(level[..., 3] * 0.5 / threshold, 0.0, 1.0)
        flat.append((encoded * 255.0 + 0.5).astype(np.uint8).reshape(-1, 4))
        if len(level) == 1:
            return np.concatenate(flat)
        half = len(level) // 2
        level = level.reshape(half, 2, half, 2, 4).mean((1, 3))
