"""Frames that are not label maps: planes of edge maps and poses, and real pictures of the same frames.

Planes are read as upstream feeds them, 0 to 1: a PNG's levels divided by 255, or the numbers of a .npy file as they
are. Pictures are -1 to 1. Both are RGB, channels first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import LabelError
from renderer.label_pictures import read_any_header

PLANE_SUFFIXES: Final = (".png", ".npy")
PICTURE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".npy")
_AGAIN: Final = "Get or write the file again"


def plane_size_hw(path: Path, channels: int) -> tuple[int, int]:
    """Return height and width of a frame's planes from the file's header.

    A PNG is grey with the planes one under the other, or for three planes in colour; a .npy holds (channels, H, W).
    Raises LabelError for a file that cannot hold that many planes.
    """
    if path.suffix.lower() == ".npy":
        shape = _open_numbers(path).shape
        if len(shape) != 3 or shape[0] != channels:
            raise LabelError(f"{path} holds an array of {shape}", f"Write ({channels}, height, width)")
        return shape[1], shape[2]
    header = read_any_header(path)
    if channels == 3 and header.is_colour:
        return header.size_hw
    if header.height_px % channels or header.is_colour:
        raise LabelError(
            f"{path} does not hold {channels} planes", f"Put {channels} grey planes under each other, or write a .npy"
        )
    return header.height_px // channels, header.width_px


def read_planes(path: Path, channels: int) -> NDArray[np.float32]:
    """Return the planes of a frame, (channels, H, W) float32; see `plane_size_hw`. Raises LabelError."""
    height_px, width_px = plane_size_hw(path, channels)
    if path.suffix.lower() == ".npy":
        return _numbers(path)
    if channels == 3 and read_any_header(path).is_colour:
        return _scaled(_decode(path, cv2.IMREAD_COLOR).transpose(2, 0, 1)[::-1])
    return _scaled(_decode(path, cv2.IMREAD_GRAYSCALE).reshape(channels, height_px, width_px))


def read_picture(path: Path) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Return a real picture, (3, H, W), as 8-bit levels; of a .npy file its numbers as float32 in -1..1.

    Raises LabelError for a file that is damaged or no picture.
    """
    if path.suffix.lower() != ".npy":
        return np.ascontiguousarray(_decode(path, cv2.IMREAD_COLOR)[:, :, ::-1].transpose(2, 0, 1))
    numbers = _open_numbers(path)
    if numbers.ndim != 3 or numbers.shape[0] != 3:
        raise LabelError(f"{path} holds an array of {numbers.shape}", "Write (3, height, width)")
    if numbers.dtype == np.uint8:
        return np.array(numbers)
    return _finite(path, numbers)


def _scaled(levels: NDArray) -> NDArray[np.float32]:
    return np.divide(levels, 255, dtype=np.float32)


def _decode(path: Path, mode: int) -> NDArray[np.uint8]:
    try:
        picture = cv2.imdecode(np.fromfile(path, np.uint8), mode)
    except (OSError, cv2.error):
        picture = None
    if picture is None:
        raise LabelError(f"{path} is no picture that can be read", _AGAIN)
    return np.asarray(picture, np.uint8)


def _numbers(path: Path) -> NDArray[np.float32]:
    """Return the numbers of a .npy file as float32, 8-bit levels divided by 255."""
    numbers = _open_numbers(path)
    return _scaled(numbers) if numbers.dtype == np.uint8 else _finite(path, numbers)


def _finite(path: Path, numbers: NDArray) -> NDArray[np.float32]:
    if numbers.dtype.kind != "f" or not np.isfinite(numbers).all():
        raise LabelError(f"{path} holds {numbers.dtype} or what is not a finite number", "Write uint8 or float32")
    return np.ascontiguousarray(numbers, np.float32)


def _open_numbers(path: Path) -> NDArray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise LabelError(f"{path} is no array that can be read ({error})", _AGAIN) from None
