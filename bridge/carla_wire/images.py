"""CARLA's image bodies: the header, and each plane to and from the bytes that a camera sends.

The encoders write into an array the caller gives or a new one, (H, W, 4) u8 in B, G, R, A order, contiguous.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

FAR_M = 1000.0
"""The depth that the largest code stands for; the sky's."""

_IMAGE_HEADER = struct.Struct("<IIf")
_MAX_CODE = (1 << 24) - 1
_OPAQUE = 0xFF000000


class ImageHeader(NamedTuple):
    """An image's size in pixels and its horizontal field of view in degrees."""

    width_px: int
    height_px: int
    fov_deg: float

    def pack(self) -> bytes:
        """Return the header's 12 bytes."""
        return _IMAGE_HEADER.pack(*self)

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> ImageHeader:
        """Return the header at the beginning of an image body; the inverse of `pack`."""
        return cls(*_IMAGE_HEADER.unpack_from(data))


@njit("void(float32[:, ::1], uint32[:, ::1])", nogil=True, cache=True)
def _depth_codes(depth_m, bgra) -> None:
    scale = _MAX_CODE / FAR_M
    for row in range(depth_m.shape[0]):
        for column in range(depth_m.shape[1]):
            code = np.uint32(min(max(np.rint(np.float64(depth_m[row, column]) * scale), 0.0), float(_MAX_CODE)))
            # bytes B, G, R = high, middle, low; as a little-endian word B is the lowest byte
            bgra[row, column] = (code >> 16) | (code & 0xFF00) | ((code & 0xFF) << 16) | _OPAQUE


@njit("void(uint8[:, ::1], int32[:, ::1], uint32[:, ::1])", nogil=True, cache=True)
def _instance_codes(tags, actor_ids, bgra) -> None:
    for row in range(tags.shape[0]):
        for column in range(tags.shape[1]):
            actor_id = np.uint32(actor_ids[row, column])
            bgra[row, column] = (
                ((actor_id >> 8) & 0xFF) | ((actor_id & 0xFF) << 8) | (tags[row, column] << 16) | _OPAQUE
            )


@njit("void(uint8[:, ::1], uint32[:, ::1])", nogil=True, cache=True)
def _semantic_codes(tags, bgra) -> None:
    for row in range(tags.shape[0]):
        for column in range(tags.shape[1]):
            bgra[row, column] = (np.uint32(tags[row, column]) << 16) | _OPAQUE


@njit("void(float32[:, :, ::1], float32, float32, float32[:, :, ::1])", nogil=True, cache=True)
def _scale_flow(flow, scale_x, scale_y, out) -> None:
    for row in range(flow.shape[0]):
        for column in range(flow.shape[1]):
            out[row, column, 0] = flow[row, column, 0] * scale_x
            out[row, column, 1] = flow[row, column, 1] * scale_y


@njit("void(float32[:, :, ::1], uint8[:, :, ::1])", nogil=True, cache=True)
def _normal_codes(normals, bgra) -> None:
    for row in range(normals.shape[0]):
        for column in range(normals.shape[1]):
            for axis in range(3):
                code = np.rint((np.float64(normals[row, column, axis]) + 1.0) * 127.5)
                bgra[row, column, 2 - axis] = np.uint8(min(max(code, 0.0), 255.0))
            bgra[row, column, 3] = 255


def _words(out: NDArray[np.uint8] | None, shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    bgra = np.empty((*shape, 4), np.uint8) if out is None else out
    if bgra.shape != (*shape, 4) or bgra.dtype != np.uint8 or not bgra.flags.c_contiguous:
        raise ValueError(f"the output must be a contiguous {(*shape, 4)} uint8 array, not {bgra.shape} {bgra.dtype}")
    return bgra, bgra.view(np.uint32)[..., 0]


def encode_depth(depth_m: NDArray[np.float32], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Return depth (H, W) f32 in metres as CARLA's 24-bit code: R the low byte, B the high one, 1000 m at the top."""
    bgra, words = _words(out, depth_m.shape)
    _depth_codes(np.ascontiguousarray(depth_m, np.float32), words)
    return bgra


def decode_depth(bgra: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the depth in metres (H, W) f64; the inverse of `encode_depth` to half a code, 0.03 mm."""
    code = bgra[..., 2].astype(np.uint32) | bgra[..., 1].astype(np.uint32) << 8 | bgra[..., 0].astype(np.uint32) << 16
    return code.astype(np.float64) * (FAR_M / _MAX_CODE)


def encode_semantic(tags: NDArray[np.uint8], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Return CARLA's tags (H, W) u8 as a semantic image: the tag in R, G and B zero."""
    bgra, words = _words(out, tags.shape)
    _semantic_codes(np.ascontiguousarray(tags, np.uint8), words)
    return bgra


def decode_semantic(bgra: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the tags (H, W) u8 of a semantic or instance image."""
    return bgra[..., 2].copy()


def encode_instance(
    tags: NDArray[np.uint8], actor_ids: NDArray[np.int32], out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Return tags (H, W) u8 and actor ids (H, W) i32 as an instance image: R tag, G the id's low byte, B the next."""
    if tags.shape != actor_ids.shape:
        raise ValueError(f"tags {tags.shape} and actor ids {actor_ids.shape} differ in size")
    bgra, words = _words(out, tags.shape)
    _instance_codes(np.ascontiguousarray(tags, np.uint8), np.ascontiguousarray(actor_ids, np.int32), words)
    return bgra


def decode_instance(bgra: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return tags (H, W) u8 and the low 16 bits of the actor ids (H, W) i32; the inverse of `encode_instance`."""
    return bgra[..., 2].copy(), bgra[..., 1].astype(np.int32) | bgra[..., 0].astype(np.int32) << 8


def encode_normals(normals: NDArray[np.float32], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Return unit vectors (H, W, 3) f32 as CARLA's normals: R, G, B are x, y, z of the world, -1..1 as 0..255."""
    bgra, _ = _words(out, normals.shape[:2])
    _normal_codes(np.ascontiguousarray(normals, np.float32), bgra)
    return bgra


def decode_normals(bgra: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the vectors (H, W, 3) f32; the inverse of `encode_normals` to half a code, 0.004 an axis."""
    return bgra[..., 2::-1].astype(np.float32) / 127.5 - 1.0


def encode_flow(flow_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return flow (H, W, 2) f32 in pixels, y down, as CARLA's (H, W, 2) f32: image spans 2 units, y up."""
    height, width = flow_px.shape[:2]
    out = np.empty((height, width, 2), np.float32)
    _scale_flow(np.ascontiguousarray(flow_px, np.float32), np.float32(2.0 / width), np.float32(-2.0 / height), out)
    return out


def decode_flow(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return flow (H, W, 2) f32 in pixels, y down; the inverse of `encode_flow`."""
    height, width = flow.shape[:2]
    out = np.empty((height, width, 2), np.float32)
    _scale_flow(np.ascontiguousarray(flow, np.float32), np.float32(width / 2.0), np.float32(-height / 2.0), out)
    return out
