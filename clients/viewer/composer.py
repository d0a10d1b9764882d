"""One picture from one frame pair: original beside synthesized, with label overlay and HUD.

The same composer feeds the window and the video. It draws onto a plain BGRA array, so it needs no display.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import pygame
from numpy.typing import NDArray

from bridge.protocol.frames import FramePair, SensorFrame
from bridge.protocol.labels import palette
from clients.viewer.hud import Hud, HudState, cells, text_height_px
from clients.viewer.keys import help_rows

OVERLAY_OPACITY: Final = 0.6


class Composer:
    """Draws frame pairs; how large and what is shown beside them can be switched at any time.

    `half_size_px` is (width, height) of each half, None for the frames' own: text is drawn at that size, so that it is
    sharp in a window of any size. `show_labels` blends the label map's colours over the original; `show_hud` and
    `show_help` are the panels. `help_rows` are the keys and what they do; `names` what the halves are called, "" for
    what they are.
    """

    def __init__(self) -> None:
        self.half_size_px: tuple[int, int] | None = None
        self.show_labels = False
        self.show_hud = True
        self.show_help = False
        self.help_rows = help_rows()
        self.names: tuple[str, str] = ("", "")
        self._canvas_bgra = np.zeros((0, 0, 4), np.uint8)
        self._surface: pygame.Surface | None = None
        self._hud: Hud | None = None

    def render(self, pair: FramePair, hud: HudState) -> NDArray[np.uint8]:
        """Return the pair side by side, (H, 2W, 4) u8 BGRA, valid until the next call.

        Where nothing was rendered the original stands on both sides, and its caption says so.
        """
        sensor, rendered = pair.sensor, pair.rendered
        width, height = self.half_size_px or sensor.label_map.shape[::-1]
        surface, text = self._prepare(width, height)
        left, right = self._canvas_bgra[:, :width], self._canvas_bgra[:, width:]
        original = _picture(sensor)
        _draw(_with_labels(original, sensor) if self.show_labels else original, left)
        _draw(original if rendered is None else rendered.rgb, right)
        if self.show_hud:
            ego = sensor.ego
            text.draw_panel(surface, cells(hud, ego.speed_m_s, ego.gear, ego.autopilot))
            name = self.names[0] or ("original" if sensor.rgb is not None else "label map")
            text.draw_chip(surface, 0, name + (" + labels" if self.show_labels else ""), sensor.frame_id)
            if rendered is None:
                text.draw_chip(surface, width, f"{name}, not synthesized", sensor.frame_id, alert=True)
            else:
                text.draw_chip(surface, width, self.names[1] or "synthesized", rendered.frame_id)
        if notice := hud.notice or pair.notice:
            text.draw_notice(surface, notice)
        if self.show_help:
            text.draw_help(surface, self.help_rows)
        return self._canvas_bgra

    def render_rgb(self, pair: FramePair, hud: HudState) -> NDArray[np.uint8]:
        """Return the same picture as (H, 2W, 3) u8 RGB, a copy."""
        return np.asarray(cv2.cvtColor(self.render(pair, hud), cv2.COLOR_BGRA2RGB), np.uint8)

    def waiting(self, width_px: int, height_px: int, sentence: str) -> NDArray[np.uint8]:
        """Return a dark picture for halves of this size, (H, 2W, 4) u8 BGRA, that says what is being waited for."""
        surface, text = self._prepare(*(self.half_size_px or (width_px, height_px)))
        surface.fill((18, 20, 24))
        text.draw_notice(surface, sentence, danger=False)
        if self.show_help:
            text.draw_help(surface, self.help_rows)
        return self._canvas_bgra

    def _prepare(self, width_px: int, height_px: int) -> tuple[pygame.Surface, Hud]:
        """The canvas for halves of this size: a surface and an array that share their memory, and the text on it."""
        if self._surface is None or self._hud is None or self._canvas_bgra.shape[:2] != (height_px, 2 * width_px):
            self._canvas_bgra = np.full((height_px, 2 * width_px, 4), 255, np.uint8)
            self._surface = pygame.image.frombuffer(self._canvas_bgra.data.cast("B"), (2 * width_px, height_px), "BGRA")
            self._hud = Hud(text_height_px(2 * width_px, height_px))
        return self._surface, self._hud


def _picture(sensor: SensorFrame) -> NDArray[np.uint8]:
    """The camera's picture, (H,W,3) RGB; a rig without one shows its label map in colours."""
    return sensor.rgb if sensor.rgb is not None else _colored(sensor)


def _colored(sensor: SensorFrame) -> NDArray[np.uint8]:
    return np.asarray(cv2.applyColorMap(sensor.label_map, _color_table(sensor.label_space)), np.uint8)


def _with_labels(rgb: NDArray[np.uint8], sensor: SensorFrame) -> NDArray[np.uint8]:
    blended = cv2.addWeighted(_colored(sensor), OVERLAY_OPACITY, rgb, 1.0 - OVERLAY_OPACITY, 0.0)
    return np.asarray(blended, np.uint8)


def _draw(rgb: NDArray[np.uint8], half_bgra: NDArray[np.uint8]) -> None:
    """Fill one half of the canvas; a picture of another size is fitted to it."""
    if rgb.shape[:2] != half_bgra.shape[:2]:
        height, width = half_bgra.shape[:2]
        method = cv2.INTER_AREA if width < rgb.shape[1] else cv2.INTER_LINEAR
        rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=method), np.uint8)
    cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA, dst=half_bgra)


@lru_cache(maxsize=8)
def _color_table(label_space: str) -> NDArray[np.uint8]:
    # Three channels in, three channels out: OpenCV calls them BGR, here they are RGB throughout.
    return np.ascontiguousarray(palette(label_space).reshape(256, 1, 3))
