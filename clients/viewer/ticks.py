"""A simulator's ticks as a window sees them: where they put camera and bodies, and where both go until the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.protocol.frames import BodyPose
from clients.viewer.course import Course

RIGID_M: Final = 1e-3  # that a body moves against the camera in a tick, if it carries it
FOLLOW_PACE: Final = 0.1  # share of a tick's duration that is believed
SLOWEST_PACE: Final = 0.1

Pose = tuple[NDArray[np.float64], tuple[BodyPose, ...]]
"""world_from_camera (4,4) f64, optical axes, and the bodies' poses."""


@dataclass(frozen=True)
class Tick:
    """A tick whose pictures may still be drawn: its poses, if they are known; when the devices had been read that it
    was driven by, and when its poses were known (monotonic); the course until it; how much simulation time passes in a
    second; and the poses of the tick before.
    """

    frame_id: int
    pose: Pose | None
    read_s: float
    known_s: float
    course: Course | None = None
    pace: float = 1.0
    before: Pose | None = None

    def next(self, frame_id: int, pose: Pose | None, read_s: float, known_s: float, steer: float | None) -> Tick:
        """Return the tick after this one, which was driven with that steering (None: by somebody else)."""
        if pose is None or self.pose is None or self.course is None or frame_id != self.frame_id + 1:
            return Tick(frame_id, pose, read_s, known_s)
        pace = min(1.0, self.course.step_s / max(known_s - self.known_s, 1e-6))
        pace = max(SLOWEST_PACE, self.pace + FOLLOW_PACE * (pace - self.pace))
        return Tick(frame_id, pose, read_s, known_s, self.course.follow(pose[0], steer), pace, self.pose)

    def beginning(self, step_s: float) -> Tick:
        """Return the same tick with a course, of a car that stands, where it has none; `step_s` is a tick's time."""
        if self.course is not None or self.pose is None:
            return self
        return Tick(self.frame_id, self.pose, self.read_s, self.known_s, Course.begin(self.pose[0], step_s))

    def foreseen(self, now_s: float, steer: float | None) -> Pose | None:
        """Return the poses now (monotonic) if it is steered so, at most one tick ahead; None without a course."""
        if self.course is None or self.pose is None:
            return None
        ahead_s = min(max(0.0, (now_s - self.known_s) * self.pace), self.course.step_s)
        camera = self.course.ahead(ahead_s, steer)
        return camera, self._bodies(camera, ahead_s / self.course.step_s)

    def _bodies(self, camera: NDArray[np.float64], share: float) -> tuple[BodyPose, ...]:
        """The bodies after a share of a tick: each goes on as it went, and the car that the camera is on with it."""
        if self.pose is None or self.before is None:
            return () if self.pose is None else self.pose[1]
        here, camera_before = self.pose[0], self.before[0]
        before = {body.instance_id: body.world_from_body for body in self.before[1]}
        moved = []
        for body in self.pose[1]:
            pose, was = body.world_from_body, before.get(body.instance_id)
            if was is None:
                moved.append(body)
                continue
            from_camera = np.linalg.inv(here) @ pose
            if np.abs(from_camera - np.linalg.inv(camera_before) @ was).max() < RIGID_M:
                moved.append(BodyPose(body.instance_id, camera @ from_camera))
                continue
            onward = pose.copy()
            onward[:3, 3] += share * (pose[:3, 3] - was[:3, 3])
            moved.append(BodyPose(body.instance_id, onward))
        return tuple(moved)
