"""The next frame, before it exists: its label map is foreseen, so that its picture is made while it is captured.

Everything is supposed to go on as it went since the frame before: the camera by the same motion, each body by its own.
Labels, instances and depth are moved there, and what comes into view behind them is taken from the background beside
it. The generator's temporal state is of what was foreseen, poses and all, and so stays true to the pictures it made:
the next motion is counted from there.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.breaks import break_between
from bridge.loop import Renderer
from bridge.protocol.errors import LabelError, RenderRefused, VidriveError
from bridge.protocol.frames import BodyPose, FramePair, RenderedFrame, SensorFrame
from bridge.protocol.messages import Refusal
from bridge.render_client import RenderClient
from bridge.scaling import ScaledRenderer
from clients.viewer.reprojection import Geometry, carried

HORIZON_M: Final = 1000.0  # CARLA's far plane, where inverse depth is 0
LEAST_AGREEMENT: Final = 0.8  # of the labels: a frame that was foreseen worse is drawn by what is there
PATIENCE_FRAMES: Final = 20  # without a guess, after one that no frame came for
REMEMBERED: Final = 4096


def renderer_for(client: RenderClient | None, *, target_hz: float | None, predict: bool) -> Renderer | None:
    """Return what a frame loop sees of a client that holds a rate, or draws ahead."""
    if client is None or target_hz is not None:
        return None if client is None or target_hz is None else ScaledRenderer(client, target_hz)
    return PredictingRenderer(client) if predict else client


def foreseen(before: SensorFrame, now: SensorFrame) -> SensorFrame | None:
    """Return the frame that comes as long after `now` as that came after `before`, if all goes on as it went.

    Its picture is that of `now`, for a sequence that begins with it; it has no flow. None for frames without depth.
    """
    geometry = Geometry.of(now)
    if geometry is None:
        return None
    camera = _onward(before.world_from_camera, now.world_from_camera)
    old = {body.instance_id: body.world_from_body for body in before.bodies}
    bodies = tuple(
        BodyPose(body.instance_id, _onward(old.get(body.instance_id, body.world_from_body), body.world_from_body))
        for body in now.bodies
    )
    there = carried(geometry, camera, bodies)
    seen = there.inverse_depth > 0.0
    depth_m = np.full(seen.shape, HORIZON_M, np.float32)
    np.divide(np.float32(1.0), there.inverse_depth, out=depth_m, where=seen)
    owners = there.owners if there.owners is not None or now.instance_map is None else np.zeros_like(now.instance_map)
    return dataclasses.replace(
        now,
        frame_id=2 * now.frame_id - before.frame_id,
        time_s=2 * now.time_s - before.time_s,
        label_map=np.ascontiguousarray(there.label_map),
        instance_map=owners,
        depth_m=np.minimum(depth_m, np.float32(HORIZON_M)),
        flow_px=None,
        world_from_camera=camera,
        bodies=bodies,
    )


@dataclass
class _Guess:
    """A frame that was foreseen and submitted under a sequence, and its picture, once that has come."""

    frame: SensorFrame
    sequence: int
    rendered: RenderedFrame | None = None


class PredictingRenderer:
    """A renderer for a frame loop that draws each frame from what was foreseen of it; it is a sink of that loop, too.

    A frame is foreseen when the one before it has been shown (`accept`), drawn while it is captured, and its picture
    handed over when it is there (`submit`). What was foreseen badly, or for a frame that never came, is not shown.
    """

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._guess: _Guess | None = None
        self._awaited: tuple[SensorFrame, int] | None = None  # the loop's frame whose answer has not been given
        self._sent = False  # whether that frame itself is with the renderer, not a guess of it
        self._last: tuple[SensorFrame, int] | None = None
        self._before: SensorFrame | None = None
        self._pause = 0
        self._agreements: deque[float] = deque(maxlen=REMEMBERED)
        self._num_foreseen = self._num_missed = 0

    @property
    def ready(self) -> bool:
        """Whether `submit` would take a frame: a renderer that draws a guess will draw it next."""
        return self._renderer.ready or (self._guess is not None and self._renderer.in_flight is not None)

    @property
    def in_flight(self) -> int | None:
        """The frame id that waits for its answer."""
        return None if self._awaited is None else self._awaited[0].frame_id

    @property
    def problem(self) -> VidriveError | None:
        """Why there is no usable server."""
        return self._renderer.problem

    def submit(self, frame: SensorFrame, sequence: int) -> bool:
        """Take a frame: one that was foreseen well has its picture under way, or made, already; False if not ready."""
        before, self._before = self._before, None
        if self._last is not None and self._last[1] == sequence and break_between(self._last[0], frame) == "":
            before = self._last[0]
        self._before, self._last = before, (frame, sequence)
        if not self.ready:
            return False
        self._awaited, self._sent = (frame, sequence), False
        if self._guess is not None and not self._fits(self._guess, frame, sequence):
            self._num_missed += 1
            self._pause = PATIENCE_FRAMES
            if self._guess.rendered is not None or self._renderer.in_flight is None:
                self._guess = None
        if self._guess is None or not self._is_of(self._guess, frame, sequence):
            return self._send()
        return True

    def poll(self, timeout_s: float = 0.0) -> Sequence[RenderedFrame | Refusal]:
        """Return the answer to the loop's frame, if it has come."""
        if (made := self._made()) is not None:
            return made
        answers = self._renderer.poll(timeout_s)
        guess = self._guess
        if guess is None:
            if answers or (self._sent and self._renderer.in_flight is None):
                self._awaited = None
            return answers
        for answer in answers:
            if isinstance(answer, RenderedFrame) and answer.frame_id == guess.frame.frame_id:
                guess.rendered = answer
        if guess.rendered is None and self._renderer.in_flight is None:
            self._guess = None  # refused, or lost with its server: the frame itself is asked for
        if self._awaited is not None and guess.rendered is not None and not self._is_of(guess, *self._awaited):
            self._guess = None
        if self._awaited is not None and self._guess is None and not self._sent and not self._send():
            self._awaited = None
        return self._made() or []

    def accept(self, pair: FramePair) -> None:
        """Foresee the frame after the one that was shown, and let it be drawn."""
        last, before = self._last, self._before
        self._pause = max(0, self._pause - 1)
        if last is None or before is None or pair.sensor is not last[0] or self._pause or self._awaited is not None:
            return
        if self._guess is not None or not self._renderer.ready or pair.rendered is None:
            return
        frame = foreseen(before, last[0])
        if frame is None:
            return
        try:
            if self._renderer.submit(frame, last[1]):
                self._guess = _Guess(frame, last[1])
                self._num_foreseen += 1
        except (RenderRefused, LabelError):
            self._pause = PATIENCE_FRAMES  # a model that needs what cannot be foreseen

    def report(self) -> Mapping[str, float]:
        """Return how many frames were foreseen, how many of them nobody asked for, and which share of the labels of the
        others was right: the mean, and that of the worst twentieth at most."""
        figures: dict[str, float] = {"foreseen": self._num_foreseen, "missed": self._num_missed}
        if self._agreements:
            shares = np.array(self._agreements)
            figures |= {
                "labels_right": round(float(shares.mean()), 4),
                "labels_right_p5": round(float(np.percentile(shares, 5)), 4),
            }
        return figures

    def _is_of(self, guess: _Guess, frame: SensorFrame, sequence: int) -> bool:
        return (guess.frame.frame_id, guess.sequence) == (frame.frame_id, sequence)

    def _fits(self, guess: _Guess, frame: SensorFrame, sequence: int) -> bool:
        """Whether a guess is of a frame, and right enough to be shown as its picture."""
        if not self._is_of(guess, frame, sequence) or guess.frame.label_map.shape != frame.label_map.shape:
            guess.sequence = -1
            return False
        self._agreements.append(float(np.mean(guess.frame.label_map == frame.label_map)))
        if self._agreements[-1] < LEAST_AGREEMENT:
            guess.sequence = -1
            return False
        return True

    def _send(self) -> bool:
        """Submit the loop's frame itself, now or when the renderer has done with the guess."""
        assert self._awaited is not None
        if self._guess is not None:
            return True
        self._sent = self._renderer.submit(*self._awaited)
        if not self._sent:
            self._awaited = None
        return self._sent

    def _made(self) -> list[RenderedFrame | Refusal] | None:
        """The picture that was made of the guess, if that is the loop's frame's."""
        guess, awaited = self._guess, self._awaited
        if guess is None or awaited is None or guess.rendered is None or not self._is_of(guess, *awaited):
            return None
        self._guess = self._awaited = None
        return [guess.rendered]


def _onward(before: NDArray[np.float64], now: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a pose after the motion between two, once more."""
    onward = now @ np.linalg.inv(before) @ now
    left, _, right = np.linalg.svd(onward[:3, :3])  # stays a rotation (or a reflection, as optical axes are)
    onward[:3, :3] = left @ right
    return onward
