"""CARLA's camera buffers to planes: the only file that knows their byte order.

A picture arrives as rows of B, G, R, A bytes from the top left. What they mean: semantic R = tag; instance R = tag,
id = G + 256 B; depth n = R + 256 G + 65536 B with far = 1000 m at n = 2^24 - 1. Optical flow arrives as two floats a
pixel, in halves of the picture, y up. Every function returns a new, read-only array of its own memory: the buffers
belong to the simulator's client library and are gone when their image is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.labels import label_id

FAR_M: Final = 1000.0
_METRES_PER_STEP: Final = np.float32(FAR_M / (2**24 - 1))
_DEPTH_BITS: Final = np.uint32(0xFFFFFF)
_MOVABLE: Final = ("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")


def bgra_view(raw: memoryview | bytes, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Return (H,W,4) u8 BGRA, a view of a camera's buffer; raises ValueError if the buffer has another size."""
    flat = np.frombuffer(raw, np.uint8)
    if flat.size != width_px * height_px * 4:
        raise ValueError(f"a camera buffer of {flat.size} bytes for {width_px}x{height_px} pixels of 4 bytes")
    return flat.reshape(height_px, width_px, 4)


def rgb_from_bgra(bgra: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H,W,3) u8 RGB of an (H,W,4) u8 BGRA picture."""
    _check_bgra(bgra)
    return _sealed(np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGB), np.uint8))


def labels_from_bgra(bgra: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H,W) u8 semantic tags of a raw semantic (or instance) picture; colour-converted ones have no tags."""
    _check_bgra(bgra)
    return _sealed(np.asarray(cv2.extractChannel(bgra, 2), np.uint8))


def instances_from_bgra(bgra: NDArray[np.uint8], label_space: str) -> NDArray[np.uint16]:
    """Return (H,W) u16 instance ids of a raw instance picture, 0 where the tag is of nothing that moves by itself.

    CARLA numbers houses and trees too; only the ids of vehicles and people mean something to the bridge.
    """
    _check_bgra(bgra)
    moves = np.asarray(cv2.LUT(cv2.extractChannel(bgra, 2), _movable_table(label_space)), np.uint8)
    ids = bgra.view(">u2")[..., 0].astype(np.uint16)  # B, the high byte, comes first
    return _sealed(np.asarray(cv2.bitwise_and(ids, ids, mask=moves), np.uint16))


def depth_m_from_bgra(bgra: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (H,W) f32 metres along the optical axis, 0..1000, of a raw depth picture."""
    _check_bgra(bgra)
    rgba = np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA), np.uint8)
    steps = rgba.view("<u4")[..., 0]
    np.bitwise_and(steps, _DEPTH_BITS, out=steps)
    depth_m = steps.view(np.int32).astype(np.float32)  # signed: far faster to convert, and 24 bits are exact
    depth_m *= _METRES_PER_STEP
    return _sealed(depth_m)


def flow_px_from_raw(raw: memoryview | bytes, width_px: int, height_px: int) -> NDArray[np.float32]:
    """Return (H,W,2) f32 pixels of an optical flow buffer: motion from the previous frame, x right, y down."""
    flat = np.frombuffer(raw, "<f4")
    if flat.size != width_px * height_px * 2:
        raise ValueError(f"a flow buffer of {flat.size} floats for {width_px}x{height_px} pixels of 2")
    halves = np.tile(np.array([width_px / 2.0, -height_px / 2.0], np.float32), width_px)  # whole rows: much faster
    return _sealed((flat.reshape(height_px, 2 * width_px) * halves).reshape(height_px, width_px, 2))


@lru_cache(maxsize=8)
def _movable_table(label_space: str) -> NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    table[[label_id(label_space, name) for name in _MOVABLE]] = 255
    return table


def _check_bgra(bgra: NDArray[np.uint8]) -> None:
    if bgra.dtype != np.uint8 or bgra.ndim != 3 or bgra.shape[2] != 4 or not bgra.flags.c_contiguous:
        raise ValueError(f"a BGRA picture is (H,W,4) uint8 and contiguous, not {bgra.dtype} {bgra.shape}")


def _sealed(array: NDArray) -> NDArray:
    array.flags.writeable = False
    return array
