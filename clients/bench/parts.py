"""Parts of a measurement, each in a process of its own: one that crashes, hangs or breaks its device loses no other."""

from __future__ import annotations

import math
import multiprocessing
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

from clients.bench.figures import Figure

LEAST_S: Final = 20.0  # with less time than that a part is not begun


@dataclass(frozen=True)
class Part:
    """Yields figures; `measure` and its arguments can be sent to another process."""

    name: str
    measure: Callable[..., Iterable[Figure]]
    arguments: tuple[Any, ...] = ()
    most_s: float = math.inf


def measure_parts(parts: Sequence[Part], budget_s: float, *, apart: bool = True) -> Iterator[Figure]:
    """Yield the figures of all parts as they come; of a part that fails or takes too long, a figure that says so.

    `apart`: each in a process of its own, which is ended when its time or all of the `budget_s` seconds are over.
    """
    until_s = time.monotonic() + budget_s
    for part in parts:
        left_s = until_s - time.monotonic()
        if left_s < LEAST_S:
            yield _problem(part, f"left out, because the {budget_s:.0f} s for all of it are over")
            continue
        print(f"{part.name} ...", file=sys.stderr)
        yield from _apart(part, min(part.most_s, left_s)) if apart else _here(part)


def _here(part: Part) -> Iterator[Figure]:
    try:
        yield from part.measure(*part.arguments)
    except Exception as error:  # noqa: BLE001 - the other parts are worth having
        traceback.print_exc()
        yield _problem(part, f"{type(error).__name__}: {error}")


def _apart(part: Part, most_s: float) -> Iterator[Figure]:
    context = multiprocessing.get_context("spawn")  # a device cannot be used after a fork
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_send_figures, args=(part, send), daemon=True)
    process.start()
    send.close()
    until_s = time.monotonic() + most_s
    try:
        while True:
            if not receive.poll(max(0.0, until_s - time.monotonic())):
                yield _problem(part, f"ended after {most_s:.0f} s")
                return
            figure = receive.recv()
            if figure is None:
                return
            yield figure
    except EOFError:
        process.join()
        yield _problem(part, f"its process ended with {process.exitcode}")
    finally:
        process.kill()
        process.join()
        receive.close()


def _send_figures(part: Part, send: Connection) -> None:
    for figure in _here(part):
        send.send(figure)
    send.send(None)


def _problem(part: Part, what: str) -> Figure:
    return Figure(part.name, math.nan, "", problem=what.splitlines()[0][:300])
