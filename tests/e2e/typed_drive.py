"""A drive in a window whose keys are typed by a thread: TYPIST, then the flags of `vidrive drive`."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pygame
import pygame.display

from bridge.capture.abandoned import leave_with
from bridge.capture.drive import RIG_MOUNT
from bridge.capture.rig import Rig
from bridge.protocol.frames import SensorFrame
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


PATIENCE_S = 35.0  # longer than CARLA's client library waits for an answer before it ends the process


def a_town_lost_in_a_change(drive: DriveThread) -> None:
    """The town is killed while the cameras are moved, and another one takes its place."""

    def town() -> Child:
        return Child("town", ["town", "--port", str(drive.plan.carla_port)])

    warm_up = Rig.warm_up
    with town() as lost:

        def warm_up_without_a_town(self: Rig) -> SensorFrame:
            Rig.warm_up = warm_up
            os.kill(lost.pid, signal.SIGKILL)
            return warm_up(self)

        wait_until(drive, lambda: drive.trace.shown > 5)
        Rig.warm_up = warm_up_without_a_town
        tap(pygame.K_TAB)
        wait_until(drive, lambda: Rig.warm_up is warm_up)
    lost_s = time.monotonic()
    with town():
        wait_ticks(drive, 20)
        wait_until(drive, lambda: time.monotonic() - lost_s > PATIENCE_S)
        tap(pygame.K_TAB)
        wait_until(drive, lambda: drive.street.mount != RIG_MOUNT)
        wait_ticks(drive, 20)
        drive.stop()
        drive.wait()


CRUISE_M_S = 6.0
LOOK_AHEAD_M = 5.0
STEP_M = 1.0
STEER_DEG = 4.0  # of the way's bearing: closer to straight ahead no key is held
GAP_M = 12.0  # to whoever drives or stands ahead
ROUND_S = 60.0


class Way:
    """The lane that a driver follows, in steps: straight on at junctions where it can, whatever lanes lie across it."""

    def __init__(self, first: Any) -> None:
        self._steps: list[Any] = [first]

    def off_m(self, place: Any) -> float:
        """Drop what is behind a place and return how far beside the way it is."""
        while len(self._steps) > 1 and _metres(self._steps[1], place) <= _metres(self._steps[0], place):
            del self._steps[0]
        here = self._steps[0].transform
        right = here.get_right_vector()
        return abs((place.x - here.location.x) * right.x + (place.y - here.location.y) * right.y)

    def ahead(self, metres: float) -> Any:
        """Return the place so far ahead on the way."""
        wanted = round(metres / STEP_M)
        while len(self._steps) <= wanted:
            last = self._steps[-1]
            yaw_deg = last.transform.rotation.yaw
            self._steps.append(min(last.next(STEP_M), key=lambda step: abs(_bend_deg(step, yaw_deg))))
        return self._steps[wanted].transform.location


def _bend_deg(step: Any, yaw_deg: float) -> float:
    """How much the lane that begins there turns soon."""
    later = step.next(12.0)
    return ((later[0] if later else step).transform.rotation.yaw - yaw_deg + 180.0) % 360.0 - 180.0


def _metres(step: Any, place: Any) -> float:
    return step.transform.location.distance(place)


def round_the_town(drive: DriveThread) -> None:
    """A minute by W, A, S and D: hold the lane, behind whoever is ahead, and not too fast.

    Prints a line of JSON: for each look at the street the distance from the lane's centre and the speed.
    """
    held: set[int] = set()

    def hold(key: int, *, down: bool) -> None:
        if down != (key in held):
            (held.add if down else held.discard)(key)
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN if down else pygame.KEYUP, key=key, mod=0))

    wait_until(drive, lambda: drive.trace.shown > 5)
    world = drive.street.world
    ego = drive.street.ego.actor
    others = [actor.id for actor in world.world.get_actors().filter("vehicle.*") if actor.id != ego.id]
    way = Way(world.map.get_waypoint(ego.get_location()))
    delta_s = drive.plan.session.fixed_delta_s
    looks: list[tuple[float, float]] = []
    first = ticks = drive.trace.ticks
    while drive.trace.ticks < first + ROUND_S / delta_s:
        wait_until(drive, lambda now=ticks: drive.trace.ticks > now)
        ticks = drive.trace.ticks
        pose, velocity = ego.get_transform(), ego.get_velocity()
        speed_m_s = math.hypot(velocity.x, velocity.y)
        looks.append((way.off_m(pose.location), speed_m_s))
        turn_deg = _turn_deg(pose, way.ahead(LOOK_AHEAD_M + 0.4 * speed_m_s))
        hold(pygame.K_a, down=turn_deg < -STEER_DEG)
        hold(pygame.K_d, down=turn_deg > STEER_DEG)
        snapshot = world.snapshot()
        seen = [found.get_transform().location for number in others if (found := snapshot.find(number)) is not None]
        blocked = any(pose.location.distance(at) < GAP_M and abs(_turn_deg(pose, at)) < 15 for at in seen)
        wanted_m_s = 0.0 if blocked else CRUISE_M_S if abs(turn_deg) < 15 else 0.5 * CRUISE_M_S
        hold(pygame.K_w, down=speed_m_s < wanted_m_s)
        hold(pygame.K_s, down=speed_m_s > wanted_m_s + (2 if wanted_m_s else 0))
    for key in tuple(held):
        hold(key, down=False)
    print(json.dumps({"looks": looks}), file=sys.stderr)


def _turn_deg(pose: Any, place: Any) -> float:
    """The bearing of a place from a car, degrees to the right."""
    bearing_deg = math.degrees(math.atan2(place.y - pose.location.y, place.x - pose.location.x))
    return (bearing_deg - pose.rotation.yaw + 180.0) % 360.0 - 180.0


TYPISTS: dict[str, Callable[[DriveThread], None]] = {
    "round": round_the_town,
    "looks": another_look_and_back,
    "troubles": a_server_in_trouble,
    "change": a_town_lost_in_a_change,
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
    leave_with(0)
    print(json.dumps(drive.trace.report().as_dict()))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    sys.exit(main(sys.argv[1], sys.argv[2:]))
