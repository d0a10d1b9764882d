"""Text and translucent panels as pygame surfaces, drawn once and kept: with the typeface that ships with pygame."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pygame
import pygame.font

Color = tuple[int, int, int]


def text_height_px(width_px: int, height_px: int) -> int:
    """Return the text size for a picture: readable on a small one, not shouting on a large one."""
    return max(11, min(round(height_px / 21), round(width_px / 78)))


@lru_cache(maxsize=16)
def font(height_px: int) -> pygame.font.Font:
    """Return the typeface at a size."""
    if not pygame.font.get_init():
        pygame.font.init()
    return pygame.font.Font(str(Path(pygame.__file__).with_name("freesansbold.ttf")), height_px)


@lru_cache(maxsize=512)
def text(of_font: pygame.font.Font, sentence: str, color: Color) -> pygame.Surface:
    """Return a line of text."""
    return of_font.render(sentence, True, color)


@lru_cache(maxsize=512)
def width_px(of_font: pygame.font.Font, sentence: str) -> int:
    """Return how wide a line of text is."""
    return of_font.size(sentence)[0]


@lru_cache(maxsize=32)
def panel(width: int, height: int, color_rgba: tuple[int, int, int, int]) -> pygame.Surface:
    """Return a translucent rectangle; whoever draws on it takes a copy."""
    surface = pygame.Surface((max(1, width), max(1, height)), pygame.SRCALPHA)
    surface.fill(color_rgba)
    return surface


def wrap(of_font: pygame.font.Font, sentence: str, longest_px: int) -> list[str]:
    """Return a sentence as lines that are no longer than this, where its words allow."""
    lines = [""]
    for word in sentence.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and of_font.size(longer)[0] > longest_px:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
