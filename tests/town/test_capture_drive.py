"""Capture with the real client library against a town in another process."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

carla = pytest.importorskip("carla", reason="there is no carla wheel for this platform")

from bridge.capture.drive import Drive, open_drive  # noqa: E402
from bridge.capture.presets import Mount, RigPreset, SessionPreset  # noqa: E402
from bridge.capture.world import connect  # noqa: E402
from bridge.loop import FrameLoop  # noqa: E402
from bridge.protocol.errors import SensorTimeout, SimulatorLost, SimulatorUnreachable  # noqa: E402
from bridge.protocol.frames import EgoControl, FramePair, SensorFrame  # noqa: E402

HERE = Path(__file__).parent
ALL_PLANES = ("rgb", "labels", "instances", "depth_m", "flow_px")


def rig(*planes: str) -> RigPreset:
    mount = Mount(x_m=0.6, y_m=0.1, z_m=1.6, yaw_deg=10.0)
    return RigPreset(mount=mount, width_px=64, height_px=32, fov_deg=90.0, planes=planes or ALL_PLANES)


def session(num_vehicles: int = 0, num_walkers: int = 0) -> SessionPreset:
    return SessionPreset(
        rig="dashcam",
        mode="record",
        fixed_delta_s=0.05,
        num_vehicles=num_vehicles,
        num_walkers=num_walkers,
        spawn_point=0,
    )


@contextlib.contextmanager
def town() -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A fresh town; ends when its stdin is closed."""
    with subprocess.Popen(
        [sys.executable, str(HERE / "capture_town.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            word, port = process.stdout.readline().split()
            assert word == "ready"
            yield int(port), process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with town() as (number, _):
        yield number


def state_of(port: int) -> tuple[bool, float | None, list[str]]:
    """What another client sees: synchronous mode, fixed step, and the actors that do not belong to the street."""
    client = carla.Client("127.0.0.1", port)
    client.set_timeout(5.0)
    world = client.get_world()
    settings = world.get_settings()
    if not settings.synchronous_mode:
        world.wait_for_tick()
    actors = [a.type_id for a in world.get_actors() if not a.type_id.startswith(("traffic.", "spectator"))]
    return settings.synchronous_mode, settings.fixed_delta_seconds, actors


LEFT_AS_FOUND = (False, None, [])


def drive_frames(drive: Drive, count: int, control: EgoControl | None = None) -> list[SensorFrame]:
    return [drive.read(drive.tick(control)) for _ in range(count)]


def test_every_plane_is_of_exactly_the_frame_that_was_ticked(port: int) -> None:
    with open_drive(session(), rig(), port=port) as drive:
        frames = drive_frames(drive, 40, EgoControl(throttle=0.8))
        first = frames[0].frame_id
        assert [frame.frame_id for frame in frames] == list(range(first, first + 40))
        for frame in frames:
            x_m, y_m = frame.world_from_camera[:2, 3]
            assert frame.depth_m is not None and frame.rgb is not None and frame.instance_map is not None
            assert frame.depth_m[0, 0] - 500.0 == pytest.approx(x_m, abs=2e-3)
            assert frame.rgb[0, 0, 0] == int(np.floor(x_m * 4.0)) % 256
            assert frame.rgb[0, 0, 1] == int(np.floor(y_m * 4.0)) % 256
            assert set(np.unique(frame.label_map)) == {1, 11, 14}
            assert frame.flow_px is not None
            np.testing.assert_allclose(frame.flow_px[3, 3], (3.0, -2.0), atol=1e-5)
        steps_s = np.diff([frame.time_s for frame in frames])
        np.testing.assert_allclose(steps_s, 0.05, atol=1e-6)
        moved_m = np.linalg.norm(frames[-1].world_from_camera[:3, 3] - frames[0].world_from_camera[:3, 3])
        assert moved_m > 1.0, "the test proves nothing of a car that stands"


def test_poses_are_of_optical_axes_in_the_world(port: int) -> None:
    with open_drive(session(), rig(), port=port) as drive:
        frame = drive_frames(drive, 1)[0]
        ego = drive.ego.actor.get_transform()
        axes = frame.world_from_camera[:3, :3]
        np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-6)
        assert np.linalg.det(axes) == pytest.approx(-1.0), "right, down, forward in a left-handed world"
        forward = carla.Transform(
            ego.location, carla.Rotation(ego.rotation.pitch, ego.rotation.yaw + 10.0, ego.rotation.roll)
        )
        expected = forward.get_forward_vector()
        np.testing.assert_allclose(axes[:, 2], (expected.x, expected.y, expected.z), atol=1e-3)
        np.testing.assert_allclose(axes[:, 1], (0.0, 0.0, -1.0), atol=2e-2)
        place = ego.transform(carla.Location(0.6, 0.1, 1.6))
        np.testing.assert_allclose(frame.world_from_camera[:3, 3], (place.x, place.y, place.z), atol=1e-3)


def test_bodies_have_the_ids_of_the_instance_map(port: int) -> None:
    with open_drive(session(num_vehicles=4), rig(), port=port) as drive:
        frame = drive_frames(drive, 5)[-1]
        vehicles = {actor.id: actor for actor in drive.world.world.get_actors().filter("vehicle.*")}
        assert len(vehicles) == 5
        assert {body.instance_id for body in frame.bodies} == {actor_id & 0xFFFF for actor_id in vehicles}
        for body in frame.bodies:
            np.testing.assert_allclose(
                body.world_from_body, vehicles[body.instance_id].get_transform().get_matrix(), atol=1e-6
            )
        assert frame.instance_map is not None
        assert set(np.unique(frame.instance_map)) == {0, min(vehicles) & 0xFFFF}


def test_autopilot_and_a_person_take_turns(port: int) -> None:
    with open_drive(session(), rig("labels"), port=port) as drive:
        assert drive_frames(drive, 60)[-1].ego.autopilot
        assert drive_frames(drive, 1)[-1].ego.speed_m_s > 1.0, "TrafficManager drives"
        braking = drive_frames(drive, 60, EgoControl(brake=1.0))[-1].ego
        assert not braking.autopilot
        assert braking.brake == pytest.approx(1.0)
        assert braking.speed_m_s < 0.2
        backwards = drive_frames(drive, 40, EgoControl(throttle=0.5, reverse=True))[-1].ego
        assert backwards.gear == -1
        assert drive_frames(drive, 60)[-1].ego.speed_m_s > 1.0, "TrafficManager drives again"


def test_a_respawn_is_a_new_sequence_at_another_place(port: int) -> None:
    frames: list[SensorFrame] = []

    class Keep:
        def accept(self, pair: FramePair) -> None:
            frames.append(pair.sensor)

    with open_drive(session(), rig("labels"), port=port) as drive, FrameLoop(drive, display=Keep()) as loop:
        loop.run(10)
        loop.respawn()
        loop.run(5)
    gaps_m = [
        float(np.linalg.norm(b.world_from_camera[:3, 3] - a.world_from_camera[:3, 3]))
        for a, b in itertools.pairwise(frames)
    ]
    assert max(gaps_m) > 5.0
    assert int(np.argmax(gaps_m)) == 9, "the first tick after the respawn is already there"


def test_the_same_seed_drives_the_same(port: int) -> None:
    def run() -> list[tuple]:
        with town() as (number, _), open_drive(session(5, 3), rig(), port=number, seed=7) as drive:
            frames = drive_frames(drive, 60)
            assert len(frames[-1].bodies) == 1 + 5 + 3
            assert frames[-1].ego.speed_m_s > 1.0
            return [
                (
                    f.ego,
                    f.world_from_camera.tobytes(),
                    f.label_map.tobytes(),
                    f.rgb.tobytes() if f.rgb is not None else b"",
                    [(b.instance_id, b.world_from_body.tobytes()) for b in f.bodies],
                )
                for f in frames
            ]

    first, second = run(), run()
    assert first == second


def test_a_sensor_that_is_gone_is_named(port: int) -> None:
    with open_drive(session(), rig("labels", "depth_m"), port=port) as drive:
        drive_frames(drive, 2)
        thief = carla.Client("127.0.0.1", port)
        thief.set_timeout(5.0)
        for actor in thief.get_world().get_actors().filter("sensor.camera.depth"):
            actor.destroy()
        frame_id = drive.tick(None)
        with pytest.raises(SensorTimeout, match=rf"sensor\.camera\.depth did not send its picture of frame {frame_id}"):
            drive.rig.read(frame_id, deadline_s=0.5)
    assert state_of(port) == LEFT_AS_FOUND


def test_a_new_map_by_another_client_ends_the_drive_and_leaves_the_new_one_alone(port: int) -> None:
    reload = (
        "import carla, sys; c = carla.Client('127.0.0.1', int(sys.argv[1])); c.set_timeout(5.0); c.reload_world(False)"
    )
    with (
        pytest.raises(SimulatorLost, match="another client of the simulator has loaded a new map"),
        open_drive(session(num_vehicles=2), rig("labels"), port=port, timeout_s=5.0) as drive,
        subprocess.Popen([sys.executable, "-c", reload, str(port)]) as other,
    ):
        while True:
            drive.read(drive.tick(None))
    assert other.returncode == 0
    assert state_of(port) == LEFT_AS_FOUND


def test_two_drives_after_each_other_in_one_process(port: int) -> None:
    for _ in range(2):
        with open_drive(session(num_vehicles=2), rig("labels"), port=port) as drive:
            assert drive_frames(drive, 30)[-1].ego.speed_m_s > 0.5
        assert state_of(port) == LEFT_AS_FOUND


def test_settings_of_the_server_come_back_as_they_were(port: int) -> None:
    client = carla.Client("127.0.0.1", port)
    client.set_timeout(5.0)
    world = client.get_world()
    before = world.get_settings()
    before.fixed_delta_seconds = 0.025
    world.apply_settings(before)
    try:
        with connect("127.0.0.1", port) as sync_world:
            sync_world.tick()
            assert state_of(port)[:2] == (True, pytest.approx(0.05))
        assert state_of(port)[:2] == (False, pytest.approx(0.025))
    finally:
        before.fixed_delta_seconds = None
        world.apply_settings(before)


def test_a_port_where_nobody_is() -> None:
    with pytest.raises(SimulatorUnreachable, match=r"nothing listens at 127\.0\.0\.1:1"):
        connect("127.0.0.1", 1)


# -- every way out ----------------------------------------------------------------------------------------------


def start_drive(port: int, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "capture_drive.py"), str(port), how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line
    assert process.stderr is not None
    raise AssertionError(f"the drive never said {word!r}: {process.stderr.read()}")


@pytest.mark.parametrize(("how", "status"), [("normal", 0), ("error", 1), ("SIGINT", 130), ("SIGTERM", 143)])
def test_the_simulator_is_left_as_it_was_found(port: int, how: str, status: int) -> None:
    with start_drive(port, how) as process:
        wait_for(process, "driving")
        if how == "SIGTERM":
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode in (status, -signal.SIGINT if how == "SIGINT" else status)
    assert state_of(port) == LEFT_AS_FOUND


@pytest.mark.parametrize(("stop", "within_s"), [(signal.SIGKILL, 1.0), (signal.SIGSTOP, 4.0)])
def test_a_lost_simulator_ends_the_drive_at_once(stop: signal.Signals, within_s: float) -> None:
    with town() as (port, server), start_drive(port, "never") as process:
        wait_for(process, "driving")
        lost_s = time.monotonic()
        server.send_signal(stop)
        ended = wait_for(process, "ended")
        process.communicate(timeout=30)
    assert float(ended.split()[1]) - lost_s < within_s
    assert ("its connection closed" if stop == signal.SIGKILL else "has not answered for 2 s") in ended
    assert process.returncode == 2, "not aborted by the client library's threads"
