"""The report of a gap: one HTML file that needs nothing else, and the same figures as JSON."""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.protocol.errors import OutputError
from clients.gap.comparison import INTERVAL, NUM_DRAWS, MapSet, Result
from clients.gap.measures import class_log_ratios, objects_per_frame, priors
from clients.gap.statistics import NAMES
from clients.gap.verdict import advice, verdict, worst

_CELL_PX: Final = 6
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#1b1f24}
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em}table{border-collapse:collapse;width:100%}
td,th{padding:.3em .6em;text-align:right;border-bottom:1px solid #e3e6ea}td:first-child,th:first-child{text-align:left}
.far{background:#fff1e0}.what{color:#5a6572;font-size:.9em;text-align:left}
.verdict{background:#f3f5f8;padding:.8em 1.2em;border-left:4px solid #38629e}
.maps{display:grid;grid-template-columns:repeat(3,max-content);gap:1.2em}
.pictures{display:flex;flex-wrap:wrap;gap:1.2em}
figure{margin:0}figcaption{font-size:.85em;color:#5a6572}
img{image-rendering:pixelated;display:block;outline:1px solid #e3e6ea}
"""


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


def as_html(report: Report) -> str:
    """Return the page: verdict, advice, a table of measures, classes, and maps of where they are."""
    synthetic, real = report.synthetic, report.real
    told = "".join(f"<p>{html.escape(line)}</p>" for line in report.verdict())
    advised = "".join(f"<li>{html.escape(line)}</li>" for line in advice(report.results, synthetic, real))
    sets = "".join(
        f"<li>{side}: {html.escape(s.name)}, {s.whole.num_frames} frames, "
        f"{s.num_sequences} sequence{'' if s.num_sequences == 1 else 's'}</li>"
        for side, s in (("synthetic", synthetic), ("real", real))
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Domain gap</title><style>{_STYLE}</style>'
        f'<h1>Domain gap</h1><div class="verdict">{told}</div><ul>{sets}</ul>'
        f"<h2>What to change</h2><ul>{advised or '<li>Nothing stands out.</li>'}</ul>"
        f"<h2>Label maps</h2>{_table(report.results)}<h2>Classes</h2>{_classes(report)}"
        '<h2>Where classes are</h2><p class="what">Share of each place in the picture; the difference is red where the '
        "synthetic set shows more of the class and blue where it shows less.</p>"
        f'<div class="maps">{_maps(report)}</div>{"".join(map(_section, report.all_sections))}'
        "</html>\n"
    )


def _table(results: Sequence[Result], floor: str = "real vs real") -> str:
    far = {result.measure.name for result in worst(results)}
    rows = "".join(
        f'<tr class="{"far" if r.measure.name in far else ""}"><td>{r.measure.name}'
        f'<div class="what">{html.escape(r.measure.about)}</div></td><td>{_text(r.value)}</td>'
        f"<td>{_interval(r)}</td><td>{_text(r.floor)}</td><td>{_text(r.floor_max)}</td>"
        f"<td>{_text(r.times_floor, 1)}</td><td>{_text(r.ceiling)}</td><td>{r.measure.unit}</td></tr>"
        for r in results
    )
    low, high = (f"{percent:.0f}" for percent in INTERVAL)
    return (
        "<table><tr><th>measure</th><th>value</th>"
        f"<th>{low}–{high} % of {NUM_DRAWS} draws</th>"
        f"<th>{floor}</th><th>at most</th><th>times</th><th>ceiling</th><th>unit</th></tr>"
        f"{rows}</table>"
    )


def _section(section: Section) -> str:
    notes = "".join(f'<p class="what">{html.escape(note)}</p>' for note in section.notes)
    pictures = "".join(_figure(caption, picture, cell_px=1) for caption, picture in section.pictures)
    return (
        f"<h2>{html.escape(section.name.capitalize())}</h2><p>{html.escape(section.verdict)}</p>"
        f"{_table(section.results, section.floor) if section.results else ''}{notes}{_texts(section.table)}"
        f'<div class="pictures">{pictures}</div>'
    )


def _texts(table: Sequence[Sequence[str]]) -> str:
    rows = [
        "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in row)
        for row, tag in zip(table, ["th", *["td"] * len(table)], strict=False)
    ]
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>" if rows else ""


def _figure(caption: str, bgr: NDArray[np.uint8], cell_px: int = _CELL_PX) -> str:
    said = html.escape(caption)
    return f'<figure><img alt="{said}" src="{_png(bgr, cell_px)}"><figcaption>{said}</figcaption></figure>'


def _classes(report: Report) -> str:
    shares = [s.whole.pixels / max(s.whole.pixels.sum(), 1.0) * 100 for s in (report.synthetic, report.real)]
    ratios = class_log_ratios(report.synthetic.whole, report.real.whole)
    rows = "".join(
        f"<tr><td>{name}</td><td>{shares[0][index]:.2f} %</td><td>{shares[1][index]:.2f} %</td>"
        f"<td>{_ratio_text(ratios.get(name, float('nan')))}</td></tr>"
        for index, name in enumerate(NAMES)
    )
    return f"<table><tr><th>class</th><th>synthetic</th><th>real</th><th>octaves more</th></tr>{rows}</table>"


def _maps(report: Report) -> str:
    ours, theirs = priors(report.synthetic.whole), priors(report.real.whole)
    figures = []
    for index in np.argsort(-np.abs(ours - theirs).sum((0, 1)))[:6]:
        for title, picture in (
            ("synthetic", _heat(ours[..., index])),
            ("real", _heat(theirs[..., index])),
            ("difference", _difference(ours[..., index] - theirs[..., index])),
        ):
            figures.append(_figure(f"{NAMES[index]}: {title}", picture))
    return "".join(figures)


def _heat(share: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A share 0..1 as BGR, dark to bright."""
    grey = np.clip(np.sqrt(share) * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS), np.uint8)


def _difference(difference: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A difference -1..1 as BGR: blue, white, red."""
    signed = np.sign(difference) * np.sqrt(np.abs(np.clip(difference, -1, 1)))
    more, less = np.clip(signed, 0, 1), np.clip(-signed, 0, 1)
    return (255 * np.stack([1 - more, 1 - np.maximum(more, less), 1 - less], 2)).astype(np.uint8)


def _png(bgr: NDArray[np.uint8], cell_px: int) -> str:
    large = cv2.resize(bgr, None, fx=cell_px, fy=cell_px, interpolation=cv2.INTER_NEAREST)
    _, png = cv2.imencode(".png", large)
    return "data:image/png;base64," + base64.b64encode(png.tobytes()).decode()


def _text(number: float, digits: int = 4) -> str:
    return "–" if math.isnan(number) else f"{number:.{digits}f}"


def _interval(result: Result) -> str:
    return "–" if math.isnan(result.low) else f"{_text(result.low)} – {_text(result.high)}"


def _ratio_text(octaves: float) -> str:
    if math.isnan(octaves):
        return "–"
    return f"{octaves:+.1f}" if math.isfinite(octaves) else ("only here" if octaves > 0 else "never")


def _numbers(numbers: dict[str, float]) -> dict[str, float | None]:
    return {name: number if math.isfinite(number) else None for name, number in numbers.items()}
