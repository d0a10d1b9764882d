"""Surfaces to draw on that need no display, and the pictures that share their memory."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import numpy as np
import pygame
from numpy.typing import NDArray


@dataclass
class _Canvas:
    memory: bytearray
    surface: pygame.Surface
    lent: weakref.ref[NDArray[np.uint8]]


class Canvases:
    """Surfaces of one size; what was drawn on one is drawn over only when nobody refers to its picture any more.

    So whoever gets a picture may keep it for as long as it likes, in another thread too, without copying it.
    """

    def __init__(self) -> None:
        self._canvases: list[_Canvas] = []
        self._size_px = (0, 0)

    def take(self, size_px: tuple[int, int]) -> tuple[pygame.Surface, NDArray[np.uint8]]:
        """Return a surface of (width, height) with the masks of BGRA, and its picture, (H,W,4) u8 BGRA, read-only."""
        if size_px != self._size_px:
            self._canvases.clear()
            self._size_px = size_px
        canvas = next((canvas for canvas in self._canvases if canvas.lent() is None), None) or self._add()
        # Every view of a picture refers to this array, whatever it was made of.
        owner = np.frombuffer(canvas.memory, np.uint8)
        canvas.lent = weakref.ref(owner)
        picture_bgra = owner.reshape(size_px[1], size_px[0], 4)
        picture_bgra.flags.writeable = False
        return canvas.surface, picture_bgra

    def _add(self) -> _Canvas:
        memory = bytearray(b"\xff") * (self._size_px[0] * self._size_px[1] * 4)
        surface = pygame.image.frombuffer(memory, self._size_px, "BGRA")
        canvas = _Canvas(memory, surface, weakref.ref(np.empty(0, np.uint8)))
        self._canvases.append(canvas)
        return canvas
