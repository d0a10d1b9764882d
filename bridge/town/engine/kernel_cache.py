"""Where compiled kernels are kept, and the user's cache folder.

Numba recompiles a kernel when its own file changes, not when a file changes whose functions or constants were compiled
into it. So the folder's name holds a hash of all of the engine's kernel sources: any change starts a fresh folder, and
a checkout that is only readable works too.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from numba.core import config

_COMPILED_IN = ("kernels_*.py", "layout.py", "materials.py", "tags.py", "textures.py")


def user_cache_dir() -> Path:
    """Return `vidrive/town` in the user's cache folder; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vidrive" / "town"


def keep_kernels_by_content() -> None:
    """Point Numba's cache at a folder for exactly these sources, unless NUMBA_CACHE_DIR is set.

    Call before the first kernel is declared. Where that folder cannot be written, Numba falls back to its own places.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for pattern in _COMPILED_IN:
        for source in sorted(here.glob(pattern)):
            digest.update(source.read_bytes())
    numba_options: Any = config  # numba declares its options at run time
    numba_options.CACHE_DIR = str(user_cache_dir() / f"kernels-{digest.hexdigest()[:16]}")
