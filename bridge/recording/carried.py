"""Depth kept as its changes: each picture after the one before it, whole pictures only now and then.

A record is a letter, a CRC-32 (little-endian) and the rest. `k` a picture that needs no other: the range coder's bytes
of `bridge.recording.carried_kernels`. `c` one whose surfaces are carried over from the record before: first the focal
length in pixels (f64), as no two machines need agree on a tangent, then such bytes; its checksum goes on from that
record's. `r` plain floats, as in `bridge.recording.depth`. Poses are those of the recording's table.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from bridge.protocol.errors import RecordingError
from bridge.protocol.frames import BodyPose
from bridge.recording.carried_kernels import carry_over, code_steps_after
from bridge.recording.depth import METRES_PER_STEP, RAW_LEVEL, metres_of, pack_floats, steps_of, unpack_floats
from bridge.recording.depth_kernels import (
    EVEN_ODDS,
    MAX_TRIED,
    NUM_COLUMNS,
    NUM_CONTEXTS,
    finish,
    new_decoder,
    new_encoder,
)

GROUP_LENGTH: Final = 60  # pictures from a whole one to the next: whoever seeks decodes half as many, 10 ms each
WHOLE: Final = b"k"
CARRIED: Final = b"c"
_RAW: Final = b"r"
_HEAD_BYTES: Final = 5
_PIXELS_A_SURFACE: Final = 8  # room for surfaces: a picture that has more of them is noise
_NUM_INSTANCES: Final = 65536
_Motion = list[list[float]]


@dataclass(frozen=True)
class DepthView:
    """From where a picture was taken, and what moves in it.

    `world_from_camera` (4,4) f64, optical axes, metres · `focal_px` in pixels · `instances` (H,W) u16, None without ·
    `bodies` the movable actors' poses.
    """

    world_from_camera: NDArray[np.float64]
    focal_px: float
    instances: NDArray[np.uint16] | None = None
    bodies: Sequence[BodyPose] = ()


class CarriedDepthCodec:
    """Depth planes, (H,W) f32 metres, one after the other; each object encodes, or decodes."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=RAW_LEVEL)
        self._memory: _Memory | None = None
        still = DepthView(np.eye(4), 1.0)
        for _ in range(2):  # so that nobody waits for the compiler in the middle of a drive
            self.encode(np.zeros((2, 2), np.float32), still)
        self._memory = None

    def encode(self, plane: NDArray, view: DepthView) -> bytes:
        """Return the next plane as bytes."""
        if plane.ndim != 2 or plane.dtype != np.float32:
            raise ValueError(f"a plane of {plane.dtype} {plane.shape} where (H,W) float32 was to come")
        size_hw = (plane.shape[0], plane.shape[1])
        memory = self._memory_for(size_hw)
        steps = steps_of(plane)
        if steps is not None:
            whole = memory.view is None or memory.num_since >= GROUP_LENGTH - 1
            focal_px = b"" if whole else struct.pack("<d", view.focal_px)
            state = new_encoder()
            memory.code(state, memory.buffer, steps, None if whole else view.focal_px, view)
            coded = finish(state, memory.buffer)
            if coded is not None:
                return memory.seal(WHOLE if whole else CARRIED, focal_px + coded)
        memory.forget()
        return memory.seal(_RAW, self._compressor.compress(pack_floats(plane)))

    def decode(self, record: bytes, size_hw: tuple[int, int], view: DepthView) -> NDArray:
        """Return the (H,W) plane of a record; before one that is carried over comes the one before it.

        Raises RecordingError for damaged bytes, and where that one did not come.
        """
        memory = self._memory_for(size_hw)
        letter, coded = record[:1], record[_HEAD_BYTES:]
        if letter not in (WHOLE, CARRIED, _RAW) or (letter == CARRIED and (memory.view is None or len(coded) < 8)):
            memory.forget()
            raise _damaged()
        if memory.seal(letter, coded)[:_HEAD_BYTES] != record[:_HEAD_BYTES]:
            memory.forget()
            raise _damaged()
        if letter == _RAW:
            memory.forget()
            return unpack_floats(coded, size_hw)
        focal_px = struct.unpack("<d", coded[:8])[0] if letter == CARRIED else None
        data = np.frombuffer(bytearray(coded[8:] if letter == CARRIED else coded), np.uint8)
        steps = np.zeros(size_hw, np.int32)
        memory.code(new_decoder(data), data, steps, focal_px, view)
        return metres_of(steps)

    def _memory_for(self, size_hw: tuple[int, int]) -> _Memory:
        if self._memory is None or self._memory.size_hw != size_hw:
            self._memory = _Memory(size_hw)
        return self._memory


class _Memory:
    """What is known of the picture before, and scratch; see `carry_over` and `code_steps_after`."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        num_pixels = math.prod(size_hw)
        num_surfaces = num_pixels // _PIXELS_A_SURFACE + 16
        self.size_hw = size_hw
        self.view: DepthView | None = None
        self.num_since = 0
        self.buffer = np.empty(num_pixels * 4 + 64, np.uint8)  # what would need more is kept as floats
        self._crc = 0
        self._odds = np.empty((2, NUM_CONTEXTS, 2), np.int64)
        self._steps = np.zeros(size_hw, np.int32)
        self._surfaces, self._spare = np.zeros((2, num_surfaces, NUM_COLUMNS))
        self._numbers, self._moves = np.zeros((2, num_surfaces), np.int32)
        self._owner = np.full(size_hw, -1, np.int32)
        self._moved = np.full(size_hw, -1, np.int32)
        self._nearest = np.zeros(size_hw)
        self._errors = np.zeros((2, size_hw[1] + 1), np.int64)
        self._tried = np.zeros(MAX_TRIED + 1, np.int64)

    def forget(self) -> None:
        """Let the next picture be a whole one."""
        self.view = None

    def seal(self, letter: bytes, coded: bytes) -> bytes:
        """Return a record, whose checksum goes on from the one before where it needs that one."""
        before = self._crc if letter == CARRIED else 0
        self._crc = zlib.crc32(coded, zlib.crc32(struct.pack("<II", *self.size_hw) + letter, before))
        return letter + self._crc.to_bytes(4, "little") + coded

    def code(
        self,
        state: NDArray[np.int64],
        data: NDArray[np.uint8],
        steps: NDArray[np.int32],
        focal_px: float | None,
        view: DepthView,
    ) -> None:
        """Code a picture's steps after the one before, or, without `focal_px`, as a whole one."""
        num_surfaces = 0
        if focal_px is None or self.view is None:
            self._odds.fill(EVEN_ODDS)
            self._moved.fill(-1)
            self.num_since = 0
        else:
            num_surfaces = self._carry_over(self.view, view, focal_px)
            self.num_since += 1
        self._owner.fill(-1)
        self._errors.fill(0)
        code_steps_after(
            state, data, self._odds[0], self._odds[1], steps, self._surfaces, num_surfaces,
            self._owner, self._moved, self._errors, self._tried,
        )  # fmt: skip
        self.view, self._steps = view, steps

    def _carry_over(self, before: DepthView, now: DepthView, focal_px: float) -> int:
        height, width = self.size_hw
        motions, motion_of = _motions(before, now)
        instances = np.zeros(self.size_hw, np.uint16) if before.instances is None else before.instances
        num_surfaces = carry_over(
            self._steps, self._owner, np.array(instances, np.uint16), motion_of, motions,
            focal_px, 0.5 * width - 0.5, 0.5 * height - 0.5,
            self._surfaces, self._spare, self._numbers, self._moves, self._moved, self._nearest,
        )  # fmt: skip
        self._surfaces, self._spare = self._spare, self._surfaces
        return num_surfaces


def _motions(before: DepthView, now: DepthView) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """Return (M,3,4) f64 motions from the camera before to that of now, in steps, and which an instance has.

    Written out in Python's own floats: the libraries behind matrix products round differently from machine to machine.
    """
    camera_from_world = _inverse(_rows(now.world_from_camera))
    old_camera = _rows(before.world_from_camera)
    motions = [_product(camera_from_world, old_camera)]
    motion_of = np.zeros(_NUM_INSTANCES, np.int16)
    old_bodies = {body.instance_id: body.world_from_body for body in before.bodies}
    for body in now.bodies:
        old = old_bodies.get(body.instance_id)
        if old is None or not 0 < body.instance_id < _NUM_INSTANCES or len(motions) > 32000:
            continue
        motion_of[body.instance_id] = len(motions)
        now_from_old = _product(_rows(body.world_from_body), _inverse(_rows(old)))
        motions.append(_product(camera_from_world, _product(now_from_old, old_camera)))
    table = np.array([motion[:3] for motion in motions])
    table[:, :, 3] /= np.float64(METRES_PER_STEP)
    return table, motion_of


def _rows(pose: NDArray[np.float64]) -> _Motion:
    """Return a pose as the table keeps it."""
    return [*pose[:3, :4].tolist(), [0.0, 0.0, 0.0, 1.0]]


def _product(a: _Motion, b: _Motion) -> _Motion:
    return [[r[0] * b[0][j] + r[1] * b[1][j] + r[2] * b[2][j] + r[3] * b[3][j] for j in range(4)] for r in a]


def _inverse(m: _Motion) -> _Motion:
    """Return the inverse of a rotation and a shift."""
    turned = [[m[j][i] for j in range(3)] for i in range(3)]
    shift = [-(r[0] * m[0][3] + r[1] * m[1][3] + r[2] * m[2][3]) for r in turned]
    return [[*turned[0], shift[0]], [*turned[1], shift[1]], [*turned[2], shift[2]], [0.0, 0.0, 0.0, 1.0]]


def _damaged() -> RecordingError:
    return RecordingError("a plane of the recording is damaged", "Get the recording again")
