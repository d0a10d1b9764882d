"""The head-up display: what it says, and its text drawn onto a picture.

Text is drawn with the typeface that ships with pygame, needs no display, and is cached: a number that did not change
is not drawn anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import pygame
import pygame.draw
import pygame.font

Color = tuple[int, int, int]
PANEL_RGBA: Final = (12, 14, 18, 186)
VALUE_RGB: Final[Color] = (244, 246, 248)
CAPTION_RGB: Final[Color] = (160, 170, 182)
NOTICE_RGB: Final[Color] = (255, 196, 84)
NOTICE_PANEL_RGBA: Final = (54, 34, 0, 216)


@dataclass(frozen=True)
class HudState:
    """What the HUD shows beside what the frames themselves say; rates in Hz, 0 while they are not known.

    `position` is where a replay is; with one the rates, which are the past's, are left out.
    """

    simulator_hz: float = 0.0
    neural_hz: float = 0.0
    display_hz: float = 0.0
    control_hz: float = 0.0
    frame_age_ms: float = 0.0
    num_dropped: int = 0
    num_resets: int = 0
    model: str = ""
    notice: str = ""
    position: str = ""


@dataclass(frozen=True)
class Cell:
    """One caption and its value; `widest` is the longest text it is meant to hold, so that columns stand still."""

    caption: str
    value: str
    widest: str


def cells(hud: HudState, speed_m_s: float, gear: int, autopilot: bool) -> tuple[Cell, ...]:
    """Return the cells of the HUD, the most important first."""
    gear_text = "R" if gear < 0 else "N" if gear == 0 else f"D{gear}"
    if hud.position:
        return (
            Cell("time", hud.position, "paused, 1000.00 of 1000.0 s"),
            Cell("speed", f"{speed_m_s * 3.6:.0f} km/h", "100 km/h"),
            Cell("gear", gear_text, "gear0"),
            Cell("driver", "autopilot" if autopilot else "you", "autopilot"),
            Cell("model", hud.model or "none", hud.model or "none"),
        )
    return (
        Cell("simulator", _rate(hud.simulator_hz), "100.0 Hz"),
        Cell("neural", _rate(hud.neural_hz), "100.0 Hz"),
        Cell("frame age", f"{hud.frame_age_ms:.0f} ms", "1000 ms"),
        Cell("drops", str(hud.num_dropped), "drops0"),
        Cell("speed", f"{speed_m_s * 3.6:.0f} km/h", "100 km/h"),
        Cell("gear", gear_text, "gear0"),
        Cell("driver", "autopilot" if autopilot else "you", "autopilot"),
        Cell("display", _rate(hud.display_hz), "100.0 Hz"),
        Cell("control", _rate(hud.control_hz), "100.0 Hz"),
        Cell("resets", str(hud.num_resets), "resets"),
        Cell("model", hud.model or "none", hud.model or "none"),
    )


# What stands where; which cells are left out of a picture too narrow for all of them is decided by their importance.
LEFT: Final = ("time", "simulator", "neural", "display", "control", "frame age", "drops", "resets", "model")
RIGHT: Final = ("speed", "gear", "driver")


class Hud:
    """Draws HUD panels, captions and notices onto 32-bit pygame surfaces at one text size."""

    def __init__(self, text_px: int) -> None:
        """`text_px` is the height of a value's letters, ascender to descender."""
        if not pygame.font.get_init():
            pygame.font.init()
        self._value_font = _font(text_px)
        self._caption_font = _font(max(9, round(text_px * 0.76)))
        self._pad_px = max(3, text_px // 3)
        self._panel_of: tuple[int, tuple[tuple[str, int], ...]] = (0, ())
        self._panel = pygame.Surface((0, 0))

    @property
    def panel_height_px(self) -> int:
        """Height of the panel at the bottom of the picture."""
        return self._value_font.get_height() + self._caption_font.get_height() + self._pad_px

    def draw_panel(self, surface: pygame.Surface, row: Sequence[Cell]) -> None:
        """Draw the cells onto a translucent panel along the bottom of the surface."""
        width, height = surface.get_size()
        top = height - self.panel_height_px
        places = self._places(row, width)
        surface.blit(self._captions(width, places), (0, top))
        value_top = top + self._pad_px // 2 + self._caption_font.get_height()
        values = {cell.caption: cell.value for cell in row}
        surface.blits(
            [(_text(self._value_font, values[name], VALUE_RGB), (left, value_top)) for name, left in places], doreturn=0
        )

    def draw_chip(
        self, surface: pygame.Surface, left_px: int, name: str, frame_id: int, *, alert: bool = False
    ) -> None:
        """Burn a half's name and frame id into its top left corner."""
        name_text = _text(self._value_font, name, NOTICE_RGB if alert else VALUE_RGB)
        id_text = _text(self._value_font, f"frame {frame_id}", CAPTION_RGB)
        gap = self._pad_px * 2
        width = name_text.get_width() + id_text.get_width() + 3 * gap
        surface.blit(_panel(width, self._value_font.get_height() + self._pad_px, PANEL_RGBA), (left_px, 0))
        surface.blit(name_text, (left_px + gap, self._pad_px // 2))
        surface.blit(id_text, (left_px + 2 * gap + name_text.get_width(), self._pad_px // 2))

    def draw_notice(self, surface: pygame.Surface, sentence: str, *, danger: bool = True) -> None:
        """Write a sentence across the middle of the upper half, on as many lines as it needs."""
        width, height = surface.get_size()
        lines = self._wrap(sentence, width - 8 * self._pad_px)
        self._draw_lines(surface, lines, height // 4, NOTICE_RGB if danger else VALUE_RGB)

    def draw_help(self, surface: pygame.Surface, rows: Sequence[tuple[str, str]]) -> None:
        """Show the table of keys in the middle of the surface."""
        width, height = surface.get_size()
        fonts = self._value_font
        key_width = max(fonts.size(keys)[0] for keys, _ in rows)
        panel_width = key_width + max(fonts.size(text)[0] for _, text in rows) + 6 * self._pad_px
        line = fonts.get_height() + max(0, min(self._pad_px // 2, height // len(rows) - fonts.get_height()))
        panel_height = line * len(rows) + 2 * self._pad_px
        left, top = (width - panel_width) // 2, max(0, (height - panel_height) // 2)
        surface.blit(_panel(panel_width, panel_height, (*PANEL_RGBA[:3], 224)), (left, top))
        for index, (keys, text) in enumerate(rows):
            y = top + self._pad_px + index * line
            surface.blit(_text(fonts, keys, NOTICE_RGB), (left + 2 * self._pad_px, y))
            surface.blit(_text(fonts, text, VALUE_RGB), (left + 4 * self._pad_px + key_width, y))

    def _draw_lines(self, surface: pygame.Surface, lines: Sequence[str], middle_px: int, color: Color) -> None:
        line = self._value_font.get_height()
        width = max(self._value_font.size(text)[0] for text in lines) + 4 * self._pad_px
        height = line * len(lines) + 2 * self._pad_px
        left, top = (surface.get_width() - width) // 2, max(0, middle_px - height // 2)
        surface.blit(_panel(width, height, NOTICE_PANEL_RGBA), (left, top))
        for index, text in enumerate(lines):
            drawn = _text(self._value_font, text, color)
            surface.blit(drawn, ((surface.get_width() - drawn.get_width()) // 2, top + self._pad_px + index * line))

    def _wrap(self, sentence: str, width_px: int) -> list[str]:
        lines = [""]
        for word in sentence.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and self._value_font.size(longer)[0] > width_px:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines

    def _cell_width(self, cell: Cell) -> int:
        return _cell_width_px(self._value_font, self._caption_font, cell) + self._pad_px * 4

    def _places(self, row: Sequence[Cell], width_px: int) -> tuple[tuple[str, int], ...]:
        """Caption and left edge of each cell that fits."""
        kept = self._that_fit(row, width_px)
        right = [kept[caption] for caption in RIGHT if caption in kept]
        places: list[tuple[str, int]] = []
        for cells_of_side, start_px in (
            ([kept[caption] for caption in LEFT if caption in kept], self._pad_px * 2),
            (right, width_px - sum(map(self._cell_width, right))),
        ):
            left_px = start_px
            for cell in cells_of_side:
                places.append((cell.caption, left_px))
                left_px += self._cell_width(cell)
        return tuple(places)

    def _captions(self, width_px: int, places: tuple[tuple[str, int], ...]) -> pygame.Surface:
        """The panel with its captions, which stand still: drawn anew only when a cell moves."""
        if self._panel_of != (width_px, places):
            self._panel_of = (width_px, places)
            self._panel = _panel(width_px, self.panel_height_px, PANEL_RGBA).copy()
            for caption, left_px in places:
                self._panel.blit(_text(self._caption_font, caption, CAPTION_RGB), (left_px, self._pad_px // 2))
        return self._panel

    def _that_fit(self, row: Sequence[Cell], width_px: int) -> dict[str, Cell]:
        """The most important cells whose widths fit, by caption."""
        left, kept = width_px - 2 * self._pad_px, {}
        for cell in row:
            left -= self._cell_width(cell)
            if left < 0:
                break
            kept[cell.caption] = cell
        return kept


def text_height_px(width_px: int, height_px: int) -> int:
    """Return the text size for a picture: readable on a small one, not shouting on a large one."""
    return max(11, min(round(height_px / 21), round(width_px / 78)))


def _rate(rate_hz: float) -> str:
    return f"{rate_hz:.1f} Hz"


@lru_cache(maxsize=16)
def _font(height_px: int) -> pygame.font.Font:
    return pygame.font.Font(str(Path(pygame.__file__).with_name("freesansbold.ttf")), height_px)


@lru_cache(maxsize=512)
def _text(font: pygame.font.Font, text: str, color: Color) -> pygame.Surface:
    return font.render(text, True, color)


@lru_cache(maxsize=512)
def _width_px(font: pygame.font.Font, text: str) -> int:
    return font.size(text)[0]


@lru_cache(maxsize=32)
def _panel(width_px: int, height_px: int, color_rgba: tuple[int, int, int, int]) -> pygame.Surface:
    surface = pygame.Surface((width_px, height_px), pygame.SRCALPHA)
    surface.fill(color_rgba)
    return surface


@lru_cache(maxsize=512)
def _cell_width_px(value_font: pygame.font.Font, caption_font: pygame.font.Font, cell: Cell) -> int:
    value = max(_width_px(value_font, cell.value), _width_px(value_font, cell.widest))
    return max(value, _width_px(caption_font, cell.caption))
