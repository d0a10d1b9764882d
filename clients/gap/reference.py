"""Counts of real label maps that ship with vidrive, for whoever has none: numbers only, never a map.

    python -m clients.gap.reference DIR FILE.npz

counts the label maps of a folder (in CamVid's classes, one a second) and writes such a file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import UsageError
from clients.gap.comparison import MapSet, count_set
from clients.gap.label_maps import COMMON_SPACE, find_maps
from clients.gap.statistics import THINGS, Counts, total

PATH: Final = Path(__file__).with_name("camvid.npz")
RATE_HZ: Final = 1.0  # CamVid's labelled frames are every thirtieth of a video of 30 Hz
NAME: Final = "CamVid, 367 frames (built in)"
_SUMS: Final = tuple(f.name for f in fields(Counts) if f.name not in ("horizons", "object_areas"))


def save_reference(path: Path, mapset: MapSet) -> None:
    """Write what was counted on a set."""
    np.savez_compressed(path, allow_pickle=False, **_arrays(mapset))


def load_reference(path: Path = PATH) -> MapSet:
    """Return the counts in a file; raises UsageError for one that is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            parts = tuple(_part(arrays, index) for index in range(len(arrays["owners"])))
            owners = tuple(int(owner) for owner in arrays["owners"])
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise UsageError(f"{path} holds no counts of label maps ({error})", "Give --real DIR") from None
    return MapSet(NAME, max(owners) + 1, parts, owners, total(parts))


def _arrays(mapset: MapSet) -> dict[str, NDArray]:
    arrays: dict[str, NDArray] = {"owners": np.array(mapset.sequence_of_part)}
    for name in _SUMS:
        arrays[name] = np.array([getattr(part, name) for part in mapset.parts], np.float32)
    for name, values in {
        "horizons": [part.horizons for part in mapset.parts],
        **{f"areas_{thing}": [part.object_areas[thing] for part in mapset.parts] for thing in THINGS},
    }.items():
        arrays[name] = np.concatenate(values).astype(np.float32)
        arrays[f"{name}_ends"] = np.cumsum([len(value) for value in values])
    return arrays


def _part(arrays: np.lib.npyio.NpzFile, index: int) -> Counts:
    def piece(name: str) -> NDArray[np.float64]:
        ends = arrays[f"{name}_ends"]
        return arrays[name][ends[index - 1] if index else 0 : ends[index]].astype(np.float64)

    sums = {name: np.asarray(arrays[name][index], np.float64) for name in _SUMS}
    scalars = {name: float(sums.pop(name)) for name in ("num_frames", "boundary_px", "inside_px", "thin_px")}
    return Counts(
        num_frames=int(scalars["num_frames"]),
        boundary_px=scalars["boundary_px"],
        inside_px=scalars["inside_px"],
        thin_px=scalars["thin_px"],
        horizons=piece("horizons"),
        object_areas={thing: piece(f"areas_{thing}") for thing in THINGS},
        **sums,
    )


def main(words: Sequence[str]) -> None:
    """Count the label maps of a folder and write the file."""
    folder, path = map(Path, words)
    save_reference(path, count_set(str(folder), find_maps(folder, COMMON_SPACE, RATE_HZ), num_workers=2))


if __name__ == "__main__":
    main(sys.argv[1:])
