"""Things and layers of the static town that clients switch, seen through the wheel with the town's own engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bridge.town.engine.painter import TownPainter
from bridge.town.server import TownServer
from bridge.town.streets import build_street_network

LOOK_AND_SWITCH = """
import numpy as np

client.set_timeout(60.0)
world = client.get_world()
enter_sync(world)
library = world.get_blueprint_library()
every = {thing.id: thing for thing in world.get_environment_objects(carla.CityObjectLabel.Any)}
houses = world.get_environment_objects(carla.CityObjectLabel.Buildings)
points = world.get_map().get_spawn_points()


def before(house, clear_m):
    '''A pose in the street that looks at the middle of a house.'''
    at, half, along = house.bounding_box.location, house.bounding_box.extent, house.transform.get_forward_vector()
    side = carla.Vector3D(-along.y, along.x, 0.0)
    eyes = [at + sign * (half.y + clear_m) * side + carla.Location(z=1.8 - at.z) for sign in (1, -1)]
    way = lambda eye: world.get_map().get_waypoint(eye).transform.location.distance(carla.Location(eye.x, eye.y, 0.0))
    eye = min(eyes, key=way)
    towards = at - eye
    return carla.Transform(eye, carla.Rotation(yaw=float(np.degrees(np.arctan2(towards.y, towards.x)))))


near = [h for h in houses if any(p.location.distance(h.transform.location) < 20.0 for p in points)]
house = max(near, key=lambda h: h.bounding_box.extent.z * h.bounding_box.extent.x)
pose = before(house, 9.0)
pictures, cameras = {}, []
for kind in ("rgb", "semantic_segmentation", "depth"):
    camera = world.spawn_actor(camera_blueprint(library, kind, 128, 64), pose)
    pictures[kind] = queue.Queue()
    camera.listen(pictures[kind].put)
    cameras.append(camera)
lidar_kind = library.find("sensor.lidar.ray_cast_semantic")
for name, value in dict(range=14, channels=8, upper_fov=10, lower_fov=0, rotation_frequency=20,
                        points_per_second=20000, horizontal_fov=40).items():
    lidar_kind.set_attribute(name, str(value))
lidar = world.spawn_actor(lidar_kind, pose)
points_of = queue.Queue()
lidar.listen(points_of.put)


def look():
    frame = world.tick()
    shown = {}
    for kind, waiting in pictures.items():
        picture = waiting.get(timeout=60.0)
        assert picture.frame == frame
        shown[kind] = np.frombuffer(picture.raw_data, np.uint8).reshape(64, 128, 4)[..., :3].copy()
    tags = [point.object_tag for point in points_of.get(timeout=60.0)]
    return shown, tags


def share(shown, tag):
    return float((shown["semantic_segmentation"][..., 2] == tag).mean())

"""


@pytest.fixture(scope="module")
def drawn_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TownServer]:
    """A town with its own engine, every kernel compiled: no client may wait for that."""
    network = build_street_network(0)
    painter = TownPainter(network, threads=1)
    painter.warm_up()
    painter.cast(np.array([0.0, 0.0, 1.0]), np.array([[1.0, 0.0, 0.0]]), 1.0, ())
    server = TownServer(port=0, painter=painter, network=network, recordings_dir=tmp_path_factory.mktemp("recordings"))
    server.start()
    yield server
    server.stop()
    painter.close()


def test_a_house_that_is_switched_off_vanishes_from_all_planes_and_rays(
    drawn_town: TownServer, client_of, tmp_path: Path
) -> None:
    script = """
whole, whole_tags = look()
middle = np.s_[20:32, 40:88]
world.enable_environment_objects({house.id}, False)
without, without_tags = look()
listed = house.id in {thing.id for thing in world.get_environment_objects(carla.CityObjectLabel.Any)}
boxed = len(world.get_level_bbs(carla.CityObjectLabel.Buildings))
inside = carla.Transform(carla.Location(house.bounding_box.location.x, house.bounding_box.location.y, 0.5))
car = world.try_spawn_actor(library.find("vehicle.tesla.model3"), inside)
enters = car is not None
look()
gone = enters and car.destroy()
ray = (pose.location, house.bounding_box.location)
through = [point.label for point in world.cast_ray(*ray)]
world.enable_environment_objects({house.id}, True)
again, again_tags = look()
stopped = [point.label for point in world.cast_ray(*ray)]
answer(share=[share(shown, 3) for shown in (whole, without, again)], listed=listed,
       walls=[tags.count(3) for tags in (whole_tags, without_tags, again_tags)],
       boxed=[boxed, len(world.get_level_bbs(carla.CityObjectLabel.Buildings))], houses=len(houses),
       redrawn=bool((again["rgb"] == whole["rgb"]).all() and (again["depth"] == whole["depth"]).all()),
       changed=float((without["rgb"] != whole["rgb"]).any(-1).mean()),
       deeper=float((depth_m(without)[middle] > depth_m(whole)[middle] + 1.0).mean()),
       enters=gone, shut=world.try_spawn_actor(library.find("vehicle.tesla.model3"), inside) is None,
       through=carla.CityObjectLabel.Buildings in through[:1], stopped=carla.CityObjectLabel.Buildings in stopped)
"""
    depth = """
def depth_m(shown):
    blue, green, red = (shown["depth"][..., k].astype(float) for k in range(3))
    return 1000.0 * (red + 256.0 * green + 65536.0 * blue) / (256.0**3 - 1.0)
"""
    seen = client_of(drawn_town.port, LOOK_AND_SWITCH + depth + script, home=tmp_path, timeout_s=180.0)
    whole, without, again = seen["share"]
    assert whole > 0.3 and without < whole - 0.1 and again == whole
    there, gone, back = seen["walls"]
    assert gone < 0.3 * there and back > 0.9 * there > 0, "the lidar looks through it"
    assert seen["redrawn"] is True and seen["changed"] > 0.2 and seen["deeper"] > 0.5
    assert seen["listed"] is True and seen["boxed"] == [seen["houses"] - 1, seen["houses"]]
    assert seen["enters"] is True and seen["shut"] is True, "it is solid while it shows"
    assert seen["stopped"] is True and seen["through"] is False


def test_layers_are_taken_away_and_brought_back(drawn_town: TownServer, client_of, tmp_path: Path) -> None:
    script = """
whole, _ = look()
counts = {}
for layer, tag in ((carla.MapLayer.Buildings, 3), (carla.MapLayer.Foliage, 9), (carla.MapLayer.Ground, 10)):
    world.unload_map_layer(layer)
    shown, _ = look()
    counts[str(layer)] = share(shown, tag)
    world.load_map_layer(layer)
world.unload_map_layer(carla.MapLayer.All)
bare, tags = look()
left = sorted(set(np.unique(bare["semantic_segmentation"][..., 2]).tolist()))
cars = len(world.get_level_bbs(carla.CityObjectLabel.Car))
world.load_map_layer(carla.MapLayer.All)
again, _ = look()
parked = len(world.get_level_bbs(carla.CityObjectLabel.Car))
answer(whole=share(whole, 3), counts=counts, left=left, cars=[cars, parked],
       redrawn=bool((again["rgb"] == whole["rgb"]).all()))
"""
    seen = client_of(drawn_town.port, LOOK_AND_SWITCH + script, home=tmp_path, timeout_s=180.0)
    assert seen["whole"] > 0.3 and max(seen["counts"].values()) < 0.01, "a tree keeps the soil around it"
    assert set(seen["left"]) <= {0, 1, 2, 6, 7, 8, 11, 24}, "streets, signs and sky stay"
    assert seen["cars"][0] == 0 and seen["cars"][1] > 50
    assert seen["redrawn"] is True


def test_the_layered_map_loads_with_the_layers_that_are_asked_for(town: TownServer, client) -> None:
    seen = client("""
maps = [name.rsplit("/", 1)[1] for name in client.get_available_maps()]
world = client.load_world("Town_Opt", True, carla.MapLayer(carla.MapLayer.Buildings | carla.MapLayer.Ground))
name = world.get_map().name
houses = len(world.get_level_bbs(carla.CityObjectLabel.Buildings))
cars = len(world.get_level_bbs(carla.CityObjectLabel.Car))
world.load_map_layer(carla.MapLayer.ParkedVehicles)
world.tick() if world.get_settings().synchronous_mode else world.wait_for_tick()
parked = len(world.get_level_bbs(carla.CityObjectLabel.Car))
same = client.reload_world().get_map().name
plain = client.load_world("Town")
answer(maps=maps, name=name, houses=houses, cars=cars, parked=parked, same=same, plain=plain.get_map().name,
       refused=error_of(lambda: client.load_world("Town10HD_Opt")),
       back=len(plain.get_level_bbs(carla.CityObjectLabel.Car)))
""")
    assert seen["maps"] == ["Town", "Town_Opt"]
    assert seen["name"] == seen["same"] == "Carla/Maps/Town_Opt" and seen["plain"] == "Carla/Maps/Town"
    assert seen["houses"] > 100 and seen["cars"] == 0 and seen["parked"] == seen["back"] > 50
    assert "Town_Opt" in seen["refused"]


OWN_OPENDRIVE = """
import numpy as np

lane = ('<lane id="{}" type="{}" level="false"><width sOffset="0" a="{}" b="0" c="0" d="0"/>'
        '<roadMark sOffset="0" type="solid" weight="standard" color="standard" width="0.12"/></lane>')
side = lambda name, sign: f"<{name}>" + "".join(
    lane.format(sign * k, kind, a) for k, kind, a in sorted(
        ((1, "driving", 3.5), (2, "sidewalk", 2.5)), reverse=sign > 0)) + f"</{name}>"
text = ('<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name="" version="1"/>'
        '<road name="r" length="200" id="3" junction="-1"><link/><planView>'
        '<geometry s="0" x="0" y="0" hdg="0" length="100"><line/></geometry>'
        '<geometry s="100" x="100" y="0" hdg="0" length="100"><arc curvature="0.01"/></geometry></planView>'
        '<elevationProfile/><lateralProfile/><lanes><laneSection s="0">' + side("left", 1) +
        '<center><lane id="0" type="none" level="false"><roadMark sOffset="0" type="broken" weight="standard" '
        'color="standard" width="0.12"/></lane></center>' + side("right", -1) +
        '</laneSection></lanes></road></OpenDRIVE>')
client.set_timeout(60.0)
refused = error_of(lambda: client.generate_opendrive_world("<OpenDRIVE/>"))
still = client.get_world().get_map().name
world = client.generate_opendrive_world(text, carla.OpendriveGenerationParameters(2.0, 50.0, 1.0, 0.6, True, True))
enter_sync(world)
town_map = world.get_map()
points = town_map.get_spawn_points()
library = world.get_blueprint_library()
start = min((p for p in points if abs(p.rotation.yaw) < 1.0), key=lambda p: p.location.x)
car = world.spawn_actor(library.find("vehicle.tesla.model3"), start)
camera = world.spawn_actor(camera_blueprint(library, "semantic_segmentation", 128, 64),
                           carla.Transform(carla.Location(x=1.5, z=2.0)), attach_to=car)
pictures = queue.Queue()
camera.listen(pictures.put)
car.apply_control(carla.VehicleControl(throttle=0.7))
for _ in range(60):
    world.tick()
    picture = pictures.get(timeout=60.0)
tags = np.frombuffer(picture.raw_data, np.uint8).reshape(64, 128, 4)[..., 2]
at = car.get_transform().location
walk = world.get_random_location_from_navigation()
led = walk and town_map.get_waypoint(walk, project_to_road=False, lane_type=carla.LaneType.Sidewalk)
driven = at.distance(start.location)
lane_id = town_map.get_waypoint(at).lane_id
things = len(world.get_environment_objects(carla.CityObjectLabel.Any))
name = town_map.name
home = client.load_world("Town")
answer(refused=refused, still=still, name=name, points=len(points), driven=driven, z=at.z, lane=lane_id,
       tags=[int(t) for t in np.unique(tags)], road=float((tags == 1).mean()), walk=led is not None,
       things=things, home=home.get_map().name, maps=len(client.get_available_maps()))
"""


def test_a_client_drives_in_a_world_of_its_own_opendrive(drawn_town: TownServer, client_of, tmp_path: Path) -> None:
    seen = client_of(drawn_town.port, OWN_OPENDRIVE, home=tmp_path, timeout_s=180.0)
    assert "no road with a driving lane" in seen["refused"] and seen["still"] == "Carla/Maps/Town"
    assert seen["name"] == "Carla/Maps/OpenDriveMap" and seen["points"] > 10 and seen["things"] == 0
    assert seen["driven"] > 10.0 and abs(seen["z"]) < 0.2 and seen["lane"] == -1
    assert {1, 2, 10, 24} <= set(seen["tags"]) and seen["road"] > 0.1
    assert seen["walk"] is True, "pedestrians are led along sidewalks"
    assert seen["home"] == "Carla/Maps/Town" and seen["maps"] == 3
