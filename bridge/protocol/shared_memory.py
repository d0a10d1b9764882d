"""Memory that a render client and an inference server on one host both map, so that planes need not pass a socket.

The client makes an anonymous file (`memfd_create`), seals its size, and offers it in its hello by process id and file
descriptor; the server opens it through /proc, which only a process of the same user may. Nothing has a name that could
be left behind. A frame's planes lie at the beginning, one after the other, and its picture after them: with a credit
of one, each side writes only while the other waits.
"""

from __future__ import annotations

import mmap
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bridge.protocol.errors import WireError

NUM_BYTES: Final = 128 * 1024 * 1024  # planes and picture of 3840x2160; pages that are never written cost nothing
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
