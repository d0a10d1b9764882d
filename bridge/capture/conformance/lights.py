"""Checks: traffic lights and signs."""

from __future__ import annotations

import carla

from bridge.capture.conformance.stage import Group, Stage, expect, skip

GROUP = Group("traffic lights")


def _lights(stage: Stage) -> list[carla.TrafficLight]:
    stage.tick()
    found = [actor for actor in stage.world.get_actors() if isinstance(actor, carla.TrafficLight)]
    if not found:
        skip("the map has no traffic lights")
    return found


@GROUP.check()
def told(stage: Stage) -> None:
    """Lights have states, times, poles and groups."""
    for light in _lights(stage):
        expect(light.get_green_time() > 0.0 and light.get_yellow_time() > 0.0, "a light has no green or yellow time")
        expect(light.get_pole_index() >= 0, "a light has no pole")
    first = _lights(stage)[0]
    group = first.get_group_traffic_lights()
    expect(any(light.id == first.id for light in group), "a light is not of its own group")


@GROUP.check()
def states(stage: Stage) -> None:
    """A state that is set is told, and frozen time keeps it."""
    light = _lights(stage)[0]
    try:
        light.freeze(True)
        for state in (carla.TrafficLightState.Green, carla.TrafficLightState.Yellow, carla.TrafficLightState.Red):
            light.set_state(state)
            stage.tick(5)
            expect(light.get_state() == state, f"set to {state} it tells {light.get_state()}")
        expect(light.is_frozen(), "is_frozen is False after freeze(True)")
        stage.tick(60)
        expect(light.get_state() == carla.TrafficLightState.Red, "a frozen light has changed")
    finally:
        light.freeze(False)
        stage.world.freeze_all_traffic_lights(False)
        stage.world.reset_all_traffic_lights()
        stage.tick()


@GROUP.check()
def times(stage: Stage) -> None:
    """Times can be set, and lights change by them."""
    light = _lights(stage)[0]
    before = light.get_green_time(), light.get_yellow_time(), light.get_red_time()
    try:
        light.set_green_time(1.0)
        light.set_yellow_time(0.5)
        stage.tick(2)
        expect(abs(light.get_green_time() - 1.0) < 0.01, f"green time is {light.get_green_time():.2f} s")
        stage.world.reset_all_traffic_lights()
        seen = set()
        for _ in range(2400):
            stage.tick()
            seen.add(light.get_state())
            if len(seen) >= 3:
                break
        expect(len(seen) >= 2, f"in two minutes it was {', '.join(map(str, seen))} only")
    finally:
        light.set_green_time(before[0])
        light.set_yellow_time(before[1])
        light.set_red_time(before[2])
        stage.world.reset_all_traffic_lights()


@GROUP.check()
def lanes(stage: Stage) -> None:
    """Lights know their lanes and stop lines."""
    light = _lights(stage)[0]
    expect(len(light.get_affected_lane_waypoints()) > 0, "a light affects no lane")
    expect(len(light.get_stop_waypoints()) > 0, "a light has no stop line")
    expect(bool(light.get_opendrive_id()), "a light has no OpenDRIVE id")
    again = stage.world.get_traffic_light_from_opendrive_id(light.get_opendrive_id())
    expect(again is not None and again.id == light.id, "its OpenDRIVE id does not find it")
    stops = light.get_stop_waypoints()
    back = stops[0].previous(10.0)
    if back:
        ahead = stage.world.get_traffic_lights_from_waypoint(back[0], 30.0)
        expect(any(other.id == light.id for other in ahead), "from 10 m before its stop line it is not seen")


@GROUP.check(may_refuse=True)
def boxes(stage: Stage) -> None:
    """Light boxes are told."""
    if not _lights(stage)[0].get_light_boxes():
        skip("the server's lights have no boxes")


@GROUP.check()
def signs(stage: Stage) -> None:
    """Signs are actors with a trigger volume."""
    stage.tick()
    found = [
        actor
        for actor in stage.world.get_actors().filter("traffic.*")
        if isinstance(actor, carla.TrafficSign) and not isinstance(actor, carla.TrafficLight)
    ]
    if not found:
        skip("the map has no traffic signs")
    expect(all(sign.type_id.startswith("traffic.") for sign in found), "a sign is of no traffic kind")
