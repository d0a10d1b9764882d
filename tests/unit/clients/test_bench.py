from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable

import numpy as np
import pytest

from clients import cli
from clients.bench.frame import processor_s
from clients.bench.transport import measure_transport
from clients.commands import bench
from clients.commands.bench import Figure


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("cost", 2.0, "ms", goal=3.0), True),
        (Figure("cost", 3.1, "ms", goal=3.0), False),
        (Figure("rate", 16.0, "Hz", goal=15.0, at_least=True), True),
        (Figure("rate", 14.0, "Hz", goal=15.0, at_least=True), False),
        (Figure("cost", 2.0, "ms"), None),
    ],
)
def test_whether_a_goal_is_met(figure: Figure, met: bool | None) -> None:
    assert figure.met is met


def measured(_: object) -> Iterable[Figure]:
    yield Figure("everything else, p50", 1.25, "ms", goal=3.0)
    yield Figure("synthesized frames", 9.0, "Hz", goal=15.0, at_least=True)
    yield Figure("frame age, p95", 100.0, "ms")


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "_measure", measured)
    assert cli.main(["bench"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "everything else, p50                1.25 ms     at most 3: yes",
        "synthesized frames                  9.00 Hz     at least 15: NO",
        "frame age, p95                    100.00 ms",
    ]


def test_json_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "_measure", measured)
    assert cli.main(["bench", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    first, second, third = json.loads(line)["figures"]
    assert (first["name"], first["value"], first["met"]) == ("everything else, p50", 1.25, True)
    assert (second["met"], third["met"]) == (False, None)


def test_a_number_of_frames_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--frames", "none"]) == 2
    assert "'none' is not a number of frames" in capsys.readouterr().err


def test_transport_is_measured_both_ways() -> None:
    times = measure_transport(5, width_px=320, height_px=180)
    for times_ms in (times.product_ms, times.bare_ms):
        assert times_ms.shape == (5,)
        assert np.all(times_ms > 0)


def test_processor_time_is_that_of_the_process() -> None:
    spent_s, before_s = processor_s(os.getpid()), time.process_time()
    assert spent_s == pytest.approx(before_s, abs=0.5)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as idle:
        assert 0.0 <= processor_s(idle.pid) < spent_s + 10.0
        assert idle.stdin is not None
        idle.stdin.write(b"\n")
        idle.stdin.flush()
    assert processor_s(idle.pid) == 0.0
