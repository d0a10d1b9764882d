"""Memory that a render client and an inference server on one host both map, so that planes need not pass a socket.

The client makes an anonymous file (`memfd_create`), seals its size, and offers it in its hello by process id and file
descriptor; the server opens it through /proc, which only a process of the same user may. Nothing has a name that could
be left behind. A frame's planes lie at the beginning, one after the other, and its picture after them: with a credit
of one, each side writes only while the other waits. Pictures are used where they lie, so each has a place of its own
until nobody refers to it any more.
"""

from __future__ import annotations

import mmap
import os
import stat
import sys
import weakref
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import WireError

NUM_BYTES: Final = 256 * 1024 * 1024  # planes and pictures of 3840x2160; pages that are never written cost nothing
NUM_PICTURES: Final = 6  # that may be in use at a time: in flight, waiting, shown, and what is made of the last ones
ALIGNMENT_BYTES: Final = 64
TOKEN_BYTES: Final = 16
_NAME: Final = "vidrive-planes"
_HINT: Final = "Connect without shared memory: over tcp"


class MemoryOffer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a server on the same host finds a client's shared memory: a file descriptor of the client's process.

    `token` is what the memory ends with: in another container the same numbers can mean another client's memory.
    """

    process_id: int
    file_descriptor: int
    token: bytes


class SharedMemory:
    """A client's own shared memory; `buffer` are its bytes, `offer` tells a server where it is."""

    def __init__(self) -> None:
        """Make it; raises OSError where the system has no such memory."""
        if not sys.platform.startswith("linux"):
            raise OSError("this system has no sealed anonymous files")
        import fcntl  # Unix has it only

        self._file = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self._file, NUM_BYTES)
            fcntl.fcntl(self._file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self.buffer = memoryview(mmap.mmap(self._file, NUM_BYTES))
        except OSError:
            os.close(self._file)
            raise
        token = os.urandom(TOKEN_BYTES)
        self.buffer[-TOKEN_BYTES:] = token
        self.offer = MemoryOffer(process_id=os.getpid(), file_descriptor=self._file, token=token)

    def close(self) -> None:
        """Withdraw the offer; the memory itself goes when nobody maps it any more."""
        os.close(self._file)
        self.buffer = memoryview(b"")


@lru_cache(maxsize=16)
def _lay_out_frame(planes_bytes: tuple[int, ...], picture_bytes: int) -> tuple[int, ...] | None:
    """Offsets of planes and of as many pictures as there is room for; None without room for one."""
    for num_pictures in range(NUM_PICTURES, 0, -1):
        offsets = lay_out([*planes_bytes, *[picture_bytes] * num_pictures])
        if offsets is not None:
            return offsets
    return None


class PicturePlaces:
    """Which places for pictures are in use: those whose picture, or a view of it, somebody still refers to."""

    def __init__(self) -> None:
        self._lent: dict[int, weakref.ref[NDArray]] = {}

    def free(self, planes_bytes: Sequence[int], picture_bytes: int) -> tuple[tuple[int, ...], int | None] | None:
        """Return the offsets of planes, and that of a place for a picture after them; None for it if all are in use.

        None if not even the planes and one picture fit into the memory.
        """
        offsets = _lay_out_frame(tuple(planes_bytes), picture_bytes)
        if offsets is None:
            return None
        self._lent = {offset: lent for offset, lent in self._lent.items() if lent() is not None}
        places = offsets[len(planes_bytes) :]
        return offsets[: len(planes_bytes)], next((place for place in places if place not in self._lent), None)

    def lend(self, offset_bytes: int, picture: NDArray[np.uint8]) -> None:
        """Keep a place for as long as there is a view of its memory; `picture` is one."""
        # Views of views refer to the array that was made of the memory first, not to the one that they were made of.
        owner = picture.base if isinstance(picture.base, np.ndarray) else picture
        self._lent[offset_bytes] = weakref.ref(owner)


def attach(offer: MemoryOffer) -> memoryview:
    """Return the bytes of a client's shared memory; raises WireError for what is not such memory of this user."""
    if not sys.platform.startswith("linux"):
        raise WireError("this system has no sealed anonymous files", _HINT)
    import fcntl  # Unix has it only

    path = Path(f"/proc/{offer.process_id}/fd/{offer.file_descriptor}")
    try:
        if not str(path.readlink()).startswith(f"/memfd:{_NAME}"):  # never open what could block or be a device
            raise WireError("a client offers something else than its shared memory", _HINT)
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise WireError(f"a client's shared memory cannot be opened ({error.strerror})", _HINT) from None
    try:
        status = os.fstat(file)
        sealed = fcntl.fcntl(file, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK if stat.S_ISREG(status.st_mode) else 0
        if status.st_uid != os.geteuid() or status.st_size != NUM_BYTES or not sealed:
            raise WireError("a client's shared memory has another owner, size or seal", _HINT)
        memory = memoryview(mmap.mmap(file, NUM_BYTES))
    except OSError as error:
        raise WireError(f"a client's shared memory cannot be mapped ({error.strerror})", _HINT) from None
    finally:
        os.close(file)
    if memory[-TOKEN_BYTES:] != offer.token:
        raise WireError("a client's shared memory is another client's", _HINT)
    return memory


def lay_out(sizes_bytes: Sequence[int]) -> tuple[int, ...] | None:
    """Return the offset of each of several planes, one after the other; None if they do not fit."""
    offsets: list[int] = []
    end = 0
    for size_bytes in sizes_bytes:
        offsets.append(end)
        end += -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    return tuple(offsets) if end <= NUM_BYTES - TOKEN_BYTES else None
