from __future__ import annotations

import os
import signal

import pytest

from clients import report


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
