"""Finds out what an optical flow camera means: its sign and scale on each axis, from a few pairs of pictures.

CARLA's sources, its issues and its examples disagree on the direction and the unit of that camera's vectors. Which of
them a server follows is seen in its pictures: only true flow moves the last picture onto this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import SimulatorError

HYPOTHESES: Final = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)  # forward or backward, halves or whole pictures a unit
REFINEMENTS: Final = ((0.7, 0.85, 1.0, 1.15, 1.3), (0.93, 0.965, 1.0, 1.035, 1.07), (0.985, 1.0, 1.015))
HIGHEST_LEVELS: Final = 40.0  # differences from here on are what came into view, not how far flow is off
LEAST_MOTION_LEVELS: Final = 0.5  # of mean difference between pictures that tell anything
GREATEST_SHARE: Final = 0.75  # of the difference without flow that may be left with it
LEAST_GAIN: Final = 0.02  # of the difference that an axis must take away to be told

Picture = NDArray[np.uint8]
Flow = NDArray[np.float32]
FlowPair = tuple[Picture, Picture, Flow]


@dataclass(frozen=True)
class FlowFit:
    """Factors for what `decode.flow_px_from_raw` returns, x and y, (1, 1) if the camera is as documented; mean
    difference in grey levels between a picture and the last one moved by that flow, and by none.
    """

    scale_x: float
    scale_y: float
    error: float
    unmoved_error: float

    @property
    def is_as_documented(self) -> bool:
        """Whether the flow needs no factors, up to what pictures can tell."""
        return abs(self.scale_x - 1.0) < 0.1 and abs(self.scale_y - 1.0) < 0.1


def fit_flow(pairs: Sequence[FlowPair]) -> FlowFit:
    """Return the factors with which flow explains pairs best: each the picture before and now, (H,W,3) u8, and the flow
    that came with the latter, (H,W,2) f32 as `decode.flow_px_from_raw` returns it.

    Raises ValueError for planes of several sizes, SimulatorError where the pictures hardly move or no factors explain
    them.
    """
    if not pairs or any(p.shape[:2] != flow.shape[:2] for *pictures, flow in pairs for p in pictures):
        raise ValueError("pictures and flow must have one size")
    grey = [(_grey(before), _grey(now), flow) for before, now, flow in pairs]
    unmoved = _error(grey, 0.0, 0.0)
    if unmoved < LEAST_MOTION_LEVELS:
        raise SimulatorError(
            "the pictures hardly move, so that they do not tell what the optical flow camera means", "Drive, then try"
        )
    errors = {(x, y): _error(grey, x, y) for x in HYPOTHESES for y in HYPOTHESES}
    x, y = min(errors, key=lambda pair: errors[pair])
    for factors in REFINEMENTS:
        near = {(x * a, y * b): _error(grey, x * a, y * b) for a in factors for b in factors}
        x, y = min(near, key=lambda pair: near[pair])
    error = _error(grey, x, y)
    told = min(_error(grey, 0.0, y), _error(grey, x, 0.0)) - error >= LEAST_GAIN * unmoved
    if error > GREATEST_SHARE * unmoved or not told:
        raise SimulatorError(
            f"no sign and scale makes the optical flow camera explain the pictures: {error:.1f} of {unmoved:.1f} grey "
            "levels are left",
            "Use depth and poses instead, which the rigs have",
        )
    return FlowFit(round(x, 3), round(y, 3), error, unmoved)


def _grey(picture: Picture) -> NDArray[np.float32]:
    """Blurred a little: the slope of its edges then reaches as far as a wrong factor is off."""
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), np.float32)


def _error(pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32], Flow]], x: float, y: float) -> float:
    """Mean difference between each picture and the one before, moved by the flow times factors, in grey levels."""
    errors = []
    for before, now, flow in pairs:
        rows, columns = np.indices(now.shape, np.float32)
        moved = cv2.remap(
            before,
            columns - np.float32(x) * flow[..., 0],
            rows - np.float32(y) * flow[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        errors.append(np.minimum(np.abs(moved - now), HIGHEST_LEVELS).mean())
    return float(np.mean(errors))
