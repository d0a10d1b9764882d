"""How steady synthesized pictures are over time, beside the original render of the same frames.

The engine says where each surface was in the frame before and whether it was visible: what then differs between the
two pictures is the picture's own doing. Of the original render the same figures are light, reflections and resampling.
The ceiling is what they come to where nothing is held: beside a frame before that is turned upside down, and of objects
that each take the colours of all.

Sources: warping error: Lai et al. 2018. tOF and tLP: Chu et al. 2020 (TecoGAN), here with DIS flow (Kroeger et al.
2016) and the features of EfficientNet-lite0, the original render in the place of the true video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.breaks import break_between
from bridge.protocol.errors import RecordingError, UsageError
from bridge.protocol.frames import FramePair
from clients.gap.comparison import INTERVAL, NUM_DRAWS, PART_FRAMES, Result
from clients.gap.measures import Measure
from clients.recordings.pairs import RecordedPairs
from renderer.engine_warp import follow, perceptual_change
from renderer.train.perceptual import FeatureNetwork, load_feature_network

MIN_PAIRS: Final = 4
MAX_PAIRS: Final = 400
PERCEPTUAL_EVERY: Final = 4  # the network costs more than all else: every fourth pair
MIN_PARKED: Final = 10  # frames without the camera moving, for a drift to be told
MIN_INSTANCE_PX: Final = 50
MIN_INSTANCE_FRAMES: Final = 8
_BODY_EDGE_PX: Final = 2  # pixels at a body's outline mix with what is behind it

WARPING: Final = "warping error"
FLICKER: Final = "flicker"
FLOW: Final = "tOF"
PERCEPTUAL: Final = "tLP"
DRIFT: Final = "parked drift"
CONSTANCY: Final = "colour constancy"
_ABOUT: Final = {
    WARPING: ("x1000", "squared difference to the frame before, moved by the engine, where visible (of 1)"),
    FLICKER: ("grey levels", "mean difference to the frame before on visible surfaces that do not move in the world"),
    FLOW: ("px", "how far the motion that is seen (DIS flow) is from that in the original render"),
    PERCEPTUAL: ("", "how far the change that a network sees is from that in the original render"),
    DRIFT: ("grey levels", "the last frame of the longest halt against its first, where nothing moves"),
    CONSTANCY: ("L*a*b*", "how much the mean colour of each moving object strays while it is seen"),
}

Figures = tuple[float, float, float]


@dataclass
class _Collected:
    """(synthesized, original, nothing held) of each pair of frames, by measure; NaN for what has none of them."""

    values: dict[str, list[Figures]] = field(default_factory=lambda: {name: [] for name in _ABOUT})
    colours: dict[int, list[NDArray[np.float64]]] = field(default_factory=dict)

    def add(self, name: str, synthesized: float, original: float, unheld: float) -> None:
        if np.isfinite(synthesized):
            self.values[name].append((synthesized, original, unheld))


@dataclass(frozen=True)
class Steadiness:
    """What a recording's pictures do over time: results whose floor is the original render's figure, and notes."""

    name: str
    num_pairs: int
    results: Sequence[Result]
    notes: Sequence[str]


def is_measurable(pairs: RecordedPairs) -> bool:
    """Return whether a recording has what is needed: both pictures and depth."""
    return {"rgb", "synthesized", "depth_m"} <= set(pairs.recording.manifest.planes)


def measure_steadiness(
    pairs: RecordedPairs, progress: Callable[[int], None] = lambda done: None, seed: int = 0
) -> Steadiness:
    """Measure a recording's first MAX_PAIRS pairs of frames; RecordingError if pictures or depth are missing."""
    folder = pairs.recording.folder
    if not is_measurable(pairs):
        raise RecordingError(
            f"{folder} lacks the pictures or the depth that steadiness is measured on", "Record with vidrive record"
        )
    network, notes = _network()
    collected = _Collected()
    num_pairs = 0
    for before, now in _consecutive(pairs, progress):
        _compare(collected, before, now, network if num_pairs % PERCEPTUAL_EVERY == 0 else None)
        num_pairs += 1
    if num_pairs < MIN_PAIRS:
        raise RecordingError(
            f"{folder} has {num_pairs} pairs of consecutive synthesized frames, and steadiness needs {MIN_PAIRS}",
            "Record a longer drive",
        )
    collected.values[CONSTANCY] = _constancy(collected.colours)
    drift = _parked(pairs)
    if drift is None:
        notes.append(f"The camera never stands for {MIN_PARKED} frames: no drift to tell.")
    else:
        collected.add(DRIFT, *drift)
    rng = np.random.default_rng(seed)
    results = [_result(name, values, rng) for name, values in collected.values.items() if values]
    return Steadiness(str(folder), num_pairs, results, notes)


def _network() -> tuple[FeatureNetwork | None, list[str]]:
    try:
        return load_feature_network(), []
    except UsageError as error:
        return None, [f"No tLP: {error.what}. {error.hint}"]


def _consecutive(pairs: RecordedPairs, progress: Callable[[int], None]) -> Iterator[tuple[FramePair, FramePair]]:
    """Pairs of frames of one sequence, both with both pictures."""
    before: FramePair | None = None
    for index in range(min(len(pairs), MAX_PAIRS + 1)):
        now = pairs.pair(index)
        progress(1)
        whole = now.rendered is not None and now.sensor.rgb is not None and now.sensor.depth_m is not None
        if whole and before is not None and _carries_on(before, now):
            yield before, now
        before = now if whole else None


def _carries_on(before: FramePair, now: FramePair) -> bool:
    assert before.rendered is not None
    assert now.rendered is not None
    same = before.rendered.sequence == now.rendered.sequence and not now.rendered.reset
    return same and not break_between(before.sensor, now.sensor)


def _compare(collected: _Collected, before: FramePair, now: FramePair, network: FeatureNetwork | None) -> None:
    assert before.rendered is not None
    assert now.rendered is not None
    assert before.sensor.rgb is not None
    assert now.sensor.rgb is not None
    drawn, rendered = (before.rendered.rgb, now.rendered.rgb), (before.sensor.rgb, now.sensor.rgb)
    moved = _bodies(now)
    unheld = _upside_down(drawn[0]), drawn[1]
    errors, flickers = [], []
    for first, second in (drawn, rendered, unheld):
        warped, visible = follow(first, before.sensor, now.sensor)
        difference = np.abs(second.astype(np.float32) - warped)
        errors.append(1000 * float(np.square(difference[visible] / 255).mean()) if visible.any() else float("nan"))
        still = visible & ~moved
        flickers.append(float(difference[still].mean()) if still.any() else float("nan"))
    collected.add(WARPING, *errors)
    collected.add(FLICKER, *flickers)
    true = _flow(*rendered)
    flows = [float(np.linalg.norm(_flow(*pictures) - true, axis=-1).mean()) for pictures in (drawn, unheld)]
    collected.add(FLOW, flows[0], float("nan"), flows[1])
    if network is not None:
        changes = [perceptual_change(network, first, second) for first, second in (drawn, rendered, unheld)]
        collected.add(PERCEPTUAL, abs(changes[0] - changes[1]), float("nan"), abs(changes[2] - changes[1]))
    _see_bodies(collected.colours, now)


def _upside_down(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(rgb[::-1])


def _bodies(pair: FramePair) -> NDArray[np.bool_]:
    """Where something is that can move, and its outline."""
    ids = pair.sensor.instance_map
    if ids is None:
        return np.zeros(pair.sensor.label_map.shape, bool)
    side = 2 * _BODY_EDGE_PX + 1
    return cv2.dilate((ids > 0).astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def _flow(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    grey = [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in (first, second)]
    nothing = np.zeros((*grey[0].shape, 2), np.float32)
    return np.asarray(estimator.calc(grey[0], grey[1], nothing), np.float32)


def _see_bodies(colours: dict[int, list[NDArray[np.float64]]], pair: FramePair) -> None:
    """Note the mean L*a*b* of each body that is large enough, (2,3): synthesized and original."""
    assert pair.rendered is not None
    assert pair.sensor.rgb is not None
    ids = pair.sensor.instance_map
    if ids is None:
        return
    labs = [_lab(rgb) for rgb in (pair.rendered.rgb, pair.sensor.rgb)]
    found, counted = np.unique(ids[ids > 0], return_counts=True)
    for body in found[counted >= MIN_INSTANCE_PX]:
        inside = ids == body
        colours.setdefault(int(body), []).append(np.stack([lab[inside].mean(0) for lab in labs]))


def _lab(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _constancy(colours: dict[int, list[NDArray[np.float64]]]) -> list[Figures]:
    """Of each body seen for long enough, how far its mean colour strays: the deviation over time of L*, a* and b*."""
    lasting = [np.stack(seen) for seen in colours.values() if len(seen) >= MIN_INSTANCE_FRAMES]
    unheld = _strays(np.concatenate(lasting))[0] if len(lasting) > 1 else float("nan")
    return [(*_strays(seen), unheld) for seen in lasting]


def _strays(labs: NDArray[np.float64]) -> tuple[float, float]:
    """Of (N,2,3) colours: synthesized and original."""
    synthesized, original = np.sqrt(np.var(labs, axis=0).sum(-1))
    return float(synthesized), float(original)


def _parked(pairs: RecordedPairs) -> Figures | None:
    """How far the last picture of the longest halt is from its first, as all figures; None without a halt."""
    rows = pairs.recording.rows
    longest, start = (0, 0), 0
    for index in range(1, len(rows) + 1):
        ends = index == len(rows) or not np.allclose(
            rows[index].world_from_camera, rows[index - 1].world_from_camera, rtol=0, atol=1e-3
        )
        if ends or rows[index].sequence != rows[index - 1].sequence:
            longest = max(longest, (index - start, -start))
            start = index
    length, first = longest[0], -longest[1]
    if length < MIN_PARKED:
        return None
    ends_of_halt = pairs.pair(first), pairs.pair(first + length - 1)
    still = ~(_bodies(ends_of_halt[0]) | _bodies(ends_of_halt[1]))
    rendered, original = [p.rendered and p.rendered.rgb for p in ends_of_halt], [p.sensor.rgb for p in ends_of_halt]
    unheld = [None if rendered[0] is None else _upside_down(rendered[0]), rendered[1]]
    told = []
    for first_rgb, last_rgb in (rendered, original, unheld):
        if first_rgb is None or last_rgb is None or not still.any():
            return None
        told.append(float(np.abs(last_rgb.astype(np.float32) - first_rgb)[still].mean()))
    return told[0], told[1], told[2]


def _result(name: str, values: Sequence[Figures], rng: np.random.Generator) -> Result:
    """The mean over pairs, its interval over drawn parts of the drive, and the original's figure as the floor."""
    table = np.array(values)
    part = 1 if name == CONSTANCY else max(1, min(PART_FRAMES, len(table) // 4))
    means = np.array([table[start : start + part, 0].mean() for start in range(0, len(table), part)])
    low, high = float("nan"), float("nan")
    if len(means) > 1:
        drawn = rng.integers(0, len(means), (NUM_DRAWS, len(means)))
        low, high = (float(limit) for limit in np.percentile(means[drawn].mean(1), INTERVAL))
    floor, ceiling = (float(known.mean()) if (known := c[np.isfinite(c)]).size else float("nan") for c in table.T[1:])
    unit, about = _ABOUT[name]
    measure = Measure[object](name, "time", unit, about, lambda first, second: float("nan"))
    return Result(measure, float(table[:, 0].mean()), floor, floor, low, high, ceiling)
