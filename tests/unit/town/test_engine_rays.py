"""Rays meet what cameras see."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from bridge.town.engine import TownPainter
from bridge.town.pose import Pose
from bridge.town.streets import StreetNetwork, build_street_network
from bridge.town.views import Body, CameraView, StreetState

WIDTH, HEIGHT = 192, 96
FOLIAGE_TAG = 9


@pytest.fixture(scope="module")
def network() -> StreetNetwork:
    return build_street_network()


@pytest.fixture(scope="module")
def painter(network: StreetNetwork) -> Iterator[TownPainter]:
    painter = TownPainter(network, threads=1)
    yield painter
    painter.close()


def rays_of(pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Return a 90 degree camera's pixel rays in CARLA's world (N,3), and how long each is per metre of depth."""
    focal = 0.5 * WIDTH
    u, v = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    local = np.stack([np.ones_like(u), (u - 0.5 * WIDTH) / focal, -(v - 0.5 * HEIGHT) / focal], -1).reshape(-1, 3)
    length = np.linalg.norm(local, axis=1)
    return local / length[:, None] @ pose.matrix()[:3, :3].T, length


@pytest.mark.parametrize("spawn", [3, 40, 20])
def test_rays_and_pixels_meet_the_same_surfaces(painter: TownPainter, network: StreetNetwork, spawn: int) -> None:
    here = network.spawn_points[spawn]
    pose = Pose(here.x_m, here.y_m, 2.0, -5.0, here.yaw_deg, 3.0)
    kinds = ("vehicle.tesla.model3", "walker.pedestrian.0001", "vehicle.mitsubishi.fusorosa")
    apart = [(math.hypot(p.x_m - here.x_m, p.y_m - here.y_m), index) for index, p in enumerate(network.spawn_points)]
    near = [network.spawn_points[index] for distance, index in sorted(apart) if distance > 8.0][:40]
    bodies = tuple(
        Body(100 + k, kinds[k % 3], Pose(p.x_m, p.y_m, yaw_deg=p.yaw_deg), p, steer_deg=20.0, stride_m=0.3)
        for k, p in enumerate(near)
    )
    planes = painter.render(
        CameraView(WIDTH, HEIGHT, 90.0, pose), pose, StreetState(bodies), ("semantic", "instance", "depth")
    )
    assert planes.depth_m is not None and planes.semantic is not None and planes.instance is not None
    directions, length = rays_of(pose)
    hits = painter.cast(np.array([pose.x_m, pose.y_m, pose.z_m]), directions, 1000.0, bodies)
    tag = np.where(np.isinf(hits.distance_m), 11, hits.tag).reshape(HEIGHT, WIDTH)
    # leaves are solid to rays
    clear = (tag != FOLIAGE_TAG) & (planes.semantic != FOLIAGE_TAG)
    depth = np.where(np.isinf(hits.distance_m), 1000.0, hits.distance_m / length).reshape(HEIGHT, WIDTH)
    close = np.abs(depth - planes.depth_m) < 0.02 * planes.depth_m
    assert clear.mean() > 0.5
    assert close[clear].mean() > 0.97, "only pixels at edges may differ"
    assert (tag == planes.semantic)[clear].mean() > 0.97
    assert (hits.actor.reshape(HEIGHT, WIDTH) == planes.instance)[clear].mean() > 0.995
    assert len(np.unique(hits.actor)) > 2
    met = np.isfinite(hits.distance_m)
    assert (hits.normal[met] * directions[met]).sum(1).max() <= 1e-5, "normals look at the ray's origin"
    np.testing.assert_allclose(np.linalg.norm(hits.normal[met], axis=1), 1.0, atol=1e-4)


def test_reach_ends_a_ray(painter: TownPainter) -> None:
    down = np.array([[0.0, 0.0, -1.0]])
    assert np.isinf(painter.cast(np.array([0.0, 0.0, 300.0]), down, 100.0, ()).distance_m[0])
    assert painter.cast(np.array([0.0, 0.0, 300.0]), down, 400.0, ()).distance_m[0] < 301.0
