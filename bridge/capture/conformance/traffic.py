"""Checks: CARLA's own TrafficManager, which lives in the client and drives the server's vehicles."""

from __future__ import annotations

import socket

import carla

from bridge.capture.conformance.stage import FUTURE_ACTOR, ROLE, Group, Stage, expect, skip, speed_m_s

GROUP = Group("traffic manager")


def _free_port() -> int:
    with socket.create_server(("", 0)) as listener:
        return listener.getsockname()[1]


@GROUP.check()
def drives(stage: Stage) -> None:
    """TrafficManager drives vehicles, and a batch takes them off the road."""
    manager = stage.client.get_trafficmanager(_free_port())
    manager.set_random_device_seed(7)
    manager.set_synchronous_mode(True)
    manager.global_percentage_speed_difference(0.0)
    manager.set_global_distance_to_leading_vehicle(3.0)
    points = stage.map.get_spawn_points()
    step = max(1, len(points) // 5)
    commands = [
        carla.command.SpawnActor(stage.blueprint("vehicle.tesla.model3"), point).then(
            carla.command.SetAutopilot(FUTURE_ACTOR, True, manager.get_port())
        )
        for point in points[::step][:5]
    ]
    ids = [answer.actor_id for answer in stage.client.apply_batch_sync(commands, True) if not answer.error]
    if not ids:
        skip("no spawn point is free")
    try:
        stage.tick(5)
        vehicles = [actor for actor in stage.world.get_actors(ids) if isinstance(actor, carla.Vehicle)]
        manager.ignore_lights_percentage(vehicles[0], 100.0)
        manager.vehicle_percentage_speed_difference(vehicles[0], -10.0)
        starts = [vehicle.get_location() for vehicle in vehicles]
        fastest = 0.0
        for _ in range(200):
            stage.tick()
            fastest = max(fastest, *(speed_m_s(vehicle) for vehicle in vehicles))
        moved = sum(v.get_location().distance(start) > 5.0 for v, start in zip(vehicles, starts, strict=True))
        expect(moved >= max(1, len(vehicles) // 2), f"in 10 s {moved} of {len(vehicles)} vehicles moved")
        expect(fastest < 40.0, f"one went {fastest:.0f} m/s")
        expect(all(vehicle.attributes["role_name"] == ROLE for vehicle in vehicles), "a vehicle has lost its role")
    finally:
        stage.client.apply_batch_sync([carla.command.DestroyActor(number) for number in ids], True)
        stage.tick(2)
        manager.set_synchronous_mode(False)
        manager.shut_down()
