"""A drive from its start to its last line: progress while it runs, then what it amounted to."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from bridge.bottleneck import told_groups, verdict
from bridge.capture.abandoned import leave_with
from bridge.protocol.errors import VidriveError
from clients.drive_plan import DrivePlan
from clients.driving import DriveThread
from clients.outcome import print_outcome

PROGRESS_S: Final = 5.0
WAIT_S: Final = 0.1


def conduct(plan: DrivePlan, *, as_json: bool) -> int:
    """Drive a plan to its end, print its report, and return the exit code; raises what ended it before."""
    drive = DriveThread(plan)
    reason = "interrupted"
    drive.start()
    try:
        with insisting() as check:
            closed = _watch(drive, check)
        drive.result()
        reason = "closed" if closed else "done"
        leave_with(0)
    except VidriveError as error:
        reason = error.what
        raise
    except KeyboardInterrupt:
        leave_with(130)
        raise
    except SystemExit as stop:
        leave_with(stop.code if isinstance(stop.code, int) else 2)
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        leave_with(1)
        raise
    finally:
        with _undisturbed():
            drive.stop()
            drive.wait()
        _print_report(drive, reason, as_json=as_json)
    return 0


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no second Ctrl-C or signal interrupt the clean-up, which would leave actors in the simulator, and it waiting
    for ticks. All that the clean-up waits for has a deadline."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def tell(_number: int, _frame: FrameType | None) -> None:
        print("cleaning up the simulator, a moment", file=sys.stderr)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, tell) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def insisting() -> Iterator[Callable[[], None]]:
    """Give a check that raises again what Ctrl-C or a signal's handler raised and somebody swallowed.

    An exception that a handler raises is lost where Python happens to be in a finalizer or in a library's bare except.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {
        number: handler for number in (signal.SIGINT, signal.SIGTERM) if callable(handler := signal.getsignal(number))
    }
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        before[signal.Signals(number)](number, frame)

    def check() -> None:
        if came:
            before[signal.Signals(came[-1])](came[-1], None)

    for number in before:
        signal.signal(number, note)
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(drive: DriveThread, check: Callable[[], None]) -> bool:
    """Stay with a drive until it has ended; return whether a person closed its window before."""
    if drive.window_display is not None:
        from clients.viewer.cockpit import Cockpit

        return Cockpit(drive, drive.window_display).run(check)
    next_s = time.monotonic() + PROGRESS_S
    said = ""
    while not drive.wait(WAIT_S):
        check()
        if time.monotonic() >= next_s:
            next_s += PROGRESS_S
            if (line := _progress(drive)) != said:
                print(line, file=sys.stderr)
            said = line
    return False


def _progress(drive: DriveThread) -> str:
    trace, plan = drive.trace, drive.plan
    if not trace.ticks:
        return drive.standing
    driven_s = trace.ticks * plan.session.fixed_delta_s
    rate_hz = trace.recent_rates_hz()["simulator"]
    if plan.num_ticks is None:
        return f"{driven_s:.0f} s driven, {rate_hz:.1f} frames a second"
    left_s = f", {(plan.num_ticks - trace.ticks) / rate_hz:.0f} s left" if rate_hz else ""
    return (
        f"{driven_s:.0f} of {plan.num_ticks * plan.session.fixed_delta_s:.0f} s driven, {rate_hz:.1f} frames/s{left_s}"
    )


def _print_report(drive: DriveThread, reason: str, *, as_json: bool) -> None:
    fields: dict[str, Any] = {**drive.trace.report().as_dict(), "model": drive.model, "exit": reason}
    if drive.plan.timewarp:
        fields["timewarp"] = dict(drive.timewarp.report())
    if drive.prediction is not None:
        fields["prediction"] = dict(drive.prediction.report())
    if fields["ticks"]:
        print("\n".join(_sentences(drive, fields)), file=sys.stderr)
    if as_json:
        print_outcome(fields)


def _sentences(drive: DriveThread, fields: dict[str, Any]) -> list[str]:
    """What a person wants to know, a line each."""
    rates_hz, age_ms = fields["rates_hz"], fields["frame_age_ms"]
    lines = [
        f"{fields['ticks']} ticks, {fields['rendered']} synthesized, {fields['shown']} shown, "
        f"{fields['dropped']} dropped, {fields['failed']} failed, {fields['resets']} resets",
        f"simulator {rates_hz['simulator']:.1f} Hz, neural {rates_hz['neural']:.1f} Hz, "
        f"frame age {age_ms['p50']:.0f} ms (p95 {age_ms['p95']:.0f} ms)",
    ]
    stages_ms = {name: spread["p50"] for name, spread in fields["stages_ms"].items()}
    if limit := verdict([told_groups(stages_ms)], drive.period_ms):
        lines.append(limit)
    if drive.prediction is not None and "labels_right" in (foreseen := drive.prediction.report()):
        lines.append(f"foreseen label maps: {foreseen['labels_right']:.1%} of the pixels right")
    if drive.plan.record is not None and drive.recorded_s > 0.0:
        lines.append(f"{drive.plan.record}: {drive.recorded_s:.1f} s of video")
    return lines
