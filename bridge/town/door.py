"""A listening port: who is let in, and who is turned away because the process can serve nobody more."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import socket
import threading

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 450
"""How many connections one port keeps; two ports leave room under the usual limit of 1024 open files."""
_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE)
_TRY_AGAIN_S = 0.05


class Door:
    """Accepts the connections of a listener, in one thread.

    A process without a free file descriptor cannot even accept a connection to close it, and the waiting one would keep
    the listener ready for ever. So one descriptor is kept in reserve, and given up for as long as that takes.
    """

    def __init__(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._waiting = select.poll()
        self._waiting.register(listener, select.POLLIN)
        self._reserve: int | None = None
        self._has_complained = False
        self._closed = threading.Event()
        self._keep_reserve()

    def wait(self) -> None:
        """Wait until somebody is at the door, or the listener is shut down."""
        self._waiting.poll()

    def accept(self, num_connections: int) -> socket.socket | None:
        """Return the next connection; None where nobody waits any more, or who waited was turned away.

        `num_connections` is how many of those that it let in are still open. Raises OSError once the listener is shut
        down or closed.
        """
        try:
            connection = self._listener.accept()[0]
        except (BlockingIOError, ConnectionAbortedError):
            return None
        except OSError as error:
            if error.errno not in _NO_MORE_FILES:
                raise
            self._turn_away("the process has as many files open as it may")
            return None
        if num_connections >= MOST_CONNECTIONS:
            connection.close()
            self._complain(f"there are {num_connections} connections already")
            return None
        return connection

    def close(self) -> None:
        """Give the reserve back; the listener is its owner's to close."""
        self._closed.set()
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    def _turn_away(self, reason: str) -> None:
        self._complain(reason)
        if self._reserve is None:
            self._closed.wait(_TRY_AGAIN_S)
        else:
            os.close(self._reserve)
            self._reserve = None
            with contextlib.suppress(OSError):  # another thread was faster: the client waits until the next time
                self._listener.accept()[0].close()
        self._keep_reserve()

    def _keep_reserve(self) -> None:
        with contextlib.suppress(OSError):
            self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _complain(self, reason: str) -> None:
        if not self._has_complained:
            self._has_complained = True
            logger.warning("a client is turned away, and later ones without a word: %s", reason)
