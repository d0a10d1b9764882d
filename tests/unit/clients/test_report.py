from __future__ import annotations

import json
import os
import signal

import pytest

from clients import report
from clients.cli import main
from clients.outcome import FIELDS


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


def test_a_drive_that_cannot_begin_ends_with_its_json_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drive", "--carla", "localhost:http", "--headless", "--json"]) == 2
    printed = capsys.readouterr()
    fields = json.loads(printed.out)
    assert list(fields) == list(FIELDS)
    assert fields["ticks"] == 0
    assert fields["rates_hz"].keys() == {"simulator", "neural", "display", "control"}
    assert fields["frame_age_ms"].keys() == {"p50", "p95", "max"}
    assert fields["exit"] in printed.err
