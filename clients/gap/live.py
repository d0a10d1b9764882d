"""A light part of the gap while somebody drives: how far the street is from real ones, and how steady the pictures are.

The frames pay next to nothing: once a second two consecutive ones are thinned and handed to a thread of its own.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import LabelError
from bridge.protocol.frames import FramePair

if TYPE_CHECKING:
    from clients.gap.statistics import Counts

TOLD_EVERY_S: Final = 1.0
REMEMBERED: Final = 60  # label maps, one a second: the street of the last minute
THINNED: Final = 4  # every fourth row and column of the planes is enough for a mean
_SAME_SURFACE: Final = 0.02  # of a depth, within which two frames see one surface


@dataclass(frozen=True)
class Thinned:
    """Every THINNED-th row and column of a frame, copied: what `flicker` looks at.

    rgb and synthesized (h,w,3) u8, depth_m (h,w) f32, moves (h,w) bool; focal_px of the thinned picture.
    """

    rgb: NDArray[np.uint8]
    synthesized: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    moves: NDArray[np.bool_]
    focal_px: float
    world_from_camera: NDArray[np.float64]


@dataclass(frozen=True)
class _Look:
    """What the thread is given: a label map of a label space, and two consecutive thinned frames if there are."""

    label_map: NDArray[np.uint8]
    label_space: str
    frames: tuple[Thinned, Thinned] | None


class LiveGap:
    """Takes pairs as they are shown and says in `text` what is known; a context manager, or `close` it."""

    def __init__(self, every_s: float = TOLD_EVERY_S) -> None:
        self.text = ""
        self._every_s = every_s
        self._next_s = 0.0
        self._before: tuple[int, Thinned | None] | None = None
        self._looks: queue.Queue[_Look | None] = queue.Queue(maxsize=1)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> LiveGap:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def offer(self, pair: FramePair) -> None:
        """Take a pair if one is due and the thread is free; any other costs a look at the clock."""
        now_s = time.monotonic()
        if now_s < self._next_s or self._looks.full():
            return
        sequence = pair.rendered.sequence if pair.rendered is not None else -1
        if self._before is None:
            self._before = sequence, thinned(pair)
            return
        (sequence_before, before), now = self._before, thinned(pair)
        self._before = None
        self._next_s = now_s + self._every_s
        frames = (before, now) if before is not None and now is not None and sequence == sequence_before else None
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="live gap", daemon=True)
            self._thread.start()
        self._looks.put_nowait(_Look(pair.sensor.label_map.copy(), pair.sensor.label_space, frames))

    def close(self) -> None:
        """End the thread, which may take as long as one look."""
        if self._thread is not None:
            self._looks.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        # Imported here, for they take longer than a frame.
        from clients.gap.label_maps import to_common
        from clients.gap.reference import load_reference
        from clients.gap.statistics import count

        reference = load_reference()
        apart = drives_apart(reference.units())
        seen: deque[Counts] = deque(maxlen=REMEMBERED)
        ratios: deque[float] = deque(maxlen=REMEMBERED)
        while (look := self._looks.get()) is not None:
            try:
                seen.append(count(to_common(look.label_map, look.label_space)))
            except LabelError:
                continue  # whoever shows such frames says so
            if look.frames is not None:
                ratio = flicker_ratio(*look.frames)
                if np.isfinite(ratio):
                    ratios.append(ratio)
            self.text = told(list(seen), reference.whole, apart, list(ratios))


def told(seen: Sequence[Counts], reference: Counts, apart: float, ratios: Sequence[float]) -> str:
    """Return what the HUD says of label maps seen: how many times as far from the reference's classes as its own drives
    are from each other (`apart`, bits), how many times as many objects a frame, and the median flicker ratio.

    Short, because a HUD leaves out the cells that its width has no room for.
    """
    from clients.gap.measures import objects_per_frame, shannon_bits
    from clients.gap.statistics import total

    whole = total(seen)
    bits = shannon_bits(whole.pixels, reference.pixels)
    objects = sum(objects_per_frame(whole).values()) / sum(objects_per_frame(reference).values())
    flicker = f", flicker {np.median(ratios):.1f}x" if ratios else ""
    return f"labels {bits / apart:.1f}x, objects {objects:.1f}x{flicker}"


def drives_apart(drives: Sequence[Counts]) -> float:
    """Return how far each drive's classes are from those of the others together, on average, in bits."""
    from clients.gap.measures import shannon_bits
    from clients.gap.statistics import total

    others = [[*drives[:index], *drives[index + 1 :]] for index in range(len(drives))]
    return float(
        np.mean([shannon_bits(one.pixels, total(rest).pixels) for one, rest in zip(drives, others, strict=True)])
    )


def thinned(pair: FramePair) -> Thinned | None:
    """Return what `flicker_ratio` needs of a pair; None where it lacks a picture or depth."""
    sensor, rendered = pair.sensor, pair.rendered
    if rendered is None or sensor.rgb is None or sensor.depth_m is None or rendered.rgb.shape != sensor.rgb.shape:
        return None
    thin = np.s_[::THINNED, ::THINNED]
    ids = sensor.instance_map
    moves = np.zeros(sensor.label_map[thin].shape, bool) if ids is None else ids[thin] > 0
    return Thinned(
        sensor.rgb[thin].copy(),
        rendered.rgb[thin].copy(),
        np.array(sensor.depth_m[thin], np.float32),
        moves,
        sensor.intrinsics.focal_px / THINNED,
        sensor.world_from_camera,
    )


def flicker_ratio(before: Thinned, now: Thinned) -> float:
    """Return how many times the original render's change the synthesized one's is, on surfaces that stand still.

    Each surface is followed by depth and poses, to the nearest pixel; NaN where none is seen twice.
    """
    height_px, width_px = now.depth_m.shape
    if before.depth_m.shape != now.depth_m.shape:
        return float("nan")
    x = (np.arange(width_px) - width_px / 2) / now.focal_px
    y = (np.arange(height_px) - height_px / 2)[:, None] / now.focal_px
    depth_m = now.depth_m.astype(np.float64)
    points = np.stack([x * depth_m, y * depth_m, depth_m, np.ones_like(depth_m)]).reshape(4, -1)
    there = (np.linalg.inv(before.world_from_camera) @ now.world_from_camera @ points)[:3]
    ahead = there[2] > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = np.where(ahead, np.rint(there[0] / there[2] * before.focal_px + width_px / 2), -1)
        rows = np.where(ahead, np.rint(there[1] / there[2] * before.focal_px + height_px / 2), -1)
    inside = (columns >= 0) & (columns < width_px) & (rows >= 0) & (rows < height_px) & ~now.moves.ravel()
    places = rows[inside].astype(np.int64) * width_px + columns[inside].astype(np.int64)
    was_m = before.depth_m.ravel()[places]
    still = (np.abs(was_m - there[2][inside]) < _SAME_SURFACE * was_m) & ~before.moves.ravel()[places]
    changes = []
    for first, second in ((before.synthesized, now.synthesized), (before.rgb, now.rgb)):
        colours = [picture.reshape(-1, 3).astype(np.int16) for picture in (first, second)]
        changes.append(np.abs(colours[1][inside][still] - colours[0][places][still]).mean() if still.any() else np.nan)
    return float(changes[0] / changes[1]) if changes[1] > 0 else float("nan")
