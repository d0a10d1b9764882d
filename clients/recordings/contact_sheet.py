"""A recording on one picture: places along its way, the original beside the synthesized picture of each."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import OutputError, RecordingError, UsageError
from clients.recordings.output import write_file
from clients.recordings.pairs import RecordedPairs

SUFFIXES: Final = (".jpg", ".png")
NUM_PLACES: Final = 12
_NUM_COLUMNS: Final = 2
_GAP_PX: Final = 6
_JPEG_QUALITY: Final = 88


def export_sheet(pairs: RecordedPairs, out: Path) -> int:
    """Write NUM_PLACES places, equally far apart along the way, to a .jpg or .png; return how many there are.

    Two places a row, each original | synthesized. Raises RecordingError for a recording without both pictures, and
    UsageError or OutputError for a file that cannot be written.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{out} is no picture's name", f"End it in {' or '.join(SUFFIXES)}")
    places = [_beside(pairs, index) for index in _places(pairs)]
    height_px, width_px = places[0].shape[:2]
    num_rows = -(-len(places) // _NUM_COLUMNS)
    side_px = (num_rows * (height_px + _GAP_PX) + _GAP_PX, _NUM_COLUMNS * (width_px + _GAP_PX) + _GAP_PX)
    sheet = np.full((*side_px, 3), 255, np.uint8)
    for number, place in enumerate(places):
        row, column = divmod(number, _NUM_COLUMNS)
        top, left = _GAP_PX + row * (height_px + _GAP_PX), _GAP_PX + column * (width_px + _GAP_PX)
        sheet[top : top + height_px, left : left + width_px] = place
    bgr = cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)
    how = [] if out.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    ok, coded = cv2.imencode(out.suffix.lower(), bgr, how)
    if not ok:
        raise OutputError(f"{out} cannot be coded", "Choose the other of .jpg and .png")
    write_file(out, coded.tobytes())
    return len(places)


def _places(pairs: RecordedPairs) -> list[int]:
    """Return the rows of the places: of equal shares of the metres driven, the middle ones."""
    rows = pairs.recording.rows
    both = {"rgb", "synthesized"} <= set(pairs.recording.manifest.planes)
    drawn = [index for index, row in enumerate(rows) if row.sequence is not None and not row.reset] if both else []
    if not drawn:
        raise RecordingError(
            f"{pairs.recording.folder} has no original beside a synthesized picture", "Record with vidrive record"
        )
    stands = np.array([np.reshape(rows[index].world_from_camera, (3, 4))[:, 3] for index in drawn])
    way_m = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(stands, axis=0), axis=1))])
    wanted_m = (np.arange(NUM_PLACES) + 0.5) / NUM_PLACES * way_m[-1]
    return [drawn[int(index)] for index in np.unique(np.searchsorted(way_m, wanted_m).clip(max=len(drawn) - 1))]


def _beside(pairs: RecordedPairs, index: int) -> NDArray[np.uint8]:
    pictures = [pairs.picture(name, index) for name in ("rgb", "synthesized")]
    if any(picture is None for picture in pictures):
        raise RecordingError(
            f"{pairs.recording.folder} lacks a picture of row {index}", "Render it again: vidrive render"
        )
    return np.hstack([picture for picture in pictures if picture is not None])
