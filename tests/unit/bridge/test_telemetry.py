"""Every frame that was ticked ends once, however the drive goes, and its record says when what happened to it."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from bridge.loop import FrameLoop
from bridge.metrics import serve_metrics
from bridge.protocol.errors import OutputError, RenderRefused, SimulatorLost, UsageError
from bridge.protocol.frames import FramePair
from bridge.protocol.messages import Refusal
from bridge.telemetry import UNENDED, FrameRecord, read_telemetry
from bridge.trace import Trace
from tests.unit.bridge.loop_fakes import FakeRenderer, FakeStreet, Pairs


def check(trace: Trace, path: Path) -> list[FrameRecord]:
    """Return the records, after seeing that counters and records say the same and add up."""
    records = read_telemetry(path)
    assert trace.ledger.under_way == 0
    assert trace.ticks == trace.rendered + trace.dropped + trace.failed
    assert Counter(record.outcome for record in records) == Counter(
        {outcome: count for outcome, count in trace.ledger.counts.items() if count}
    )
    assert len({record.frame_id for record in records}) == len(records) == trace.ticks
    return records


def test_a_record_says_when_what_happened(tmp_path: Path) -> None:
    path = tmp_path / "drive.jsonl"
    before_s = time.monotonic()
    with FrameLoop(FakeStreet(), FakeRenderer(0.01), display=Pairs(), trace=Trace(None, path)) as loop:
        loop.run(12)
    records = check(loop.trace, path)
    assert [record.frame_id for record in records] == list(range(100, 112))
    for record in records:
        assert (record.outcome, record.sequence, record.notice) == ("rendered", 1, "")
        assert record.submit_s is not None
        assert record.start_s is not None
        assert record.end_s is not None
        assert record.present_s is not None
        assert before_s < record.tick_s <= record.sample_s <= record.submit_s <= record.start_s <= record.end_s
        assert record.end_s - record.start_s == pytest.approx(1.5e-3)  # the server's decode and infer
        assert record.present_s - record.submit_s >= 0.01
        assert record.age_ms == pytest.approx((record.present_s - record.sample_s) * 1e3, abs=1e-3)
        assert record.stages_ms["infer"] == 1.0
    assert all(first.tick_s < second.tick_s for first, second in itertools.pairwise(records))


def test_with_a_slow_and_failing_server_counters_add_up(tmp_path: Path) -> None:
    street, renderer, path = FakeStreet(fixed_delta_s=0.004), FakeRenderer(0.011), tmp_path / "drive.jsonl"
    renderer.refuse = lambda frame: Refusal(code="failed", message="no") if frame.frame_id % 7 == 0 else None

    def flap(frame_id: int) -> None:
        renderer.restart()
        if frame_id % 20 == 0:
            renderer.kill_at = renderer.in_flight

    street.before_tick = flap
    with FrameLoop(street, renderer, mode="live", display=Pairs(), trace=Trace(None, path)) as loop:
        loop.run(200)
    records = check(loop.trace, path)
    assert min(loop.trace.rendered, loop.trace.dropped, loop.trace.failed) > 0
    assert loop.trace.ledger.most_under_way <= 3, "one in flight, one that waits, one that was just taken"
    assert all(record.notice for record in records if record.outcome == "failed")
    assert all(record.submit_s is None for record in records if record.outcome == "dropped")


@pytest.mark.parametrize("mode", ["live", "record"])
@pytest.mark.parametrize("lost", ["simulator", "display", "refused"])
def test_a_drive_that_breaks_off_adds_up_too(tmp_path: Path, lost: str, mode: str) -> None:
    street, renderer, path = FakeStreet(fixed_delta_s=0.002), FakeRenderer(0.005), tmp_path / "drive.jsonl"

    class Display(Pairs):
        def accept(self, pair: FramePair) -> None:
            super().accept(pair)
            if lost == "display" and len(self.all) == 5:
                raise OutputError("no room")

    def before_tick(frame_id: int) -> None:
        if lost == "simulator" and frame_id == 110:
            raise SimulatorLost("gone")

    if lost == "refused":
        renderer.refuse_submit = RenderRefused("bad-size", "it does not fit")
    street.before_tick = before_tick
    with (
        pytest.raises((SimulatorLost, OutputError, RenderRefused)),
        FrameLoop(street, renderer, mode=mode, display=Display(), trace=Trace(None, path)) as loop,  # pyright: ignore[reportArgumentType]
    ):
        loop.run(50)
    records = check(loop.trace, path)
    assert [record.notice for record in records if record.outcome == "failed"] == [UNENDED] * loop.trace.failed
    assert loop.trace.failed > 0 or lost == "simulator"


def test_without_a_server_frames_are_originals(tmp_path: Path) -> None:
    path = tmp_path / "drive.jsonl"
    with FrameLoop(FakeStreet(), trace=Trace(None, path)) as loop:
        loop.run(4)
    assert [record.outcome for record in read_telemetry(path)] == ["original"] * 4
    assert (loop.trace.ticks, loop.trace.failed, loop.trace.dropped) == (4, 0, 0)


DRIVE_FOR_EVER = """
import sys
from pathlib import Path
from bridge.loop import FrameLoop
from bridge.trace import Trace
from tests.unit.bridge.loop_fakes import FakeRenderer, FakeStreet
loop = FrameLoop(FakeStreet(), FakeRenderer(0.001), trace=Trace(None, Path(sys.argv[1])))
while True:
    loop.step()
    print(loop.trace.rendered, flush=True)
"""


def test_what_was_told_survives_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "drive.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", DRIVE_FOR_EVER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as process:
        assert process.stdout is not None
        told = 0
        while told < 20:
            told = int(process.stdout.readline())
        process.kill()
    records = read_telemetry(path)
    assert len(records) >= told
    assert [record.frame_id for record in records] == list(range(100, 100 + len(records)))


def test_an_unfinished_line_is_left_out_and_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "drive.jsonl"
    with FrameLoop(FakeStreet(), FakeRenderer(), trace=Trace(None, path)) as loop:
        loop.run(3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert len(read_telemetry(path)) == 2
    path.write_text(json.dumps({"frame": 1}) + "\n")
    with pytest.raises(UsageError, match="is not telemetry of a drive"):
        read_telemetry(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_telemetry(tmp_path / "missing.jsonl")


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        Trace(None, tmp_path / "missing" / "drive.jsonl")
    with (
        pytest.raises(OutputError, match="the telemetry /dev/full cannot be written"),
        FrameLoop(FakeStreet(), FakeRenderer(), trace=Trace(None, Path("/dev/full"))) as loop,
    ):
        loop.run(3)


def scrape(port: int) -> list[str]:
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return answer.decode().partition("\r\n\r\n")[2].splitlines()


def test_prometheus_reads_what_the_trace_counts() -> None:
    pytest.importorskip("prometheus_client")
    trace = Trace()
    with serve_metrics(trace, 0) as port:
        with FrameLoop(FakeStreet(), FakeRenderer(), trace=trace) as loop:
            loop.run(5)
        lines = scrape(port)
        with pytest.raises(UsageError, match="cannot be served"), serve_metrics(trace, port):
            pass
    told = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(told["vidrive_ticks_total"]) == 5
    assert float(told['vidrive_frames_total{outcome="rendered"}']) == 5
    assert float(told['vidrive_frames_total{outcome="failed"}']) == 0
    assert float(told["vidrive_frames_under_way"]) == 0
    assert float(told['vidrive_stage_milliseconds{quantile="0.5",stage="infer"}']) == 1.0
    assert float(told['vidrive_frame_age_milliseconds{quantile="0.95"}']) > 0


def test_metrics_without_the_package_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="prometheus-client") as caught, serve_metrics(Trace(), 0):
        pass
    assert "vidrive[metrics]" in caught.value.hint
