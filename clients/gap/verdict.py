"""What a comparison of label maps comes to, in words: three lines, and what to change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from clients.gap.comparison import MapSet, Result
from clients.gap.measures import class_log_ratios, objects_per_frame, vocabulary

CLEARLY: Final = 1.5  # times the largest difference among real drives: beyond it a measure is called a gap
_NOTABLE_OCTAVES: Final = 1.0
_ROUNDING: Final = 1e-9


def worst(results: Sequence[Result]) -> list[Result]:
    """Return the measures that are clearly beyond what real drives differ by, the farthest first."""
    beyond = [r for r in results if r.value > max(CLEARLY * r.floor_max, _ROUNDING) and r.times_floor > CLEARLY]
    return sorted(beyond, key=lambda r: r.times_floor, reverse=True)


def times_apart(results: Sequence[Result]) -> float:
    """Return how many times their floors the measures are, the geometric mean; NaN if no floor is known."""
    times = [r.times_floor for r in results if math.isfinite(r.times_floor)]
    return float(np.exp(np.mean(np.log(np.maximum(times, 1e-3))))) if times else float("nan")


def verdict(results: Sequence[Result], synthetic: MapSet, real: MapSet) -> list[str]:
    """Return three lines: how far, where most, and which classes."""
    known_results = [r for r in results if not math.isnan(r.times_floor) or r.floor == r.value == 0]
    farthest = worst(results)
    how_far = times_apart(results)
    known = f"{len(farthest)} of {len(known_results)} measures clearly beyond what real drives differ by"
    named = ", ".join(f"{r.measure.name} {_times(r)}" for r in farthest[:3]) or "none"
    return [
        f"labels: {how_far:.1f} times the distance between real drives; {known}",
        f"farthest: {named}",
        f"classes: {_classes(synthetic, real)}",
    ]


def _times(result: Result) -> str:
    return f"{result.times_floor:.0f}x" if math.isfinite(result.times_floor) else f"{result.value:.3g} instead of 0"


def _classes(synthetic: MapSet, real: MapSet) -> str:
    ratios = {
        name: ratio
        for name, ratio in class_log_ratios(synthetic.whole, real.whole).items()
        if _NOTABLE_OCTAVES <= abs(ratio) < math.inf
    }
    ordered = sorted(ratios, key=lambda name: -abs(ratios[name]))[:4]
    told = [
        f"{name} {2 ** abs(ratios[name]):.1f} times too {'much' if ratios[name] > 0 else 'little'}" for name in ordered
    ]
    only_synthetic, only_real = vocabulary(synthetic.whole, real.whole)
    told += [f"{name} never shown" for name in only_real] + [f"{name} never in the real set" for name in only_synthetic]
    return ", ".join(told) or "all within a factor of two"


def advice(results: Sequence[Result], synthetic: MapSet, real: MapSet) -> list[str]:
    """Return what would bring the synthetic set closer, with its evidence; [] if nothing is clear."""
    by_name = {result.measure.name: result for result in results}
    clear = {result.measure.name for result in worst(results)}
    lines: list[str] = []
    if "top of the road" in clear:
        ours, theirs = (float(np.nanmean(s.whole.horizons[:, 0])) for s in (synthetic, real))
        how = "up: its horizon is too high in the picture" if ours < theirs else "down: its horizon is too low"
        lines.append(f"Pitch the camera {how} ({ours:.2f} of the height, real {theirs:.2f})")
    if "vanishing column" in clear:
        ours, theirs = (float(np.nanmean(s.whole.horizons[:, 2])) for s in (synthetic, real))
        lines.append(f"Turn or move the camera sideways: the road ends at {ours:.2f} of the width, real {theirs:.2f}")
    if "object density" in clear:
        ours, theirs = objects_per_frame(synthetic.whole), objects_per_frame(real.whole)
        for name in ours:
            if ours[name] < theirs[name] / 2:
                lines.append(f"Show more {name}: {ours[name]:.1f} a frame, real {theirs[name]:.1f}")
            elif ours[name] > theirs[name] * 2:
                lines.append(f"Show fewer {name}: {ours[name]:.1f} a frame, real {theirs[name]:.1f}")
    if "object sizes" in clear:
        lines.append("Change the camera's height or field of view, or where traffic drives: objects have other sizes")
    if "border directions" in clear or "polygonality" in clear:
        lines.append(
            "Train with label maps whose borders are drawn as by hand (jittered, simplified, thickened poles): "
            f"an engine's run straight ({_times(by_name['border directions'])} the difference of real drives)"
        )
    if by_name["vocabulary"].value > 0:
        only_synthetic, only_real = vocabulary(synthetic.whole, real.whole)
        lines += [
            f"Map some class to {name} (--fit-classes tries which), or add it to the scene: it is never shown"
            for name in only_real
        ]
        lines += [f"Map {name} to another class: the real set does not have it" for name in only_synthetic]
    return lines
