from __future__ import annotations

from dataclasses import replace
from typing import get_args

import cv2
import numpy as np
import pygame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol.errors import UsageError
from bridge.protocol.frames import BodyPose, CameraIntrinsics, FramePair, RenderedFrame, SensorFrame
from bridge.protocol.labels import label_id, palette
from clients.commands import drive
from clients.viewer.composer import Composer
from clients.viewer.hud import Hud, HudState, text_height_px
from clients.viewer.layouts import LAYOUT_NAMES, LAYOUTS, ViewPlane, layout_named, next_layout, place
from clients.viewer.motion import engine_motion

WIDTH, HEIGHT = 64, 32
SIZES = [(1280, 720), (1920, 1080), (3840, 2160), (333, 777), (64, 32)]
CAR_ID = 300


def pair(frame_id: int, x_m: float = 0.0) -> FramePair:
    """A wall 10 m ahead with a red and a green picture of it; the camera may move to the right."""
    pose = np.array([[0, 0, 1.0, 0], [1, 0, 0, x_m], [0, -1, 0, 0], [0, 0, 0, 1]])
    instances = np.zeros((HEIGHT, WIDTH), np.uint16)
    instances[:8, :8] = CAR_ID
    sensor = SensorFrame(
        frame_id=frame_id,
        time_s=frame_id * 0.05,
        label_map=np.full((HEIGHT, WIDTH), label_id("carla", "road"), np.uint8),
        label_space="carla",
        intrinsics=CameraIntrinsics(WIDTH, HEIGHT, 90.0),
        world_from_camera=pose,
        captured_s=0.0,
        rgb=np.full((HEIGHT, WIDTH, 3), (255, 0, 0), np.uint8),
        instance_map=instances,
        depth_m=np.full((HEIGHT, WIDTH), 10.0, np.float32),
        bodies=(BodyPose(CAR_ID, np.eye(4)),),
    )
    return FramePair(sensor, RenderedFrame(frame_id, 1, np.full((HEIGHT, WIDTH, 3), (0, 255, 0), np.uint8), {}), 0.0)


def bare(name: str, size_px: tuple[int, int] | None = None) -> Composer:
    composer = Composer(layout_named(name))
    composer.show_hud = False
    composer.size_px = size_px
    return composer


def rgb_at(canvas_bgra: np.ndarray, x_px: float, y_px: float) -> tuple[int, ...]:
    return tuple(canvas_bgra[int(y_px), int(x_px), 2::-1].tolist())


def test_the_commands_help_names_every_layout() -> None:
    assert drive.LAYOUTS == LAYOUT_NAMES
    assert {tile.plane for layout in LAYOUTS for tile in layout.tiles} == set(get_args(ViewPlane))
    with pytest.raises(UsageError, match=r"there is no layout 'grit'\. Use one of side-by-side, "):
        layout_named("grit")


def test_the_layouts_are_a_ring() -> None:
    seen = [LAYOUTS[0]]
    while (following := next_layout(seen[-1])) is not LAYOUTS[0]:
        seen.append(following)
    assert tuple(seen) == LAYOUTS
    assert next_layout(LAYOUTS[0], -1) is LAYOUTS[-1]


@pytest.mark.parametrize("name", LAYOUT_NAMES)
@given(
    frame_px=st.tuples(st.integers(16, 2048), st.integers(16, 2048)),
    size_px=st.tuples(st.integers(16, 3840), st.integers(16, 2160)),
    panel_px=st.integers(0, 120),
)
def test_every_tile_lies_inside_and_fills_its_share(
    name: str, frame_px: tuple[int, int], size_px: tuple[int, int], panel_px: int
) -> None:
    layout = layout_named(name)
    placed = place(layout, frame_px, size_px, panel_px)
    above_px = size_px[1] - panel_px
    assert placed.board.bottom <= above_px if placed.board.height <= above_px else placed.board.top == 0
    assert placed.board.width == size_px[0] or placed.board.height == size_px[1]
    for _, box in placed.tiles:
        assert 0 <= placed.board.left <= box.left < box.right <= size_px[0]
        assert 0 <= placed.board.top <= box.top < box.bottom <= size_px[1]
    tiled = sum(box.width * box.height for _, box in placed.tiles)
    if name in ("side-by-side", "grid", "planes") and min(placed.board.width, placed.board.height) > 100:
        assert tiled == placed.board.width * placed.board.height


@pytest.mark.parametrize("size_px", SIZES)
@pytest.mark.parametrize("name", LAYOUT_NAMES)
def test_every_layout_draws_its_planes_and_tells_the_mouse_where_they_are(name: str, size_px: tuple[int, int]) -> None:
    composer = bare(name, size_px)
    composer.render(pair(1), HudState())
    canvas_bgra = composer.render(pair(2, x_m=0.5), HudState())
    assert canvas_bgra.shape == (size_px[1], size_px[0], 4)
    assert (canvas_bgra[..., 3] == 255).all()
    placed = place(composer.layout, (WIDTH, HEIGHT), size_px)
    expected = {
        "original": (255, 0, 0),
        "synthesized": (0, 255, 0),
        "labels": tuple(palette("carla")[label_id("carla", "road")].tolist()),
    }
    for plane, box in placed.tiles:
        at_px = box.left + 0.9 * box.width, box.top + 0.9 * box.height
        told = composer.pixel_at(at_px)
        assert told is not None
        assert told[0] == plane
        assert abs(told[1] - 0.9 * WIDTH) <= 1 + WIDTH / box.width
        assert abs(told[2] - 0.9 * HEIGHT) <= 1 + HEIGHT / box.height
        if plane in expected and composer.layout.mix != "blend":
            assert rgb_at(canvas_bgra, *at_px) == expected[plane]
    if placed.board.top > 2:
        assert composer.pixel_at((size_px[0] / 2, 1)) is None
        assert rgb_at(canvas_bgra, size_px[0] / 2, 1) == (0, 0, 0)


@pytest.mark.parametrize("size_px", [None, (640, 480)])
def test_the_line_of_a_wipe_is_dragged(size_px: tuple[int, int] | None) -> None:
    composer = bare("wipe", size_px)
    canvas_bgra = composer.render(pair(1), HudState())
    height, width = canvas_bgra.shape[:2]
    assert not composer.grab((5, height / 2))
    assert not composer.drag((5, height / 2))
    assert composer.grab((width / 2, height / 2))
    assert composer.drag((0.25 * width, 0))
    canvas_bgra = composer.render(pair(1), HudState())
    y = 0.3 * height
    assert rgb_at(canvas_bgra, 0.1 * width, y) == (255, 0, 0)
    assert rgb_at(canvas_bgra, 0.4 * width, y) == (0, 255, 0)
    composer.drag((10 * width, 0))
    assert composer.split == 1.0
    assert composer.release()
    assert not composer.release()


def test_a_blend_is_as_much_of_each_as_was_asked_for() -> None:
    composer = bare("blend")
    for split in (0.0, 0.25, 1.0):
        composer.split = split
        color = composer.render(pair(1), HudState())[5, 5, :3].astype(float)
        assert np.abs(color - (0, 255 * (1 - split), 255 * split)).max() <= 1


def test_a_layout_without_a_mix_has_no_line_to_take() -> None:
    composer = bare("side-by-side")
    composer.render(pair(1), HudState())
    assert not composer.grab((WIDTH, HEIGHT / 2))


def test_pictures_of_other_sizes_are_fitted_into_every_layout() -> None:
    large = replace(pair(1), rendered=RenderedFrame(1, 1, np.full((96, 192, 3), (0, 255, 0), np.uint8), {}))
    for name in LAYOUT_NAMES:
        canvas_bgra = bare(name).render(large, HudState())
        if name != "blend":
            assert (canvas_bgra[..., :3] == (0, 255, 0)).all(axis=-1).any(), name


def panel_px(width_px: int, height_px: int) -> int:
    return Hud(text_height_px(width_px, height_px)).panel.tallest_px(height_px)


@pytest.mark.parametrize("size_px", SIZES)
@pytest.mark.parametrize("name", LAYOUT_NAMES)
def test_where_there_is_room_the_panel_covers_nothing_of_the_pictures(name: str, size_px: tuple[int, int]) -> None:
    told = HudState(verdict="keeps up", history=((1.0, 2.0, 3.0, 4.0),) * 60, period_ms=50.0)
    composer = Composer(layout_named(name))
    composer.size_px = size_px
    with_panel = composer.render(pair(1), told).copy()
    panel_top_px = size_px[1] - panel_px(*size_px)
    board = place(composer.layout, (WIDTH, HEIGHT), size_px, panel_px(*size_px)).board
    assert composer.pixel_at((board.left + 1, board.bottom - 1)) is not None
    assert composer.pixel_at((board.left + 1, board.bottom)) is None
    if board.height > panel_top_px:
        assert board.top == 0
        return
    assert (with_panel[board.bottom : panel_top_px, :, :3] == 0).all()
    assert (with_panel[board.bottom - 1, board.left : board.right, :3] > 0).any()


@pytest.mark.parametrize("size_px", [(512, 128), (1024, 256), (1280, 720), (1920, 1080), (3840, 2160), (1024, 768)])
@pytest.mark.parametrize("name", LAYOUT_NAMES)
def test_a_notice_does_not_lie_over_the_names_of_the_pictures(name: str, size_px: tuple[int, int]) -> None:
    composer = Composer(layout_named(name))
    composer.size_px = size_px
    lost = replace(pair(1), rendered=None)
    quiet = composer.render(lost, HudState()).copy()
    told = composer.render(lost, HudState(notice="the inference server was lost: showing the original"))
    assert (quiet != told).any()
    top_px = place(composer.layout, (WIDTH, HEIGHT), size_px, panel_px(*size_px)).board.top
    names = np.s_[top_px : top_px + Hud(text_height_px(*size_px)).chip_height_px]
    assert (quiet[names] == told[names]).all()


def test_planes_that_are_missing_are_said_to_be() -> None:
    pair_of_labels = pair(1)
    sensor = replace(pair_of_labels.sensor, instance_map=None, depth_m=None)
    composer = Composer(layout_named("planes"))
    composer.size_px = (1280, 720)
    there = composer.render(pair_of_labels, HudState()).copy()
    missing = composer.render(replace(pair_of_labels, sensor=sensor), HudState())
    placed = place(composer.layout, (WIDTH, HEIGHT), (1280, 720), panel_px(1280, 720))
    for plane, box in placed.tiles:
        part = np.s_[box.top : box.bottom, box.left : box.right]
        assert (there[part] != missing[part]).any() == (plane in ("instances", "depth")), plane


def test_a_name_that_is_wider_than_its_picture_is_drawn_anew_each_frame() -> None:
    composer = Composer(layout_named("blend"))
    composer.size_px = (512, 128)
    lost = replace(pair(1), rendered=None)
    first = composer.render(lost, HudState()).copy()
    for _ in range(3):
        assert (composer.render(lost, HudState()) == first).all()


def test_a_switched_layout_leaves_nothing_behind() -> None:
    composer = bare("planes", (640, 480))
    composer.render(pair(1), HudState(notice="said somewhere"))
    composer.layout = layout_named("side-by-side")
    switched = composer.render(pair(2), HudState()).copy()
    assert (switched == bare("side-by-side", (640, 480)).render(pair(2), HudState())).all()


def test_the_motion_of_a_camera_that_moves_right_is_to_the_left() -> None:
    moved = engine_motion(pair(1).sensor, pair(2, x_m=0.5).sensor)
    assert moved is not None
    flow, new = moved
    pixels = 0.5 * (WIDTH / 2) / 10.0
    assert np.allclose(flow[16:, :, 0], -pixels, atol=1e-3)
    assert np.allclose(flow[16:, :, 1], 0, atol=1e-3)
    assert (new[16:, : WIDTH - 3] == 0).all()
    assert (new[16:, -1] == 255).all()


def test_the_motion_of_a_body_is_its_own() -> None:
    before, after = pair(1).sensor, pair(2).sensor
    ahead = np.eye(4)
    ahead[1, 3] = 1.0  # to the right
    moved = engine_motion(before, replace(after, bodies=(BodyPose(CAR_ID, ahead),)))
    assert moved is not None
    flow, _ = moved
    assert np.allclose(flow[:8, :8, 0], WIDTH / 2 / 10.0, atol=1e-3)
    assert np.allclose(flow[16:], 0, atol=1e-4)
    assert engine_motion(replace(before, depth_m=None), after) is None


def test_text_is_nowhere_cut_and_large_enough_to_read() -> None:
    """No letter may touch the edge of the picture: what is cut does."""
    for size_px in SIZES[:3]:
        composer = Composer()
        composer.size_px = size_px
        state = HudState(model="street-photo", verdict="keeps up: the generator takes 24 of 50 ms", simulator_hz=20.0)
        for composer.show_help in (False, True):
            canvas = composer.render(pair(1), state)
            gray = cv2.cvtColor(canvas, cv2.COLOR_BGRA2GRAY)
            for edge in (gray[:, -1], gray[-1]):
                assert edge.max() < 160


def test_it_draws_into_any_surface_of_the_right_format() -> None:
    surface = pygame.Surface((300, 200), 0, 32, (0xFF0000, 0xFF00, 0xFF, 0))
    composer = bare("side-by-side")
    composer.draw(surface, pair(1), HudState())
    assert surface.get_at((10, 100))[:3] == (255, 0, 0)
    assert surface.get_at((290, 100))[:3] == (0, 255, 0)
    assert surface.get_at((10, 2))[:3] == (0, 0, 0)
