"""The memory that a render client shares with its server, where both are on one host; else how planes travel."""

from __future__ import annotations

import contextlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.protocol import sockets
from bridge.protocol.messages import Codec, PictureCodec, PlaneHeader
from bridge.protocol.shared_memory import MemoryOffer, PicturePlaces, SharedMemory

_ONE_HOST: Final = "ipc:"  # the only endpoints whose other end is surely on this host


class RenderMemory:
    """`places` are those of the pictures in it; all of it is fresh after `offer_anew`."""

    def __init__(self, endpoint: str, picture_codec: PictureCodec) -> None:
        """Offer none yet; `endpoint` and `picture_codec` are the client's, and say whether it ever will."""
        self.places = PicturePlaces()
        self._can_be = endpoint.startswith(_ONE_HOST) and picture_codec == "raw"
        self._socket_codec: Codec = "raw" if sockets.stays_on_host(endpoint) else "lz4"
        self._memory: SharedMemory | None = None
        self._accepted = False

    @property
    def buffer(self) -> memoryview | None:
        """The bytes of it; None where there is none."""
        return self._memory.buffer if self._memory else None

    @property
    def codec(self) -> Codec:
        """How the planes of the next request travel."""
        return "shared" if self._accepted else self._socket_codec

    def offer_anew(self) -> MemoryOffer | None:
        """Offer fresh memory, for a lost server may still write to its own; None where planes go through the socket."""
        self.close()
        self.places = PicturePlaces()
        if self._can_be:
            with contextlib.suppress(OSError):  # a system without it: then the planes go through the socket
                self._memory = SharedMemory()
        return self._memory.offer if self._memory else None

    def accepted(self, shares_memory: bool) -> None:
        """Note whether the server that said welcome has mapped what was offered."""
        self._accepted = shares_memory and self._memory is not None

    def keep(self, picture: NDArray[np.uint8], header: PlaneHeader, offset_bytes: int | None) -> NDArray[np.uint8]:
        """Return an answer's picture as one that nothing is written over while somebody refers to it.

        `offset_bytes` is the place that was kept for it, None if all were in use.
        """
        if header.codec != "shared":
            return picture
        if offset_bytes is not None and header.offset_bytes == offset_bytes:
            self.places.lend(offset_bytes, picture)
            return picture
        picture = picture.copy()
        picture.flags.writeable = False
        return picture

    def close(self) -> None:
        """Withdraw the offer; pictures that somebody refers to stay."""
        if self._memory:
            self._memory.close()
        self._memory, self._accepted = None, False
