"""The replay: where its player is, what keys and mouse do to it, and how frames that are not rendered yet are met."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pygame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.errors import LabelError, RenderRefused
from bridge.protocol.frames import FramePair, RenderedFrame
from clients.recordings.layouts import SceneIds
from clients.recordings.pairs import RecordedPairs
from clients.recordings.render_ahead import RenderAhead
from clients.recordings.replay import Beside, Player, hud_of
from clients.viewer.playback import KEYS, Playback
from clients.viewer.window import Window
from tests.unit.recording.recorded_drives import HEIGHT, WIDTH, make_pair, record

TIMES_S = [10.0 + 0.05 * i for i in range(11)]


def test_it_plays_in_simulation_time_and_stops_at_the_end() -> None:
    player = Player(TIMES_S)
    assert (player.index, player.playing) == (0, True)
    player.advance(0.12)
    assert (player.index, player.time_s) == (2, pytest.approx(0.1))
    player.change_speed(1)
    player.advance(0.1)
    assert (player.speed, player.index) == (2.0, 6)
    player.advance(60.0)
    assert (player.index, player.playing) == (10, False)
    player.toggle()
    assert (player.index, player.playing) == (0, True)


def test_pause_step_scrub() -> None:
    player = Player(TIMES_S)
    player.toggle()
    player.advance(1.0)
    assert player.index == 0
    player.step(3)
    player.step(-1)
    assert player.index == 2
    player.step(-20)
    assert player.index == 0
    player.scrub(0.5)
    assert player.index == 5
    player.scrub(1.0)
    assert player.index == 10
    player.go_to(1 << 40)
    assert (player.index, player.playing) == (10, False)


def test_it_waits_for_frames_that_are_not_ready() -> None:
    player = Player(TIMES_S)
    player.num_ready = 4
    player.advance(10.0)
    assert (player.index, player.waiting, player.playing) == (3, True, True)
    player.scrub(1.0)
    assert player.index == 3
    player.num_ready = 11
    assert not player.waiting
    player.advance(0.05)
    assert player.index == 4


@given(st.lists(st.floats(-1e3, 1e3, allow_nan=False), min_size=1, max_size=30), st.floats(0.0, 1.0))
def test_any_clock_a_simulator_can_have_is_played_in_order(times_s: list[float], fraction: float) -> None:
    player = Player(times_s)
    player.scrub(fraction)
    assert 0 <= player.index < len(times_s)
    seen = []
    player.go_to(0)
    for _ in times_s:
        seen.append(player.index)
        player.step(1)
    assert seen == list(range(len(times_s)))


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with Window("replay", 2 * WIDTH, HEIGHT) as opened:
        yield opened


@pytest.fixture
def playback(tmp_path: Path) -> Iterator[Playback]:
    with RecordedPairs(record(tmp_path / "drive", 30)) as pairs:
        player = Player([row.time_s for row in pairs.recording.rows])
        yield Playback(pairs, player, hud_of(pairs.recording, "tiny"))


def press(playback: Playback, window: Window, code: int) -> None:
    playback.take(pygame.event.Event(pygame.KEYDOWN, key=code), window)


def test_keys_and_their_table(playback: Playback, window: Window) -> None:
    press(playback, window, pygame.K_SPACE)
    assert not playback.player.playing
    for code, index in ((pygame.K_RIGHT, 1), (pygame.K_PAGEDOWN, 21), (pygame.K_LEFT, 20), (pygame.K_END, 29)):
        press(playback, window, code)
        assert playback.player.index == index
    press(playback, window, pygame.K_HOME)
    assert playback.player.index == 0
    press(playback, window, pygame.K_l)
    press(playback, window, pygame.K_F1)
    press(playback, window, pygame.K_h)
    composer = playback.composer
    assert (composer.show_labels, composer.show_hud, composer.show_help) == (True, False, True)
    assert len(composer.help_rows) == len(KEYS)
    press(playback, window, pygame.K_ESCAPE)
    assert playback.closed


def test_the_mouse_scrubs_on_the_time_line_only(playback: Playback, window: Window) -> None:
    window.draw(playback.draw)
    width, height = pygame.display.get_window_size()
    line = height - 1
    click = pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(width // 2, height // 2))
    playback.take(click, window)
    assert playback.player.index == 0
    playback.take(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(width // 2, line - 2)), window)
    assert playback.player.index == pytest.approx(15, abs=1)
    playback.take(pygame.event.Event(pygame.MOUSEMOTION, pos=(width - 1, 0)), window)
    assert playback.player.index == pytest.approx(29, abs=1)
    playback.take(pygame.event.Event(pygame.MOUSEBUTTONUP, button=1), window)
    playback.take(pygame.event.Event(pygame.MOUSEMOTION, pos=(0, 0)), window)
    assert playback.player.index == pytest.approx(29, abs=1)


def test_each_frame_is_shown_as_it_was_recorded(playback: Playback) -> None:
    playback.composer.show_hud = False
    for index in (7, 0, 29):
        playback.player.go_to(index)
        canvas = np.zeros((HEIGHT, 2 * WIDTH, 4), np.uint8)
        playback.draw(pygame.image.frombuffer(canvas.data.cast("B"), (2 * WIDTH, HEIGHT), "BGRA"))
        pair = make_pair(100 + index)
        assert pair.rendered is not None
        upper = slice(0, HEIGHT - 4)  # above the time line
        for half, picture in ((canvas[:, :WIDTH], pair.sensor.rgb), (canvas[:, WIDTH:], pair.rendered.rgb)):
            assert np.array_equal(cv2.cvtColor(np.ascontiguousarray(half), cv2.COLOR_BGRA2RGB)[upper], picture[upper])


def test_frames_are_shown_as_they_are_rendered(tmp_path: Path) -> None:
    go_on = threading.Semaphore(0)
    folder = record(tmp_path / "drive", 4)

    def render(pairs: RecordedPairs) -> Iterator[FramePair]:
        for index in range(len(pairs)):
            assert go_on.acquire(timeout=30)
            sensor = pairs.pair(index).sensor
            yield FramePair(sensor, RenderedFrame(sensor.frame_id, 1, np.full((16, 32, 3), index, np.uint8), {}), 0.0)

    with RenderAhead(folder, render) as ahead:
        assert (len(ahead), ahead.num_ready) == (4, 0)
        with pytest.raises(IndexError):
            ahead.pair(0)
        go_on.release(2)
        pair = ahead.wait_pair(1)
        assert (pair.sensor.frame_id, ahead.num_ready) == (101, 2)
        for index in (1, 0):
            rendered = ahead.pair(index).rendered
            assert rendered is not None
            assert (rendered.rgb == index).all()
        go_on.release(2)


def test_two_models_beside_each_other(tmp_path: Path) -> None:
    folder = record(tmp_path / "drive", 2)

    def render(pairs: RecordedPairs) -> Iterator[FramePair]:
        for index in range(len(pairs)):
            sensor = pairs.pair(index).sensor
            picture = np.full((HEIGHT, WIDTH, 3), index + 7, np.uint8)
            yield FramePair(sensor, RenderedFrame(sensor.frame_id, 1, picture, {}), 0.0)

    with RecordedPairs(folder) as recorded, RenderAhead(folder, render) as again:
        beside = Beside(recorded, again)
        for index in (0, 1):
            pair = beside.wait_pair(index)
            was = make_pair(100 + index).rendered
            assert was is not None
            assert pair.rendered is not None
            assert np.array_equal(pair.sensor.rgb, was.rgb)
            assert (pair.rendered.rgb == index + 7).all()
        assert (len(beside), beside.num_ready) == (2, 2)


def test_what_ends_the_rendering_is_told_where_it_is_watched(tmp_path: Path) -> None:
    def render(pairs: RecordedPairs) -> Iterator[FramePair]:
        raise RenderRefused("mismatch", "it needs the plane flow_px")
        yield pairs.pair(0)

    with RenderAhead(record(tmp_path / "drive"), render) as ahead:
        with pytest.raises(RenderRefused, match="flow_px"):
            ahead.wait_pair(0)
        with pytest.raises(RenderRefused, match="flow_px"):
            _ = ahead.num_ready


def test_instances_as_cityscapes_numbers_them() -> None:
    pair = make_pair(100)
    labels = np.full((HEIGHT, WIDTH), 1, np.uint8)  # road in CARLA's numbering
    labels[:, :8] = 14  # a car
    instances = np.zeros((HEIGHT, WIDTH), np.uint16)
    instances[:4, :8], instances[4:, :8] = 4711, 65535
    frame = type(pair.sensor)(**{**vars(pair.sensor), "label_map": labels, "instance_map": instances})
    ids = SceneIds("cityscapes")
    mapped = ids.labels(frame)
    numbered = ids.instances(frame, mapped)
    assert numbered.dtype == np.uint16
    assert set(np.unique(mapped)) == {7, 26}
    assert (numbered[0, 0], numbered[-1, 0], numbered[0, -1]) == (26000, 26001, 7)
    later = type(frame)(**{**vars(frame), "instance_map": np.where(instances == 65535, instances, 0).astype(np.uint16)})
    assert ids.instances(later, mapped)[-1, 0] == 26001, "an actor keeps its number"


def test_instances_that_do_not_fit_are_a_sentence() -> None:
    pair = make_pair(100)
    frame = type(pair.sensor)(
        **{**vars(pair.sensor), "instance_map": np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH)}
    )
    ids = SceneIds("cityscapes")
    with pytest.raises(LabelError, match="do not fit Cityscapes' numbering"):
        ids.instances(frame, ids.labels(frame))
