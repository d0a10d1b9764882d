"""Street lamps, props and the static town's things through the unmodified carla wheel."""

from __future__ import annotations

import pytest

from bridge.town.prop_kinds import PREFIX, PROPS

pytest.importorskip("carla")


def test_street_lamps_are_listed_switched_and_told_to_every_client(client, town) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
watcher = carla.Client("127.0.0.1", port)
watcher.set_timeout(10.0)
watching = watcher.get_world()
world.tick()
manager = world.get_lightmanager()
lamps = manager.get_all_lights(carla.LightGroup.Street)
first = [lamps[0].is_on, lamps[0].intensity, lamps[0].color.r]
manager.turn_on(lamps[:2])
manager.set_color(lamps[:1], carla.Color(10, 20, 200))
manager.set_intensity(lamps[:1], 250.0)
for _ in range(5):
    frame = world.tick()
    deadline = time.monotonic() + 10.0
    while watching.get_snapshot().frame < frame and time.monotonic() < deadline:
        time.sleep(0.005)  # wait_for_tick would miss a tick that comes just before it is called
others = watching.get_lightmanager().get_all_lights(carla.LightGroup.Street)
answer(count=len(lamps), first=first, place=xyz(lamps[0].location), id=lamps[0].id,
       now=[[l.is_on, l.intensity, l.color.b] for l in others[:3]])
""")
    network, lamps = town.simulation.network, town.simulation.episode.lamps
    assert seen["count"] == len(network.lamps) > 10
    assert seen["first"] == [False, 1000.0, 255]
    site = network.lamps[seen["id"] - 1]
    assert seen["place"] == pytest.approx([site.x_m, site.y_m, site.z_m], abs=1e-3)
    assert sorted(seen["now"], reverse=True)[0] == [True, 1000.0, 173]
    assert [True, 250.0, 200] in seen["now"]
    changed = lamps[seen["id"] - 1]
    assert (changed.is_on, changed.intensity, changed.color_rgb) == (True, 0.25, (10, 20, 200))
    assert town.simulation.episode.street_state().lamps[seen["id"] - 1] == changed


def test_lamps_follow_the_dark_until_they_are_held(client) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
world.tick()
manager = world.get_lightmanager()
def on():
    for _ in range(5):
        world.tick()
        time.sleep(0.02)  # the wheel asks for the lamps in a thread of its own
    return len(manager.get_turned_on_lights(carla.LightGroup.Street))
day = on()
world.set_weather(carla.WeatherParameters.ClearNight)
night = on()
manager.set_day_night_cycle(False)
world.set_weather(carla.WeatherParameters.ClearNoon)
answer(day=day, night=night, held=on())
""")
    assert seen["day"] == 0 and seen["night"] > 10 and seen["held"] == seen["night"]


def test_props_stand_in_the_way_and_can_be_put_anywhere(client, town) -> None:
    seen = client("""
world = client.get_world()
enter_sync(world)
library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
way = points[0].get_forward_vector()
car = world.spawn_actor(library.find("vehicle.tesla.model3"), points[0])
barrier = world.spawn_actor(library.find("static.prop.streetbarrier"),
                            carla.Transform(points[0].location + 12.0 * way, points[0].rotation))
blocked = world.try_spawn_actor(library.find("vehicle.audi.tt"), carla.Transform(
    points[0].location + 12.0 * way, points[0].rotation)) is None
hits = queue.Queue()
bump = world.spawn_actor(library.find("sensor.other.collision"), carla.Transform(), attach_to=car)
bump.listen(hits.put)
for _ in range(20):
    world.tick()
car.set_target_velocity(carla.Vector3D(6.0 * way.x, 6.0 * way.y, 0.0))
for _ in range(60):
    world.tick()
hit = hits.get(timeout=5.0)
gone = barrier.get_location().distance(points[0].location + 12.0 * way)
boxes = world.get_level_bbs(carla.CityObjectLabel.Static)
barrier.set_location(points[0].location + 40.0 * way)
world.tick()
kinds = sorted(b.id for b in library.filter("static.prop.*"))
answer(hit=[hit.other_actor.id == barrier.id, hit.other_actor.type_id], gone=gone, blocked=blocked,
       speed=car.get_velocity().length(), extent=xyz(barrier.bounding_box.extent), tags=list(barrier.semantic_tags),
       size=library.find("static.prop.busstop").get_attribute("size").as_str(), kinds=kinds,
       boxed=any(abs(b.extent.y - 1.2) < 1e-6 and b.location.distance(points[0].location + 12.0 * way) < 1.5
                 for b in boxes), moved=barrier.get_location().distance(points[0].location))
bump.stop(); bump.destroy()
""")
    assert seen["hit"] == [True, "static.prop.streetbarrier"] and seen["blocked"] is True
    assert seen["gone"] < 0.5 and seen["speed"] < 1.0, "the car stops, the barrier stays"
    half = PROPS["streetbarrier"].half_extents_m
    assert seen["extent"] == pytest.approx(list(half)) and seen["tags"] == [PROPS["streetbarrier"].tag]
    assert seen["size"] == "big" and seen["kinds"] == sorted(PREFIX + name for name in PROPS)
    assert seen["boxed"] is True and seen["moved"] == pytest.approx(40.0, abs=0.5)
    assert any(
        body.blueprint_id == "static.prop.streetbarrier" for body in town.simulation.episode.street_state().bodies
    )


def test_the_static_towns_things_have_names_tags_and_boxes(client, town) -> None:
    seen = client("""
world = client.get_world()
houses = world.get_environment_objects(carla.CityObjectLabel.Buildings)
every = world.get_environment_objects(carla.CityObjectLabel.Any)
boxes = world.get_level_bbs(carla.CityObjectLabel.Buildings)
answer(houses=len(houses), every=len(every), boxes=len(boxes), names=[h.name for h in houses[:2]],
       same=[xyz(houses[0].bounding_box.location), xyz(boxes[0].location)], tags=sorted({int(e.type) for e in every}),
       ids=len({e.id for e in every}), named=sum(n.startswith("Building_") for n in world.get_names_of_all_objects()))
""")
    things = town.simulation.network.environment
    tags = [thing.tag for thing in things]
    assert seen["houses"] == seen["boxes"] == seen["named"] == tags.count(3) > 5
    assert seen["every"] == len(tags) == seen["ids"] and seen["tags"] == sorted(set(tags))
    assert all(name.startswith("Building_") for name in seen["names"])
    assert seen["same"][0] == seen["same"][1]
