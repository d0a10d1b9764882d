"""One picture from one frame pair, in any layout and size, with its HUD.

The same composer feeds the window and the video. It draws onto a 32-bit surface: the window's own, so that a frame
costs one pass over its pixels, or one of its own that needs no display.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import pygame
import pygame.draw
import pygame.surfarray
from numpy.typing import NDArray

from bridge.protocol.frames import EgoState, FramePair, SensorFrame
from clients.viewer.canvas import Canvases
from clients.viewer.hud import Cell, Hud, HudState, cells, text_height_px
from clients.viewer.keys import help_page
from clients.viewer.layouts import LAYOUTS, Box, Layout, Placed, ViewPlane, next_layout, place
from clients.viewer.view import PlanePictures, View

BACKGROUND_RGB: Final = (0, 0, 0)
WAITING_RGB: Final = (18, 20, 24)
LINE_RGB: Final = (244, 246, 248)
GRAB_PX: Final = 14  # how near the mouse must be to the line to take it


class Composer:
    """Draws frame pairs; the layout, the size and what is shown beside the pictures can be switched at any time.

    `size_px` is (width, height) of the picture that `render` makes, None for the layout's natural size; text is drawn
    at that size, so that it is sharp in a window of any size. `split` is the place of the wipe's line and the blend's
    share of the original, 0..1. `show_labels` blends the label map's colours over the original; `show_hud` and
    `show_help` are the panels. `help_rows` are the keys and what they do; `names` what the original and the synthesized
    picture are called, "" for what they are; `caption` a sentence as subtitles stand.
    """

    def __init__(self, layout: Layout = LAYOUTS[0]) -> None:
        self.layout = layout
        self.size_px: tuple[int, int] | None = None
        self.split = 0.5
        self.show_labels = False
        self.show_hud = True
        self.show_help = False
        self.help_rows: Sequence[tuple[str, str]] = help_page()
        self.names: tuple[str, str] = ("", "")
        self.caption = ""
        self._canvases = Canvases()
        self._hud = Hud(11)
        self._hud_px = 11
        self._view = View()
        self._drawn_on: tuple[object, ...] = ()
        self._stale: list[pygame.Rect] = []
        self._row_of: tuple[HudState, int, bool] | None = None
        self._cells: tuple[Cell, ...] = ()
        self._placed: Placed | None = None
        self._frame_px = (1, 1)
        self._grabbed = False

    # -- pictures ------------------------------------------------------------------------------------------------

    def render(self, pair: FramePair, hud: HudState) -> NDArray[np.uint8]:
        """Return the pair as a picture, (H,W,4) u8 BGRA, read-only.

        Where nothing was rendered the original stands for the synthesized picture, and its caption says so.
        """
        surface, picture_bgra = self._take_canvas(_size_px(pair.sensor))
        self.draw(surface, pair, hud)
        return picture_bgra

    def render_rgb(self, pair: FramePair, hud: HudState) -> NDArray[np.uint8]:
        """Return the same picture as (H,W,3) u8 RGB, a copy."""
        return np.asarray(cv2.cvtColor(self.render(pair, hud), cv2.COLOR_BGRA2RGB), np.uint8)

    def waiting(self, width_px: int, height_px: int, sentence: str) -> NDArray[np.uint8]:
        """Return a dark picture for frames of this size, (H,W,4) u8 BGRA, that says what is being waited for."""
        surface, picture_bgra = self._take_canvas((width_px, height_px))
        self.draw_waiting(surface, sentence)
        return picture_bgra

    def draw(self, surface: pygame.Surface, pair: FramePair, hud: HudState) -> None:
        """Draw a pair over all of a surface, which must have the masks of BGRA."""
        sensor = pair.sensor
        self._frame_px = _size_px(sensor)
        self._use_text_for(surface)
        panel_px = self._hud.panel.tallest_px(surface.get_height()) if self.show_hud else 0
        placed = self._placed = place(self.layout, self._frame_px, surface.get_size(), panel_px)
        self._refresh(surface, placed)
        pictures = PlanePictures(pair, self._view.before(sensor), self.show_labels)
        self._draw_planes(surface, placed, pictures)
        self._frame_tiles(surface, placed)
        if self.show_hud:
            self._draw_names(surface, placed, pictures, pair)
            self._stale.append(self._hud.draw_panel(surface, self._row(sensor.ego, hud), hud))
        if self.caption:
            self._stale.append(self._hud.draw_caption(surface, self.caption))
        if notice := hud.notice or pair.notice:
            self._stale.append(self._hud.draw_notice(surface, notice, chips_px=placed.board.top))
        if self.show_help:
            self._stale.append(self._hud.draw_help(surface, self.help_rows))

    def draw_waiting(self, surface: pygame.Surface, sentence: str) -> None:
        """Draw a dark picture that says what is being waited for."""
        self._drawn_on = ()
        self._use_text_for(surface)
        surface.fill(WAITING_RGB)
        self._hud.draw_notice(surface, sentence, danger=False)
        if self.show_help:
            self._hud.draw_help(surface, self.help_rows)

    # -- what a person does --------------------------------------------------------------------------------------

    def switch_layout(self, steps: int) -> None:
        """Show the layout so many places further in the list."""
        self.layout = next_layout(self.layout, steps)

    def move_split(self, share: float) -> None:
        """Move the wipe's line, or the blend, by that much of the picture's width."""
        self.split = min(1.0, max(0.0, self.split + share))

    def pixel_at(self, at_px: tuple[float, float]) -> tuple[ViewPlane, int, int] | None:
        """Return plane, column and row of the frame's pixel that was last drawn at a point, None beside them all."""
        return self._placed.pixel_at(*at_px, self._frame_px) if self._placed is not None else None

    def grab(self, at_px: tuple[float, float]) -> bool:
        """Take the line of the wipe, or the blend's, if a point lies on it; return whether it does."""
        box = self._mix_box()
        if box is None or not box.holds(*at_px):
            return False
        line_px = box.left + self.split * box.width
        self._grabbed = self.layout.mix == "blend" or abs(at_px[0] - line_px) <= max(GRAB_PX, box.width // 60)
        if self._grabbed:
            self.drag(at_px)
        return self._grabbed

    def drag(self, at_px: tuple[float, float]) -> bool:
        """Move the line, if it was taken, to a point; return whether it was."""
        box = self._mix_box()
        if self._grabbed and box is not None:
            self.split = min(1.0, max(0.0, (at_px[0] - box.left) / box.width))
        return self._grabbed

    def release(self) -> bool:
        """Let go of the line; return whether it was taken."""
        grabbed, self._grabbed = self._grabbed, False
        return grabbed

    def _mix_box(self) -> Box | None:
        return self._placed.tiles[0][1] if self._placed is not None and self.layout.mix else None

    # -- the parts of a picture ----------------------------------------------------------------------------------

    def _take_canvas(self, frame_px: tuple[int, int]) -> tuple[pygame.Surface, NDArray[np.uint8]]:
        return self._canvases.take(self.size_px or self.layout.natural_size_px(frame_px))

    def _use_text_for(self, surface: pygame.Surface) -> None:
        wanted_px = text_height_px(*surface.get_size())
        if wanted_px != self._hud_px:
            self._hud, self._hud_px = Hud(wanted_px), wanted_px

    def _refresh(self, surface: pygame.Surface, placed: Placed) -> None:
        """Clear what tiles do not cover: all of it on a new surface, else only what was drawn there."""
        drawn_on = (id(surface), surface.get_size(), placed)
        board = pygame.Rect(placed.board.left, placed.board.top, placed.board.width, placed.board.height)
        if drawn_on != self._drawn_on:
            if not placed.fills(surface.get_size()):
                surface.fill(BACKGROUND_RGB)
            self._drawn_on = drawn_on
        else:
            for rect in self._stale:
                if not board.contains(rect):
                    surface.fill(BACKGROUND_RGB, rect)
        self._stale.clear()

    def _row(self, ego: EgoState, hud: HudState) -> tuple[Cell, ...]:
        """The panel's cells: the speed changes when the other figures do, so that the panel need not be drawn anew."""
        shown = (hud, ego.gear, ego.autopilot)
        if shown != self._row_of:
            self._row_of = shown
            self._cells = cells(hud, ego.speed_m_s, ego.gear, ego.autopilot)
        return self._cells

    def _draw_planes(self, surface: pygame.Surface, placed: Placed, pictures: PlanePictures) -> None:
        # The surface stays locked while this array lives: nothing can be blitted meanwhile.
        pixels = pygame.surfarray.pixels2d(surface).T
        canvas_bgra = pixels.view(np.uint8).reshape(*pixels.shape, 4)
        for plane, box in placed.tiles:
            part = canvas_bgra[box.top : box.bottom, box.left : box.right]
            if self.layout.mix:
                self._view.draw_mixed(part, pictures, self.layout.mix, self.split)
            else:
                self._view.draw(part, pictures.rgb(plane), sharp=plane in ("labels", "instances"))

    def _frame_tiles(self, surface: pygame.Surface, placed: Placed) -> None:
        """The line of a wipe, and the edge of a picture in a picture."""
        thickness = max(2, self._hud_px // 8)
        if self.layout.mix == "wipe":
            box = placed.tiles[0][1]
            x = box.left + round(self.split * box.width)
            rect = pygame.Rect(x - thickness // 2, box.top, thickness, box.height)
            self._stale.append(surface.fill(LINE_RGB, rect))
            handle = pygame.Rect(0, 0, self._hud_px, 2 * self._hud_px)
            handle.center = (x, box.top + box.height // 2)
            self._stale.append(pygame.draw.rect(surface, LINE_RGB, handle, border_radius=self._hud_px // 2))
        elif self.layout.name == "picture-in-picture":
            box = placed.tiles[-1][1]
            edge = pygame.Rect(box.left, box.top, box.width, box.height).inflate(2 * thickness, 2 * thickness)
            pygame.draw.rect(surface, LINE_RGB, edge, thickness)

    def _draw_names(self, surface: pygame.Surface, placed: Placed, pictures: PlanePictures, pair: FramePair) -> None:
        frame = f"frame {pair.sensor.frame_id}"
        original = self.names[0] or ("original" if pair.sensor.rgb is not None else "label map")
        missing = pair.rendered is None
        synthesized = f"{original}, not synthesized" if missing else self.names[1] or "synthesized"
        original += " + labels" if self.show_labels else ""
        if self.layout.mix:
            box = placed.tiles[0][1]
            share = (
                f"{original} | {synthesized}" if self.layout.mix == "wipe" else self._blend_name(original, synthesized)
            )
            self._stale.append(self._hud.draw_chip(surface, box.left, box.top, share, frame, alert=missing))
            return
        for plane, box in placed.tiles:
            alert = False
            if plane == "original":
                name, note = original, frame
            elif plane == "synthesized":
                name, note, alert = synthesized, frame, missing
            else:
                name, note = pictures.name(plane), ""
            self._stale.append(self._hud.draw_chip(surface, box.left, box.top, name, note, alert=alert))

    def _blend_name(self, original: str, synthesized: str) -> str:
        return f"{round(100 * self.split)} % {original} + {round(100 * (1 - self.split))} % {synthesized}"


def _size_px(sensor: SensorFrame) -> tuple[int, int]:
    height, width = sensor.label_map.shape
    return width, height
