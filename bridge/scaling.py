"""Holding a rate: frames are synthesized smaller when the renderer is too slow for it, and larger again when it can.

The simulator's planes keep their size. Labels, depth and instances are read at fewer places on their way to the
server, and the picture that comes back is enlarged, so that pairs, window and recordings see one size.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from statistics import median
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import VidriveError
from bridge.protocol.frames import CameraIntrinsics, RenderedFrame, SensorFrame
from bridge.protocol.messages import ModelCard, Refusal
from bridge.render_client import RenderClient

STEPS: Final = (Fraction(1), Fraction(3, 4), Fraction(1, 2), Fraction(3, 8), Fraction(1, 4))
SMALLEST_PX: Final = 64  # of a side: below it a street is a few blots
NUM_FRAMES: Final = 40  # that a step is decided by
NUM_GROSS: Final = 10  # the same of a step down where frames are far too slow
TOO_SLOW: Final = 1.05  # of the time that a frame has
FAR_TOO_SLOW: Final = 1.5
ROOM: Final = 0.85  # of it that the next larger step may be expected to take
FIRST_PATIENCE_S: Final = 4.0
LONGEST_PATIENCE_S: Final = 120.0

_log: Final = logging.getLogger("vidrive")


class Governor:
    """Decides the step: down when frames are too slow for the rate, up when the next larger one will hold it.

    A step up that was taken back, however late, makes the next one wait twice as long, up to two minutes: it settles
    instead of swinging.
    """

    def __init__(self, target_hz: float, num_steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`num_steps` sizes, 0 the largest, which it begins with."""
        self.step = 0
        self.num_changes = 0
        self._budget_ms = 1e3 / target_hz
        self._num_steps = num_steps
        self._clock = clock
        self._times_ms: deque[float] = deque(maxlen=NUM_FRAMES)
        self._changed_s = clock()
        self._was_up = False
        self._patience_s = FIRST_PATIENCE_S

    def note(self, took_ms: float, shares: Sequence[float]) -> bool:
        """Take what a frame took, from its request to its answer; return whether the step changed.

        `shares` are the steps' pixels as shares of the largest's.
        """
        self._times_ms.append(took_ms)
        now_s = self._clock()
        if self._is_slow() and self.step + 1 < self._num_steps:
            if self._was_up:
                self._patience_s = min(LONGEST_PATIENCE_S, 2 * self._patience_s)
            self._change(1, now_s)
            return True
        if self.step == 0 or len(self._times_ms) < NUM_FRAMES or now_s - self._changed_s < self._patience_s:
            return False
        larger_ms = median(self._times_ms) * shares[self.step - 1] / shares[self.step]
        if larger_ms > ROOM * self._budget_ms:
            return False
        self._was_up = True
        self._change(-1, now_s)
        return True

    def _is_slow(self) -> bool:
        for num_frames, limit in ((NUM_GROSS, FAR_TOO_SLOW), (NUM_FRAMES, TOO_SLOW)):
            times_ms = tuple(self._times_ms)[-num_frames:]
            if len(times_ms) == num_frames and median(times_ms) > limit * self._budget_ms:
                return True
        return False

    def _change(self, by: int, now_s: float) -> None:
        self.step += by
        self.num_changes += 1
        self._changed_s = now_s
        self._times_ms.clear()


def steps_of(width_px: int, height_px: int, multiple_px: int) -> list[tuple[int, int]]:
    """Return the sizes (width, height) that keep a frame's shape and fit a model, the frame's own first."""
    sizes = []
    for step in STEPS:
        width, height = width_px * step, height_px * step
        fits = all(side.denominator == 1 and side.numerator % multiple_px == 0 for side in (width, height))
        if step == 1 or (fits and min(width, height) >= SMALLEST_PX):
            sizes.append((int(width), int(height)))
    return sizes


def reduce_frame(frame: SensorFrame, size_wh: tuple[int, int]) -> SensorFrame:
    """Return a frame read at fewer places: ids, depth and flow are those of single pixels, colours are averaged."""

    def nearest(plane: NDArray | None) -> NDArray | None:
        return None if plane is None else cv2.resize(plane, size_wh, interpolation=cv2.INTER_NEAREST_EXACT)

    labels = nearest(frame.label_map)
    assert labels is not None
    flow_px = nearest(frame.flow_px)
    scale = size_wh[0] / frame.label_map.shape[1]
    return dataclasses.replace(
        frame,
        label_map=labels.astype(np.uint8, copy=False),
        instance_map=nearest(frame.instance_map),
        depth_m=nearest(frame.depth_m),
        flow_px=None if flow_px is None else (flow_px * scale).astype(np.float32),
        rgb=None if frame.rgb is None else cv2.resize(frame.rgb, size_wh, interpolation=cv2.INTER_AREA),
        intrinsics=CameraIntrinsics(*size_wh, frame.intrinsics.fov_deg),
    )


class ScaledRenderer:
    """A `RenderClient` for a frame loop that synthesizes at the size with which a rate can be held."""

    def __init__(self, client: RenderClient, target_hz: float) -> None:
        self._client = client
        self._target_hz = target_hz
        self._governor: Governor | None = None
        self._sizes: list[tuple[int, int]] = []
        self._of: tuple[int, int, str] | None = None
        self._submitted_s = 0.0

    @property
    def size_wh(self) -> tuple[int, int] | None:
        """At which size frames are synthesized now, (width, height); None before the first."""
        return self._sizes[self._governor.step] if self._governor is not None else None

    @property
    def ready(self) -> bool:
        """Whether `submit` would send."""
        return self._client.ready

    @property
    def in_flight(self) -> int | None:
        """The frame id that waits for its answer."""
        return self._client.in_flight

    @property
    def problem(self) -> VidriveError | None:
        """Why there is no usable server."""
        return self._client.problem

    def submit(self, frame: SensorFrame, sequence: int) -> bool:
        """Send a frame at the present size; False if not ready. Another size begins temporal state anew."""
        card = self._client.card
        if card is None:
            return False
        self._begin(frame, card)
        size_wh = self.size_wh
        height_px, width_px = frame.label_map.shape
        self._submitted_s = time.monotonic()
        if size_wh is None or size_wh == (width_px, height_px):
            return self._client.submit(frame, sequence)
        return self._client.submit(reduce_frame(frame, size_wh), sequence)

    def poll(self, timeout_s: float = 0.0) -> list[RenderedFrame | Refusal]:
        """Return the answers that have come, at the frames' own size."""
        return [
            self._enlarged(answer) if isinstance(answer, RenderedFrame) else answer
            for answer in self._client.poll(timeout_s)
        ]

    def _begin(self, frame: SensorFrame, card: ModelCard) -> None:
        """Choose the steps anew for frames of another size and for another model."""
        height_px, width_px = frame.label_map.shape
        of = (width_px, height_px, card.name)
        if of != self._of:
            self._of = of
            self._sizes = steps_of(width_px, height_px, card.size_multiple_px)
            self._governor = Governor(self._target_hz, len(self._sizes))

    def _enlarged(self, rendered: RenderedFrame) -> RenderedFrame:
        governor, of = self._governor, self._of
        if governor is None or of is None:
            return rendered
        took_ms = (time.monotonic() - self._submitted_s) * 1e3
        if rendered.rgb.shape[:2] != (of[1], of[0]):
            rgb = cv2.resize(rendered.rgb, of[:2], interpolation=cv2.INTER_LINEAR)
            rgb.flags.writeable = False
            rendered = dataclasses.replace(rendered, rgb=np.asarray(rgb, np.uint8))
        largest = self._sizes[0][0] * self._sizes[0][1]
        # A frame that begins anew draws more than one that goes on: it is not what the rate will be.
        if not rendered.reset and governor.note(took_ms, [width * height / largest for width, height in self._sizes]):
            _log.info(
                "synthesizing at %dx%d: %.0f ms a frame at the size before, %.0f Hz leave %.0f",
                *self._sizes[governor.step], took_ms, self._target_hz, 1e3 / self._target_hz,
            )  # fmt: skip
        return rendered
