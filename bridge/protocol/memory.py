"""Keep freed memory in the process instead of handing it back to the system after every frame."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEEP_BYTES: Final = 256 * 1024 * 1024


def keep_freed_memory() -> bool:
    """Tell glibc to keep up to 256 MiB that were freed; False where the C library is another one.

    By default each plane of a frame is mapped, faulted in page by page, and unmapped again: at 512x256 that is ten
    times the cost of decoding a depth picture.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)) and bool(mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES))
