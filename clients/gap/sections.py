"""The parts of a report beside label maps: what was compared, as tables and a sentence each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from clients.gap.comparison import Result
from clients.gap.picture_comparison import PictureGap
from clients.gap.report import Section
from clients.gap.semantics import PictureLabeller, Scored, accuracy, class_ious, interval, mean_iou, results
from clients.gap.statistics import NAMES
from clients.gap.steadiness import FLICKER, Steadiness
from clients.gap.verdict import worst


def picture_section(gap: PictureGap, crops: Sequence[Result] = ()) -> Section:
    """Return what pictures differ by; `crops` are the measures of matched crops, [] without label maps."""
    all_results = [*gap.results, *crops]
    first = all_results[0]
    far = worst(all_results)
    said = f"{first.measure.name} {first.value:.3g} {interval_text(first)}"
    if not math.isnan(first.floor):
        said += f", real drives {first.floor:.3g}"
    if not math.isnan(first.ceiling):
        said += f", label colours {first.ceiling:.3g}"
    said += f"; {len(far)} of {len(all_results)} measures clearly beyond what real drives differ by"
    sides = ", ".join(f"{gap.numbers[side]} of {gap.names[side]} ({side})" for side in ("synthetic", "real"))
    return Section(
        "pictures",
        said,
        all_results,
        (
            f"Pictures: {sides}; their middle in the shape 4:3, at 320x240.",
            f"Feature network: {gap.extractor}.",
            "The ceiling is the real set's label maps in their colours.",
        ),
    )


def semantic_section(network: PictureLabeller, sides: Mapping[str, Scored]) -> Section:
    """Return what a segmentation network finds in synthesized pictures, beside what it finds in others."""
    ours = sides["synthesized"]
    low, high = interval(ours)
    said = f"mIoU {mean_iou(ours.whole):.3f}" + ("" if math.isnan(low) else f" [{low:.3f}, {high:.3f}]")
    said += f" and {accuracy(ours.whole):.0%} of pixels on synthesized pictures"
    for name in ("real", "original render"):
        if name in sides:
            pictures = f"{name} ones" if name == "real" else f"the {name}"
            said += f"; {mean_iou(sides[name].whole):.3f} and {accuracy(sides[name].whole):.0%} on {pictures}"
    head = ("IoU", *(f"{name} ({side.num_pictures})" for name, side in sides.items()))
    ious = [class_ious(side.whole) for side in sides.values()]
    rows = [(name, *(_share(column[index]) for column in ious)) for index, name in enumerate(NAMES)]
    captions = ("seen", "found in it", "its label map")
    return Section(
        "semantics",
        said,
        results(ours, sides.get("real"), sides.get("real, in label colours")),
        (
            f"Segmentation network: {network.name}, label space {network.label_space}, sha256 {network.sha256}, "
            f"licence: {network.licence}.",
            "Its score on real pictures is what is to be reached, not 1; pictures that it was trained on score more.",
        ),
        [
            (f"{name}: {caption}", np.ascontiguousarray(picture[..., ::-1]))
            for name, side in sides.items()
            for caption, picture in zip(captions, side.example, strict=True)
        ],
        floor="real pictures",
        table=(head, *rows),
    )


def _share(iou: float) -> str:
    return "–" if math.isnan(iou) else f"{iou:.3f}"


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
