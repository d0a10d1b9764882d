"""A drive in a process of its own, for tests that end it in every way: python capture_drive.py PORT HOW.

It prints "driving" after 20 frames, then comes to its end; "ended ..." is its last word where it has one.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from bridge.capture.drive import open_drive
from bridge.capture.presets import Mount, RigPreset, SessionPreset
from bridge.loop import FrameLoop
from bridge.protocol.errors import SimulatorLost
from bridge.protocol.frames import FramePair

RIG = RigPreset(
    mount=Mount(x_m=0.6, z_m=1.6), width_px=64, height_px=32, fov_deg=90.0, planes=("rgb", "labels", "depth_m")
)
SESSION = SessionPreset(rig="dashcam", mode="record", fixed_delta_s=0.05, num_vehicles=3, num_walkers=0, spawn_point=0)


class End:
    def __init__(self, how: str) -> None:
        self._how = how
        self._frames = 0

    def accept(self, pair: FramePair) -> None:
        self._frames += 1
        if self._frames != 20:
            return
        print("driving", flush=True)
        if self._how == "error":
            raise ValueError("an error of somebody else")
        if self._how == "SIGINT":
            os.kill(os.getpid(), signal.SIGINT)


def main(port: int, how: str) -> None:
    num_ticks = 30 if how == "normal" else None
    try:
        with open_drive(SESSION, RIG, port=port, timeout_s=2.0) as drive, FrameLoop(drive, display=End(how)) as loop:
            loop.run(num_ticks)
    except SimulatorLost as error:
        print("ended", round(time.monotonic(), 3), error, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
