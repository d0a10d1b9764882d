"""Reference flow: where in the last real picture each pixel comes from, and where that is to be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import LabelError

_ROUND_TRIP_SHARE: Final = 0.01  # Sundaram et al. 2010, eq. 5: what forward and backward flow may differ by
_ROUND_TRIP_PX2: Final = 0.5


def estimate_flow(rgb: NDArray[np.uint8], last_rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the backward flow (H,W,2) f32 px of two pictures (H,W,3) u8, and where there and back again agree (H,W).

    OpenCV's DIS flow (Kroeger et al. 2016). A pixel at x in `rgb` comes from x + flow in `last_rgb`.
    """
    grey, last_grey = (np.ascontiguousarray(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY)) for one in (rgb, last_rgb))
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    backward = np.asarray(estimator.calc(grey, last_grey, None), np.float32)  # pyright: ignore[reportCallIssue, reportArgumentType]
    forward = np.asarray(estimator.calc(last_grey, grey, None), np.float32)  # pyright: ignore[reportCallIssue, reportArgumentType]
    returned = _sample(forward, backward)
    off_px2 = np.square(backward + returned).sum(2)
    allowed_px2 = _ROUND_TRIP_SHARE * (np.square(backward).sum(2) + np.square(returned).sum(2)) + _ROUND_TRIP_PX2
    return backward, (off_px2 < allowed_px2) & _inside(backward)


def read_flow(path: Path, size_hw: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the backward flow (H,W,2) f32 px of a .npy file, scaled to a size, and where it has one (H,W).

    The file holds (h,w,2) floats: the motion in pixels, x right and y down, from the last frame to this one, at this
    frame's pixels, as recordings have it; what is not finite is unknown. Raises LabelError for another array.
    """
    try:
        motion = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise LabelError(f"{path} is no array that can be read ({error})", "Get or write the file again") from None
    if motion.ndim != 3 or motion.shape[2] != 2 or motion.dtype.kind != "f" or 0 in motion.shape:
        raise LabelError(f"{path} holds {motion.dtype} {motion.shape}", "Write (height, width, 2) floats")
    height_px, width_px = size_hw
    scale = np.array([width_px / motion.shape[1], height_px / motion.shape[0]], np.float32)
    known = np.isfinite(motion).all(2)
    size_px = (width_px, height_px)
    flow = cv2.resize(np.where(known[..., None], -motion, 0).astype(np.float32), size_px, interpolation=cv2.INTER_AREA)
    sure = cv2.resize(known.astype(np.uint8), size_px, interpolation=cv2.INTER_NEAREST_EXACT) > 0
    flow = np.asarray(flow, np.float32) * scale
    return flow, sure & _inside(flow)


def confidence(
    rgb: NDArray[np.uint8], last_rgb: NDArray[np.uint8], flow: NDArray[np.float32], most_difference: float
) -> NDArray[np.bool_]:
    """Return (H,W): where the last picture, moved by the flow, looks like this one.

    `most_difference` bounds the squared difference summed over RGB, of pictures in [-1, 1].
    """
    moved = _sample(last_rgb.astype(np.float32), flow)
    difference = np.square((moved - rgb.astype(np.float32)) / np.float32(127.5)).sum(2)
    return np.asarray(difference < most_difference)


def _sample(plane: NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = np.mgrid[0 : flow.shape[0], 0 : flow.shape[1]].astype(np.float32)
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    return np.asarray(cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _inside(flow: NDArray[np.float32]) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[0 : flow.shape[0], 0 : flow.shape[1]].astype(np.float32)
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    return (x >= 0) & (y >= 0) & (x <= flow.shape[1] - 1) & (y <= flow.shape[0] - 1)
