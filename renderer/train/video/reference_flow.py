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
FLOW_SUFFIXES: Final = (".npy", ".png")
_KITTI_SCALE: Final = 64  # levels a pixel
_KITTI_ZERO: Final = 1 << 15


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
    """Return the backward flow (H,W,2) f32 px of a file, scaled to a size, and where it has one (H,W).

    The file holds the motion in pixels, x right and y down, from the last frame to this one, at this frame's pixels, as
    recordings have it: a .npy of (h,w,2) floats, where what is not finite is unknown, or a .png of
    `flow_picture`. Raises LabelError for another array.
    """
    motion = _read_png(path) if path.suffix == ".png" else _read_npy(path)
    height_px, width_px = size_hw
    scale = np.array([width_px / motion.shape[1], height_px / motion.shape[0]], np.float32)
    known = np.asarray(np.isfinite(motion).all(2))
    size_px = (width_px, height_px)
    total = cv2.resize(np.where(known[..., None], -motion, 0).astype(np.float32), size_px, interpolation=cv2.INTER_AREA)
    share = np.asarray(cv2.resize(known.astype(np.float32), size_px, interpolation=cv2.INTER_AREA), np.float32)
    sure = share > 0.5
    flow = np.asarray(total / np.maximum(share, 1e-6)[..., None] * scale, np.float32)  # the mean of what is known
    return flow, sure & _inside(flow)


def flow_picture(motion_px: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return (H,W,2) f32 motion as a flow picture of KITTI (Menze and Geiger 2015), (H,W,3) u16 BGR for a PNG: 1/64 px.

    Red is x 64 + 2^15, green y 64 + 2^15, blue 1; all are 0 where the motion is not finite, or 512 px and more.
    """
    levels = np.rint(np.nan_to_num(motion_px, nan=np.inf) * _KITTI_SCALE) + _KITTI_ZERO
    known = ((levels >= 0) & (levels < 1 << 16)).all(2, keepdims=True)
    picture_bgr = np.concatenate([known, levels[..., ::-1]], 2)
    return np.where(known, picture_bgr, 0).astype(np.uint16)


def _read_png(path: Path) -> NDArray[np.float32]:
    """Return the (h,w,2) motion of a `flow_picture`, nan where it is unknown."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        picture_bgr = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except (OSError, cv2.error):
        picture_bgr = None
    if picture_bgr is None or picture_bgr.dtype != np.uint16 or picture_bgr.ndim != 3 or picture_bgr.shape[2] != 3:
        raise LabelError(f"{path} is no flow picture", "Write 16-bit PNGs as KITTI's, or .npy files")
    motion = np.asarray((picture_bgr[..., :0:-1].astype(np.float32) - _KITTI_ZERO) / _KITTI_SCALE, np.float32)
    motion[picture_bgr[..., 0] == 0] = np.nan
    return motion


def _read_npy(path: Path) -> NDArray[np.float32]:
    try:
        motion = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise LabelError(f"{path} is no array that can be read ({error})", "Get or write the file again") from None
    if motion.ndim != 3 or motion.shape[2] != 2 or motion.dtype.kind != "f" or 0 in motion.shape:
        raise LabelError(f"{path} holds {motion.dtype} {motion.shape}", "Write (height, width, 2) floats")
    return np.asarray(motion, np.float32)


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
