"""Checks: the server's recorder; its one file stays on the server, under a name of its own."""

from __future__ import annotations

import carla

from bridge.capture.conformance.stage import Group, Stage, expect, own_actors, speed_m_s

GROUP = Group("recorder")
FILE = "vidrive_conformance.log"


@GROUP.check(may_refuse=True)
def record_and_replay(stage: Stage) -> None:
    """A drive is recorded, described and replayed."""
    vehicle = stage.vehicle()
    name = stage.client.start_recorder(FILE, True)
    expect("error" not in name.lower(), f"start_recorder says: {name}")
    vehicle.apply_control(carla.VehicleControl(throttle=0.8))
    stage.tick(60)
    fast = speed_m_s(vehicle)
    stage.client.stop_recorder()
    stage.tick()
    told = stage.client.show_recorder_file_info(FILE, False)
    expect("Frames" in told, f"show_recorder_file_info says: {told[:80]}")
    stage.client.show_recorder_collisions(FILE, "v", "v")
    stage.client.show_recorder_actors_blocked(FILE, 1.0, 1.0)
    stage.clear()
    stage.tick(2)
    before = {actor.id for actor in own_actors(stage.world)}
    answer = stage.client.replay_file(FILE, 0.0, 0.0, 0, False)
    expect("error" not in answer.lower(), f"replay_file says: {answer[:80]}")
    stage.tick(30)
    again = [actor for actor in own_actors(stage.world) if actor.id not in before]
    for actor in again:
        stage.keep(actor)
    vehicles = [actor for actor in again if isinstance(actor, carla.Vehicle)]
    expect(len(vehicles) == 1, f"the replay has {len(vehicles)} vehicles")
    start = vehicles[0].get_location()
    stage.tick(20)
    expect(vehicles[0].get_location().distance(start) > 0.2 * fast, "in the replay it stands still")
    stage.client.stop_replayer(False)
    stage.tick(2)
