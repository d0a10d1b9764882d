"""All planes of a view tell of the same surfaces: checked by rays, by the bodies' own boxes, from frame to frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from bridge.town.engine import TownPainter, body_half_extents_m, tags
from bridge.town.pose import Pose
from bridge.town.streets import StreetNetwork, build_street_network
from bridge.town.views import Body, CameraView, Plane, StreetState

ALL: tuple[Plane, ...] = ("semantic", "instance", "depth", "flow", "normals")
BLUEPRINTS = (
    "vehicle.tesla.model3",
    "vehicle.mercedes.sprinter",
    "vehicle.carlamotors.european_hgv",
    "vehicle.mitsubishi.fusorosa",
    "vehicle.kawasaki.ninja",
    "vehicle.gazelle.omafiets",
    "walker.pedestrian.0003",
    "walker.pedestrian.0012",
)
WIDTH, HEIGHT = 128, 72


@pytest.fixture(scope="module")
def network() -> StreetNetwork:
    return build_street_network()


@pytest.fixture(scope="module")
def painter(network: StreetNetwork) -> Iterator[TownPainter]:
    painter = TownPainter(network, threads=1)
    yield painter
    painter.close()


def crowd(network: StreetNetwork, around: Pose, step_m: float) -> tuple[Body, ...]:
    """Bodies of every kind on the spawn points near a place, each having moved and turned a little."""
    spawns = sorted(network.spawn_points, key=lambda p: math.hypot(p.x_m - around.x_m, p.y_m - around.y_m))
    bodies = []
    for number, blueprint in enumerate(BLUEPRINTS):
        spawn = spawns[1 + number]
        now = Pose(spawn.x_m, spawn.y_m, 0.0, yaw_deg=spawn.yaw_deg)
        before = replace(now.compose(Pose(-step_m)), yaw_deg=now.yaw_deg - 2.0 * step_m)
        stride = 0.0 if blueprint.startswith("vehicle") else 0.3
        bodies.append(Body(300 + number, blueprint, now, before, stride_m=stride))
    return tuple(bodies)


def random_view(network: StreetNetwork, rng: np.random.Generator) -> CameraView:
    """A camera anywhere near a lane, at any height, looking anywhere but straight up."""
    spawn = network.spawn_points[int(rng.integers(len(network.spawn_points)))]
    place = spawn.compose(Pose(float(rng.uniform(-6, 6)), float(rng.uniform(-1.5, 1.5))))
    pose = Pose(
        place.x_m,
        place.y_m,
        float(rng.uniform(0.6, 9.0)),
        float(rng.uniform(-25, 10)),
        float(rng.uniform(0, 360)),
        float(rng.uniform(-5, 5)),
    )
    return CameraView(WIDTH, HEIGHT, float(rng.uniform(50, 110)), pose)


def rays_of(view: CameraView) -> np.ndarray:
    """(H,W,3) directions of the pixels' centres in the camera's frame (x forward, y right, z up), x = 1."""
    focal = 0.5 * view.width_px / math.tan(math.radians(0.5 * view.fov_deg))
    rows, columns = np.mgrid[0 : view.height_px, 0 : view.width_px] + 0.5
    right, down = (columns - view.width_px / 2) / focal, (rows - view.height_px / 2) / focal
    return np.stack([np.ones_like(right), right, -down], -1)


def inner(*planes: np.ndarray) -> np.ndarray:
    """Where a pixel and its eight neighbours agree in every plane: not at the edge of anything."""
    same = np.zeros(planes[0].shape, bool)
    same[1:-1, 1:-1] = True
    for plane in planes:
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                shifted = plane[1 + dy : plane.shape[0] - 1 + dy, 1 + dx : plane.shape[1] - 1 + dx]
                same[1:-1, 1:-1] &= shifted == plane[1:-1, 1:-1]
    return same


def near_range(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and largest depth of every pixel and its eight neighbours."""
    padded = np.pad(depth, 1, mode="edge")
    around = [padded[dy : dy + depth.shape[0], dx : dx + depth.shape[1]] for dy in range(3) for dx in range(3)]
    return np.min(around, axis=0), np.max(around, axis=0)


def check_view(painter: TownPainter, view: CameraView, bodies: tuple[Body, ...]) -> int:
    """Compare a view's planes with rays through its pixels; return how many pixels were compared."""
    planes = painter.render(view, view.pose, StreetState(bodies), ALL)
    assert planes.semantic is not None and planes.instance is not None and planes.depth_m is not None
    assert planes.normals is not None
    semantic, instance, depth, normals = planes.semantic, planes.instance, planes.depth_m, planes.normals
    sky = semantic == tags.SKY
    assert (depth[sky] == 1000.0).all()
    assert ((depth == 1000.0) & ~sky).mean() < 0.01, "only the land at the horizon is as far"
    np.testing.assert_array_equal(sky, (normals == 0.0).all(-1))
    np.testing.assert_allclose(np.linalg.norm(normals[~sky], axis=-1), 1.0, atol=1e-4)
    _check_bodies(view, bodies, semantic, instance, depth)

    # What rays meet: leaves and railings are solid for them, far trees have fewer branches.
    compared = inner(semantic, instance) & ~np.isin(semantic, (tags.VEGETATION, tags.FENCE, tags.SKY))
    compared &= (depth < 50.0) & (depth > 0.2)
    directions = rays_of(view)[compared]
    length = np.linalg.norm(directions, axis=-1)
    matrix = view.pose.matrix()
    world = (directions / length[:, None]) @ matrix[:3, :3].T
    hits = painter.cast(np.broadcast_to(matrix[:3, 3], world.shape), world, 100.0, bodies)
    ours = depth[compared] * length
    # A balcony's railings are a part of the building.
    pierced = (tags.VEGETATION, tags.FENCE, tags.BUILDING)
    behind_leaves = np.isin(hits.tag, pierced) & (hits.distance_m < ours - 0.05)
    # A decal lies on the road it marks: both are hit at once. Thin things fit between samples and centre.
    # Where a thing has steps finer than a pixel, the ray through its centre meets one of the neighbours' depths.
    low, high = near_range(depth)
    low, high = low[compared] * length, high[compared] * length
    same_place = (hits.distance_m > low * 0.996 - 0.03) & (hits.distance_m < high * 1.004 + 0.03)
    same_tag = (hits.tag == semantic[compared]) | (
        np.isin(hits.tag, (1, 24, 2)) & np.isin(semantic[compared], (1, 24, 2))
    )
    agree = (same_place & same_tag & (hits.actor == instance[compared])) | behind_leaves
    if len(agree):
        assert agree.mean() > 0.99, f"{(~agree).sum()} of {len(agree)} pixels differ from the rays at {view}"
    return int(compared.sum())


def _check_bodies(
    view: CameraView, bodies: tuple[Body, ...], semantic: np.ndarray, instance: np.ndarray, depth: np.ndarray
) -> None:
    """A body's pixels lie in its box, and nothing but a body's pixels lies deep within one."""
    points = rays_of(view) * depth[..., None].astype(float)
    world = points @ view.pose.matrix()[:3, :3].T + view.pose.matrix()[:3, 3]
    for body in bodies:
        local = (world - body.pose.matrix()[:3, 3]) @ body.pose.matrix()[:3, :3]
        half = np.array(body_half_extents_m(body.blueprint_id))
        local[..., 2] -= half[2]
        reach = 0.35 if body.blueprint_id.startswith("walker") else 0.12
        mine = instance == body.actor_id
        outside = (np.abs(local[mine]) > half + reach).any(-1)
        assert outside.sum() <= 2 + 0.004 * mine.sum(), f"{outside.sum()} pixels of {body.blueprint_id} outside its box"
        movers = (tags.PEDESTRIAN, tags.RIDER, tags.CAR, tags.TRUCK, tags.BUS, tags.MOTORCYCLE, tags.BICYCLE)
        assert np.isin(semantic[mine], movers).all()
        deep = (np.abs(local) < 0.6 * half).all(-1)
        assert (instance[deep] != 0).all(), f"the street shows through {body.blueprint_id}"


@pytest.mark.parametrize("seed", range(6))
def test_planes_agree_with_rays(network: StreetNetwork, painter: TownPainter, seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    view = random_view(network, rng)
    check_view(painter, view, crowd(network, view.pose, 0.4))


def test_the_edges_of_a_lorry_lie_on_it(network: StreetNetwork, painter: TownPainter) -> None:
    """Its roof and its back are seen at so flat an angle that a quarter of a pixel is decimetres."""
    pose = Pose(51.81139686, 16.92808473, 4.97779548, 6.37891833, 267.39627056, 0.80652864)
    view = CameraView(WIDTH, HEIGHT, 75.59897023, pose)
    check_view(painter, view, crowd(network, pose, 0.4))


@pytest.mark.slow
def test_planes_agree_with_rays_in_fifty_views(network: StreetNetwork, painter: TownPainter) -> None:
    rng = np.random.default_rng(7)
    views = [random_view(network, rng) for _ in range(50)]
    assert sum(check_view(painter, view, crowd(network, view.pose, 0.4)) for view in views) > 50_000


@pytest.mark.parametrize("seed", range(4))
def test_warping_by_flow_leads_to_the_next_frame(network: StreetNetwork, painter: TownPainter, seed: int) -> None:
    rng = np.random.default_rng(200 + seed)
    spawn = network.spawn_points[int(rng.integers(len(network.spawn_points)))]
    now = spawn.compose(Pose(0.0, 0.2, 1.7 - spawn.z_m, pitch_deg=-3.0, yaw_deg=float(rng.uniform(-25, 25))))
    before = now.compose(Pose(-0.6, 0.05, -0.02, yaw_deg=-1.5, pitch_deg=0.4))
    bodies = crowd(network, now, 0.4)
    earlier = tuple(replace(body, pose=body.previous_pose, stride_m=max(0.0, body.stride_m - 0.4)) for body in bodies)
    first = painter.render(CameraView(WIDTH, HEIGHT, 80.0, before), before, StreetState(earlier), ALL)
    assert first.depth_m is not None and first.semantic is not None and first.instance is not None
    old_depth, old_tag, old_actor = first.depth_m.copy(), first.semantic.copy(), first.instance.copy()
    view = CameraView(WIDTH, HEIGHT, 80.0, now)
    second = painter.render(view, before, StreetState(bodies), ALL)
    assert second.depth_m is not None and second.flow_px is not None
    assert second.semantic is not None and second.instance is not None

    # Where every surface was, seen by the camera of the earlier frame.
    world = rays_of(view) * second.depth_m[..., None].astype(float) @ now.matrix()[:3, :3].T + now.matrix()[:3, 3]
    rigid = np.ones((HEIGHT, WIDTH), bool)
    for body in bodies:
        mine = second.instance == body.actor_id
        there = (world[mine] - body.pose.matrix()[:3, 3]) @ body.pose.matrix()[:3, :3]
        world[mine] = there @ body.previous_pose.matrix()[:3, :3].T + body.previous_pose.matrix()[:3, 3]
        rigid[mine & ~np.isin(second.semantic, (tags.CAR, tags.BUS, tags.TRUCK))] = False
    was_depth = ((world - before.matrix()[:3, 3]) @ before.matrix()[:3, :3])[..., 0]
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    source = np.stack([columns - second.flow_px[..., 0], rows - second.flow_px[..., 1]], -1)
    inside = (source > 1.0).all(-1) & (source[..., 0] < WIDTH - 1) & (source[..., 1] < HEIGHT - 1)
    compared = inside & rigid & inner(second.semantic, second.instance)
    compared &= ~np.isin(second.semantic, (tags.SKY, tags.VEGETATION, tags.FENCE)) & (second.depth_m < 60.0)
    # The four pixels around the place are within half a pixel of it along each axis.
    corner = np.floor(source[compared] - 0.5).astype(int)
    around = [(corner[:, 1] + dy, corner[:, 0] + dx) for dy in (0, 1) for dx in (0, 1)]
    expected = was_depth[compared]
    nearest = np.min([old_depth[at] for at in around], axis=0)
    visible = nearest > expected * 0.97
    assert visible.mean() > 0.6
    low = np.min([old_depth[at] for at in around], axis=0)[visible]
    high = np.max([old_depth[at] for at in around], axis=0)[visible]
    fits = (low <= expected[visible] * 1.01) & (high >= expected[visible] * 0.99)
    assert fits.mean() > 0.99
    tag, actor = second.semantic[compared], second.instance[compared]
    labelled = np.any([(old_tag[at] == tag) & (old_actor[at] == actor) for at in around], axis=0)
    assert labelled[visible].mean() > 0.99
