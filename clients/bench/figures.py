"""What the bench measured: figures beside their goals, as lines for a terminal and as Markdown for BENCHMARKS.md."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bridge.protocol.errors import OutputError

BEGIN: Final = "<!-- vidrive bench: begin -->"
END: Final = "<!-- vidrive bench: end -->"


@dataclass(frozen=True)
class Figure:
    """One measured figure; `goal` 0 where there is none, `at_least` where more is better.

    With a `problem` nothing could be measured, and it says why.
    """

    name: str
    value: float
    unit: str
    goal: float = 0.0
    at_least: bool = False
    problem: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if not self.goal:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    @property
    def bound(self) -> str:
        """The goal in words, "" without one."""
        return f"{'at least' if self.at_least else 'at most'} {self.goal:g}" if self.goal else ""


def table(figures: Iterable[Figure]) -> Iterable[str]:
    """Yield a line a figure, for a terminal."""
    for figure in figures:
        if figure.problem:
            yield f"{figure.name:<30} not measured: {figure.problem}"
            continue
        line = f"{figure.name:<30} {figure.value:9.2f} {figure.unit:<6}"
        yield line.rstrip() if figure.met is None else f"{line} {figure.bound}: {'yes' if figure.met else 'NO'}"


def markdown(figures: Iterable[Figure], machine: Mapping[str, str], command: str, limit: str = "") -> str:
    """Return the figures as Markdown: the machine, the command, a row each, and what limited the drive."""
    lines = [BEGIN, f"`{command}`, {time.strftime('%B %Y')}:", ""]
    lines += ["| machine | |", "|---|---|", *(f"| {name} | {value} |" for name, value in machine.items()), ""]
    lines += ["| what | measured | goal |", "|---|---|---|"]
    for figure in figures:
        told = "" if figure.met is None else f"{figure.bound}: {'met' if figure.met else '**not met**'}"
        value = f"not measured: {figure.problem}" if figure.problem else f"{figure.value:.2f} {figure.unit}"
        lines.append(f"| {figure.name.strip()} | {value} | {told} |")
    if limit:
        lines += ["", f"All at once, {limit}."]
    return "\n".join([*lines, END])


def as_json(figures: Iterable[Figure], machine: Mapping[str, str], limit: str = "") -> str:
    """Return machine and figures as a line of JSON; what was not measured has no value."""
    told = [
        {**asdict(figure), "met": figure.met, "value": None if math.isnan(figure.value) else figure.value}
        for figure in figures
    ]
    return json.dumps({"machine": dict(machine), "figures": told, "verdict": limit})


def write_json(path: Path, line: str) -> None:
    """Write a line into a file, which is whole or the one before; raises OutputError."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_text(f"{line}\n", encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", "Name another file") from None


def write_markdown(path: Path, part: str) -> None:
    """Write the part into a file: in place of the last one where it has one, else at its end.

    Raises OutputError for a file that cannot be read or written.
    """
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        if BEGIN in before and END in before.partition(BEGIN)[2]:
            head, _, rest = before.partition(BEGIN)
            after = head + part + rest.partition(END)[2]
        else:
            after = f"{before.rstrip()}\n\n{part}\n".lstrip()
        path.write_text(after, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", "Name another file") from None
