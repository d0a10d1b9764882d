"""A drive that outlives its simulator: what was lost is waited for, and driven through again when it is back.

A simulator that was silent for too long and answers again is the same one, and the drive goes on in it. One that was
started again is another: the ego vehicle, cameras and traffic are made anew. Either way the loop sees one street, whose
clock jumps. Only where somebody looks on: a drive that nobody watches ends with the sentence.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.capture.drive import RIG_MOUNT, Drive, open_drive
from bridge.capture.presets import RigPreset, SessionPreset
from bridge.capture.probe import probe
from bridge.protocol.errors import SimulatorAbsent, SimulatorLost, SimulatorUnreachable
from bridge.protocol.frames import BodyPose, EgoControl, SensorFrame

LOOK_EVERY_S: Final = 0.25
ANSWER_S: Final = 2.0  # how long something that listens may take to say that it is a simulator


class LastingDrive:
    """A street to tick and read whose simulator may go and come back.

    A context manager; `stop` ends all waiting. `tell` is called with a sentence on what is waited for, "" when that is
    over; `renewed` when the street is another one than at the last tick.
    """

    def __init__(
        self,
        session: SessionPreset,
        rig: RigPreset,
        *,
        host: str,
        port: int,
        seed: int,
        stop: threading.Event,
        tell: Callable[[str], None],
        renewed: Callable[[], None],
    ) -> None:
        self._open: Callable[[], contextlib.AbstractContextManager[Drive]] = lambda: open_drive(
            session, rig, host=host, port=port, seed=seed
        )
        self._address = host, port
        self._stop = stop
        self._tell = tell
        self._renewed = renewed
        self._opened = contextlib.ExitStack()
        self._drive: Drive | None = None
        self._is_whole = True
        self._mount = RIG_MOUNT
        self._weather_steps: list[int] = []

    def __enter__(self) -> LastingDrive:
        self._tell(f"connecting to the simulator at {self._address[0]}:{self._address[1]}")
        while True:
            try:
                probe(*self._address, ANSWER_S).close()
                break
            except SimulatorAbsent as error:
                self._tell(f"{error.what}: waiting for a simulator")
                if self._stop.wait(LOOK_EVERY_S):
                    raise
        self._begin()
        self._tell("waiting for the first frame")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    # -- as a street -------------------------------------------------------------------------------------------------

    @property
    def drive(self) -> Drive:
        """The drive of now."""
        if self._drive is None:
            raise RuntimeError("the drive is not open")
        return self._drive

    @property
    def fixed_delta_s(self) -> float:
        """Simulation time of a tick."""
        return self.drive.fixed_delta_s

    @property
    def stages_ms(self) -> Mapping[str, float]:
        """What the last `read` took: "wait" and "decode"."""
        return self.drive.stages_ms

    def tick(self, control: EgoControl | None) -> int:
        """Apply a control (None: autopilot), tick, and return the frame's id.

        Raises SimulatorLost only when it is told to stop while the simulator is away.
        """
        try:
            return self.drive.tick(control)
        except SimulatorLost as error:
            self._heal(error)
        return self.tick(control)

    def read(self, frame_id: int) -> SensorFrame:
        """Return the frame that the last tick made; where it was lost with the simulator, the next that there is."""
        try:
            return self.drive.read(frame_id)
        except SimulatorLost as error:
            self._heal(error)
        return self.read(self.tick(None))

    def poses(self) -> tuple[NDArray[np.float64], tuple[BodyPose, ...]] | None:
        """Return where the last tick put camera and bodies; see `Rig.poses`."""
        return self.drive.poses()

    def respawn(self) -> None:
        """Put the ego vehicle on the next spawn point."""
        with contextlib.suppress(SimulatorLost), self.drive.world.bounded_calls():  # the next tick tells
            self.drive.respawn()

    def next_mount(self) -> str:
        """Move the cameras to the next mount and return its name."""
        try:
            with self.drive.world.bounded_calls():
                self._is_whole = False  # until there are cameras again
                self._mount = self.drive.next_mount()
                self._is_whole = True
        except SimulatorLost as error:
            if not self._is_whole:
                self._heal(error)  # else the next tick tells
        return self._mount

    def step_weather(self, direction: int) -> str:
        """Change to the next weather (1) or the one before (-1) and return its name."""
        self._weather_steps.append(direction)
        with contextlib.suppress(SimulatorLost), self.drive.world.bounded_calls():
            self.drive.step_weather(direction)
        return self.drive.weather.name

    # -- loss ----------------------------------------------------------------------------------------------------

    def _heal(self, loss: SimulatorLost) -> None:
        """Wait until there is a simulator again, and drive on in it."""
        self._tell(f"{loss.what}: waiting for it")
        drive = self.drive
        while True:
            with contextlib.suppress(SimulatorUnreachable):
                probe(*self._address, ANSWER_S).close()
                break
            if self._stop.wait(LOOK_EVERY_S):
                raise loss
        if not drive.world.resume() or not self._is_whole:
            self._tell("the simulator is back: beginning anew")
            self._opened.close()
            self._begin()
            self._restore()
        self._renewed()
        self._tell("")

    def _begin(self) -> None:
        self._drive = self._opened.enter_context(self._open())
        self._drive.world.outlive_server()
        self._is_whole = True

    def _restore(self) -> None:
        """Have the weather and the mount that a person chose."""
        with self.drive.world.bounded_calls():
            for direction in self._weather_steps:
                self.drive.step_weather(direction)
            while self.drive.mount != self._mount:
                self.drive.next_mount()
