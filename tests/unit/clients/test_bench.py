from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

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


def test_the_gpu_bench_runs_to_its_end_on_a_cpu() -> None:
    """The very command, on tiny networks: every line that it would print of a GPU is there."""
    run = subprocess.run(
        [sys.executable, "-m", "clients", "bench", "--gpu", "--device", "cpu", "--json"],
        capture_output=True,
        text=True,
        timeout=230,
        cwd=Path(__file__).parents[3],
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    figures = {figure["name"].strip(): figure["value"] for figure in told["figures"]}
    for name in ("matrix peak", "planes of 1920x1088 to the device", "its picture back", "p95", "all of this took"):
        assert figures[name] > 0.0
    generators = [name.split()[0] for name in figures if name.endswith("64x64")]
    assert generators == ["label2city_1024_g1", "spade_cityscapes", "label2city_2048"]
    assert figures["recorded as a graph"] == 1.0
    assert figures["lowest PSNR of float16"] > 60.0  # float32 here: as served and layer by layer are the same
    assert any(name.startswith("2 sessions") for name in figures)


def test_the_gpu_bench_without_a_gpu_is_a_sentence() -> None:
    if importlib.import_module("torch").cuda.is_available():
        pytest.skip("there is a GPU")
    run = subprocess.run(
        [sys.executable, "-m", "clients", "bench", "--gpu"],
        capture_output=True,
        text=True,
        timeout=230,
        cwd=Path(__file__).parents[3],
    )
    assert run.returncode == 2
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert "has no CUDA device that torch can use" in line
    assert "--device cpu proves the command" in line
