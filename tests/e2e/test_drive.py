"""`vidrive drive` against a town and an inference server that come and go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from clients.processes import Child

READY_S = 180.0
DEADLINE_S = 120.0
MORE = 20  # frames
ROOT = Path(__file__).parents[2]
WINDOW = {"DISPLAY": ":0", "SDL_VIDEODRIVER": "dummy"}


class Drive:
    """A `vidrive drive` process whose lines on stderr can be waited for."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clients", "drive", "--size", "256x128", *words],
            cwd=folder,
            env=kept | {"PYTHONPATH": str(ROOT)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._told = threading.Condition()
        self._lines: list[str] = []
        self._num_read = 0
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._told:
                self._lines.append(line.rstrip())
                self._told.notify_all()
        with self._told:
            self._ended = True
            self._told.notify_all()

    def wait_for(self, text: str) -> None:
        """Wait for the next line with that text."""
        deadline_s = time.monotonic() + DEADLINE_S
        with self._told:
            while True:
                while self._num_read < len(self._lines):
                    self._num_read += 1
                    if text in self._lines[self._num_read - 1]:
                        return
                remaining_s = deadline_s - time.monotonic()
                assert remaining_s > 0 and not self._ended, f"no {text!r} in {self._lines}"
                self._told.wait(remaining_s)

    def wait_for_more(self, trace: Path) -> int:
        """Wait for MORE frames in the trace and return how many lines it had before."""
        written = len(trace.read_text().splitlines())
        deadline_s = time.monotonic() + DEADLINE_S
        while len(trace.read_text().splitlines()) < written + MORE:
            assert self.process.poll() is None and time.monotonic() < deadline_s, self._lines
            time.sleep(0.05)
        return written

    def end(self) -> tuple[int, dict[str, Any], str]:
        """Wait for its end; return exit code, the JSON line and all of stderr."""
        assert self.process.stdout is not None
        (line,) = self.process.stdout.read().splitlines()
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        self.process.stdout.close()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code, json.loads(line), "\n".join(self._lines)


@pytest.fixture
def town() -> Iterator[Child]:
    with Child("town", ["town", "--port", "0"]) as child:
        yield child


@pytest.fixture
def renderer() -> Iterator[Child]:
    with Child("renderer", ["serve", "--listen", "tcp://127.0.0.1:*"]) as child:
        yield child


def addresses(town: Child, renderer: Child) -> tuple[str, ...]:
    host, port = town.wait_ready(READY_S)
    (endpoint,) = renderer.wait_ready(READY_S)
    return "--carla", f"{host}:{port}", "--server", endpoint


def num_frames(video: Path) -> int:
    with av.open(str(video)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_killed_renderer_is_told_and_used_again(tmp_path: Path, town: Child, renderer: Child) -> None:
    words = addresses(town, renderer)
    drive = Drive(tmp_path, *words, "--headless", "--seconds", "5000", "--json", "--trace", "drive.jsonl")
    drive.wait_for("the first frame has come")
    os.kill(renderer.pid, signal.SIGKILL)
    drive.wait_for("showing the original")
    with Child("renderer", ["serve", "--listen", words[3]]) as again:
        again.wait_ready(READY_S)
        ready_s = time.monotonic()
        drive.wait_for("synthesized again")
        assert time.monotonic() - ready_s < 2.0
        drive.process.send_signal(signal.SIGINT)
        code, report, _ = drive.end()
    assert code == 130
    assert report["exit"] == "interrupted"
    lines = [json.loads(line) for line in (tmp_path / "drive.jsonl").read_text().splitlines()]
    ids = [line["frame_id"] for line in lines]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    rendered = [line["rendered_frame_id"] for line in lines]
    assert all(mine in (None, frame_id) for mine, frame_id in zip(rendered, ids, strict=True)), "a stale frame"
    lost, back = rendered.index(None), len(rendered) - rendered[::-1].index(None)
    assert 0 < lost < back < len(rendered)
    assert (report["dropped"], report["failed"]) == (0, rendered.count(None))
    assert lines[back]["sequence"] > lines[0]["sequence"]
    assert lines[back]["reset"]


def test_a_window_goes_on_without_its_renderer_and_uses_the_next(tmp_path: Path, town: Child, renderer: Child) -> None:
    words = addresses(town, renderer)
    drive = Drive(tmp_path, *words, "--seconds", "5000", "--json", "--trace", "drive.jsonl", **WINDOW)
    drive.wait_for("the first frame has come")
    os.kill(renderer.pid, signal.SIGKILL)
    drive.wait_for("showing the original")
    with Child("renderer", ["serve", "--listen", words[3]]) as again:
        again.wait_ready(READY_S)
        ready_s = time.monotonic()
        drive.wait_for("synthesized again")
        assert time.monotonic() - ready_s < 2.0
        drive.process.send_signal(signal.SIGINT)
        code, report, said = drive.end()
    assert code == 130, said
    lines = [json.loads(line) for line in (tmp_path / "drive.jsonl").read_text().splitlines()]
    assert all(line["rendered_frame_id"] in (None, line["frame_id"]) for line in lines), "a stale frame"
    assert {line["rendered_frame_id"] is None for line in lines} == {True, False}
    assert report["rendered"] == sum(line["rendered_frame_id"] is not None for line in lines)


def test_a_killed_town_ends_the_drive_with_a_sentence_and_a_video(tmp_path: Path, town: Child, renderer: Child) -> None:
    words = addresses(town, renderer)
    drive = Drive(tmp_path, *words, "--headless", "--seconds", "5000", "--json", "--record", "drive.mp4")
    drive.wait_for("the first frame has come")
    os.kill(town.pid, signal.SIGKILL)
    code, report, said = drive.end()
    assert code == 2
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "simulator" in errors[0]
    assert report["exit"] in errors[0]
    assert "Traceback" not in said
    assert num_frames(tmp_path / "drive.mp4") == report["shown"] > 0


def test_a_window_waits_for_a_killed_town_and_drives_on_in_the_next(
    tmp_path: Path, town: Child, renderer: Child
) -> None:
    words = addresses(town, renderer)
    port = words[1].rpartition(":")[2]
    kept = ("--trace", "drive.jsonl", "--record", "drive.mp4")
    drive = Drive(tmp_path, *words, "--seconds", "5000", "--json", *kept, **WINDOW)
    drive.wait_for("the first frame has come")
    os.kill(town.pid, signal.SIGKILL)
    drive.wait_for("the simulator is gone: its connection closed: waiting for it")
    with Child("town", ["town", "--port", port]) as again:
        again.wait_ready(READY_S)
        drive.wait_for("driving again: the simulator is back")
        trace = tmp_path / "drive.jsonl"
        drive.wait_for_more(trace)
        drive.process.send_signal(signal.SIGINT)
        code, report, said = drive.end()
    assert code == 130, said
    assert "Traceback" not in said
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    assert all(line["rendered_frame_id"] == line["frame_id"] for line in lines)
    (jump,) = (k for k in range(1, len(lines)) if lines[k]["sequence"] != lines[k - 1]["sequence"])
    before, after = lines[:jump], lines[jump:]
    assert len(before) > 0
    assert len(after) >= MORE
    for ids in ([line["frame_id"] for line in before], [line["frame_id"] for line in after]):
        assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert after[0]["reset"]
    assert num_frames(tmp_path / "drive.mp4") == report["shown"] == len(lines)


def test_a_window_waits_for_a_town_that_is_not_there_yet(tmp_path: Path, renderer: Child) -> None:
    (endpoint,) = renderer.wait_ready(READY_S)
    drive = Drive(tmp_path, "--carla", "127.0.0.1:1", "--server", endpoint, "--json", **WINDOW)
    drive.wait_for("nothing listens at 127.0.0.1:1: waiting for a simulator")
    drive.process.send_signal(signal.SIGINT)
    code, report, said = drive.end()
    assert code == 130, said
    assert report["ticks"] == 0


@pytest.mark.slow
def test_a_window_goes_on_in_a_town_that_was_frozen(tmp_path: Path, town: Child, renderer: Child) -> None:
    drive = Drive(
        tmp_path, *addresses(town, renderer), "--seconds", "5000", "--json", "--trace", "drive.jsonl", **WINDOW
    )
    drive.wait_for("the first frame has come")
    os.kill(town.pid, signal.SIGSTOP)
    try:
        drive.wait_for("the simulator has not answered for 10 s: waiting for it")
    finally:
        os.kill(town.pid, signal.SIGCONT)
    drive.wait_for("driving again: the simulator is back")
    trace = tmp_path / "drive.jsonl"
    written = drive.wait_for_more(trace)
    drive.process.send_signal(signal.SIGINT)
    code, _, said = drive.end()
    assert code == 130, said
    ids = [json.loads(line)["frame_id"] for line in trace.read_text().splitlines()]
    assert ids == sorted(set(ids)), "the clock of the same town only goes forward"
    assert len(ids) >= written + MORE


def test_a_window_shows_the_drive_and_ends_with_it(tmp_path: Path, town: Child, renderer: Child) -> None:
    words = addresses(town, renderer)
    drive = Drive(tmp_path, *words, "--jpeg", "--seconds", "1", "--json", "--record", "drive.mp4", **WINDOW)
    code, report, said = drive.end()
    assert code == 0, said
    assert (report["ticks"], report["rendered"], report["shown"], report["exit"]) == (20, 20, 20, "done")
    assert num_frames(tmp_path / "drive.mp4") == 20
    # Paced to the clock: 20 ticks of 0.05 s are not shown in less than a second.
    assert report["rates_hz"]["simulator"] < 24


def test_a_size_that_the_model_cannot_take(tmp_path: Path, town: Child, renderer: Child) -> None:
    drive = Drive(tmp_path, *addresses(town, renderer), "--headless", "--json", "--size", "250x130")
    code, report, said = drive.end()
    assert code == 2
    assert report["rendered"] == 0
    assert "error: " in said
    assert "250" in said


def test_nothing_at_the_simulators_address(tmp_path: Path, renderer: Child) -> None:
    (endpoint,) = renderer.wait_ready(READY_S)
    drive = Drive(tmp_path, "--carla", "127.0.0.1:1", "--server", endpoint, "--headless", "--json", "--record", "d.mp4")
    code, report, said = drive.end()
    assert code == 2
    assert "error: nothing listens at 127.0.0.1:1. Start CARLA there" in said
    assert report["ticks"] == 0
    assert report["exit"] == "nothing listens at 127.0.0.1:1"
    assert not (tmp_path / "d.mp4").exists()


def test_nothing_at_the_servers_endpoint(tmp_path: Path) -> None:
    drive = Drive(tmp_path, "--server", "tcp://127.0.0.1:1", "--headless", "--json")
    code, report, said = drive.end()
    assert code == 2
    assert "error: no inference server answers at tcp://127.0.0.1:1. Start one with: vidrive serve" in said
    assert report["exit"] == "no inference server answers at tcp://127.0.0.1:1"


def test_a_video_that_cannot_be_written(tmp_path: Path) -> None:
    drive = Drive(tmp_path, "--headless", "--json", "--record", "no/such/folder.mp4")
    code, _, said = drive.end()
    assert code == 2
    assert "error: no/such/folder.mp4 cannot be written (no such file or directory)" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--size", "big"), "'big' is not a size such as 512x256"),
        (("--size", "8x8"), "'8x8' is not a size such as 512x256"),
        (("--seconds", "-1"), "'-1' is not a number of seconds"),
        (("--carla", "host:port"), "'host:port' is not an address. Write HOST:PORT, such as localhost:2000"),
    ],
)
def test_words_that_make_no_sense(words: tuple[str, str], said: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "clients", "drive", "--headless", *words], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 2
    assert run.stdout == ""
    assert said in run.stderr
    assert len(run.stderr.splitlines()) == 1
