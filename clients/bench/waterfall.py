"""Where the time of frames goes, drawn: a typical frame stage by stage, and some in a row as they overlapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np
import pygame
import pygame.surfarray
from numpy.typing import NDArray

from bridge.telemetry import FrameRecord
from clients.viewer.state import STAGE_COLORS, Color
from clients.viewer.text import font, text

SERVER_STAGES: Final = ("server_decode", "warp", "infer", "to_uint8", "encode")
WIDTH_PX: Final = 1040
LEFT_PX: Final = 250
RIGHT_PX: Final = 90
ROW_PX: Final = 26
BAR_PX: Final = 18
INK: Final = (27, 31, 36)
FAINT: Final = (226, 230, 235)
WAITING: Final = (176, 184, 194)
NUM_IN_A_ROW: Final = 12
NUM_TICKS: Final = 8


@dataclass(frozen=True)
class Span:
    """A stage of a frame, ms since its tick began; `group` is one of `bridge.bottleneck.GROUPS`, "" for waiting."""

    name: str
    group: str
    start_ms: float
    end_ms: float


def spans_of(record: FrameRecord) -> list[Span]:
    """Return the stages of a synthesized frame in their order; [] for a frame that was not."""
    moments = (record.submit_s, record.start_s, record.end_s, record.answer_s, record.present_s)
    if record.outcome != "rendered" or any(moment is None for moment in moments):
        return []
    sample, submit, start, end, answer, present = (
        (moment - record.tick_s) * 1e3 for moment in (record.sample_s, *moments) if moment is not None
    )
    spans = [
        Span("simulator and sensors", "simulator", 0.0, sample),
        Span("waits for the renderer", "", sample, submit),
        Span("way to the server", "transport", submit, start),
    ]
    told_ms = {name: record.stages_ms[name] for name in SERVER_STAGES if name in record.stages_ms}
    others_ms = end - start - sum(told_ms.values())
    if others_ms > 0.05:
        told_ms["other stages"] = others_ms
    for name, duration_ms in told_ms.items():
        spans.append(Span(name.replace("_", " "), "neural", start, start + duration_ms))
        start += duration_ms
    shown_ms = record.stages_ms.get("show", 0.0)
    paired = max(answer, present - shown_ms)
    return [
        *spans,
        Span("way back", "transport", end, answer),
        Span("waits to be shown", "", answer, paired),
        Span("viewer", "viewer", paired, max(paired, present)),
        Span("recorder", "viewer", present, present + record.stages_ms.get("record", 0.0)),
    ]


def typical(records: Sequence[FrameRecord]) -> list[Span]:
    """Return the median of each stage's beginning and end over all synthesized frames; [] without any."""
    found: dict[str, list[Span]] = {}
    for record in records:
        for span in spans_of(record):
            found.setdefault(span.name, []).append(span)
    return [
        Span(name, same[0].group, median(span.start_ms for span in same), median(span.end_ms for span in same))
        for name, same in found.items()
    ]


def draw_typical(spans: Sequence[Span]) -> NDArray[np.uint8]:
    """Draw a frame, a row a stage; returns (H,W,3) u8 BGR."""
    longest_ms = max((span.end_ms for span in spans), default=1.0)
    canvas = _Canvas(len(spans), longest_ms)
    for row, span in enumerate(spans):
        canvas.label(row, span.name)
        canvas.bar(row, span)
        canvas.value(row, span.end_ms, f"{span.end_ms - span.start_ms:.1f} ms")
    return canvas.picture()


def draw_in_a_row(records: Sequence[FrameRecord]) -> NDArray[np.uint8]:
    """Draw some frames from the middle of a drive on one axis of time, a row each; returns (H,W,3) u8 BGR."""
    first = max(0, (len(records) - NUM_IN_A_ROW) // 2)
    shown = records[first : first + NUM_IN_A_ROW]
    begin_s = min((record.tick_s for record in shown), default=0.0)
    ends_ms = [1.0]
    rows: list[tuple[FrameRecord, list[Span], float]] = []
    for record in shown:
        offset_ms = (record.tick_s - begin_s) * 1e3
        spans = spans_of(record) or [Span("", "simulator", 0.0, (record.sample_s - record.tick_s) * 1e3)]
        rows.append((record, spans, offset_ms))
        ends_ms.append(offset_ms + max(span.end_ms for span in spans))
    canvas = _Canvas(len(rows), max(ends_ms))
    for row, (record, spans, offset_ms) in enumerate(rows):
        canvas.label(row, f"frame {record.frame_id}, {record.outcome}")
        for span in spans:
            canvas.bar(row, span, offset_ms)
        if record.age_ms is not None:
            canvas.value(row, offset_ms + spans[-1].end_ms, f"age {record.age_ms:.0f}")
    return canvas.picture()


class _Canvas:
    """Rows of bars over an axis of milliseconds."""

    def __init__(self, num_rows: int, longest_ms: float) -> None:
        self._font = font(15)
        self._px_per_ms = (WIDTH_PX - LEFT_PX - RIGHT_PX) / max(longest_ms, 1e-3)
        self._surface = pygame.Surface((WIDTH_PX, (num_rows + 1) * ROW_PX + 12))
        self._surface.fill((255, 255, 255))
        step_ms = _round_step(longest_ms / NUM_TICKS)
        for index in range(int(longest_ms / step_ms) + 1):
            x_px = round(LEFT_PX + index * step_ms * self._px_per_ms)
            pygame.draw.line(self._surface, FAINT, (x_px, 0), (x_px, num_rows * ROW_PX + 4))
            self._write(
                f"{index * step_ms:g} ms" if index == 0 else f"{index * step_ms:g}", x_px, num_rows, center=True
            )

    def label(self, row: int, sentence: str) -> None:
        """Name a row."""
        self._write(sentence, 8, row)

    def bar(self, row: int, span: Span, offset_ms: float = 0.0) -> None:
        """Draw a stage; what waits is thin and grey."""
        color = STAGE_COLORS.get(span.group, WAITING)
        height_px = BAR_PX if span.group else 6
        left_px = LEFT_PX + (span.start_ms + offset_ms) * self._px_per_ms
        width_px = max(2.0 if span.group else 0.0, (span.end_ms - span.start_ms) * self._px_per_ms)
        top_px = row * ROW_PX + (ROW_PX - height_px) // 2
        pygame.draw.rect(self._surface, color, (round(left_px), top_px, round(width_px), height_px))

    def value(self, row: int, at_ms: float, sentence: str) -> None:
        """Write beside the end of a bar."""
        self._write(sentence, round(LEFT_PX + at_ms * self._px_per_ms) + 8, row)

    def picture(self) -> NDArray[np.uint8]:
        """Return (H,W,3) u8 BGR."""
        rgb = pygame.surfarray.array3d(self._surface).swapaxes(0, 1)
        return np.ascontiguousarray(rgb[..., ::-1])

    def _write(self, sentence: str, x_px: int, row: int, *, center: bool = False, color: Color = INK) -> None:
        drawn = text(self._font, sentence, color)
        left_px = x_px - drawn.get_width() // 2 if center else x_px
        self._surface.blit(drawn, (left_px, row * ROW_PX + (ROW_PX - drawn.get_height()) // 2 + (4 if center else 0)))


def _round_step(about: float) -> float:
    """Return 1, 2 or 5 times a power of ten, near what was asked."""
    power = 10.0 ** np.floor(np.log10(max(about, 1e-3)))
    return float(next(power * step for step in (1, 2, 5, 10) if power * step >= about * 0.999))
