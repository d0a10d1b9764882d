"""The window of a replay: plays a recording, pauses, steps, and jumps to where the mouse points on its time line."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pygame

from bridge.protocol.frames import FramePair
from clients.recordings.replay import PairSource, Player, position_text
from clients.viewer.composer import Composer
from clients.viewer.hud import HudState
from clients.viewer.window import Window

REFRESH_S: Final = 1 / 60
TIME_LINE_SHARE: Final = 0.06  # of the picture's height, at its lower edge: where the mouse scrubs
LINE_RGB: Final = (160, 170, 182)
READY_RGB: Final = (78, 84, 90)
PLAYED_RGB: Final = (255, 196, 84)


@dataclass(frozen=True)
class PlaybackKey:
    """One thing that a key does to a replay."""

    names: str
    codes: tuple[int, ...]
    does: str
    act: Callable[[Playback], None]


class Playback:
    """A replay in a window. For the main thread; without a window its methods are those that the keys call."""

    def __init__(
        self,
        source: PairSource,
        player: Player,
        hud: Callable[[FramePair, str], HudState],
        composer: Composer | None = None,
    ) -> None:
        self.player = player
        self.composer = composer or Composer()
        self.composer.help_rows = tuple((key.names, key.does) for key in KEYS)
        self.closed = False
        self._source = source
        self._hud = hud
        self._pair: tuple[int, FramePair] | None = None
        self._scrubbing = False

    def run(self, width_px: int, height_px: int) -> None:
        """Show the replay, whose frames have that size, until a person closes it. Raises what ends the rendering."""
        with Window("vidrive replay", *self.composer.layout.natural_size_px((width_px, height_px))) as window:
            before_s = time.monotonic()
            while not self.closed:
                window.draw(self.draw)
                for event in window.take_events():
                    self.take(event, window)
                now_s = time.monotonic()
                time.sleep(max(0.0, before_s + REFRESH_S - now_s))
                now_s = time.monotonic()
                self.player.advance(now_s - before_s)
                before_s = now_s

    def draw(self, surface: pygame.Surface) -> None:
        """Draw the picture of where the player is, with its time line."""
        player = self.player
        player.num_ready = self._source.num_ready
        if not player.num_ready:
            self.composer.draw_waiting(surface, "rendering the first frame")
            return
        index = player.index
        if self._pair is None or self._pair[0] != index:
            self._pair = index, self._source.pair(index)
        pair = self._pair[1]
        state = "" if player.playing else "paused, "
        speed = f" x{player.speed:g}" if player.speed != 1.0 else ""
        if player.waiting:
            state = f"rendering {player.num_ready} of {len(self._source)}, "
        position = state + position_text(player.time_s, player.duration_s) + speed
        self.composer.draw(surface, pair, self._hud(pair, position))
        self._draw_time_line(surface)

    def take(self, event: pygame.event.Event, window: Window) -> None:
        """Do what a key or the mouse asks for."""
        if event.type == pygame.QUIT:
            self.closed = True
        elif event.type == pygame.KEYDOWN and event.key in _BY_CODE:
            _BY_CODE[event.key].act(self)
        elif event.type == pygame.KEYDOWN and event.key == pygame.K_F11:
            window.toggle_full_screen()
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
            x, y = window.to_surface_px(event.pos)
            width, height = window.size_px
            self._scrubbing = y > (1.0 - 2 * TIME_LINE_SHARE) * height
            self._scrub(x / width)
            if not self._scrubbing:
                self.composer.grab((x, y))
        elif event.type == pygame.MOUSEMOTION:
            x, y = window.to_surface_px(event.pos)
            self._scrub(x / window.size_px[0])
            self.composer.drag((x, y))
        elif event.type == pygame.MOUSEBUTTONUP:
            self._scrubbing = False
            self.composer.release()

    def _scrub(self, fraction: float) -> None:
        if self._scrubbing:
            self.player.scrub(min(1.0, max(0.0, fraction)))

    def _draw_time_line(self, surface: pygame.Surface) -> None:
        """Draw a thin line along the lower edge: played, ready, and the rest."""
        width, height = surface.get_size()
        thickness = max(2, round(height * TIME_LINE_SHARE / 8))
        last = max(1, len(self._source) - 1)
        for color, share in (
            (LINE_RGB, 1.0),
            (READY_RGB, (self.player.num_ready - 1) / last),
            (PLAYED_RGB, self.player.index / last),
        ):
            surface.fill(color, pygame.Rect(0, height - thickness, max(2, round(width * share)), thickness))


def _close(playback: Playback) -> None:
    playback.closed = True


def _switch(name: str) -> Callable[[Playback], None]:
    def switch(playback: Playback) -> None:
        setattr(playback.composer, name, not getattr(playback.composer, name))

    return switch


KEYS: Final[tuple[PlaybackKey, ...]] = (
    PlaybackKey("space", (pygame.K_SPACE, pygame.K_k), "pause or go on", lambda p: p.player.toggle()),
    PlaybackKey("right, .", (pygame.K_RIGHT, pygame.K_PERIOD), "one frame on", lambda p: p.player.step(1)),
    PlaybackKey("left, ,", (pygame.K_LEFT, pygame.K_COMMA), "one frame back", lambda p: p.player.step(-1)),
    PlaybackKey("page down", (pygame.K_PAGEDOWN,), "twenty frames on", lambda p: p.player.step(20)),
    PlaybackKey("page up", (pygame.K_PAGEUP,), "twenty frames back", lambda p: p.player.step(-20)),
    PlaybackKey("home", (pygame.K_HOME,), "to the beginning", lambda p: p.player.go_to(0)),
    PlaybackKey("end", (pygame.K_END,), "to the end", lambda p: p.player.go_to(1 << 40)),
    PlaybackKey("up", (pygame.K_UP,), "faster", lambda p: p.player.change_speed(1)),
    PlaybackKey("down", (pygame.K_DOWN,), "slower", lambda p: p.player.change_speed(-1)),
    PlaybackKey("V", (pygame.K_v,), "next layout", lambda p: p.composer.switch_layout(1)),
    PlaybackKey("B", (pygame.K_b,), "layout before", lambda p: p.composer.switch_layout(-1)),
    PlaybackKey("Z", (pygame.K_z,), "line of the wipe to the left, or drag it", lambda p: p.composer.move_split(-0.05)),
    PlaybackKey("X", (pygame.K_x,), "line of the wipe to the right", lambda p: p.composer.move_split(0.05)),
    PlaybackKey("F11", (), "full screen", lambda _: None),
    PlaybackKey("L", (pygame.K_l,), "label overlay on or off", _switch("show_labels")),
    PlaybackKey("F1", (pygame.K_F1,), "HUD on or off", _switch("show_hud")),
    PlaybackKey("H, ?", (pygame.K_h, pygame.K_QUESTION), "this help", _switch("show_help")),
    PlaybackKey("escape", (pygame.K_ESCAPE,), "quit", _close),
)
_BY_CODE: Final = {code: key for key in KEYS for code in key.codes}
