"""Two reports of a gap, an older and a newer one: what became better, what worse."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Final

import msgspec

from bridge.protocol.errors import UsageError

_READ: Final = "Name a gap.json that vidrive gap wrote"


class _Measure(msgspec.Struct, frozen=True):
    name: str
    unit: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    floor: float | None = None


class _Section(msgspec.Struct, frozen=True):
    name: str
    measures: list[_Measure]


class _Report(msgspec.Struct, frozen=True):
    measures: Annotated[list[_Measure], msgspec.Meta(min_length=1)]
    sections: list[_Section] = []

    def by_name(self) -> dict[tuple[str, str], _Measure]:
        sections = [("labels", self.measures), *((section.name, section.measures) for section in self.sections)]
        return {(group, measure.name): measure for group, measures in sections for measure in measures}


def compared(old_path: Path, new_path: Path) -> list[str]:
    """Return a table, a line a measure that both reports have, and a last line that counts.

    A change is called one if it is more than both intervals allow for: the new value outside the old interval, and the
    old one outside the new. Raises UsageError for a file that is no report.
    """
    old, new = (_read(path).by_name() for path in (old_path, new_path))
    lines = [f"{'measure':32}{'before':>10}{'now':>10}{'real':>10}"]
    counted = {"better": 0, "worse": 0}
    for key, before in old.items():
        now = new.get(key)
        if now is None or before.value is None or now.value is None:
            continue
        said = _verdict(before, now)
        if said:
            counted[said] += 1
        floor = "–" if now.floor is None else f"{now.floor:.4g}"
        name = f"{key[0]}: {key[1]}"
        lines.append(f"{name:32}{before.value:>10.4g}{now.value:>10.4g}{floor:>10}  {said}".rstrip())
    if len(lines) == 1:
        raise UsageError(f"{old_path} and {new_path} share no measure", "Compare reports of the same parts")
    return [*lines, f"{counted['better']} better, {counted['worse']} worse, of {len(lines) - 1} measures"]


def _verdict(before: _Measure, now: _Measure) -> str:
    assert before.value is not None
    assert now.value is not None
    if _inside(now.value, before) or _inside(before.value, now) or math.isclose(now.value, before.value):
        return ""
    return "better" if now.value < before.value else "worse"


def _inside(value: float, measure: _Measure) -> bool:
    return measure.low is not None and measure.high is not None and measure.low <= value <= measure.high


def _read(path: Path) -> _Report:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Report)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", _READ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no report of a gap ({error})", _READ) from None
