"""A drive in a window whose keys are typed by a thread: TYPIST, then the flags of `vidrive drive`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pygame
import pygame.display

from clients.commands import drive as drive_command
from clients.drive_plan import make_plan
from clients.driving import DriveThread
from clients.processes import Child, split_endpoint
from clients.viewer.cockpit import Cockpit

POLL_S = 0.005
DEADLINE_S = 240.0


def tap(key: int) -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, mod=0))
    pygame.event.post(pygame.event.Event(pygame.KEYUP, key=key, mod=0))


def wait_until(drive: DriveThread, holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not holds():
        if not drive.running or time.monotonic() > deadline_s:
            raise AssertionError(f"it never came: {drive.standing}, {drive.model}, {drive.trace.ticks} ticks")
        time.sleep(POLL_S)


def wait_ticks(drive: DriveThread, num: int) -> None:
    end = drive.trace.ticks + num
    wait_until(drive, lambda: drive.trace.ticks >= end)


def another_look_and_back(drive: DriveThread) -> None:
    """Y, some frames, shift Y, some frames."""
    wait_until(drive, lambda: drive.trace.rendered > 8)
    first = drive.model
    tap(pygame.K_y)
    wait_until(drive, lambda: drive.model != first)
    wait_ticks(drive, 8)
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_y, mod=pygame.KMOD_LSHIFT))
    wait_until(drive, lambda: drive.model == first)
    wait_ticks(drive, 8)


class Presents:
    """The gaps between two pictures on the window, in its thread, by what happens to the server meanwhile.

    A gap counts without the time for which this process's threads were ready to run and had no core: what is left is
    what the window's thread computed, and what it waited for.
    """

    def __init__(self) -> None:
        self.phase = "beginning"
        self.gaps_ms: dict[str, list[float]] = {}
        self._before: tuple[float, float] | None = None
        flip = pygame.display.flip

        def present() -> None:
            flip()
            now = time.perf_counter(), _coreless_s()
            if self._before is not None:
                gap_s = now[0] - self._before[0] - max(0.0, now[1] - self._before[1])
                self.gaps_ms.setdefault(self.phase, []).append(gap_s * 1e3)
            self._before = now

        pygame.display.flip = present


def _coreless_s() -> float:
    """For how long the threads of this process have waited for a core, all together."""
    waited_ns = 0
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended just now
            waited_ns += int((thread / "schedstat").read_text().split()[1])
    return waited_ns / 1e9


presents: Presents | None = None


def a_server_in_trouble(drive: DriveThread) -> None:
    """Frozen, slow, killed and flapping: a server of its own, at the endpoint of the plan."""
    assert presents is not None

    def serve() -> Child:
        return Child("renderer", ["serve", "--listen", drive.plan.endpoint])

    def wait_rendered(num: int) -> None:
        end = drive.trace.rendered + num
        wait_until(drive, lambda: drive.trace.rendered >= end)

    with serve() as server:
        wait_rendered(20)
        presents.phase = "frozen"
        os.kill(server.pid, signal.SIGSTOP)
        wait_ticks(drive, 60)
        os.kill(server.pid, signal.SIGCONT)
        wait_rendered(5)
        presents.phase = "slow"
        for _ in range(8):
            os.kill(server.pid, signal.SIGSTOP)
            time.sleep(0.35)
            os.kill(server.pid, signal.SIGCONT)
            time.sleep(0.15)
        presents.phase = "killed"
        os.kill(server.pid, signal.SIGKILL)
        wait_ticks(drive, 40)
    presents.phase = "flapping"
    for _ in range(3):
        with serve() as server:
            wait_rendered(2)
            os.kill(server.pid, signal.SIGKILL)
            wait_ticks(drive, 5)
    print(json.dumps(presents.gaps_ms), file=sys.stderr)


TYPISTS: dict[str, Callable[[DriveThread], None]] = {
    "looks": another_look_and_back,
    "troubles": a_server_in_trouble,
}


def main(typist: str, words: list[str]) -> int:
    parser = argparse.ArgumentParser()
    drive_command.add_arguments(parser)
    args = parser.parse_args(words)
    plan = make_plan(
        drive_command.SESSION,
        args,
        carla=split_endpoint(args.carla, drive_command.CARLA_PORT),
        endpoint=args.server,
        model=args.model,
    )
    drive = DriveThread(plan)
    global presents
    presents = Presents()
    failures: list[BaseException] = []

    def type_and_leave() -> None:
        try:
            wait_until(drive, pygame.display.get_init)
            TYPISTS[typist](drive)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)
        finally:
            with contextlib.suppress(pygame.error):
                tap(pygame.K_ESCAPE)
            drive.stop()

    typing = threading.Thread(target=type_and_leave, daemon=True)
    drive.start()
    typing.start()
    assert drive.window_display is not None
    Cockpit(drive, drive.window_display).run()
    typing.join(DEADLINE_S)
    drive.wait()
    if failures:
        raise failures[0]
    drive.result()
    print(json.dumps(drive.trace.report().as_dict()))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    sys.exit(main(sys.argv[1], sys.argv[2:]))
