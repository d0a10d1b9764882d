"""The head-up display: panel, captions, notices and help, drawn onto a picture. It needs no display."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, TypeAlias

import pygame

from clients.viewer import text
from clients.viewer.panel import CAPTION_RGB, PANEL_RGBA, VALUE_RGB, Panel
from clients.viewer.state import Cell, HudState, cells
from clients.viewer.text import Color, text_height_px

__all__ = ["Cell", "Hud", "HudState", "cells", "text_height_px"]

NOTICE_RGB: Final[Color] = (255, 196, 84)
NOTICE_PANEL_RGBA: Final = (54, 34, 0, 216)
HELP_PANEL_RGBA: Final = (*PANEL_RGBA[:3], 232)
COLUMN_SHARE: Final = 0.92  # of the picture's width that the help may take
HelpRows: TypeAlias = tuple[tuple[str, str], ...]


class Hud:
    """Draws onto 32-bit pygame surfaces at one text size; what is drawn returns the rectangle that it covers."""

    def __init__(self, text_px: int) -> None:
        """`text_px` is the height of a value's letters, ascender to descender."""
        self.panel = Panel(text_px)
        self._font = text.font(text_px)
        self._text_px = text_px
        self._pad_px = max(3, text_px // 3)

    @property
    def panel_height_px(self) -> int:
        """Height of the panel at the bottom of the picture, without its second row."""
        return self.panel.height_px

    def draw_panel(self, surface: pygame.Surface, row: Sequence[Cell], hud: HudState) -> pygame.Rect:
        """Draw the panel along the bottom of the surface."""
        drawn = self.panel.surface(surface.get_size(), row, hud)
        return surface.blit(drawn, (0, surface.get_height() - drawn.get_height()))

    @property
    def chip_height_px(self) -> int:
        """Height of a tile's name."""
        return self._font.get_height() + self._pad_px

    def draw_chip(
        self, surface: pygame.Surface, left_px: int, top_px: int, name: str, note: str = "", *, alert: bool = False
    ) -> pygame.Rect:
        """Burn a tile's name, and its frame id as a note, into its top left corner."""
        gap = self._pad_px * 2
        name_text = text.text(self._font, name, NOTICE_RGB if alert else VALUE_RGB)
        note_text = text.text(self._font, note, CAPTION_RGB) if note else None
        width = name_text.get_width() + 2 * gap + (note_text.get_width() + gap if note_text else 0)
        plate = text.panel(width, self.chip_height_px, PANEL_RGBA)
        covered = surface.blit(plate, (left_px, top_px))
        surface.blit(name_text, (left_px + gap, top_px + self._pad_px // 2))
        if note_text:
            surface.blit(note_text, (left_px + 2 * gap + name_text.get_width(), top_px + self._pad_px // 2))
        return covered

    def draw_notice(
        self, surface: pygame.Surface, sentence: str, *, danger: bool = True, chips_px: int | None = None
    ) -> pygame.Rect:
        """Write a sentence across the middle of the upper half, on as many lines as it needs.

        `chips_px` is where the upper row of tiles, and of their names, begins: the sentence lies below it or above.
        """
        width, height = surface.get_size()
        names = range(0) if chips_px is None else range(chips_px, chips_px + self.chip_height_px)
        color = NOTICE_RGB if danger else VALUE_RGB
        return self._draw_lines(surface, sentence, height // 4, color, width, clear_of=names)

    def draw_caption(self, surface: pygame.Surface, sentence: str) -> pygame.Rect:
        """Write a sentence above the panel, as subtitles stand."""
        width, height = surface.get_size()
        above = height - self.panel.height_px - self.panel.second_row_px - 2 * self._font.get_height()
        return self._draw_lines(surface, sentence, above, VALUE_RGB, round(0.8 * width), PANEL_RGBA)

    def draw_help(self, surface: pygame.Surface, rows: Sequence[tuple[str, str]]) -> pygame.Rect:
        """Show the table of keys above the panel, in as many columns and as small as it has to be.

        A row is (keys, what they do); one that says nothing of the second is a heading, with which a column may begin.
        """
        width = surface.get_width()
        room_px = surface.get_height() - self.panel.height_px - self.panel.second_row_px
        for text_px in range(self._text_px, 7, -1):
            of_font = text.font(text_px)
            for num_columns in (1, 2, 3):
                columns = help_columns(rows, num_columns)
                size = self._help_size(of_font, columns)
                if size[0] <= COLUMN_SHARE * width and size[1] <= room_px:
                    return self._draw_help(surface, of_font, columns, room_px)
        return self._draw_help(surface, text.font(8), help_columns(rows, 2), surface.get_height())

    def _help_size(self, of_font: pygame.font.Font, columns: Sequence[HelpRows]) -> tuple[int, int]:
        widths = sum(sum(_column_px(of_font, column)) + 5 * self._pad_px for column in columns)
        return widths + self._pad_px, of_font.get_height() * max(map(len, columns)) + 2 * self._pad_px

    def _draw_help(
        self, surface: pygame.Surface, of_font: pygame.font.Font, columns: Sequence[HelpRows], room_px: int
    ) -> pygame.Rect:
        width, height = self._help_size(of_font, columns)
        left, top = (surface.get_width() - width) // 2, max(0, (room_px - height) // 2)
        covered = surface.blit(text.panel(width, height, HELP_PANEL_RGBA), (left, top))
        for column in columns:
            keys_px, texts_px = _column_px(of_font, column)
            for index, (keys, does) in enumerate(column):
                y = top + self._pad_px + index * of_font.get_height()
                color = NOTICE_RGB if does else CAPTION_RGB
                surface.blit(text.text(of_font, keys, color), (left + 2 * self._pad_px, y))
                surface.blit(text.text(of_font, does, VALUE_RGB), (left + 4 * self._pad_px + keys_px, y))
            left += keys_px + texts_px + 5 * self._pad_px
        return covered

    def _draw_lines(
        self,
        surface: pygame.Surface,
        sentence: str,
        middle_px: int,
        color: Color,
        room_px: int,
        panel_rgba: tuple[int, int, int, int] = NOTICE_PANEL_RGBA,
        clear_of: range = range(0),
    ) -> pygame.Rect:
        lines = text.wrap(self._font, sentence, room_px - 8 * self._pad_px)
        line = self._font.get_height()
        width = max(self._font.size(words)[0] for words in lines) + 4 * self._pad_px
        height = line * len(lines) + 2 * self._pad_px
        left, top = (surface.get_width() - width) // 2, max(0, middle_px - height // 2)
        if top < clear_of.stop and clear_of.start < top + height:
            top = clear_of.stop + self._pad_px
        covered = surface.blit(text.panel(width, height, panel_rgba), (left, top))
        for index, words in enumerate(lines):
            drawn = text.text(self._font, words, color)
            surface.blit(drawn, ((surface.get_width() - drawn.get_width()) // 2, top + self._pad_px + index * line))
        return covered


def help_columns(rows: Sequence[tuple[str, str]], num_columns: int) -> tuple[HelpRows, ...]:
    """Return the rows in so many columns, the longest of which is as short as can be; under headings (rows that do
    nothing) they stay together."""
    starts = [k for k, (_, does) in enumerate(rows) if k == 0 or not does]
    if not any(not does for _, does in rows):
        starts = list(range(len(rows)))
    best: tuple[HelpRows, ...] = (tuple(rows),)
    for cuts in itertools.combinations(starts[1:], num_columns - 1):
        ends = (*cuts, len(rows))
        columns = tuple(tuple(rows[a:b]) for a, b in zip((0, *cuts), ends, strict=True))
        if len(best) < num_columns or max(map(len, columns)) < max(map(len, best)):
            best = columns
    return best


def _column_px(of_font: pygame.font.Font, rows: HelpRows) -> tuple[int, int]:
    """Widths of the keys and of what they do; a heading may reach over both."""
    keys_px = max((of_font.size(keys)[0] for keys, does in rows if does), default=0)
    heading_px = max((of_font.size(keys)[0] for keys, does in rows if not does), default=0)
    return keys_px, max(heading_px - keys_px, *(of_font.size(does)[0] for _, does in rows))
