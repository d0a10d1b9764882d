"""Recording and replaying through the unmodified carla wheel."""

from __future__ import annotations

import io

import pytest

from bridge.carla_wire import recorder_log
from bridge.town import log_reports
from bridge.town.recorded_log import open_log

pytest.importorskip("carla")

DRIVE = """
world = client.get_world()
enter_sync(world)
library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
hero_blueprint = library.find("vehicle.tesla.model3")
hero_blueprint.set_attribute("role_name", "hero")
hero = world.spawn_actor(hero_blueprint, points[0])
walker = world.spawn_actor(library.find("walker.pedestrian.0002"),
                           carla.Transform(points[0].location + 6 * points[0].get_right_vector(), points[0].rotation))
for _ in range(10):
    world.tick()
path = client.start_recorder("drives/first.log", True)
hero.apply_control(carla.VehicleControl(throttle=0.7))
walker.apply_control(carla.WalkerControl(points[0].get_forward_vector(), 1.5))
way, speeds = [], []
for number in range(41):
    if number == 20:
        late = world.spawn_actor(library.find("vehicle.audi.tt"), points[6])
        hero.set_light_state(carla.VehicleLightState(carla.VehicleLightState.LowBeam))
    if number == 30:
        late.destroy()
    world.tick()
    way.append([xyz(hero.get_location()), hero.get_transform().rotation.yaw, xyz(walker.get_location())])
    speeds.append(hero.get_velocity().length())
client.stop_recorder()
client.get_server_version()  # the wheel does not wait for the end of a recording
ids = [hero.id, walker.id, late.id]
"""


def test_a_replay_repeats_the_drive(client, town) -> None:
    seen = client(
        DRIVE
        + """
client.reload_world(False)
world = client.get_world()
told = client.replay_file("drives/first.log", 0.0, 0.0, hero.id)
again, late_frames, replay_speeds, lights = [], [], [], None
for number in range(40):
    world.tick()
    actors = {a.type_id: a for a in world.get_actors()}
    car, person = actors["vehicle.tesla.model3"], actors["walker.pedestrian.0002"]
    again.append([xyz(car.get_location()), car.get_transform().rotation.yaw, xyz(person.get_location())])
    replay_speeds.append(car.get_velocity().length())
    if "vehicle.audi.tt" in actors:
        late_frames.append(number)
    if number == 30:
        lights = int(car.get_light_state())
follows = world.get_spectator().get_location().distance(car.get_location())
for _ in range(5):
    world.tick()
rolls = car.get_velocity().length()
car.apply_control(carla.VehicleControl(throttle=0.8))
for _ in range(30):
    world.tick()
answer(path=path, told=told, way=way, again=again, late=late_frames, ids=ids, same=[car.id, person.id],
       speeds=[speeds, replay_speeds], lights=lights, follows=follows, after=[rolls, car.get_velocity().length()])
"""
    )
    assert seen["path"] == str(town.simulation.recordings_dir / "drives" / "first.log")
    assert "Total time recorded: 2" in seen["told"] and "at 1.0x" in seen["told"]
    # a tick after the replay has begun shows the recording's second frame
    for before, now in zip(seen["way"][1:], seen["again"], strict=True):
        assert now[0] == pytest.approx(before[0], abs=2e-3)
        assert now[1] == pytest.approx(before[1], abs=1e-2)
        assert now[2] == pytest.approx(before[2], abs=2e-3)
    assert seen["same"] == seen["ids"][:2], "actors keep their recorded ids where these are free"
    assert seen["late"] == list(range(19, 29)), "an actor comes and goes as recorded"
    assert seen["speeds"][1][20:] == pytest.approx(seen["speeds"][0][21:], abs=0.3)
    assert seen["lights"] == 2
    assert seen["follows"] == pytest.approx((10**2 + 6**2) ** 0.5, abs=0.5)
    assert seen["after"][0] < 0.1 < 1.0 < seen["after"][1], "afterwards the car stands, and drives again when told"


def test_replays_start_late_run_faster_leave_out_the_hero_and_stop(client) -> None:
    seen = client(
        DRIVE
        + """
client.reload_world(False)
world = client.get_world()
client.set_replayer_time_factor(2.0)
client.replay_file("drives/first.log", 0.5, 0.0, 0)
world.tick()
car = {a.type_id: a for a in world.get_actors()}["vehicle.tesla.model3"]
fast = [xyz(car.get_location())]
world.tick()
fast.append(xyz(car.get_location()))
client.stop_replayer(False)
world.tick()
gone = [a.type_id for a in world.get_actors() if a.type_id.startswith("vehicle")]
client.set_replayer_time_factor(1.0)
client.set_replayer_ignore_hero(True)
client.replay_file("drives/first.log", -1.0, 0.5, 0)
kinds = []
for _ in range(3):
    world.tick()
    kinds = sorted({a.type_id.split(".")[0] for a in world.get_actors()})
client.stop_replayer(True)
world.tick()
answer(fast=fast, way=way, gone=gone, kinds=kinds, stays=sorted({a.type_id.split(".")[0] for a in world.get_actors()}))
"""
    )
    assert seen["fast"][0] == pytest.approx(seen["way"][12][0], abs=5e-3)
    assert seen["fast"][1] == pytest.approx(seen["way"][14][0], abs=5e-3)
    assert seen["gone"] == []
    assert "walker" in seen["kinds"] and "vehicle" in seen["kinds"], "the audi is no hero"
    assert "walker" in seen["stays"]


def test_reports_tell_what_happened(client, town) -> None:
    seen = client(
        DRIVE
        + """
client.start_recorder("crash.log")
hero.set_transform(carla.Transform(points[4].location - points[4].get_forward_vector() * 9, points[4].rotation))
other = world.spawn_actor(library.find("vehicle.audi.tt"), points[4])
hero.set_target_velocity(points[4].get_forward_vector() * 8)
for _ in range(60):
    world.tick()
client.stop_recorder()
answer(info=client.show_recorder_file_info("drives/first.log", False),
       everything=client.show_recorder_file_info("drives/first.log", True),
       crashes=client.show_recorder_collisions("crash.log", "h", "v"),
       none=client.show_recorder_collisions("crash.log", "w", "a"),
       blocked=client.show_recorder_actors_blocked("crash.log", 1.0, 100.0),
       missing=client.show_recorder_file_info("nothing.log", False), ids=ids, other=other.id,
       outside=error_of(lambda: client.start_recorder("/etc/passwd")),
       up=error_of(lambda: client.start_recorder("../x.log")),
       no_replay=error_of(lambda: client.replay_file("nothing.log", 0.0, 0.0, 0)))
"""
    )
    hero, walker, late = seen["ids"]
    info = seen["info"]
    assert info.startswith("Version: 1\nMap: Town\nDate: ") and "\nFrames: 41\nDuration: 2 seconds\n" in info
    assert f" Create {hero}: vehicle.tesla.model3 (1) at (" in info and "  role_name = hero\n" in info
    assert f" Create {walker}: walker.pedestrian.0002 (2)" in info
    assert f" Create {late}: vehicle.audi.tt (1)" in info and f" Destroy {late}\n" in info
    assert "Frame 21 at 1 seconds" in info and "Positions" not in info
    assert f"  Id: {hero} LowBeam" in seen["everything"] and f"  Id: {walker} speed: 150\n" in seen["everything"]
    assert seen["everything"].count("\nFrame ") == 41 and "green_time:" in seen["everything"]
    row = next(line for line in seen["crashes"].splitlines() if "vehicle.audi.tt" in line)
    assert row.split()[1:] == ["v", "v", str(hero), "vehicle.tesla.model3", str(seen["other"]), "vehicle.audi.tt"]
    assert "vehicle" not in seen["none"]
    assert any(
        line.split()[1:3] == [str(walker), "walker.pedestrian.0002"] for line in seen["blocked"].splitlines()
    ) is (False)
    assert "Duration" in seen["blocked"]
    folder = town.simulation.recordings_dir
    assert seen["missing"] == f"File {folder / 'nothing.log'} not found on server\n"
    assert seen["no_replay"] == f"File {folder / 'nothing.log'} not found on server"
    for name, error in (("/etc/passwd", seen["outside"]), ("../x.log", seen["up"])):
        assert error == f"The town keeps its recordings in {folder}; give a file name instead of '{name}'"


def test_a_recording_that_was_cut_off_can_be_read_to_its_end(client, town) -> None:
    client(DRIVE + "answer()")
    path = town.simulation.recordings_dir / "drives" / "first.log"
    whole = path.read_bytes()
    recorded = open_log(path)
    count = len(recorded.frames)
    recorded.close()
    path.write_bytes(whole[: len(whole) // 2])
    cut = open_log(path)
    frames = list(cut)
    cut.close()
    assert 0 < len(frames) < count
    assert all(frame.records for frame in frames[:-1])


def _with_a_bad_packet(whole: bytes, first: int) -> bytes:
    """Return a log whose packets of places say, from a frame on (counted from 0), that they hold 65535 records."""
    content = io.BytesIO(whole)
    _info, offset = recorder_log.decode_info(content.read(4096))
    broken, frame = bytearray(whole), -1
    for packet in recorder_log.scan_packets(content, offset, len(whole)):
        frame += packet.packet_id == recorder_log.PacketId.FRAME_START
        if packet.packet_id == recorder_log.PacketId.PLACES and frame >= first:
            broken[packet.offset : packet.offset + 2] = b"\xff\xff"
    return bytes(broken)


def test_a_replay_of_a_broken_log_ends_and_the_town_goes_on(client, town) -> None:
    client(DRIVE + "answer()")
    folder = town.simulation.recordings_dir / "drives"
    whole = (folder / "first.log").read_bytes()
    (folder / "late.log").write_bytes(_with_a_bad_packet(whole, 5))
    (folder / "early.log").write_bytes(_with_a_bad_packet(whole, 0))
    seen = client("""
client.reload_world(False)
world = client.get_world()
enter_sync(world)
refused = error_of(lambda: client.replay_file("drives/early.log", 0.0, 0.0, 0))
world.tick()
left = len(world.get_actors().filter("vehicle.*"))
client.replay_file("drives/late.log", 0.0, 0.0, 0)
frames = [world.tick() for _ in range(10)]
answer(refused=refused, left=left, frames=frames, seen=world.get_snapshot().frame)
""")
    assert "early.log cannot be replayed: a packet ends too early" in seen["refused"]
    assert seen["left"] == 0, "what a refused replay made is gone"
    assert seen["seen"] == seen["frames"][-1] and town.simulation.replayer is None


def test_a_recording_ends_where_a_number_does_not_fit(client, town) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
client.start_recorder("far.log")
world.tick()
world.get_spectator().set_transform(carla.Transform(carla.Location(x=1e37)))
frames = [world.tick() for _ in range(5)]
answer(frames=frames, seen=world.get_snapshot().frame)
""")
    assert seen["seen"] == seen["frames"][-1] and town.simulation.recorder is None


def test_a_report_that_is_too_long_says_where_it_is_cut(client, monkeypatch) -> None:
    monkeypatch.setattr(log_reports, "LONGEST_REPORT", 5000)
    seen = client(DRIVE + 'answer(told=client.show_recorder_file_info("drives/first.log", True))')
    assert len(seen["told"]) < 5500 and "\nCut before frame " in seen["told"] and "\nFrames: 41\n" in seen["told"]
