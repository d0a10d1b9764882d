"""The report of a gap: one HTML file that needs nothing else, and the same figures as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import OutputError
from clients.gap.comparison import MapSet, Result
from clients.gap.measures import class_log_ratios, objects_per_frame
from clients.gap.page import as_html
from clients.gap.verdict import advice, verdict


@dataclass(frozen=True)
class Section:
    """A part of the report beside the label maps: its measures, what they say, what they were taken with.

    `pictures` are shown with their captions: (H,W,3) u8 BGR; `table` are rows of texts, the first of them its head.
    """

    name: str
    verdict: str
    results: Sequence[Result]
    notes: Sequence[str] = ()
    pictures: Sequence[tuple[str, NDArray[np.uint8]]] = ()
    floor: str = "real vs real"
    table: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Report:
    """All that a report says."""

    synthetic: MapSet
    real: MapSet
    results: Sequence[Result]
    sections: Sequence[Section] = field(default=())
    fits: Sequence[Section] = field(default=())  # what a search for the camera or the classes found

    @property
    def all_sections(self) -> list[Section]:
        """Every part beside label maps."""
        return [*self.sections, *self.fits]

    def verdict(self) -> list[str]:
        """Three lines for the terminal."""
        labels = verdict(self.results, self.synthetic, self.real)
        others = [f"{section.name}: {section.verdict}" for section in self.sections]
        if not others:
            return labels
        first = f"{labels[0]}; {labels[1]}"
        return [first, others[0], "; ".join(others[1:])] if others[1:] else [first, others[0], labels[2]]

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain numbers and texts; what is not a number is null."""
        return {
            "verdict": self.verdict(),
            "advice": advice(self.results, self.synthetic, self.real),
            "sets": {
                side: {
                    "name": mapset.name,
                    "frames": mapset.whole.num_frames,
                    "sequences": mapset.num_sequences,
                    "objects_per_frame": _numbers(objects_per_frame(mapset.whole)),
                }
                for side, mapset in (("synthetic", self.synthetic), ("real", self.real))
            },
            "class_log2_ratios": _numbers(class_log_ratios(self.synthetic.whole, self.real.whole)),
            "measures": _measures_of(self.results),
            "sections": [
                {
                    "name": section.name,
                    "verdict": section.verdict,
                    "notes": list(section.notes),
                    "table": [list(row) for row in section.table],
                    "measures": _measures_of(section.results),
                }
                for section in self.all_sections
            ],
        }


def _measures_of(results: Sequence[Result]) -> list[dict[str, Any]]:
    fields = ("value", "low", "high", "floor", "floor_max", "times_floor", "ceiling")
    return [
        {
            "name": r.measure.name,
            "group": r.measure.group,
            "unit": r.measure.unit,
            **_numbers({field: getattr(r, field) for field in fields}),
        }
        for r in results
    ]


def write(report: Report, folder: Path) -> None:
    """Write index.html and gap.json into a folder; raises OutputError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gap.json").write_text(json.dumps(report.as_dict(), indent=1, allow_nan=False) + "\n")
        (folder / "index.html").write_text(as_html(report))
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror})", "Choose another --out") from None


def _numbers(numbers: dict[str, float]) -> dict[str, float | None]:
    return {name: number if math.isfinite(number) else None for name, number in numbers.items()}
