"""Ticks of a simulator from a thread of their own, with a sentence where none comes."""

from __future__ import annotations

import contextlib
import queue
import selectors
import socket
import threading
import time

import carla

from bridge.capture.probe import Lifeline
from bridge.protocol.errors import SimulatorLost


class Ticker:
    """Ticks in a thread of its own, so that whoever waits can notice a lost server."""

    def __init__(self, world: carla.World, lifeline: Lifeline, timeout_s: float) -> None:
        """`timeout_s` is how long the server may take for a tick."""
        self._world = world
        self._lifeline = lifeline
        self._timeout_s = timeout_s
        self._requests: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._outcome: int | RuntimeError = 0
        self._outstanding = False
        self.hung = False
        self._bell, self._done = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._done, selectors.EVENT_READ)
        self._selector.register(lifeline, selectors.EVENT_READ)
        self._thread: threading.Thread | None = None

    def tick(self) -> int:
        """Tick and return the frame's id; raises SimulatorLost."""
        if self.hung or self._lifeline.lost:
            raise self.loss()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="simulator ticks", daemon=True)
            self._thread.start()
        self._outstanding = True
        self._requests.put(True)
        if not self._wait():
            raise self.loss()
        if isinstance(self._outcome, RuntimeError):
            self.hung = True
            raise self.loss()
        return self._outcome

    def settle(self) -> bool:
        """Wait for a tick that an interrupt left behind; False if the server is gone."""
        if self.hung or self._lifeline.lost:
            return False
        return not self._outstanding or self._wait()

    def answers(self) -> bool:
        """Whether the server, which has nothing else to do now, answers in time."""
        if not self.hung and not self._lifeline.answers(self._timeout_s):
            self.hung = True
        return not self.hung

    def resume(self) -> bool:
        """Forget a tick that was not answered in time; False if its call has not come back either."""
        if self._outstanding and not self._wait():
            return False
        self.hung = False
        return True

    def loss(self) -> SimulatorLost:
        """Return why there is no tick."""
        if self._lifeline.lost:
            return SimulatorLost("the simulator is gone: its connection closed", "Start it and the drive again")
        return SimulatorLost(
            f"the simulator has not answered for {self._timeout_s:g} s", "Look at its log, start it and the drive again"
        )

    def close(self) -> None:
        """End the thread, unless the library keeps it."""
        self._requests.put(False)
        if self._thread is not None and not self._outstanding:
            self._thread.join(self._timeout_s)
        self._selector.close()
        if not self._outstanding:
            self._bell.close()
        self._done.close()

    def _wait(self) -> bool:
        deadline_s = time.monotonic() + self._timeout_s
        while (remaining_s := deadline_s - time.monotonic()) > 0:
            ready = {key.fileobj for key, _ in self._selector.select(remaining_s)}
            if self._done in ready:
                self._done.recv(1)
                self._outstanding = False
                return True
            if self._lifeline.lost:
                return False
        self.hung = True
        return False

    def _run(self) -> None:
        while self._requests.get():
            try:
                self._outcome = int(self._world.tick(self._timeout_s))
            except RuntimeError as error:
                self._outcome = error
            with contextlib.suppress(OSError):  # nobody waits any more
                self._bell.send(b".")
