"""The bench's report of where the time of frames goes, its Markdown, and what it says of the machine."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from bridge.loop import FrameLoop
from bridge.telemetry import FrameRecord, read_telemetry
from bridge.trace import Trace
from clients import cli
from clients.bench.figures import BEGIN, END
from clients.bench.waterfall import draw_in_a_row, draw_typical, spans_of, typical
from clients.commands import bench
from clients.commands.bench import Figure
from clients.viewer.state import STAGE_COLORS
from tests.unit.bridge.loop_fakes import FakeRenderer, FakeStreet, Pairs


def record(frame_id: int, **other: object) -> FrameRecord:
    """A frame of 100 ms: 40 simulator, 10 waiting, 4 there, 30 server, 4 back, 2 waiting, 10 viewer."""
    begin_s = 0.05 * frame_id
    at_ms = {"sample_s": 40, "submit_s": 50, "start_s": 54, "end_s": 84, "answer_s": 88, "present_s": 100}
    return FrameRecord(
        frame_id=frame_id,
        time_s=begin_s,
        tick_s=begin_s,
        outcome="rendered",
        age_ms=60.0,
        **{**{name: begin_s + ms / 1e3 for name, ms in at_ms.items()}, **other},
        stages_ms={"tick": 30.0, "wait": 10.0, "warp": 5.0, "infer": 25.0, "transport": 8.0, "round_trip": 38.0,
                   "show": 10.0, "record": 3.0},
    )  # fmt: skip


def test_stages_follow_each_other_from_tick_to_screen() -> None:
    spans = spans_of(record(3))
    assert [(span.name, round(span.end_ms - span.start_ms, 6)) for span in spans] == [
        ("simulator and sensors", 40.0),
        ("waits for the renderer", 10.0),
        ("way to the server", 4.0),
        ("warp", 5.0),
        ("infer", 25.0),
        ("way back", 4.0),
        ("waits to be shown", 2.0),
        ("viewer", 10.0),
        ("recorder", 3.0),
    ]
    assert [span.start_ms for span in spans[1:]] == pytest.approx([span.end_ms for span in spans[:-1]])
    assert spans_of(record(4, submit_s=None)) == []


def test_a_typical_frame_is_not_moved_by_a_slow_one() -> None:
    records = [record(number) for number in range(9)]
    records.append(record(9, present_s=9.0))
    assert [span.end_ms for span in typical(records)] == pytest.approx([span.end_ms for span in spans_of(records[0])])


def test_what_is_drawn_is_as_long_as_it_took() -> None:
    picture = draw_typical(spans_of(record(0)))
    widths = {
        group: int((picture == np.array(color[::-1])).all(2).any(0).sum()) for group, color in STAGE_COLORS.items()
    }
    assert widths["simulator"] / widths["neural"] == pytest.approx(40 / 30, rel=0.05)
    assert widths["transport"] / widths["neural"] == pytest.approx(8 / 30, rel=0.1)
    assert draw_in_a_row([record(number) for number in range(40)]).shape[1] == picture.shape[1]
    assert draw_in_a_row([]).ndim == 3


def test_the_report_of_a_drive_stands_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    telemetry, report = tmp_path / "drive.jsonl", tmp_path / "report.html"
    with FrameLoop(FakeStreet(), FakeRenderer(0.004), display=Pairs(), trace=Trace(None, telemetry)) as loop:
        loop.run(20)
    assert cli.main(["bench", "--telemetry", str(telemetry), "--report", str(report)]) == 0
    assert re.fullmatch(r"the \w+.* limits: \d+ ms a frame", capsys.readouterr().out.strip())
    page = report.read_text()
    assert "ticked</td><td>20" in page
    assert not re.search(r"(src|href)=.(?!data:)", page), "it needs nothing else"
    pictures = re.findall(r'base64,([^"]+)"', page)
    assert len(pictures) == 2
    for data in pictures:
        assert cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR).shape[1] > 500


def test_a_report_is_asked_for_in_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--telemetry", "drive.jsonl"]) == 2
    assert "--report FILE.html" in capsys.readouterr().err
    assert cli.main(["bench", "--telemetry", str(tmp_path / "no.jsonl"), "--report", "r.html"]) == 2
    assert "cannot be read" in capsys.readouterr().err


def measured(args: object) -> Iterable[Figure]:
    with FrameLoop(FakeStreet(), FakeRenderer(), trace=Trace(None, args.drive_telemetry)) as loop:  # pyright: ignore
        loop.run(3)
        assert len(read_telemetry(args.drive_telemetry)) == 3  # pyright: ignore
    yield Figure("everything else, p50", 1.25, "ms", goal=3.0)
    yield Figure("synthesized frames", 9.0, "Hz", goal=15.0, at_least=True)


def test_markdown_takes_the_place_of_the_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "_measure", measured)
    path = tmp_path / "BENCHMARKS.md"
    path.write_text(f"# Figures\n\n{BEGIN}\nold\n{END}\n\nThe end.\n")
    for _ in range(2):
        assert cli.main(["bench", "--frames", "7", "--markdown", str(path)]) == 0
    text = path.read_text()
    assert text.startswith("# Figures\n\n" + BEGIN)
    assert text.endswith(END + "\n\nThe end.\n")
    assert "old" not in text
    assert text.count("| synthesized frames | 9.00 Hz | at least 15: **not met** |") == 1
    assert "`vidrive bench --frames 7`" in text
    assert "| processor | " in text
    fresh = tmp_path / "fresh.md"
    assert cli.main(["bench", "--markdown", str(fresh)]) == 0
    assert fresh.read_text().startswith(BEGIN)


def test_json_says_what_machine_it_was(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "_measure", measured)
    assert cli.main(["bench", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"processor", "cores", "gpu", "system", "packages"} <= told["machine"].keys()
    assert "torch 2" in told["machine"]["packages"]
    assert "limits" in told["verdict"]
