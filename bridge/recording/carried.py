"""Depth and labels kept as their changes: each picture after the one before it, whole pictures only now and then.

A record of depth is a letter, a CRC-32 (little-endian) and the rest. `k` a picture that needs no other: the range
coder's bytes of `bridge.recording.carried_kernels`. `c` one whose surfaces are carried over from the record before:
first the focal length in pixels (f64), as no two machines need agree on a tangent, then a small motion of the camera
(6 f32: shifts in steps, turns in radians, along and about its axes) that mends what its poses lack in digits, then such
bytes; its checksum goes on from that record's. `r` plain floats, as in `bridge.recording.depth`. Poses are those of the
recording's table. A record of labels is a CRC-32, which goes on from that of the same picture's depth and, after a
`c`, from that of the labels before, and the bytes of `bridge.recording.surface_label_kernels`.
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
from bridge.recording.carried_kernels import FIRST_WEIGHT, NUM_CARRIED_CONTEXTS, NUM_MIXED, code_steps_after
from bridge.recording.carrying_kernels import NUM_CARRIED_COLUMNS, carry_over, misfit, shift
from bridge.recording.depth import METRES_PER_STEP, RAW_LEVEL, metres_of, pack_floats, steps_of, unpack_floats
from bridge.recording.depth_kernels import (
    EVEN_ODDS,
    MAX_TRIED,
    NUM_AGES,
    finish,
    new_decoder,
    new_encoder,
)
from bridge.recording.surface_label_kernels import NUM_SURFACE_LABEL_CONTEXTS, UNKNOWN, code_labels_on

GROUP_LENGTH: Final = 120  # pictures from a whole one to the next: whoever seeks decodes half as many, 10 ms each
WHOLE: Final = b"k"
CARRIED: Final = b"c"
_RAW: Final = b"r"
_HEAD_BYTES: Final = 5
_PIXELS_A_SURFACE: Final = 8  # room for surfaces: a picture that has more of them is noise
_NUM_INSTANCES: Final = 65536
_LABEL_BYTES: Final = 18  # of a pixel: twelve questions at most, each answered at the worst odds of 1 to 2047
_FOCAL_BYTES: Final = 8
_MOTION_BYTES: Final = 24
_NO_MOTION: Final = np.zeros(6, np.float32)
_Motion = list[list[float]]
_STILL: Final[_Motion] = np.eye(4).tolist()  # what products of poses give only roughly


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


class CarriedCodec:
    """Depth planes, (H,W) f32 metres, one after the other, and the label map of each after it, (H,W) u8.

    Each object encodes, or decodes; labels always, or never.
    """

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=RAW_LEVEL)
        self._memory: _Memory | None = None
        still = DepthView(np.eye(4), 1.0)
        for _ in range(2):  # so that nobody waits for the compiler in the middle of a drive
            self.encode(np.zeros((2, 2), np.float32), still)
            self.encode_labels(np.zeros((2, 2), np.uint8))
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
            state = new_encoder()
            motion = memory.code(state, memory.buffer, steps, None if whole else view.focal_px, view, None)
            head = b"" if whole else struct.pack("<d", view.focal_px) + motion.astype("<f4").tobytes()
            coded = finish(state, memory.buffer)
            if coded is not None:
                return memory.seal(WHOLE if whole else CARRIED, head + coded)
        memory.forget()
        return memory.seal(_RAW, self._compressor.compress(pack_floats(plane)))

    def decode(self, record: bytes, size_hw: tuple[int, int], view: DepthView) -> NDArray:
        """Return the (H,W) plane of a record; before one that is carried over comes the one before it.

        Raises RecordingError for damaged bytes, and where that one did not come.
        """
        memory = self._memory_for(size_hw)
        letter, coded = record[:1], record[_HEAD_BYTES:]
        num_head = _FOCAL_BYTES + _MOTION_BYTES if letter == CARRIED else 0
        if letter not in (WHOLE, CARRIED, _RAW) or len(coded) < num_head or (num_head and memory.view is None):
            memory.forget()
            raise _damaged()
        if memory.seal(letter, coded)[:_HEAD_BYTES] != record[:_HEAD_BYTES]:
            memory.forget()
            raise _damaged()
        if letter == _RAW:
            memory.forget()
            return unpack_floats(coded, size_hw)
        focal_px = struct.unpack("<d", coded[:_FOCAL_BYTES])[0] if num_head else None
        motion = np.frombuffer(coded[_FOCAL_BYTES:num_head], "<f4") if num_head else _NO_MOTION
        data = np.frombuffer(bytearray(coded[num_head:]), np.uint8)
        steps = np.zeros(size_hw, np.int32)
        memory.code(new_decoder(data), data, steps, focal_px, view, motion)
        return metres_of(steps)

    def encode_labels(self, plane: NDArray) -> bytes:
        """Return the labels of the picture whose depth was encoded last as bytes."""
        if plane.ndim != 2 or plane.dtype != np.uint8:
            raise ValueError(f"a plane of {plane.dtype} {plane.shape} where (H,W) uint8 was to come")
        memory = self._memory_for((plane.shape[0], plane.shape[1]))
        state, buffer = new_encoder(), np.empty(plane.size * _LABEL_BYTES + 64, np.uint8)
        memory.code_labels(state, buffer, plane.astype(np.int32))
        coded = finish(state, buffer)
        if coded is None:
            raise AssertionError("a label took more bytes than it can")
        return memory.seal_labels(coded) + coded

    def decode_labels(self, record: bytes, size_hw: tuple[int, int]) -> NDArray:
        """Return the (H,W) labels of the picture whose depth was decoded last; raises RecordingError as `decode`."""
        memory = self._memory_for(size_hw)
        if memory.seal_labels(record[4:]) != record[:4]:
            memory.forget()
            raise _damaged()
        data = np.frombuffer(bytearray(record[4:]), np.uint8)
        labels = np.zeros(size_hw, np.int32)
        memory.code_labels(new_decoder(data), data, labels)
        return labels.astype(np.uint8)

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
        self._crc = self._labels_crc = 0
        self._odds = np.empty((2, NUM_CARRIED_CONTEXTS, 2), np.uint16)  # small, to stay in the caches
        self._label_odds = np.empty((NUM_SURFACE_LABEL_CONTEXTS, 2), np.uint16)
        self._weights = np.empty((NUM_AGES, NUM_MIXED), np.int64)
        self._steps, self._labels = np.zeros((2, *size_hw), np.int32)
        self._surfaces, self._spare = np.zeros((2, num_surfaces, NUM_CARRIED_COLUMNS))
        self._numbers, self._moves, self._label_of = np.zeros((3, num_surfaces), np.int32)
        self._owner, self._moved, self._moved_labels = np.full((3, *size_hw), -1, np.int32)
        self._nearest, self._rest = np.zeros((2, *size_hw))
        self._errors = np.zeros((2, size_hw[1] + 1), np.int64)
        self._tried = np.zeros(MAX_TRIED + 1, np.int64)

    def forget(self) -> None:
        """Let the next picture be a whole one, and labels know no surface until then."""
        self.view = None
        self._begin_anew()
        self._owner.fill(-1)

    def seal(self, letter: bytes, coded: bytes) -> bytes:
        """Return a record, whose checksum goes on from the one before where it needs that one."""
        carries = letter == CARRIED
        self._labels_crc = self._labels_crc if carries else 0
        before = self._crc if carries else 0
        self._crc = zlib.crc32(coded, zlib.crc32(struct.pack("<II", *self.size_hw) + letter, before))
        return letter + self._crc.to_bytes(4, "little") + coded

    def seal_labels(self, coded: bytes) -> bytes:
        """Return the checksum of labels, which goes on from their depth's and from the labels' before."""
        self._labels_crc = zlib.crc32(coded, zlib.crc32(struct.pack("<II", self._crc, self._labels_crc)))
        return self._labels_crc.to_bytes(4, "little")

    def code(
        self,
        state: NDArray[np.int64],
        data: NDArray[np.uint8],
        steps: NDArray[np.int32],
        focal_px: float | None,
        view: DepthView,
        motion: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """Code a picture's steps after the one before, or, without `focal_px`, as a whole one.

        `motion` (6,) is what the camera moved besides its pose; None: find it. Returns it.
        """
        num_surfaces, before = 0, self.view
        if focal_px is None or before is None:
            self._begin_anew()
            motion = _NO_MOTION
        else:
            num_surfaces = self._carry_over(before, view, focal_px)
            self.num_since += 1
            if motion is None:
                motion = self._unsaid_motion(steps, before, view, focal_px)
            self._shift(motion, num_surfaces, focal_px)
        self._owner.fill(-1)
        self._errors.fill(0)
        code_steps_after(
            state, data, self._odds[0], self._odds[1], self._weights, steps, self._surfaces, num_surfaces,
            self._owner, self._moved, self._rest, self._errors, self._tried,
        )  # fmt: skip
        self.view, self._steps = view, steps
        return motion

    def code_labels(self, state: NDArray[np.int64], data: NDArray[np.uint8], labels: NDArray[np.int32]) -> None:
        """Code the labels of the picture that was coded last."""
        self._label_of.fill(UNKNOWN)
        code_labels_on(
            state, data, self._label_odds, labels, self._owner, self._label_of, self._moved, self._moved_labels
        )
        self._labels = labels

    def _begin_anew(self) -> None:
        for odds in (self._odds, self._label_odds):
            odds.fill(EVEN_ODDS)
        for places in (self._moved, self._moved_labels):
            places.fill(-1)
        self._weights.fill(FIRST_WEIGHT)
        self._rest.fill(0.0)
        self.num_since = 0

    def _carry_over(self, before: DepthView, now: DepthView, focal_px: float) -> int:
        motions, motion_of = _motions(before, now)
        instances = np.zeros(self.size_hw, np.uint16) if before.instances is None else before.instances
        num_surfaces = carry_over(
            self._steps, self._owner, np.array(instances, np.uint16), self._labels, motion_of, motions,
            focal_px, *self._middle, self._surfaces, self._spare, self._numbers, self._moves,
            self._moved, self._nearest, self._rest, self._moved_labels,
        )  # fmt: skip
        self._surfaces, self._spare = self._spare, self._surfaces
        return num_surfaces

    @property
    def _middle(self) -> tuple[float, float]:
        height, width = self.size_hw
        return 0.5 * width - 0.5, 0.5 * height - 0.5

    def _unsaid_motion(
        self, steps: NDArray[np.int32], before: DepthView, now: DepthView, focal_px: float
    ) -> NDArray[np.float32]:
        """Return the small motion of the camera that brings its surfaces nearest to a picture, by least squares."""
        if _rows(before.world_from_camera) == _rows(now.world_from_camera):
            return _NO_MOTION
        sums = np.zeros((8, 7))
        misfit(steps, self._moved, self._surfaces, focal_px, *self._middle, sums)
        whole = np.triu(sums[:7]) + np.triu(sums[:7], 1).T
        size = np.sqrt(np.diag(whole)[:6]) + 1e-30  # shifts and turns have units of their own
        with np.errstate(all="ignore"):
            scaled = whole[:6, :6] / size / size[:, None]
            if not np.isfinite(scaled).all():
                return _NO_MOTION
            motion = (np.linalg.lstsq(scaled, whole[:6, 6] / size, rcond=1e-6)[0] / size).astype(np.float32)
        return motion if np.isfinite(motion).all() else _NO_MOTION

    def _shift(self, motion: NDArray[np.float32], num_surfaces: int, focal_px: float) -> None:
        if not motion.any():
            return
        right, down, on, about_x, about_y, about_z = motion.astype(np.float64).tolist()
        turned = [[1.0, -about_z, about_y, right], [about_z, 1.0, -about_x, down], [-about_y, about_x, 1.0, on]]
        shift(self._surfaces, num_surfaces, np.array(turned), focal_px, *self._middle, self._spare[0])


def _motions(before: DepthView, now: DepthView) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """Return (M,3,4) f64 motions from the camera before to that of now, in steps, and which an instance has.

    Written out in Python's own floats: the libraries behind matrix products round differently from machine to machine.
    """
    camera_from_world = _inverse(_rows(now.world_from_camera))
    old_camera = _rows(before.world_from_camera)
    stands = _rows(now.world_from_camera) == old_camera
    motions = [_STILL if stands else _product(camera_from_world, old_camera)]
    motion_of = np.zeros(_NUM_INSTANCES, np.int16)
    old_bodies = {body.instance_id: body.world_from_body for body in before.bodies}
    for body in now.bodies:
        old = old_bodies.get(body.instance_id)
        if old is None or not 0 < body.instance_id < _NUM_INSTANCES or len(motions) > 32000:
            continue
        motion_of[body.instance_id] = len(motions)
        pose, old_pose = _rows(body.world_from_body), _rows(old)
        if stands and pose == old_pose:
            motions.append(_STILL)
            continue
        motions.append(_product(camera_from_world, _product(_product(pose, _inverse(old_pose)), old_camera)))
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
