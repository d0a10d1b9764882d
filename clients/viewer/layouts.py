"""How the planes of a frame pair are laid out in a picture of any size: names, tiles, and where each pixel is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from bridge.protocol.errors import UsageError

ViewPlane = Literal["original", "synthesized", "labels", "instances", "depth", "flow", "occlusion"]
Mix = Literal["", "wipe", "blend"]


@dataclass(frozen=True)
class Tile:
    """One plane and its place, in units of the layout: a unit is as wide and as high as a frame is in shape."""

    plane: ViewPlane
    left: float
    top: float
    size: float = 1.0


@dataclass(frozen=True)
class Layout:
    """Tiles in the order in which they are drawn, on a board of so many units.

    A `mix` shows the original and the synthesized picture in one tile: "wipe" left and right of a line, "blend" mixed.
    """

    name: str
    columns: float
    rows: float
    tiles: tuple[Tile, ...]
    mix: Mix = ""

    def natural_size_px(self, frame_px: tuple[int, int]) -> tuple[int, int]:
        """Return width and height at which the largest tile has a frame's own width and height."""
        unit = 1.0 / max(tile.size for tile in self.tiles)
        return round(self.columns * unit * frame_px[0]), round(self.rows * unit * frame_px[1])


LAYOUTS: Final[tuple[Layout, ...]] = (
    Layout("side-by-side", 2, 1, (Tile("original", 0, 0), Tile("synthesized", 1, 0))),
    Layout("wipe", 1, 1, (Tile("synthesized", 0, 0),), mix="wipe"),
    Layout("blend", 1, 1, (Tile("synthesized", 0, 0),), mix="blend"),
    Layout("picture-in-picture", 1, 1, (Tile("synthesized", 0, 0), Tile("original", 0.68, 0.03, 0.3))),
    Layout("synthesized", 1, 1, (Tile("synthesized", 0, 0),)),
    Layout(
        "grid", 2, 2, (Tile("original", 0, 0), Tile("synthesized", 1, 0), Tile("labels", 0, 1), Tile("instances", 1, 1))
    ),
    Layout(
        "planes",
        10,
        7,
        (
            Tile("original", 0, 0, 5),
            Tile("synthesized", 5, 0, 5),
            *(
                Tile(plane, 2 * column, 5, 2)
                for column, plane in enumerate(("labels", "instances", "depth", "flow", "occlusion"))
            ),
        ),
    ),
)
LAYOUT_NAMES: Final = tuple(layout.name for layout in LAYOUTS)


def layout_named(name: str) -> Layout:
    """Return a layout by its name; raises UsageError that lists the names there are."""
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    raise UsageError(f"there is no layout {name!r}", f"Use one of {', '.join(LAYOUT_NAMES)}")


def next_layout(layout: Layout, steps: int = 1) -> Layout:
    """Return the layout so many places further in the list, which begins anew at its end."""
    return LAYOUTS[(LAYOUTS.index(layout) + steps) % len(LAYOUTS)]


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels in a picture."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column right of it."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """First row below it."""
        return self.top + self.height

    def holds(self, x_px: float, y_px: float) -> bool:
        """Return whether a point is inside."""
        return self.left <= x_px < self.right and self.top <= y_px < self.bottom


@dataclass(frozen=True)
class Placed:
    """A layout in a picture of a size: the box of all of it, which keeps its shape, and each tile's."""

    board: Box
    tiles: tuple[tuple[ViewPlane, Box], ...]

    def fills(self, size_px: tuple[int, int]) -> bool:
        """Return whether the tiles leave nothing of a picture free; they overlap only where the first is all of it."""
        return sum(box.width * box.height for _, box in self.tiles) >= size_px[0] * size_px[1]

    def pixel_at(self, x_px: float, y_px: float, frame_px: tuple[int, int]) -> tuple[ViewPlane, int, int] | None:
        """Return the plane that a point of the picture lies on, and column and row of the frame's pixel there."""
        for plane, box in reversed(self.tiles):
            if box.holds(x_px, y_px):
                column = int((x_px - box.left) * frame_px[0] / box.width)
                row = int((y_px - box.top) * frame_px[1] / box.height)
                return plane, min(column, frame_px[0] - 1), min(row, frame_px[1] - 1)
        return None


@lru_cache(maxsize=64)
def place(layout: Layout, frame_px: tuple[int, int], size_px: tuple[int, int], panel_px: int = 0) -> Placed:
    """Return where a layout's tiles are in a picture of `size_px` (width, height), for frames of `frame_px`.

    They are as large as fits, and in the middle of what a panel of `panel_px` along the lower edge leaves free; where
    that is not enough for them they begin at the top, and the panel lies over them.
    """
    unit_width = layout.columns * frame_px[0], layout.rows * frame_px[1]
    scale = min(size_px[0] / unit_width[0], size_px[1] / unit_width[1])
    cell_width, cell_height = scale * frame_px[0], scale * frame_px[1]
    width = min(size_px[0], max(1, round(layout.columns * cell_width)))
    height = min(size_px[1], max(1, round(layout.rows * cell_height)))
    board = Box((size_px[0] - width) // 2, max(0, size_px[1] - panel_px - height) // 2, width, height)
    tiles: list[tuple[ViewPlane, Box]] = []
    for tile in layout.tiles:
        left, right = (_edge(x, width, layout.columns) for x in (tile.left, tile.left + tile.size))
        top, bottom = (_edge(y, height, layout.rows) for y in (tile.top, tile.top + tile.size))
        tiles.append((tile.plane, Box(board.left + left, board.top + top, max(1, right - left), max(1, bottom - top))))
    return Placed(board, tuple(tiles))


def _edge(units: float, length_px: int, num_units: float) -> int:
    return min(length_px - 1 if units < num_units else length_px, round(units * length_px / num_units))
