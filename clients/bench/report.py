"""What became of a drive's frames, and what the bench measured beside it: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bridge.bottleneck import told_groups, verdict
from bridge.protocol.errors import OutputError
from bridge.telemetry import FrameRecord
from clients.bench.figures import Figure
from clients.bench.waterfall import draw_in_a_row, draw_typical, typical

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#1b1f24}
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em}table{border-collapse:collapse;width:100%}
td,th{padding:.3em .6em;text-align:right;border-bottom:1px solid #e3e6ea}td:first-child,th:first-child{text-align:left}
.missed{background:#fff1e0}.verdict{background:#f3f5f8;padding:.8em 1.2em;border-left:4px solid #38629e}
img{max-width:100%;display:block}p.what{color:#5a6572}
"""


def write_report(
    path: Path, records: Sequence[FrameRecord], figures: Sequence[Figure], machine: Mapping[str, str]
) -> str:
    """Write what became of a drive's frames as HTML; returns the verdict. Raises OutputError.

    `records` are its telemetry, `figures` what was measured beside it.
    """
    limit = verdict([told_groups(record.stages_ms) for record in records if record.outcome == "rendered"], 0.0)
    spans = typical(records)
    parts = [
        "<!doctype html><meta charset=utf-8><title>vidrive bench</title>",
        f"<style>{_STYLE}</style><h1>Where the time of a frame goes</h1>",
        f"<p class=verdict>{html.escape(limit or 'no frame was synthesized')}</p>",
        "<h2>A typical frame</h2><p class=what>Medians of each stage's beginning and end, from the beginning of its "
        "tick. The server's work stands in the middle of the round trip.</p>",
        _image(draw_typical(spans)) if spans else "",
        "<h2>Frames in a row</h2><p class=what>From the middle of the drive; while one is synthesized the simulator "
        "makes the next. Grey is waiting.</p>",
        _image(draw_in_a_row(records)),
        "<h2>How frames ended</h2>",
        _rows(("what", "", ""), _counts(records)),
    ]
    if figures:
        parts += ["<h2>Figures</h2>", _rows(("what", "measured", "goal"), map(_figure_row, figures))]
    parts += ["<h2>Machine</h2>", _rows(("", "", ""), ((name, value, "") for name, value in machine.items()))]
    try:
        path.write_text("\n".join(parts), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", "Name another file") from None
    return limit


def _counts(records: Sequence[FrameRecord]) -> Iterable[tuple[str, str, str]]:
    outcomes = Counter(record.outcome for record in records)
    yield "ticked", str(len(records)), ""
    for outcome, count in outcomes.most_common():
        yield str(outcome), str(count), ""
    yield "most frames under way at once", str(max((record.under_way for record in records), default=0)), ""
    ages_ms = [record.age_ms for record in records if record.age_ms is not None]
    if ages_ms:
        p50, p95, most = np.percentile(ages_ms, (50, 95, 100))
        yield "age when shown: median, 95th percentile, largest", f"{p50:.1f}, {p95:.1f}, {most:.1f} ms", ""
    for reason, count in Counter(record.reset for record in records if record.reset).most_common(5):
        yield f"temporal state began anew: {reason}", str(count), ""


def _figure_row(figure: Figure) -> tuple[str, str, str]:
    told = "" if figure.met is None else f"{figure.bound}: {'met' if figure.met else 'not met'}"
    value = f"not measured: {figure.problem}" if figure.problem else f"{figure.value:.2f} {figure.unit}"
    return figure.name.strip(), value, told


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"<tr>{''.join(f'<th>{html.escape(cell)}</th>' for cell in head)}</tr>"] if any(head) else []
    for row in rows:
        missed = " class=missed" if row[-1].endswith("not met") else ""
        lines.append(f"<tr{missed}>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _image(picture_bgr: NDArray[np.uint8]) -> str:
    _, png = cv2.imencode(".png", picture_bgr)
    data = base64.b64encode(png.tobytes()).decode()
    return f'<img alt="" src="data:image/png;base64,{data}">'
