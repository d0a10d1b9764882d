"""The page of a report: one HTML text that needs nothing else, no script, no font, no network."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from clients.gap.comparison import INTERVAL, NUM_DRAWS, Result
from clients.gap.measures import class_log_ratios, priors
from clients.gap.statistics import NAMES
from clients.gap.verdict import advice, worst

if TYPE_CHECKING:
    from clients.gap.report import Report, Section

_CELL_PX: Final = 5
_GAUGE_PX: Final = 190
_BAR_PX: Final = 380
_STYLE: Final = """
:root{--ink:#1b1f24;--dim:#5a6572;--line:#e3e6ea;--page:#fff;--card:#f3f5f8;--real:#9ccfae;--near:#2f6db3;--far:#d9641c;
--farrow:#fff4ea}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ec;--dim:#9aa5b1;--line:#343b44;--page:#15191e;--card:#1f252c;
--real:#2f6b47;--near:#6ea8e8;--far:#f08a45;--farrow:#2c221a}}
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:var(--ink);
background:var(--page)}
h1{font-size:1.7em;margin-bottom:.2em}h2{font-size:1.25em;margin-top:2.2em}
table{border-collapse:collapse;width:100%}
td,th{padding:.35em .6em;text-align:right;border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}
th{font-size:.85em;color:var(--dim);font-weight:600;vertical-align:bottom}
td:first-child,th:first-child,.left{text-align:left}
.far{background:var(--farrow)}.far td:first-child b{color:var(--far)}
.what,.sets{color:var(--dim);font-size:.88em;text-align:left}.dim{color:var(--dim);white-space:nowrap}
.verdict{background:var(--card);padding:.6em 1.2em;border-left:4px solid var(--near);border-radius:0 6px 6px 0}
.maps{display:grid;grid-template-columns:repeat(6,max-content);gap:.9em .6em}
.pictures{display:flex;flex-wrap:wrap;gap:1.2em;margin-top:1em}
figure{margin:0}figcaption{font-size:.8em;color:var(--dim)}
img{image-rendering:pixelated;display:block;outline:1px solid var(--line)}
svg{display:block}.track{fill:var(--card)}.real{fill:var(--real)}.near{fill:var(--near);stroke:var(--near)}
.out{fill:var(--far);stroke:var(--far)}.legend{display:flex;align-items:center;gap:1em}
"""
_WHAT_TO_READ: Final = (
    "Every figure is a distance: 0 is no difference. The green band is as far as real drives are from each other, the "
    "right end as far as what nobody takes for real (the ceiling). The dot is the simulator, the line through it where "
    "it could be with other drives; it is orange where it is clearly beyond real drives. Lengths grow with the square "
    "root, so that small differences are seen."
)


def as_html(report: Report) -> str:
    """Return the page: verdict, advice, a table of measures, classes, maps of where they are, and the other parts."""
    synthetic, real = report.synthetic, report.real
    told = "".join(_headed(line) for line in report.verdict())
    advised = "".join(f"<li>{html.escape(line)}</li>" for line in advice(report.results, synthetic, real))
    sets = " · ".join(
        f"{side}: {html.escape(s.name)}, {s.whole.num_frames} label maps of "
        f"{s.num_sequences} drive{'' if s.num_sequences == 1 else 's'}"
        for side, s in (("synthetic", synthetic), ("real", real))
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Domain gap</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f'<h1>Domain gap</h1><p class="sets">{sets}</p><div class="verdict">{told}</div>'
        f"<h2>What to change</h2><ul>{advised or '<li>Nothing stands out.</li>'}</ul>"
        f'<h2>Label maps</h2><p class="what">{_WHAT_TO_READ}</p>{_table(report.results)}'
        f"<h2>Classes</h2>{_classes(report)}"
        '<h2>Where classes are</h2><p class="what">Share of each place in the picture, brighter is more. The '
        "difference is red where the simulator shows more of the class and blue where it shows less; the six that "
        f'differ most are shown.</p><div class="maps">{_maps(report)}</div>'
        f"{''.join(map(_section, report.all_sections))}"
        "</html>\n"
    )


def _headed(line: str) -> str:
    head, colon, rest = line.partition(": ")
    return f"<p><b>{html.escape(head)}</b>{html.escape(colon + rest)}</p>"


def _table(results: Sequence[Result], floor: str = "real vs real") -> str:
    far = {result.measure.name for result in worst(results)}
    rows = "".join(_row(r, r.measure.name in far) for r in results)
    low, high = (f"{percent:.0f}" for percent in INTERVAL)
    return (
        f'<table><tr><th>measure</th><th class="left">0 to ceiling</th><th>value</th>'
        f"<th>{low}–{high} % of {NUM_DRAWS} draws</th><th>{floor}</th><th>at most</th><th>ceiling</th><th>times</th>"
        f'<th class="left">unit</th></tr>{rows}</table>'
    )


def _row(result: Result, is_far: bool) -> str:
    measure = result.measure
    return (
        f'<tr class="{"far" if is_far else ""}"><td><b>{html.escape(measure.name)}</b>'
        f'<div class="what">{html.escape(measure.about)}</div></td><td>{_gauge(result, is_far)}</td>'
        f'<td><b>{_text(result.value)}</b></td><td class="dim">{_interval(result)}</td><td>{_text(result.floor)}</td>'
        f"<td>{_text(result.floor_max)}</td><td>{_text(result.ceiling)}</td><td>{_times(result.times_floor)}</td>"
        f'<td class="left dim">{html.escape(measure.unit)}</td></tr>'
    )


def _gauge(result: Result, is_far: bool) -> str:
    """A drawing of one figure between 0 and its ceiling; "" for what has no value."""
    if math.isnan(result.value):
        return ""
    known = [n for n in (result.value, result.high, result.floor_max, result.ceiling) if math.isfinite(n)]
    end = max(*known, 1e-12)

    def at_px(number: float) -> float:
        return 6 + (_GAUGE_PX - 12) * math.sqrt(min(max(number, 0.0), end) / end)

    kind = "out" if is_far else "near"
    shapes = [f'<rect class="track" x="6" y="5" width="{_GAUGE_PX - 12}" height="10" rx="2"/>']
    if math.isfinite(result.floor_max):
        shapes.append(f'<rect class="real" x="6" y="5" width="{at_px(result.floor_max) - 6:.1f}" height="10" rx="2"/>')
    if math.isfinite(result.low) and math.isfinite(result.high):
        shapes.append(
            f'<line class="{kind}" x1="{at_px(result.low):.1f}" x2="{at_px(result.high):.1f}" y1="10" y2="10"'
            ' stroke-width="2"/>'
        )
    shapes.append(f'<circle class="{kind}" cx="{at_px(result.value):.1f}" cy="10" r="4.5"/>')
    said = html.escape(f"{result.measure.name}: {_text(result.value)}, {_text(result.floor_max)} among real drives")
    return f'<svg role="img" aria-label="{said}" width="{_GAUGE_PX}" height="20">{"".join(shapes)}</svg>'


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
    most = max(1e-9, *(float(side.max()) for side in shares))
    rows = "".join(
        f"<tr><td>{name}</td><td>{_bars([side[index] / most for side in shares])}</td><td>{shares[0][index]:.2f} %</td>"
        f"<td>{shares[1][index]:.2f} %</td><td>{_ratio_text(ratios.get(name, float('nan')))}</td></tr>"
        for index, name in enumerate(NAMES)
    )
    return (
        '<p class="what">How much of all pixels each class has: blue in the simulator, green in the real set.</p>'
        '<table><tr><th>class</th><th class="left">share</th><th>synthetic</th><th>real</th><th>the simulator shows'
        f"</th></tr>{rows}</table>"
    )


def _bars(lengths: Sequence[float]) -> str:
    drawn = "".join(
        f'<rect class="{kind}" stroke="none" x="0" y="{top}" width="{max(1.0, length * _BAR_PX):.1f}" height="7"/>'
        for kind, top, length in zip(("near", "real"), (2, 11), lengths, strict=True)
    )
    return f'<svg role="img" aria-label="shares" width="{_BAR_PX}" height="20">{drawn}</svg>'


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
    large: NDArray[Any] = cv2.resize(bgr, None, fx=cell_px, fy=cell_px, interpolation=cv2.INTER_NEAREST)
    _, png = cv2.imencode(".png", large)
    return "data:image/png;base64," + base64.b64encode(png.tobytes()).decode()


def _text(number: float) -> str:
    """Three digits that count; a dash for what is not known."""
    if math.isnan(number):
        return "–"
    if math.isinf(number):
        return "∞"
    digits = 3 if number == 0 else max(0, 2 - math.floor(math.log10(abs(number))))
    return "0" if number == 0 else f"{number:.{min(digits, 5)}f}"


def _times(number: float) -> str:
    return "–" if math.isnan(number) else "∞" if math.isinf(number) else f"{number:.1f}×"


def _interval(result: Result) -> str:
    return "–" if math.isnan(result.low) else f"{_text(result.low)} – {_text(result.high)}"


def _ratio_text(octaves: float) -> str:
    if math.isnan(octaves):
        return "–"
    if math.isinf(octaves):
        return "what the real set never has" if octaves > 0 else "never"
    times = 2 ** abs(octaves)
    return "as much" if times < 1.05 else f"{times:.1f} times as {'much' if octaves > 0 else 'little'}"
