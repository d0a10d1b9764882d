"""The client library's objects of a lost simulator, which this process must never destroy."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
from typing import Final

_abandoned: list[object] = []
_statuses: Final = [2]


def abandon(*library_objects: object) -> None:
    """Keep the client library's objects of a lost server for ever, and skip their end.

    Their destructors, and the one of a TrafficManager, wait for the dead server and then abort the process, so the
    process ends without them, with the status of `leave_with`.
    """
    if not _abandoned:
        atexit.register(_leave)
    _abandoned.extend(library_objects)


def leave_with(status: int) -> None:
    """Say with what status this process is to end, should it have lost a simulator; 2, an error that a person can mend,
    where nobody says."""
    _statuses[0] = status


def _leave() -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(_statuses[0])
