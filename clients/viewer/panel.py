"""The panel along the lower edge: figures, a verdict, and the last frames' stages as a sparkline.

It is drawn anew only when something on it changes; a frame costs one blit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pygame
import pygame.draw

from clients.viewer import text
from clients.viewer.state import LEFT, RIGHT, STAGE_COLORS, Cell, HudState

PANEL_RGBA: Final = (12, 14, 18, 186)
VALUE_RGB: Final[text.Color] = (244, 246, 248)
CAPTION_RGB: Final[text.Color] = (160, 170, 182)
BUDGET_RGBA: Final = (255, 255, 255, 150)
TALLEST_SHARE: Final = 0.24  # of the picture's height, for the panel with its second row
SPARKLINE_SHARE: Final = 0.26  # of the picture's width


class Panel:
    """Draws the HUD's panel at one text size."""

    def __init__(self, text_px: int) -> None:
        """`text_px` is the height of a value's letters, ascender to descender."""
        self._value_font = text.font(text_px)
        self._caption_font = text.font(max(9, round(text_px * 0.76)))
        self._pad_px = max(3, text_px // 3)
        self._drawn: tuple[object, ...] = ()
        self._surface = pygame.Surface((0, 0))

    @property
    def height_px(self) -> int:
        """Height of the row of figures."""
        return self._value_font.get_height() + self._caption_font.get_height() + self._pad_px

    @property
    def second_row_px(self) -> int:
        """Height of the row with verdict and sparkline, which only pictures that are high enough have."""
        return self._value_font.get_height() + self._pad_px

    def tallest_px(self, picture_height_px: int) -> int:
        """Height of the panel with everything that a picture of this height has room for."""
        both_px = self.height_px + self.second_row_px
        return both_px if both_px <= TALLEST_SHARE * picture_height_px else self.height_px

    def surface(self, size_px: tuple[int, int], row: Sequence[Cell], hud: HudState) -> pygame.Surface:
        """Return the panel for a picture of this size."""
        width, height = size_px
        second = bool(hud.verdict or hud.history) and self.tallest_px(height) > self.height_px
        wanted = (width, second, tuple(row), *((hud.verdict, hud.history, hud.period_ms) if second else ()))
        if wanted != self._drawn:
            self._drawn = wanted
            panel_height = self.height_px + (self.second_row_px if second else 0)
            self._surface = text.panel(width, panel_height, PANEL_RGBA).copy()
            self._draw_cells(row, 0)
            if second:
                self._draw_verdict(hud, self.height_px)
        return self._surface

    def _draw_cells(self, row: Sequence[Cell], top_px: int) -> None:
        values = {cell.caption: cell.value for cell in row}
        value_top = top_px + self._pad_px // 2 + self._caption_font.get_height()
        for caption, left_px in self._places(row, self._surface.get_width()):
            caption_text = text.text(self._caption_font, caption, CAPTION_RGB)
            self._surface.blit(caption_text, (left_px, top_px + self._pad_px // 2))
            self._surface.blit(text.text(self._value_font, values[caption], VALUE_RGB), (left_px, value_top))

    def _draw_verdict(self, hud: HudState, top_px: int) -> None:
        width, pad = self._surface.get_width(), self._pad_px
        spark_width = round(width * SPARKLINE_SHARE) if hud.history else 0
        left_px = width - spark_width - 2 * pad
        if hud.history:
            box = pygame.Rect(left_px, top_px, spark_width, self.second_row_px - pad // 2)
            _draw_sparkline(self._surface, box, hud.history, hud.period_ms)
            for name, color in reversed(STAGE_COLORS.items()):
                label = text.text(self._caption_font, name, color)
                left_px -= label.get_width() + 2 * pad
                down = (self._value_font.get_height() - self._caption_font.get_height()) // 2
                self._surface.blit(label, (left_px, top_px + down))
        verdict = hud.verdict
        while verdict and text.width_px(self._value_font, verdict) > left_px - 4 * pad:
            verdict = verdict.rpartition(" ")[0]
        self._surface.blit(text.text(self._value_font, verdict, VALUE_RGB), (2 * pad, top_px))

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

    def _that_fit(self, row: Sequence[Cell], width_px: int) -> dict[str, Cell]:
        """The most important cells whose widths fit, by caption."""
        left, kept = width_px - 2 * self._pad_px, {}
        for cell in row:
            left -= self._cell_width(cell)
            if left < 0:
                break
            kept[cell.caption] = cell
        return kept

    def _cell_width(self, cell: Cell) -> int:
        value = max(text.width_px(self._value_font, cell.value), text.width_px(self._value_font, cell.widest))
        return max(value, text.width_px(self._caption_font, cell.caption)) + self._pad_px * 4


def _draw_sparkline(
    surface: pygame.Surface, box: pygame.Rect, history: Sequence[Sequence[float]], period_ms: float
) -> None:
    """Draw a bar a frame, its stages on top of each other in their colours, and a line where a frame's time is over."""
    totals = sorted(sum(stages) for stages in history)
    full_ms = max(1.3 * period_ms, totals[int(0.95 * (len(totals) - 1))], 1e-3)
    bar = box.width / len(history)
    for index, stages in enumerate(history):
        left = box.left + round(index * bar)
        width = max(1, box.left + round((index + 1) * bar) - left - (1 if bar >= 3 else 0))
        done_ms = 0.0
        for color, stage_ms in zip(STAGE_COLORS.values(), stages, strict=True):
            start, done_ms = _up(done_ms, full_ms, box), done_ms + stage_ms
            end = _up(done_ms, full_ms, box)
            if end > start:
                surface.fill(color, pygame.Rect(left, box.bottom - end, width, end - start))
    if period_ms:
        y = box.bottom - _up(period_ms, full_ms, box)
        surface.fill(BUDGET_RGBA, pygame.Rect(box.left, y, box.width, 1))


def _up(duration_ms: float, full_ms: float, box: pygame.Rect) -> int:
    return round(min(1.0, duration_ms / full_ms) * box.height)
