"""Checks: weather, spectator, static objects, rays, lamps, layers, debug drawings."""

from __future__ import annotations

import carla

from bridge.capture.conformance.stage import Group, Stage, ask, beside, expect, skip

GROUP = Group("world")
_FIELDS = (
    "cloudiness",
    "precipitation",
    "precipitation_deposits",
    "wind_intensity",
    "sun_azimuth_angle",
    "sun_altitude_angle",
    "fog_density",
    "fog_distance",
    "wetness",
    "fog_falloff",
    "scattering_intensity",
    "mie_scattering_scale",
    "rayleigh_scattering_scale",
    "dust_storm",
)


@GROUP.check()
def weather(stage: Stage) -> None:
    """Weather comes back as it was set."""
    before = stage.world.get_weather()
    try:
        for name in ("HardRainSunset", "ClearNight", "CloudyNoon"):
            wanted = getattr(carla.WeatherParameters, name)
            stage.world.set_weather(wanted)
            stage.tick()
            told = stage.world.get_weather()
            wrong = [field for field in _FIELDS if abs(getattr(told, field) - getattr(wanted, field)) > 1e-3]
            expect(not wrong, f"after {name} these differ: {', '.join(wrong)}")
    finally:
        stage.world.set_weather(before)


@GROUP.check()
def spectator(stage: Stage) -> None:
    """The spectator can be moved."""
    actor = stage.world.get_spectator()
    before = actor.get_transform()
    wanted = carla.Transform(carla.Location(12.0, -7.0, 33.0), carla.Rotation(pitch=-30.0, yaw=45.0))
    actor.set_transform(wanted)
    stage.tick(2)
    told = stage.world.get_spectator().get_transform()
    actor.set_transform(before)
    stage.tick()
    expect(told.location.distance(wanted.location) < 0.01, f"it is at {told.location}")
    expect(abs(told.rotation.yaw - 45.0) < 0.1 and abs(told.rotation.pitch + 30.0) < 0.1, f"it looks {told.rotation}")


@GROUP.check()
def environment_objects(stage: Stage) -> None:
    """Static objects have names, places and boxes."""
    objects = stage.world.get_environment_objects(carla.CityObjectLabel.Any)
    if not objects:
        skip("the server's world is one piece without objects")
    ids = {thing.id for thing in objects}
    expect(len(ids) == len(objects), "two objects have the same id")
    expect(all(thing.name for thing in objects), "an object has no name")
    stage.world.enable_environment_objects({objects[0].id}, False)
    stage.world.enable_environment_objects({objects[0].id}, True)


@GROUP.check()
def level_boxes(stage: Stage) -> None:
    """Boxes of a tag are in the world."""
    vehicle = stage.vehicle()
    boxes = stage.world.get_level_bbs(carla.CityObjectLabel.Car)
    here = vehicle.get_location()
    expect(any(box.location.distance(here) < 3.0 for box in boxes), "the box of a spawned car is not among them")


@GROUP.check()
def rays(stage: Stage) -> None:
    """Rays and projections meet the road."""
    start = beside(stage.map.get_spawn_points()[0].location, z=3.0)
    hit = stage.world.ground_projection(start, 20.0)
    expect(hit is not None, "nothing is under a spawn point")
    assert hit is not None
    expect(start.z - 6.0 < hit.location.z < start.z, f"the ground under it is at {hit.location.z:.2f} m")
    found = stage.world.project_point(start, carla.Vector3D(0.0, 0.0, -1.0), 20.0)
    expect(found is not None and abs(found.location.z - hit.location.z) < 0.1, "project_point disagrees")
    points = stage.world.cast_ray(start, beside(start, z=-20.0))
    expect(any(abs(point.location.z - hit.location.z) < 0.1 for point in points), "cast_ray disagrees")
    expect(stage.world.ground_projection(beside(start, z=50.0), 1.0) is None, "a short ray met the ground")


@GROUP.check()
def names(stage: Stage) -> None:
    """Names of all objects are listed."""
    expect(len(stage.world.get_names_of_all_objects()) > 0, "the list is empty")


@GROUP.check(may_refuse=True)
def layers(stage: Stage) -> None:
    """Map layers can be loaded and unloaded."""
    stage.world.unload_map_layer(carla.MapLayer.Decals)
    stage.world.load_map_layer(carla.MapLayer.Decals)


@GROUP.check()
def lamps(stage: Stage) -> None:
    """Lamps can be switched."""
    manager = stage.world.get_lightmanager()
    lights = manager.get_all_lights(carla.LightGroup.Street)
    if not lights:
        skip("the server tells of no street lamps")
    lamp = lights[0]
    was_on, intensity = lamp.is_on, lamp.intensity
    lamp.turn_off()
    stage.tick(2)
    expect(not manager.is_active([lamp])[0], "it shines after turn_off")
    lamp.turn_on()
    lamp.set_intensity(1234.0)
    stage.tick(2)
    expect(manager.is_active([lamp])[0], "it does not shine after turn_on")
    expect(abs(manager.get_intensity([lamp])[0] - 1234.0) < 1.0, "its intensity was not kept")
    lamp.set_intensity(intensity)
    if not was_on:
        lamp.turn_off()


@GROUP.check()
def drawings(stage: Stage) -> None:
    """Debug drawings are taken."""
    here = stage.map.get_spawn_points()[0].location
    debug = stage.world.debug
    debug.draw_point(here, life_time=0.1)
    debug.draw_line(here, beside(here, z=1.0), life_time=0.1)
    debug.draw_arrow(here, beside(here, x=1.0), life_time=0.1)
    debug.draw_box(carla.BoundingBox(here, carla.Vector3D(1.0, 1.0, 1.0)), carla.Rotation(), life_time=0.1)
    debug.draw_string(here, "vidrive", life_time=0.1)
    stage.tick(3)


@GROUP.check(may_refuse=True)
def gravity(stage: Stage) -> None:
    """The gravity of IMUs is told."""
    expect(9.0 < ask(stage.world, "get_imui_sensor_gravity") < 10.5, "it is not that of the earth")
