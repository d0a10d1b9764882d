"""Runs the checks against a server, each group in a process of its own, and leaves the server as it was found.

A server that answers wrongly can end its client's process, inside the client library. Then the check that was running
has failed, the next group begins in another process, and at the end one more process destroys what is left.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from bridge.capture.probe import check_version, probe
from bridge.protocol.errors import SimulatorError, UsageError

Verdict = Literal["ok", "failed", "refused", "skipped"]
GROUP_TIMEOUT_S: Final = 600.0
_CHILD: Final = "bridge.capture.conformance.child"


@dataclass(frozen=True)
class Outcome:
    """What became of a check: "refused" where a good server may refuse, "skipped" where the check does not apply."""

    group: str
    check: str
    verdict: Verdict
    sentence: str = ""
    took_s: float = 0.0


@dataclass(frozen=True)
class Report:
    """All outcomes, the server's version and map, and how many actors could not be destroyed."""

    version: str
    map: str
    outcomes: tuple[Outcome, ...]
    actors_left: int

    @property
    def is_good(self) -> bool:
        """Whether no check has failed and nothing is left behind."""
        return self.actors_left == 0 and all(outcome.verdict != "failed" for outcome in self.outcomes)


def examine(
    host: str, port: int, *, groups: Sequence[str] = (), on_outcome: Callable[[Outcome], None] = lambda _outcome: None
) -> Report:
    """Run the groups of checks (all of them if none is named) and return what they found.

    Raises SimulatorUnreachable, ForeignSimulator, or UsageError for a group that does not exist.
    """
    lifeline = probe(host, port, 10.0, 0.0)
    try:
        check_version(lifeline.version)
    finally:
        lifeline.close()
    known = {row["group"]: row["checks"] for row in _one(_ask("list", host, port))["groups"]}
    for name in groups:
        if name not in known:
            raise UsageError(f"there is no group of checks {name!r}", f"There are {', '.join(known)}")
    state = _one(_ask("remember", host, port))
    outcomes: list[Outcome] = []
    left = 0
    try:
        for name in groups or known:
            for outcome in _group(host, port, name, known[name]):
                outcomes.append(outcome)
                on_outcome(outcome)
    finally:
        left = int(_one(_ask("restore", host, port, json.dumps(state)))["left"])
    return Report(state["version"], state["map"], tuple(outcomes), left)


def _group(host: str, port: int, name: str, checks: Sequence[str]) -> Iterator[Outcome]:
    """Yield the outcome of each check of a group, those that its process did not live to see included."""
    done, begun = 0, False
    for row in _ask("run", host, port, name):
        if "begins" in row:
            begun = True
        elif "check" in row:
            done, begun = done + 1, False
            yield Outcome(name, row["check"], row["verdict"], row["sentence"], round(row["took_s"], 2))
    for number, check in enumerate(checks[done:]):
        if number == 0 and begun:
            yield Outcome(name, check, "failed", "the client's process ended or hung during it")
        else:
            yield Outcome(name, check, "failed", "it was not reached")


def _one(rows: Iterator[dict[str, Any]]) -> dict[str, Any]:
    for row in rows:
        return row
    raise SimulatorError("the simulator ended the client that was to examine it", "Look at what it prints itself")


def _ask(job: str, host: str, port: int, argument: str = "") -> Iterator[dict[str, Any]]:
    """Yield the lines of JSON that a child process prints; the client library's own lines are left out."""
    command = [sys.executable, "-m", _CHILD, job, host, str(port), argument]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    lines = _Lines(child, GROUP_TIMEOUT_S)
    try:
        for line in lines:
            if line.startswith("{"):
                yield json.loads(line)
    finally:
        lines.close()


class _Lines:
    """The lines that a process prints, until it ends or its time is over; `close` ends it."""

    def __init__(self, child: subprocess.Popen[str], timeout_s: float) -> None:
        self._child = child
        self._timer = threading.Timer(timeout_s, child.kill)
        self._timer.daemon = True
        self._timer.start()

    def __iter__(self) -> Iterator[str]:
        assert self._child.stdout is not None
        yield from self._child.stdout

    def close(self) -> None:
        """End the process."""
        self._timer.cancel()
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        assert self._child.stdout is not None
        self._child.stdout.close()
