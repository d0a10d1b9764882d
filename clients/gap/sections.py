"""The parts of a report beside label maps: what was compared, as tables and a sentence each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from clients.gap.comparison import Result
from clients.gap.picture_comparison import PictureGap
from clients.gap.report import Section
from clients.gap.steadiness import FLICKER, Steadiness
from clients.gap.verdict import worst


def picture_section(gap: PictureGap) -> Section:
    """Return what pictures differ by."""
    first = gap.results[0]
    far = worst(gap.results)
    said = f"{first.measure.name} {first.value:.3g} {interval_text(first)}"
    if not math.isnan(first.floor):
        said += f", real drives {first.floor:.3g}"
    if not math.isnan(first.ceiling):
        said += f", label colours {first.ceiling:.3g}"
    said += f"; {len(far)} of {len(gap.results)} measures clearly beyond what real drives differ by"
    sides = ", ".join(f"{gap.numbers[side]} of {gap.names[side]} ({side})" for side in ("synthetic", "real"))
    return Section(
        "pictures",
        said,
        gap.results,
        (
            f"Pictures: {sides}; their middle in the shape 4:3, at 320x240.",
            f"Feature network: {gap.extractor}.",
            "The ceiling is the real set's label maps in their colours.",
        ),
    )


def time_section(steadiness: Steadiness) -> Section:
    """Return how steady a recording's pictures are."""
    results = by_name(steadiness.results)
    told = [
        f"{name} {result.value:.3g}, {result.times_floor:.2g} times the original render's"
        for name, result in results.items()
        if math.isfinite(result.times_floor)
    ]
    first = [line for line in told if line.startswith(FLICKER)] or told[:1] or ["nothing that can be told"]
    return Section(
        "time",
        first[0],
        steadiness.results,
        (
            f"{steadiness.num_pairs} pairs of consecutive frames of {steadiness.name}, "
            "surfaces followed by the engine's exact depth and poses.",
            *steadiness.notes,
        ),
        floor="original render",
    )


def interval_text(result: Result) -> str:
    """Return the bootstrap interval in brackets, "" if there is none."""
    return "" if math.isnan(result.low) else f"[{result.low:.3g}, {result.high:.3g}]"


def by_name(results: Sequence[Result]) -> dict[str, Result]:
    """Return results by their measure's name."""
    return {result.measure.name: result for result in results}
