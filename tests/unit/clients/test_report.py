from __future__ import annotations

import contextlib
import json
import os
import signal

import pytest

from clients import report
from clients.cli import main
from clients.outcome import FIELDS, print_outcome


def test_a_second_ctrl_c_does_not_interrupt_the_clean_up(capsys: pytest.CaptureFixture[str]) -> None:
    cleaned = False
    before = signal.getsignal(signal.SIGINT)
    with report._undisturbed():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        cleaned = True
    assert cleaned
    assert "cleaning up" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_ctrl_c_that_somebody_swallows_still_ends_a_drive(number: signal.Signals) -> None:
    def end(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, end)
    try:
        with report.insisting() as check:
            check()
            with contextlib.suppress(KeyboardInterrupt):  # as a finalizer or a bare except would
                signal.raise_signal(number)
            with pytest.raises(KeyboardInterrupt):
                check()
        assert signal.getsignal(number) is end
    finally:
        signal.signal(number, before)


def test_what_a_flag_measures_is_in_the_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    fields = dict.fromkeys(FIELDS, 0)
    print_outcome({**fields, "timewarp": {"poses": 3}, "told": "nobody scripts against it"})
    assert json.loads(capsys.readouterr().out) == {**fields, "timewarp": {"poses": 3}}


def test_a_drive_that_cannot_begin_ends_with_its_json_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drive", "--carla", "localhost:http", "--headless", "--json"]) == 2
    printed = capsys.readouterr()
    fields = json.loads(printed.out)
    assert list(fields) == list(FIELDS)
    assert fields["ticks"] == 0
    assert fields["rates_hz"].keys() == {"simulator", "neural", "display", "control"}
    assert fields["frame_age_ms"].keys() == {"p50", "p95", "max"}
    assert fields["exit"] in printed.err
