from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys

import pytest

from bridge.protocol.errors import UsageError
from clients import cli


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, line in cli.COMMANDS.items():
        assert f"{name} " in shown
        assert line in shown


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert "commands:" in capsys.readouterr().out


def test_an_unknown_command_is_one_sentence_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fly"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "error: there is no command 'fly'. See vidrive --help\n"


def test_an_unknown_flag_is_one_sentence_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["town", "--snow"]) == 2
    assert capsys.readouterr().err == "error: unrecognized arguments: --snow. See vidrive town --help\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("vidrive 0.")


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    program = (
        "import sys; from clients.cli import main; code = main(['--help']); "
        "heavy = {'numpy', 'torch', 'pygame', 'carla', 'cv2', 'numba', 'zmq', 'av'} & set(sys.modules); "
        "assert not heavy, heavy; sys.exit(code)"
    )
    # Processor time, the best of a few: a busy machine must not decide.
    best_s = float("inf")
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best_s = min(best_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if best_s < 0.1:
            return
    pytest.fail(f"vidrive --help takes {best_s:.3f} s of a core")


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (UsageError("the street is closed", "Take another"), 2, "error: the street is closed. Take another\n"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(143), 143, ""),
    ],
)
def test_ways_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raised: BaseException, code: int, said: str
) -> None:
    from clients.commands import town

    def run(args: object) -> int:
        raise raised

    monkeypatch.setattr(town, "run", run)
    assert cli.main(["town"]) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_that_closes_and_sigterm_leave_through_every_finally(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    from clients.commands import town

    left: list[str] = []

    def run(args: object) -> int:
        try:
            os.kill(os.getpid(), number)
            pytest.fail("it went on")
        finally:
            left.append("in good order")

    monkeypatch.setattr(town, "run", run)
    before = {caught: signal.signal(caught, signal.SIG_DFL) for caught in (signal.SIGTERM, signal.SIGHUP)}
    try:
        assert cli.main(["town"]) == 128 + number
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)
    assert left == ["in good order"]


def test_nohup_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    from clients.commands import town

    monkeypatch.setattr(town, "run", lambda args: 0)
    before = {caught: signal.signal(caught, signal.SIG_IGN) for caught in (signal.SIGTERM, signal.SIGHUP)}
    try:
        assert cli.main(["town"]) == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)
