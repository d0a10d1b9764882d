"""The town's painter: what its planes say, and that they say it of the same surfaces."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from bridge.town.engine import TownPainter, body_half_extents_m, culling, tags
from bridge.town.pose import Pose
from bridge.town.streets import StreetNetwork, build_street_network
from bridge.town.views import Body, CameraView, Plane, Planes, SignalHead, StreetState

WIDTH, HEIGHT, FOV_DEG = 128, 64, 90.0
FOCAL_PX = 0.5 * WIDTH / math.tan(math.radians(0.5 * FOV_DEG))
ALL: tuple[Plane, ...] = ("rgb", "semantic", "instance", "depth", "flow", "normals")
MOVERS = (
    tags.PEDESTRIAN,
    tags.RIDER,
    tags.CAR,
    tags.TRUCK,
    tags.BUS,
    tags.MOTORCYCLE,
    tags.BICYCLE,
)


@pytest.fixture(scope="module")
def network() -> StreetNetwork:
    return build_street_network()


@pytest.fixture(scope="module")
def painter(network: StreetNetwork) -> Iterator[TownPainter]:
    painter = TownPainter(network, threads=1)
    yield painter
    painter.close()


def lane_pose(
    network: StreetNetwork, ahead_m: float, right_m: float = 0.0, z_m: float = 0.0, turn_deg: float = 0.0
) -> Pose:
    """A pose that far ahead of (and beside) the first spawn point, on the ground."""
    spawn = network.spawn_points[0]
    at = spawn.matrix() @ np.array([ahead_m, right_m, 0.0, 1.0])
    return Pose(float(at[0]), float(at[1]), z_m, yaw_deg=spawn.yaw_deg + turn_deg)


def look(network: StreetNetwork, ahead_m: float = 0.0, *, z_m: float = 1.6, turn_deg: float = 0.0) -> CameraView:
    return CameraView(WIDTH, HEIGHT, FOV_DEG, lane_pose(network, ahead_m, z_m=z_m, turn_deg=turn_deg))


def kept(planes: Planes) -> dict[str, np.ndarray]:
    names = ("bgra", "semantic", "instance", "depth_m", "flow_px", "normals")
    return {name: getattr(planes, name).copy() for name in names if getattr(planes, name) is not None}


def camera_points(depth_m: np.ndarray) -> np.ndarray:
    """(H,W,3) points in CARLA's camera frame: x forward, y right, z up."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    right, down = (columns - WIDTH / 2) / FOCAL_PX, (rows - HEIGHT / 2) / FOCAL_PX
    return np.stack([depth_m, right * depth_m, -down * depth_m], -1).astype(float)


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def project(points: np.ndarray) -> np.ndarray:
    """(...,2) pixel coordinates of points in CARLA's camera frame."""
    return np.stack(
        [
            points[..., 1] / points[..., 0] * FOCAL_PX + WIDTH / 2,
            -points[..., 2] / points[..., 0] * FOCAL_PX + HEIGHT / 2,
        ],
        -1,
    )


def test_only_the_wanted_planes_come(network: StreetNetwork, painter: TownPainter) -> None:
    view = look(network)
    planes = painter.render(view, view.pose, StreetState(), ("semantic", "depth"))
    assert (
        planes.semantic is not None and planes.semantic.shape == (HEIGHT, WIDTH) and planes.semantic.dtype == np.uint8
    )
    assert planes.depth_m is not None and planes.depth_m.dtype == np.float32
    assert planes.bgra is None and planes.instance is None and planes.flow_px is None


def test_the_road_lies_where_the_camera_height_puts_it(network: StreetNetwork, painter: TownPainter) -> None:
    view = look(network, z_m=1.6)
    planes = kept(painter.render(view, view.pose, StreetState(), ("semantic", "depth")))
    rows = np.arange(HEIGHT) + 0.5 - HEIGHT / 2
    on_road = (planes["semantic"] == tags.ROAD) & (rows > 2.0)[:, None]
    assert on_road.sum() > 1000
    expected = np.broadcast_to((1.6 * FOCAL_PX / np.maximum(rows, 0.1))[:, None], on_road.shape)
    np.testing.assert_allclose(planes["depth_m"][on_road], expected[on_road], rtol=5e-3)


def test_the_sky_is_far_and_blue_and_the_pictures_are_bgra(network: StreetNetwork, painter: TownPainter) -> None:
    view = look(network)
    planes = kept(painter.render(view, view.pose, StreetState(), ALL))
    sky = planes["semantic"] == tags.SKY
    assert sky[:10].mean() > 0.15
    assert (planes["depth_m"][sky] == 1000.0).all()
    assert (planes["bgra"][..., 3] == 255).all()
    blue, red = planes["bgra"][sky][:, 0].astype(int), planes["bgra"][sky][:, 2].astype(int)
    assert (blue >= red).mean() > 0.9


@pytest.mark.parametrize(("colour", "channel"), [((255, 0, 0), 2), ((0, 255, 0), 1), ((0, 0, 255), 0)])
def test_a_body_has_the_colour_it_was_given(
    network: StreetNetwork, painter: TownPainter, colour: tuple[int, int, int], channel: int
) -> None:
    pose = lane_pose(network, 9.0)
    state = StreetState(bodies=(Body(7, "vehicle.mercedes.sprinter", pose, pose, colour),))
    view = look(network)
    planes = kept(painter.render(view, view.pose, state, ("rgb", "instance")))
    mean = planes["bgra"][planes["instance"] == 7][:, :3].astype(float).mean(0)
    others = [mean[k] for k in range(3) if k != channel]
    assert mean[channel] > 1.25 * max(others)


def crowd(network: StreetNetwork) -> StreetState:
    """Bodies of every kind along the street ahead, all of them moving."""
    ids = (
        "vehicle.tesla.model3",
        "vehicle.mitsubishi.fusorosa",
        "vehicle.carlamotors.european_hgv",
        "vehicle.kawasaki.ninja",
        "vehicle.gazelle.omafiets",
        "vehicle.volkswagen.t2",
        "walker.pedestrian.0003",
        "walker.pedestrian.0012",
    )
    bodies = []
    for number, blueprint in enumerate(ids):
        right = (0.0, -3.5, 5.4)[number % 3]
        before = lane_pose(network, 10.0 + 5.0 * number, right, 0.14 if right > 4 else 0.0, turn_deg=3.0 * number)
        forward = before.matrix()[:3, 0] * (0.5 if blueprint.startswith("vehicle") else 0.1)
        now = Pose(before.x_m + forward[0], before.y_m + forward[1], before.z_m, yaw_deg=before.yaw_deg + 1.0)
        bodies.append(Body(300 + number, blueprint, now, before, (90, 120, 200), steer_deg=5.0, stride_m=1.0))
    return StreetState(bodies=tuple(bodies))


def test_actor_ids_appear_only_on_movable_things(network: StreetNetwork, painter: TownPainter) -> None:
    state = crowd(network)
    view = look(network)
    planes = kept(painter.render(view, view.pose, state, ("semantic", "instance")))
    is_actor = planes["instance"] > 0
    assert set(np.unique(planes["instance"])) <= {0, *(body.actor_id for body in state.bodies)}
    assert len(np.unique(planes["instance"])) >= 6
    assert np.isin(planes["semantic"][is_actor], MOVERS).all()
    assert set(np.unique(planes["semantic"])) <= {*range(1, 12), *MOVERS, tags.STATIC, tags.ROAD_LINE, tags.GROUND}
    parked = (planes["semantic"] == tags.CAR) & ~is_actor
    assert parked.any(), "parked cars belong to the static world"


def test_two_wheelers_carry_riders(network: StreetNetwork, painter: TownPainter) -> None:
    pose = lane_pose(network, 4.0, turn_deg=70.0)
    for blueprint, tag in (("vehicle.bh.crossbike", tags.BICYCLE), ("vehicle.yamaha.yzf", tags.MOTORCYCLE)):
        state = StreetState(bodies=(Body(5, blueprint, pose, pose),))
        view = look(network)
        planes = kept(painter.render(view, view.pose, state, ("semantic", "instance")))
        assert set(np.unique(planes["semantic"][planes["instance"] == 5])) == {tag, tags.RIDER}


@pytest.mark.parametrize(
    "blueprint",
    ["vehicle.tesla.model3", "vehicle.volkswagen.t2", "vehicle.carlamotors.carlacola", "walker.pedestrian.0007"],
)
def test_a_body_fills_its_bounding_box(network: StreetNetwork, painter: TownPainter, blueprint: str) -> None:
    half = np.array(body_half_extents_m(blueprint))
    reached = np.zeros(3)
    for turn in (0.0, 40.0, 90.0):
        pose = lane_pose(network, 7.0, turn_deg=turn)
        state = StreetState(bodies=(Body(9, blueprint, pose, pose),))
        view = look(network)
        planes = kept(painter.render(view, view.pose, state, ("instance", "depth")))
        world = moved(camera_points(planes["depth_m"]), view.pose.matrix())[planes["instance"] == 9]
        local = np.abs(moved(world, np.linalg.inv(pose.matrix())) - [0.0, 0.0, half[2]])
        # A pixel at the silhouette may be most of a pixel off its surface.
        assert (np.quantile(local, 0.97, axis=0) < half + 0.1).all()
        reached = np.maximum(reached, np.quantile(local, 0.995, axis=0))
    floor = 0.5 if blueprint.startswith("walker") else 0.85
    assert (reached > floor * half).all()


def test_flow_is_what_depth_and_poses_say(network: StreetNetwork, painter: TownPainter) -> None:
    state = crowd(network)
    view = look(network, 1.0, turn_deg=1.5)
    previous = look(network, 0.4, turn_deg=-1.0).pose
    planes = kept(painter.render(view, previous, state, ALL))
    world = moved(camera_points(planes["depth_m"]), view.pose.matrix())
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    now = np.stack([columns, rows], -1)
    to_previous = np.linalg.inv(previous.matrix())

    def errors(points: np.ndarray, where: np.ndarray) -> np.ndarray:
        before = moved(points, to_previous)
        seen = where & (before[..., 0] > 0.2)
        return np.linalg.norm(now[seen] - project(before[seen]) - planes["flow_px"][seen], axis=-1)

    static = (planes["instance"] == 0) & (planes["semantic"] != tags.SKY)
    assert np.quantile(errors(world, static), 0.99) < 2e-2
    for body in state.bodies:
        where = planes["instance"] == body.actor_id
        if where.sum() < 30:
            continue
        local = moved(world, np.linalg.inv(body.pose.matrix()))
        # Wheels and limbs move on their own: the body itself is most of it.
        assert np.quantile(errors(moved(local, body.previous_pose.matrix()), where), 0.5) < 2e-2
    sky = planes["semantic"] == tags.SKY
    far = world + 1e6 * (world - view.pose.matrix()[:3, 3])
    assert np.quantile(errors(far, sky), 0.99) < 2e-2


def test_standing_still_gives_no_flow(network: StreetNetwork, painter: TownPainter) -> None:
    view = look(network)
    planes = kept(painter.render(view, view.pose, StreetState(), ("flow",)))
    assert np.abs(planes["flow_px"]).max() < 1e-2


def test_the_same_town_is_painted_bit_by_bit_whatever_the_threads(network: StreetNetwork, painter: TownPainter) -> None:
    other = TownPainter(network, threads=3)
    state = crowd(network)
    try:
        for ahead in (0.0, 40.0):
            view, previous = look(network, ahead), look(network, ahead - 0.5).pose
            first, second = kept(painter.render(view, previous, state, ALL)), None
            second = kept(other.render(view, previous, state, ALL))
            for name, plane in first.items():
                np.testing.assert_array_equal(plane, second[name], err_msg=name)
    finally:
        other.close()


def test_skipping_what_is_hidden_changes_no_pixel(
    network: StreetNetwork, painter: TownPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = crowd(network)
    views = [look(network, ahead, turn_deg=turn) for ahead, turn in ((0.0, 0.0), (60.0, 70.0), (150.0, -20.0))]
    skipped = [kept(painter.render(view, view.pose, state, ALL)) for view in views]
    monkeypatch.setattr(culling, "OCCLUDER_REACH_M", 1e9)
    for view, planes in zip(views, skipped, strict=True):
        everything = kept(painter.render(view, view.pose, state, ALL))
        for name, plane in everything.items():
            np.testing.assert_array_equal(plane, planes[name], err_msg=name)


def test_asking_twice_reuses_the_view_and_changes_nothing(network: StreetNetwork, painter: TownPainter) -> None:
    state, view = crowd(network), look(network)
    together = kept(painter.render(view, view.pose, state, ALL))
    labels = kept(painter.render(view, view.pose, state, ("semantic", "instance")))
    assert "raster" not in painter.timings_ms
    colours = kept(painter.render(view, view.pose, state, ("rgb",)))
    np.testing.assert_array_equal(labels["semantic"], together["semantic"])
    np.testing.assert_array_equal(colours["bgra"], together["bgra"])


def test_bodies_leave_without_a_trace(network: StreetNetwork, painter: TownPainter) -> None:
    view = look(network)
    empty = kept(painter.render(view, view.pose, StreetState(), ALL))
    painter.render(view, view.pose, crowd(network), ALL)
    again = kept(painter.render(view, view.pose, StreetState(), ALL))
    for name, plane in empty.items():
        np.testing.assert_array_equal(plane, again[name], err_msg=name)


def test_a_light_shines_in_its_state(network: StreetNetwork, painter: TownPainter) -> None:
    site = network.traffic_lights[0]
    back = site.pose.matrix() @ np.array([-7.0, 0.0, 0.0, 1.0])
    view = CameraView(WIDTH, HEIGHT, 40.0, Pose(float(back[0]), float(back[1]), 3.0, yaw_deg=site.pose.yaw_deg))
    seen = {}
    for state in ("red", "green", "off"):
        signals = (SignalHead(50, state), *(SignalHead(51 + k, "off") for k in range(3)))
        planes = kept(painter.render(view, view.pose, StreetState(signals=signals), ("rgb", "semantic")))
        seen[state] = planes["bgra"][planes["semantic"] == tags.TRAFFIC_LIGHT][:, :3].astype(int)
    assert (seen["red"][:, 2] - seen["off"][:, 2]).max() > 60
    assert (seen["green"][:, 1] - seen["off"][:, 1]).max() > 60


def test_unknown_vehicles_are_drawn_as_cars_and_other_things_refused(
    network: StreetNetwork, painter: TownPainter
) -> None:
    pose, view = lane_pose(network, 8.0), look(network)
    state = StreetState(bodies=(Body(3, "vehicle.acme.rocket", pose, pose),))
    planes = kept(painter.render(view, view.pose, state, ("semantic", "instance")))
    assert set(planes["semantic"][planes["instance"] == 3]) == {tags.CAR}
    refused = StreetState(bodies=(Body(3, "traffic.cone", pose, pose),))
    with pytest.raises(ValueError, match=r"vehicle\.\*, walker\.\*.*'traffic\.cone'"):
        painter.render(view, view.pose, refused, ("semantic",))


def test_a_view_that_is_no_picture_is_refused(network: StreetNetwork, painter: TownPainter) -> None:
    pose = look(network).pose
    with pytest.raises(ValueError, match="pixels wide and high, not 0x64"):
        painter.render(CameraView(0, 64, 90.0, pose), pose, StreetState(), ("rgb",))
    with pytest.raises(ValueError, match="field of view"):
        painter.render(CameraView(64, 64, 180.0, pose), pose, StreetState(), ("rgb",))
