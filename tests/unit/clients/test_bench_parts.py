"""A bench in parts: what one of them does to its process, or does not do in time, costs no other its figures."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from clients import cli
from clients.bench.figures import Figure
from clients.bench.parts import Part, measure_parts
from clients.commands import bench


def good(name: str) -> Iterable[Figure]:
    yield Figure(name, 1.0, "ms")
    yield Figure("    more", 2.0, "ms")


def failing() -> Iterable[Figure]:
    yield Figure("before", 3.0, "ms")
    raise RuntimeError("CUDA error: an illegal memory access was encountered\nand a line more")


def dying() -> Iterable[Figure]:
    yield Figure("alive", 4.0, "ms")
    os.kill(os.getpid(), signal.SIGKILL)


def hanging() -> Iterable[Figure]:
    yield Figure("begun", 5.0, "ms")
    time.sleep(3600)


def test_a_part_that_fails_dies_or_hangs_loses_no_other() -> None:
    parts = [
        Part("first", good, ("first",)),
        Part("failing", failing),
        Part("dying", dying),
        Part("hanging", hanging, most_s=5.0),
        Part("last", good, ("last",)),
    ]
    figures = list(measure_parts(parts, 300.0))
    assert [(figure.name.strip(), bool(figure.problem)) for figure in figures] == [
        ("first", False),
        ("more", False),
        ("before", False),
        ("failing", True),
        ("alive", False),
        ("dying", True),
        *((("begun", False),) if len(figures) == 10 else ()),  # a busy machine may not have got there in time
        ("hanging", True),
        ("last", False),
        ("more", False),
    ]
    problems = {figure.name: figure.problem for figure in figures if figure.problem}
    assert problems["failing"] == "RuntimeError: CUDA error: an illegal memory access was encountered"
    assert problems["dying"] == "its process ended with -9"
    assert problems["hanging"] == "ended after 5 s"


def test_what_there_is_no_time_for_is_said() -> None:
    (figure,) = measure_parts([Part("late", good, ("late",))], 10.0)
    assert figure.problem == "left out, because the 10 s for all of it are over"


def test_what_was_measured_is_kept_when_the_bench_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "kept.json"
    read = []

    def measured(_: object) -> Iterable[Figure]:
        yield Figure("first", 1.0, "ms")
        read.append(json.loads(kept.read_text()))
        yield Figure("second", float("nan"), "", problem="its process ended with -9")
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "_measure", measured)
    cli.main(["bench", "--keep", str(kept)])
    assert [figure["name"] for figure in read[0]["figures"]] == ["first"]
    first, second = json.loads(kept.read_text())["figures"]
    assert (first["value"], first["problem"]) == (1.0, "")
    assert (second["value"], second["problem"]) == (None, "its process ended with -9")


def test_a_problem_is_told_in_the_table_and_in_markdown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "_measure", lambda _: [Figure("spade", float("nan"), "", problem="out of memory")])
    written = tmp_path / "bench.md"
    assert cli.main(["bench", "--markdown", str(written)]) == 0
    assert capsys.readouterr().out.splitlines() == ["spade                          not measured: out of memory"]
    assert "| spade | not measured: out of memory |  |" in written.read_text()


@pytest.mark.slow
def test_every_part_of_the_gpu_bench_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    if importlib.import_module("torch").cuda.is_available():
        pytest.skip("there is a GPU")
    program = (
        "from clients.bench.gpu import measure_gpu\n"
        "if __name__ == '__main__':\n"
        "    for figure in measure_gpu('cpu', 5, apart=True): print(figure.name, figure.problem, sep='|')\n"
    )
    file = tmp_path / "gpu_bench_in_parts.py"
    file.write_text(program)
    run = subprocess.run(
        [sys.executable, str(file)],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert run.returncode == 0, run.stderr
    problems = {line.split("|")[0].strip(): line.split("|")[1] for line in run.stdout.splitlines()}
    assert len(problems) > 12
    assert not any(problems.values()), problems
