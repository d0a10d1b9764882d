"""The ego vehicle's cameras: every picture of one simulator tick, or the name of the sensor that did not send it.

Callbacks of the client library run in its threads and hold up its streams meanwhile: they decode their picture, a
fraction of a millisecond, and do nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import carla
import numpy as np
from numpy.typing import NDArray

from bridge.capture import decode
from bridge.capture.bodies import BodyWatch
from bridge.capture.ego import Ego
from bridge.capture.label_check import check_label_space
from bridge.capture.presets import RigPreset
from bridge.capture.world import SyncWorld
from bridge.protocol.errors import SensorTimeout, SimulatorError
from bridge.protocol.frames import BodyPose, CameraIntrinsics, SensorFrame
from bridge.protocol.messages import PlaneName

READ_DEADLINE_S: Final = 10.0
_WARM_UP_TICKS: Final = 10
_WARM_UP_DEADLINE_S: Final = 3.0
_LOOK_UP_S: Final = 0.1  # how often a wait for a sensor looks whether the simulator is still there
_BLUEPRINTS: Final[dict[PlaneName, str]] = {
    "rgb": "sensor.camera.rgb",
    "labels": "sensor.camera.semantic_segmentation",
    "instances": "sensor.camera.instance_segmentation",
    "depth_m": "sensor.camera.depth",
    "flow_px": "sensor.camera.optical_flow",
}
# Columns: the optical x (right), y (down) and z (forward) axes in a CARLA camera's x forward, y right, z up.
_BODY_FROM_OPTICAL: Final = np.array(
    [[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


@dataclass(frozen=True)
class _Shot:
    """A picture, when it arrived (monotonic), and its plane, or why it could not be decoded."""

    image: carla.Image
    arrived_s: float
    plane: NDArray | Exception


class _Sensor:
    """A camera and the pictures that it sent and nobody has read yet.

    Pictures are decoded as they arrive, in the client library's threads: the simulator may still be sending others.
    """

    def __init__(
        self, world: SyncWorld, ego: Ego, plane: PlaneName, preset: RigPreset, decoded: Callable[[carla.Image], NDArray]
    ) -> None:
        self.name = _BLUEPRINTS[plane]
        self.plane: PlaneName = plane
        self._decoded = decoded
        self._shots: queue.SimpleQueue[_Shot] = queue.SimpleQueue()
        with world.calls(f"attach {self.name}"):
            library = world.world.get_blueprint_library()
            try:
                blueprint = library.find(self.name)
            except IndexError:
                raise SimulatorError(f"the simulator has no {self.name}", "Use a rig without that plane") from None
            blueprint.set_attribute("image_size_x", str(preset.width_px))
            blueprint.set_attribute("image_size_y", str(preset.height_px))
            blueprint.set_attribute("fov", str(preset.fov_deg))
            blueprint.set_attribute("role_name", f"vidrive.{plane}")
            self.actor = world.world.spawn_actor(blueprint, _mount(preset), attach_to=ego.actor)
            world.own(self.actor)
            if not isinstance(self.actor, carla.Sensor):
                raise SimulatorError(f"the simulator's {self.name} is not a sensor", "Look at the simulator's log")
            self.actor.listen(self._receive)

    def _receive(self, image: carla.Image) -> None:
        arrived_s = time.monotonic()
        try:
            plane = self._decoded(image)
        except Exception as error:  # noqa: BLE001 - it is raised again where the picture is taken
            plane = error
        self._shots.put(_Shot(image, arrived_s, plane))

    def take(self, frame_id: int, deadline_s: float, lost: Callable[[], bool]) -> tuple[_Shot, NDArray]:
        """Return the picture of a frame and its plane, and drop older ones.

        Raises SensorTimeout at `deadline_s` (monotonic).
        """
        newest = 0
        while (remaining_s := deadline_s - time.monotonic()) > 0 or not self._shots.empty():
            try:
                shot = self._shots.get(timeout=min(max(remaining_s, 1e-3), _LOOK_UP_S))
            except queue.Empty:
                if lost():
                    break
                continue
            newest = shot.image.frame
            if newest == frame_id:
                if isinstance(shot.plane, Exception):
                    raise shot.plane
                return shot, shot.plane
            if newest > frame_id:
                break
        seen = f"; its newest is of frame {newest}" if newest else ""
        raise SensorTimeout(
            f"sensor {self.name} did not send its picture of frame {frame_id}{seen}",
            "Look at the simulator's load and whether it renders at all",
        )


class Rig:
    """Cameras on an ego vehicle, as a preset describes them; `label_space` is what the tags mean.

    `stages_ms` says what the last `read` took: "wait" until the last picture arrived, "decode" what remained then.
    """

    def __init__(self, world: SyncWorld, ego: Ego, preset: RigPreset) -> None:
        self.preset = preset
        self.intrinsics = CameraIntrinsics(preset.width_px, preset.height_px, preset.fov_deg)
        self.label_space = world.label_space
        self.stages_ms: dict[str, float] = {}
        self._world = world
        self._ego = ego
        self._bodies = BodyWatch(world)
        self._sensors = [
            _Sensor(world, ego, plane, preset, functools.partial(self._plane, plane)) for plane in preset.planes
        ]

    def warm_up(self) -> SensorFrame:
        """Tick until every camera has sent one and the same frame, check the label space on it, and return it.

        The first pictures after `listen` can be missed, and a real CARLA takes its time for the very first one.
        """
        frame = self._first_frame()
        self.label_space = check_label_space(frame.label_map, self.label_space)
        return frame

    def read(self, frame_id: int, deadline_s: float = READ_DEADLINE_S) -> SensorFrame:
        """Return all planes of exactly that frame, the last one ticked; older pictures are dropped.

        Raises SensorTimeout, naming the sensor, if one is missing after `deadline_s` seconds, and SimulatorLost if the
        simulator is gone.
        """
        start_s = time.monotonic()
        end_s = start_s + deadline_s
        # What the tick itself told is read while the simulator still draws.
        bodies, ego = self._bodies.poses(self._world.snapshot()), self._ego.state()
        try:
            shots = [sensor.take(frame_id, end_s, lambda: self._world.lost) for sensor in self._sensors]
        except SensorTimeout:
            self._world.raise_if_lost()
            raise
        captured_s = max(start_s, *(shot.arrived_s for shot, _ in shots))
        planes: dict[PlaneName, NDArray] = {}
        labelled = shots[0][0].image
        for sensor, (shot, plane) in zip(self._sensors, shots, strict=True):
            planes[sensor.plane] = plane
            labelled = shot.image if sensor.plane == "labels" else labelled
        frame = SensorFrame(
            frame_id=frame_id,
            time_s=float(labelled.timestamp),
            label_map=planes["labels"],
            label_space=self.label_space,
            intrinsics=self.intrinsics,
            world_from_camera=world_from_camera(labelled.transform),
            captured_s=captured_s,
            rgb=planes.get("rgb"),
            instance_map=planes.get("instances"),
            depth_m=planes.get("depth_m"),
            flow_px=planes.get("flow_px"),
            bodies=bodies,
            ego=ego,
        )
        self.stages_ms = {"wait": (captured_s - start_s) * 1e3, "decode": (time.monotonic() - captured_s) * 1e3}
        return frame

    def poses(self) -> tuple[NDArray[np.float64], tuple[BodyPose, ...]] | None:
        """Return world_from_camera (4,4) f64 and the bodies' poses at the last tick, which its pictures will have.

        They are known before the pictures have come; None where the simulator's snapshots have no cameras.
        """
        snapshot = self._world.snapshot()
        camera = snapshot.find(self._sensors[0].actor.id) if self._sensors else None
        if camera is None:
            return None
        return world_from_camera(camera.get_transform()), self._bodies.poses(snapshot)

    def close(self) -> None:
        """Stop and destroy the cameras."""
        self._world.destroy([sensor.actor for sensor in self._sensors])
        self._sensors.clear()

    def _first_frame(self) -> SensorFrame:
        for _ in range(_WARM_UP_TICKS - 1):
            frame_id = self._world.tick()
            with contextlib.suppress(SensorTimeout):
                return self.read(frame_id, _WARM_UP_DEADLINE_S)
        return self.read(self._world.tick(), _WARM_UP_DEADLINE_S)

    def _plane(self, plane: PlaneName, image: carla.Image) -> NDArray:
        width_px, height_px = self.preset.width_px, self.preset.height_px
        if plane == "flow_px":
            return decode.flow_px_from_raw(image.raw_data, width_px, height_px)
        bgra = decode.bgra_view(image.raw_data, width_px, height_px)
        if plane == "rgb":
            return decode.rgb_from_bgra(bgra)
        if plane == "instances":
            return decode.instances_from_bgra(bgra, self.label_space)
        if plane == "depth_m":
            return decode.depth_m_from_bgra(bgra)
        return decode.labels_from_bgra(bgra)


def world_from_camera(transform: carla.Transform) -> NDArray[np.float64]:
    """Return (4,4) f64 from a camera's optical axes to CARLA's world, of the pose that its picture carries."""
    return np.array(transform.get_matrix(), np.float64) @ _BODY_FROM_OPTICAL


def _mount(preset: RigPreset) -> carla.Transform:
    mount = preset.mount
    return carla.Transform(
        carla.Location(mount.x_m, mount.y_m, mount.z_m),
        carla.Rotation(pitch=mount.pitch_deg, yaw=mount.yaw_deg, roll=mount.roll_deg),
    )
