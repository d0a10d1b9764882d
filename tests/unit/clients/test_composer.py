from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bridge.protocol.frames import CameraIntrinsics, EgoState, FramePair, RenderedFrame, SensorFrame
from bridge.protocol.labels import label_id, palette
from clients.viewer.composer import Composer
from clients.viewer.hud import Cell, Hud, HudState, cells, text_height_px
from clients.viewer.view import OVERLAY_OPACITY

RED, GREEN = (255, 0, 0), (0, 255, 0)
WIDTH, HEIGHT = 512, 256


def flat(color: tuple[int, int, int], width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def pair(frame_id: int = 7, *, rendered: bool = True, notice: str = "") -> FramePair:
    sensor = SensorFrame(
        frame_id=frame_id,
        time_s=0.35,
        label_map=np.full((HEIGHT, WIDTH), label_id("carla", "road"), np.uint8),
        label_space="carla",
        intrinsics=CameraIntrinsics(WIDTH, HEIGHT, 90.0),
        world_from_camera=np.eye(4),
        captured_s=0.0,
        rgb=flat(RED),
        ego=EgoState(speed_m_s=10.0, gear=2),
    )
    picture = RenderedFrame(frame_id=frame_id, sequence=1, rgb=flat(GREEN), stages_ms={}) if rendered else None
    return FramePair(sensor, picture, 40.0, notice)


def plain() -> Composer:
    composer = Composer()
    composer.show_hud = False
    return composer


def test_original_left_synthesized_right_in_their_own_colours() -> None:
    picture_rgb = plain().render_rgb(pair(), HudState())
    assert picture_rgb.shape == (HEIGHT, 2 * WIDTH, 3)
    assert (picture_rgb[:, :WIDTH] == RED).all()
    assert (picture_rgb[:, WIDTH:] == GREEN).all()


def test_the_canvas_is_bgra_and_the_next_picture_leaves_it_as_it_is() -> None:
    composer = plain()
    first = composer.render(pair(), HudState())
    assert first.shape == (HEIGHT, 2 * WIDTH, 4)
    assert tuple(first[0, 0]) == (0, 0, 255, 255)
    before = first.copy()
    assert (composer.render(pair(8, rendered=False), HudState()) != before).any()
    assert (first == before).all()


def test_without_a_synthesized_frame_the_original_is_on_both_sides_and_the_notice_says_why() -> None:
    composer = plain()
    quiet = composer.render_rgb(pair(rendered=False), HudState())
    assert (quiet == RED).all()
    told = composer.render_rgb(pair(rendered=False, notice="renderer lost: showing the original"), HudState())
    changed = (told != quiet).any(axis=2)
    assert changed.any()
    assert changed[HEIGHT // 2 :].sum() == 0


def test_the_label_overlay_blends_the_palette_over_the_original_only() -> None:
    composer = plain()
    composer.show_labels = True
    picture_rgb = composer.render_rgb(pair(), HudState())
    road = palette("carla")[label_id("carla", "road")].astype(float)
    expected = OVERLAY_OPACITY * road + (1 - OVERLAY_OPACITY) * np.array(RED)
    assert np.abs(picture_rgb[0, 0] - expected).max() <= 1
    assert (picture_rgb[:, WIDTH:] == GREEN).all()


def test_without_a_camera_the_label_map_is_shown_in_colours() -> None:
    without = pair()
    without = replace(without, sensor=replace(without.sensor, rgb=None))
    picture_rgb = plain().render_rgb(without, HudState())
    assert (picture_rgb[:, :WIDTH] == palette("carla")[label_id("carla", "road")]).all()


def test_a_picture_of_another_size_is_fitted() -> None:
    smaller = replace(pair(), rendered=RenderedFrame(7, 1, flat(GREEN, 256, 128), {}))
    picture_rgb = plain().render_rgb(smaller, HudState())
    assert (picture_rgb[:, WIDTH:] == GREEN).all()


def test_halves_fill_the_size_that_a_window_asks_for() -> None:
    composer = Composer()
    composer.size_px = (1600, 400)
    picture_rgb = composer.render_rgb(pair(), HudState())
    assert picture_rgb.shape == (400, 1600, 3)
    assert tuple(picture_rgb[200, 20]) == RED
    assert tuple(picture_rgb[200, 1580]) == GREEN
    assert composer.waiting(WIDTH, HEIGHT, "waiting").shape == (400, 1600, 4)


def test_the_frame_id_is_burnt_into_both_halves() -> None:
    composer = Composer()
    first = composer.render_rgb(pair(111111), HudState())
    other = composer.render_rgb(pair(222222), HudState())
    chip = HEIGHT // 8
    left, right = first[:chip, :WIDTH] != other[:chip, :WIDTH], first[:chip, WIDTH:] != other[:chip, WIDTH:]
    assert left.any()
    assert right.any()
    assert (first[chip:] == other[chip:]).all()


def test_every_figure_of_the_hud_reaches_the_picture() -> None:
    composer = Composer()
    before = composer.render_rgb(pair(), HudState())
    for state in (
        HudState(simulator_hz=20.0),
        HudState(neural_hz=18.0),
        HudState(display_hz=60.0),
        HudState(control_hz=60.0),
        HudState(frame_age_ms=46.0),
        HudState(num_dropped=3),
        HudState(num_resets=1),
        HudState(model="street-photo"),
        HudState(notice="waiting"),
    ):
        assert (composer.render_rgb(pair(), state) != before).any(), state


def test_help_covers_no_more_than_the_middle() -> None:
    composer = plain()
    before = composer.render_rgb(pair(), HudState())
    composer.show_help = True
    changed = (composer.render_rgb(pair(), HudState()) != before).any(axis=2)
    assert changed[HEIGHT // 2, WIDTH - 20 : WIDTH + 20].all()
    assert not changed[:, :20].any()


def test_waiting_is_dark_and_says_something() -> None:
    picture_bgra = Composer().waiting(320, 240, "waiting for localhost:2000")
    assert picture_bgra.shape == (240, 640, 4)
    assert np.median(picture_bgra[..., :3]) < 32
    assert picture_bgra[..., :3].max() > 200


@pytest.mark.parametrize(("width", "height"), [(512, 128), (1024, 256), (2560, 720), (3840, 1080)])
def test_every_cell_that_is_drawn_fits(width: int, height: int) -> None:
    text_px = text_height_px(width, height)
    assert text_px >= 11
    assert Hud(text_px).panel_height_px <= height * 0.25


def test_cells_say_gear_and_driver_as_a_person_would() -> None:
    def said(gear: int, autopilot: bool) -> dict[str, str]:
        return {cell.caption: cell.value for cell in cells(HudState(), 10.0, gear, autopilot)}

    assert said(2, True)["speed"] == "36 km/h"
    assert [said(gear, True)["gear"] for gear in (-1, 0, 3)] == ["R", "N", "D3"]
    assert said(1, False)["driver"] == "you"
    assert isinstance(cells(HudState(), 0.0, 0, True)[0], Cell)


def test_it_needs_no_display_and_no_video_driver() -> None:
    program = (
        "import numpy as np; from bridge.protocol.frames import *; from clients.viewer.composer import Composer; "
        "from clients.viewer.hud import HudState; import pygame.display; "
        "s = SensorFrame(frame_id=1, time_s=0, label_map=np.zeros((64, 64), np.uint8), label_space='carla', "
        "intrinsics=CameraIntrinsics(64, 64, 90), world_from_camera=np.eye(4), captured_s=0); "
        "Composer().render(FramePair(s, None, 0.0), HudState()); assert not pygame.display.get_init()"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment["SDL_VIDEODRIVER"] = "a driver that does not exist"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=environment)
