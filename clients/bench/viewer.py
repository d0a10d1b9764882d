"""What the viewer costs beyond its pixels: a pair in a 1080p window, beside the same pixels written by cv2 alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import cv2
import numpy as np
import pygame
import pygame.display
import pygame.surfarray
from numpy.typing import NDArray

from bridge.protocol.frames import CameraIntrinsics, FramePair, RenderedFrame, SensorFrame
from bridge.trace import Trace
from clients.viewer.composer import Composer
from clients.viewer.meter import HudMeter
from clients.viewer.window import Window

SIZE_PX: Final = (1920, 1080)
PERIOD_MS: Final = 50.0
WARM_UP: Final = 10
NUM_PAIRS: Final = 8


@dataclass(frozen=True)
class ViewerTimes:
    """Processor times in ms, one a frame, taken in turns: the viewer's with all of its HUD, and the floor's."""

    viewer_ms: NDArray[np.float64]
    floor_ms: NDArray[np.float64]


def measure_viewer(num_frames: int) -> ViewerTimes:
    """Show `num_frames` pairs, side by side in a window of 1080p that nobody sees."""
    before = os.environ.get("SDL_VIDEODRIVER")
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    try:
        with Window("vidrive bench", *SIZE_PX) as window:
            pygame.display.set_mode(SIZE_PX)
            return _measure(window, num_frames)
    finally:
        os.environ.pop("SDL_VIDEODRIVER", None)
        if before is not None:
            os.environ["SDL_VIDEODRIVER"] = before


def _measure(window: Window, num_frames: int) -> ViewerTimes:
    composer = Composer()
    meter = HudMeter(Trace(), PERIOD_MS, real_time=True)
    times_ms: list[tuple[float, float]] = []
    pairs = [_pair(number) for number in range(NUM_PAIRS)]
    for number in range(WARM_UP + num_frames):
        pair = pairs[number % NUM_PAIRS]
        start_s = time.thread_time()
        hud = meter.state(pair, "", "street-photo")
        hud_ms = (time.thread_time() - start_s) * 1e3
        # The first of the two finds the pictures in no cache: they take turns at that too.
        if number // NUM_PAIRS % 2:
            viewer_ms = _drawing_ms(window, partial(composer.draw, pair=pair, hud=hud))
            floor_ms = _drawing_ms(window, partial(_write_pixels, pair=pair))
        else:
            floor_ms = _drawing_ms(window, partial(_write_pixels, pair=pair))
            viewer_ms = _drawing_ms(window, partial(composer.draw, pair=pair, hud=hud))
        times_ms.append((hud_ms + viewer_ms, floor_ms))
    return ViewerTimes(*np.array(times_ms[WARM_UP:]).T)


def _drawing_ms(window: Window, paint: Callable[[pygame.Surface], None]) -> float:
    start_s = time.thread_time()
    window.draw(paint)
    return (time.thread_time() - start_s) * 1e3


def _write_pixels(surface: pygame.Surface, pair: FramePair) -> None:
    """The floor: each picture is converted once, into the window's own memory."""
    assert pair.sensor.rgb is not None
    assert pair.rendered is not None
    pixels = pygame.surfarray.pixels2d(surface).T
    canvas_bgra = pixels.view(np.uint8).reshape(*pixels.shape, 4)
    half = SIZE_PX[0] // 2
    cv2.cvtColor(pair.sensor.rgb, cv2.COLOR_RGB2BGRA, dst=canvas_bgra[:, :half])
    cv2.cvtColor(pair.rendered.rgb, cv2.COLOR_RGB2BGRA, dst=canvas_bgra[:, half:])


def _pair(number: int) -> FramePair:
    width, height = SIZE_PX[0] // 2, SIZE_PX[1]
    sensor = SensorFrame(
        frame_id=number,
        time_s=number * PERIOD_MS / 1e3,
        label_map=np.zeros((height, width), np.uint8),
        label_space="carla",
        intrinsics=CameraIntrinsics(width, height, 90.0),
        world_from_camera=np.eye(4),
        captured_s=0.0,
        rgb=np.full((height, width, 3), number % 256, np.uint8),
    )
    rendered = RenderedFrame(number, 1, np.full((height, width, 3), 128, np.uint8), {"infer": 20.0, "round_trip": 22.0})
    return FramePair(sensor, rendered, 46.0)
