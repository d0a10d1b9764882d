"""What makes the town tick: clients' cues in synchronous mode, the clock on the wall otherwise."""

from __future__ import annotations

import collections
import logging
import threading
import time
from collections.abc import Callable

from bridge.carla_wire.layouts import optional_value
from bridge.town.simulation import Simulation

logger = logging.getLogger(__name__)

FREE_RUNNING_HZ = 20.0
SETTLE_S = 2e-3
SHORTEST_TICK_S = 1e-3
MANAGER_SETTLES_S = 0.005
LATE_S = 0.25
"""A free-running town that is this late gives up the lost time instead of hurrying after it."""


class Clock:
    """The one thread that ticks. Cues are counted: n cues are n ticks; in asynchronous mode they are void."""

    def __init__(self, simulation: Simulation, free_running_hz: float = FREE_RUNNING_HZ) -> None:
        self._simulation = simulation
        self._period_s = 1.0 / free_running_hz
        self._changed = threading.Condition()
        self._cues = 0
        self._answers: collections.deque[Callable[[int], None]] = collections.deque()
        self._answered_at = 0.0
        self._kicks = 0
        self._kicks_done = 0
        self._jobs: list[tuple[Callable[[], None], threading.Event]] = []
        self._is_stopping = False
        self._ticked_at = self._due_at = 0.0
        self._thread = threading.Thread(target=self._run, name="town-clock", daemon=True)

    def start(self) -> None:
        """Begin to tick."""
        self._thread.start()

    def stop(self) -> None:
        """End after the tick in progress."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        self._thread.join(timeout=10.0)

    def cue(self, answer: Callable[[int], None] = lambda frame: None) -> None:
        """Ask for one synchronous tick; `answer` is called with its frame when everything of it has been sent.

        In asynchronous mode, where cues are void, it is called with the next frame, at once.
        """
        with self._changed:
            self._cues += 1
            self._answers.append(answer)
            self._changed.notify_all()

    def settings_changed(self) -> None:
        """Look at the settings again instead of waiting for a cue or the time."""
        with self._changed:
            self._changed.notify_all()

    def kick(self, timeout_s: float) -> None:
        """In asynchronous mode tick at once, without sensors, and return when it is done or the time is over."""
        with self._changed:
            self._kicks += 1
            wanted = self._kicks
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._kicks_done >= wanted or self._is_stopping, timeout_s)

    def settle(self) -> None:
        """Give clients the moment that they need to take in the snapshot they were just sent."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopping, SETTLE_S)

    def between_ticks(self, job: Callable[[], None]) -> None:
        """Run `job` on the clock's thread between two ticks and return when it is done."""
        done = threading.Event()
        with self._changed:
            if self._is_stopping:
                return
            self._jobs.append((job, done))
            self._changed.notify_all()
        done.wait()

    def _run(self) -> None:
        self._ticked_at = self._due_at = time.perf_counter()
        try:
            while not self._is_stopping:
                self._run_jobs()
                if self._simulation.awaits_subscription:
                    self._simulation.hub.wait_for_announced()
                    self._simulation.awaits_subscription = False
                settings = self._simulation.episode.settings
                fixed_s = optional_value(settings.fixed_delta_seconds) or None
                if not settings.synchronous_mode:
                    self._run_free(fixed_s)
                elif self._take_cue():
                    self._simulation.hub.wait_for_announced()
                    self._tick(fixed_s, with_sensors=True)
                    self._let_managers_settle()
                    self._answer_cues(1, self._simulation.episode.frame)
        finally:
            with self._changed:
                self._is_stopping = True
                for _job, done in self._jobs:
                    done.set()

    def _run_jobs(self) -> None:
        with self._changed:
            jobs, self._jobs = self._jobs, []
        for job, done in jobs:
            _run_job(job, done)

    def _take_cue(self) -> bool:
        with self._changed:
            self._kicks_done = self._kicks
            # again, under the lock: the settings may have changed since, and whoever changed them has called already
            is_synchronous = self._simulation.episode.settings.synchronous_mode
            if self._cues == 0 and not self._jobs and not self._is_stopping and is_synchronous:
                self._changed.wait()
            if self._cues == 0:
                return False
            self._cues -= 1
            return True

    def _let_managers_settle(self) -> None:
        """Do not answer ticks faster than a TrafficManager's thread goes to sleep between two steps.

        An answer starts its next step by a signal that libcarla loses if the thread is just between looking for it and
        sleeping; then the client hangs for good. Ticks of a town with cameras take longer than this anyway.
        """
        if self._simulation.traffic_managers:
            time.sleep(max(0.0, self._answered_at + MANAGER_SETTLES_S - time.perf_counter()))
        self._answered_at = time.perf_counter()

    def _answer_cues(self, count: int, frame: int) -> None:
        for _ in range(min(count, len(self._answers))):
            self._answers.popleft()(frame)

    def _run_free(self, fixed_s: float | None) -> None:
        """Wait for the next moment or a kick, and tick; return without a tick when something else has changed."""
        period_s = fixed_s or self._period_s
        with self._changed:
            void, self._cues = self._cues, 0
        if void:
            self._answer_cues(void, self._simulation.episode.frame + 1)
            return
        with self._changed:
            if self._kicks == self._kicks_done:
                self._due_at = min(self._due_at, time.perf_counter() + period_s)
                self._changed.wait(max(0.0, self._due_at - time.perf_counter()))
            kicks, is_kick = self._kicks, self._kicks != self._kicks_done
        if not is_kick and time.perf_counter() < self._due_at:
            return
        self._tick(fixed_s, with_sensors=not is_kick)
        on_time = not is_kick and self._ticked_at - self._due_at < LATE_S
        self._due_at = (self._due_at if on_time else self._ticked_at) + period_s
        with self._changed:
            self._kicks_done = kicks
            self._changed.notify_all()

    def _tick(self, fixed_s: float | None, *, with_sensors: bool) -> None:
        now = time.perf_counter()
        dt_s = fixed_s or max(SHORTEST_TICK_S, now - self._ticked_at)
        self._ticked_at = now
        try:
            self._simulation.tick(dt_s, with_sensors=with_sensors)
        except Exception:
            logger.exception("a tick failed")


def _run_job(job: Callable[[], None], done: threading.Event) -> None:
    try:
        job()
    except Exception:
        logger.exception("a job between two ticks failed")
    finally:
        done.set()
