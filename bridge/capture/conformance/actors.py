"""Checks: spawning, placing, attaching and destroying, one by one and in batches."""

from __future__ import annotations

import carla

from bridge.capture.conformance.stage import FUTURE_ACTOR, Group, Stage, beside, expect, mounted, own_actors

GROUP = Group("actors")


@GROUP.check()
def spawned(stage: Stage) -> None:
    """A spawned actor is where and what was asked for."""
    vehicle = stage.vehicle("vehicle.audi.tt", settle=False)
    stage.tick()
    expect(vehicle.type_id == "vehicle.audi.tt" and vehicle.is_alive, "it is of another kind or not alive")
    near = min(point.location.distance(vehicle.get_location()) for point in stage.map.get_spawn_points())
    expect(near < 0.5, f"it is {near:.1f} m from every spawn point")
    extent = vehicle.bounding_box.extent
    expect(1.0 < extent.x < 6.0 and 0.5 < extent.y < 2.0 and 0.4 < extent.z < 3.0, f"its box is {extent}")
    expect(14 in list(vehicle.semantic_tags), f"its tags are {list(vehicle.semantic_tags)}")
    listed = stage.world.get_actors()
    expect(listed.find(vehicle.id) is not None, "get_actors does not know it")
    expect(any(actor.id == vehicle.id for actor in listed.filter("vehicle.audi.*")), "filter does not find it")
    snapshot = stage.world.get_snapshot()
    expect(snapshot.has_actor(vehicle.id), "the snapshot does not have it")
    away = snapshot.find(vehicle.id).get_transform().location.distance(vehicle.get_location())
    expect(away < 1e-3, "snapshot and actor disagree about its place")


@GROUP.check()
def occupied(stage: Stage) -> None:
    """Nothing is spawned where something stands."""
    vehicle = stage.vehicle()
    again = stage.world.try_spawn_actor(stage.blueprint("vehicle.audi.tt"), vehicle.get_transform())
    if again is not None:
        stage.keep(again)
    expect(again is None, "a second vehicle was spawned inside the first")
    try:
        stage.keep(stage.world.spawn_actor(stage.blueprint("vehicle.audi.tt"), vehicle.get_transform()))
    except RuntimeError as error:
        expect("collision" in str(error).lower(), f"the error says: {error}")
    else:
        expect(False, "spawn_actor raised nothing")


@GROUP.check()
def placed(stage: Stage) -> None:
    """An actor goes where it is put."""
    vehicle = stage.vehicle()
    vehicle.set_simulate_physics(False)
    goal = beside(vehicle.get_location(), 3.0, 2.0, 4.0)
    vehicle.set_transform(carla.Transform(goal, carla.Rotation(pitch=5.0, yaw=60.0, roll=-4.0)))
    stage.tick(3)
    told = vehicle.get_transform()
    expect(told.location.distance(goal) < 0.05, f"it is {told.location.distance(goal):.2f} m away")
    turn = told.rotation
    expect(abs(turn.yaw - 60.0) < 0.5 and abs(turn.pitch - 5.0) < 0.5 and abs(turn.roll + 4.0) < 0.5, f"it is {turn}")
    vehicle.set_location(beside(goal, 1.0))
    stage.tick(2)
    expect(vehicle.get_location().distance(beside(goal, 1.0)) < 0.05, "set_location did not move it")


@GROUP.check()
def attached(stage: Stage) -> None:
    """What is attached moves along."""
    vehicle = stage.vehicle()
    mount = carla.Transform(carla.Location(x=1.5, z=2.4), carla.Rotation(pitch=-15.0))
    camera = stage.spawn("sensor.camera.rgb", mount, attach_to=vehicle, image_size_x=32, image_size_y=32)
    stage.tick(2)
    expect(camera.parent is not None and camera.parent.id == vehicle.id, "its parent is not told")
    wanted = mounted(vehicle, mount)
    expect(camera.get_location().distance(wanted) < 0.05, f"it is {camera.get_location().distance(wanted):.2f} m off")
    vehicle.apply_control(carla.VehicleControl(throttle=0.8))
    stage.tick(40)
    wanted = mounted(vehicle, mount)
    expect(camera.get_location().distance(wanted) < 0.1, "it was left behind by a moving vehicle")


@GROUP.check()
def destroyed(stage: Stage) -> None:
    """A destroyed actor is gone."""
    vehicle = stage.vehicle()
    number = vehicle.id
    expect(vehicle.destroy(), "destroy() returned False")
    stage.tick(2)
    expect(not vehicle.is_alive, "it is alive")
    expect(stage.world.get_actors().find(number) is None, "get_actors still lists it")


@GROUP.check()
def batch(stage: Stage) -> None:
    """A batch spawns, drives and destroys, each command with its answer."""
    points = stage.map.get_spawn_points()
    spawn = carla.command.SpawnActor
    here = stage.vehicle()
    commands = [
        spawn(stage.blueprint("vehicle.audi.tt"), points[len(points) // 2]),
        spawn(stage.blueprint("vehicle.audi.tt"), here.get_transform()),
    ]
    answers = stage.client.apply_batch_sync(commands, True)
    expect(len(answers) == 2, f"two commands had {len(answers)} answers")
    if not answers[0].error:
        actor = stage.world.get_actor(answers[0].actor_id)
        assert actor is not None
        stage.keep(actor)
    expect(bool(answers[1].error), "spawning inside another vehicle was no error")
    control = carla.command.ApplyVehicleControl(here.id, carla.VehicleControl(throttle=1.0))
    expect(not stage.client.apply_batch_sync([control], True)[0].error, "ApplyVehicleControl was refused")
    stage.tick(30)
    expect(here.get_velocity().length() > 0.5, "a batch's control did not move the vehicle")
    wrong = stage.client.apply_batch_sync([carla.command.ApplyVehicleControl(4_000_000_000, carla.VehicleControl())])
    expect(bool(wrong[0].error), "a command for an actor that does not exist was no error")


@GROUP.check()
def chained(stage: Stage) -> None:
    """A batch's following commands go to the new actor."""
    point = stage.map.get_spawn_points()[-1]
    follow = carla.command.SetSimulatePhysics(FUTURE_ACTOR, False)
    command = carla.command.SpawnActor(stage.blueprint("vehicle.audi.tt"), point).then(follow)
    answer = stage.client.apply_batch_sync([command], True)[0]
    expect(not answer.error, f"it was refused: {answer.error}")
    actor = stage.world.get_actor(answer.actor_id)
    assert actor is not None
    stage.keep(actor)
    stage.tick(20)
    expect(actor.get_location().distance(point.location) < 0.1, "its physics were not switched off: it fell")


@GROUP.check()
def nothing_left(stage: Stage) -> None:
    """What is destroyed after a check is all that was spawned."""
    stage.vehicle()
    stage.clear()
    stage.tick(2)
    left = own_actors(stage.world)
    expect(not left, f"{len(left)} actors are left: {', '.join(actor.type_id for actor in left[:3])}")
