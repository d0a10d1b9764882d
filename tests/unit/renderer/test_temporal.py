"""The warp against a scene whose every ray is intersected analytically: a street, a wall, a sky and a moving box."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from renderer.temporal import EngineMotion, TemporalState, remember, warp_previous

WIDTH_PX, HEIGHT_PX = 160, 96
FOCAL_PX = 110.0
BOX_ID = 37
HALF_BOX_M = np.array([2.0, 1.0, 0.8])
WALL_X_M = 60.0
WALL_TOP_M = 12.0


def pose(x: float, y: float, z: float, yaw_deg: float, pitch_deg: float = 0.0) -> NDArray[np.float64]:
    yaw, pitch = np.radians([yaw_deg, pitch_deg])
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    nod = np.array([[np.cos(pitch), 0, -np.sin(pitch)], [0, 1, 0], [np.sin(pitch), 0, np.cos(pitch)]])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn @ nod, (x, y, z)
    return matrix


def camera(*args: float) -> NDArray[np.float64]:
    body_from_optical = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
    return pose(*args) @ body_from_optical


@dataclass(frozen=True)
class Hit:
    """What rays met: distance in units of the ray (depth if its z is 1), instance id."""

    depth_m: NDArray[np.float64]
    instances: NDArray[np.int32]


def cast(
    rays_HW3: NDArray[np.float64], world_from_camera: NDArray[np.float64], world_from_box: NDArray[np.float64]
) -> Hit:
    origin, rays = world_from_camera[:3, 3], rays_HW3 @ world_from_camera[:3, :3].T
    depth = np.full(rays.shape[:2], 1000.0)
    instances = np.zeros(rays.shape[:2], np.int32)
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = -origin[2] / rays[..., 2]
        wall = (WALL_X_M - origin[0]) / rays[..., 0]
        wall_z = origin[2] + wall * rays[..., 2]
    for distance, met in ((ground, ground > 0), (wall, (wall > 0) & (wall_z < WALL_TOP_M))):
        depth = np.where(met & (distance < depth), distance, depth)
    box_from_world = np.linalg.inv(world_from_box)
    start = box_from_world[:3, :3] @ origin + box_from_world[:3, 3]
    direction = rays @ box_from_world[:3, :3].T
    near, far = (-HALF_BOX_M - start) / direction, (HALF_BOX_M - start) / direction
    enter, leave = np.minimum(near, far).max(-1), np.maximum(near, far).min(-1)
    in_box = (enter > 0) & (enter < leave) & (enter < depth)
    return Hit(np.where(in_box, enter, depth), np.where(in_box, BOX_ID, instances).astype(np.int32))


def pixel_rays() -> NDArray[np.float64]:
    u, v = np.meshgrid(np.arange(WIDTH_PX) + 0.5 - WIDTH_PX / 2, np.arange(HEIGHT_PX) + 0.5 - HEIGHT_PX / 2)
    return np.stack([u / FOCAL_PX, v / FOCAL_PX, np.ones_like(u)], -1)


def coordinate_picture() -> torch.Tensor:
    """A picture whose colours are its own pixel coordinates: samples of it say where they were taken."""
    u, v = np.meshgrid(np.arange(WIDTH_PX, dtype=np.float32), np.arange(HEIGHT_PX, dtype=np.float32))
    return torch.from_numpy(np.stack([u / WIDTH_PX, v / HEIGHT_PX, u * 0])[None])


def frame(world_from_camera: NDArray[np.float64], world_from_box: NDArray[np.float64]) -> tuple[Hit, EngineMotion]:
    motion = EngineMotion(FOCAL_PX, world_from_camera, {BOX_ID: world_from_box})
    return cast(pixel_rays(), world_from_camera, world_from_box), motion


def tensors(hit: Hit) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(hit.depth_m.astype(np.float32))[None, None], torch.from_numpy(hit.instances)[None, None]


def state_of(hit: Hit, motion: EngineMotion) -> TemporalState:
    return remember(coordinate_picture(), *tensors(hit), motion)


def sampled_coordinates(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """What bicubic samples of the coordinate picture at (u, v) hold: the kernel bends a ramp by up to 0.05 px."""
    ramps = coordinate_picture()[0, :2].permute(1, 2, 0).contiguous().numpy()
    places = u.astype(np.float32), v.astype(np.float32)
    samples = cv2.remap(ramps, *places, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.moveaxis(samples, 2, 0) * np.array([WIDTH_PX, HEIGHT_PX])[:, None, None]


MOTIONS = {
    "forward": (camera(0, 0, 1.6, 0), camera(0.7, 0, 1.6, 0), pose(15, -2, 0.8, 10), pose(15.4, -2.1, 0.8, 14)),
    "turning": (camera(0, 0, 1.6, 3, 2), camera(0.4, 0.1, 1.62, -1, 1), pose(9, 2, 0.8, 90), pose(9, 2.5, 0.8, 80)),
    "backward": (camera(1, 0, 1.6, 0), camera(0, 0, 1.6, 2), pose(12, 0, 0.8, 0), pose(11, 0, 0.8, 5)),
    "box only": (camera(0, 0, 1.6, 0), camera(0, 0, 1.6, 0), pose(12, 0, 0.8, 0), pose(12, 0.6, 0.8, 5)),
}


@pytest.mark.parametrize("name", MOTIONS)
def test_warp_finds_each_surface_where_it_was(name: str) -> None:
    camera_before, camera_now, box_before, box_now = MOTIONS[name]
    before, motion_before = frame(camera_before, box_before)
    now, motion_now = frame(camera_now, box_now)

    warped, valid = warp_previous(state_of(before, motion_before), *tensors(now), motion_now)

    points = pixel_rays() * now.depth_m[..., None]
    points_world = points @ camera_now[:3, :3].T + camera_now[:3, 3]
    box_step = box_before @ np.linalg.inv(box_now)
    moved = points_world @ box_step[:3, :3].T + box_step[:3, 3]
    points_world = np.where((now.instances == BOX_ID)[..., None], moved, points_world)
    sky = now.depth_m >= 999
    directions = points @ camera_now[:3, :3].T
    world_or_direction = np.where(sky[..., None], directions, points_world - camera_before[:3, 3])
    there = world_or_direction @ np.linalg.inv(camera_before[:3, :3]).T
    u = there[..., 0] / there[..., 2] * FOCAL_PX + WIDTH_PX / 2 - 0.5
    v = there[..., 1] / there[..., 2] * FOCAL_PX + HEIGHT_PX / 2 - 0.5
    seen = cast(there / there[..., 2:], camera_before, box_before)
    depth_there = np.where(sky, 1000.0, there[..., 2])
    inside = (u >= 0) & (u <= WIDTH_PX - 1) & (v >= 0) & (v <= HEIGHT_PX - 1)
    visible = inside & (np.abs(seen.depth_m / depth_there - 1) < 0.01) & (seen.instances == now.instances)

    is_valid = valid[0, 0].numpy() > 0
    right = is_valid & inside
    expected_2HW = sampled_coordinates(u, v)
    assert np.abs(warped[0, 0].numpy() * WIDTH_PX - expected_2HW[0])[right].max() < 0.02
    assert np.abs(warped[0, 1].numpy() * HEIGHT_PX - expected_2HW[1])[right].max() < 0.02
    assert not (is_valid & inside & ~visible).any()
    assert (is_valid & visible).sum() > 0.93 * visible.sum()
    assert ((now.instances == BOX_ID) & is_valid).sum() > 0.5 * (now.instances == BOX_ID).sum()
    assert sky.sum() == 0 or (is_valid & sky).sum() > 0.8 * (sky & visible).sum()
    assert (warped[0].numpy()[:, ~is_valid] == 0).all()


def test_a_box_that_moved_uncovers_what_has_no_history() -> None:
    still = camera(0, 0, 1.6, 0)
    before, motion_before = frame(still, pose(12, 0, 0.8, 0))
    now, motion_now = frame(still, pose(12, 1.5, 0.8, 0))
    uncovered = (before.instances == BOX_ID) & (now.instances == 0)
    assert uncovered.sum() > 50
    _, valid = warp_previous(state_of(before, motion_before), *tensors(now), motion_now)
    assert not valid[0, 0].numpy()[uncovered].any()


def test_nothing_moved_returns_the_last_picture_bit_for_bit() -> None:
    hit, motion = frame(camera(3, 1, 1.6, 33, 4), pose(12, 8, 0.8, 20))
    picture = torch.rand(1, 3, HEIGHT_PX, WIDTH_PX, generator=torch.Generator().manual_seed(0)) * 2 - 1
    state = remember(picture, *tensors(hit), motion)
    warped, valid = warp_previous(
        state, *tensors(hit), EngineMotion(FOCAL_PX, motion.world_from_camera.copy(), motion.bodies)
    )
    assert valid.all()
    assert torch.equal(warped, picture)


def test_sky_follows_rotation_and_not_translation() -> None:
    depth = torch.full((1, 1, HEIGHT_PX, WIDTH_PX), 1000.0)
    before = EngineMotion(FOCAL_PX, camera(0, 0, 1.6, 0))
    state = remember(coordinate_picture(), depth, None, before)
    warped, valid = warp_previous(state, depth, None, EngineMotion(FOCAL_PX, camera(30, -20, 9, 0)))
    assert valid.all()
    torch.testing.assert_close(warped, coordinate_picture(), atol=1e-6, rtol=0)
    warped, valid = warp_previous(state, depth, None, EngineMotion(FOCAL_PX, camera(30, -20, 9, 5)))
    middle = warped[0, 0, HEIGHT_PX // 2, WIDTH_PX // 2 - 1] * WIDTH_PX
    expected = np.tan(np.radians(5) + np.arctan(-0.5 / FOCAL_PX)) * FOCAL_PX + WIDTH_PX / 2 - 0.5
    row = np.full((1, 1), HEIGHT_PX / 2)
    assert abs(float(middle) - sampled_coordinates(np.full((1, 1), expected), row)[0, 0, 0]) < 0.02


def test_a_body_of_unknown_motion_has_no_history() -> None:
    hit, motion = frame(camera(0, 0, 1.6, 0), pose(12, 0, 0.8, 0))
    nameless = EngineMotion(FOCAL_PX, motion.world_from_camera)
    _, valid = warp_previous(state_of(hit, motion), *tensors(hit), nameless)
    assert not valid[0, 0].numpy()[hit.instances == BOX_ID].any()
    assert valid[0, 0].numpy()[hit.instances == 0].all()


def test_what_was_behind_the_camera_has_no_history() -> None:
    depth = torch.full((1, 1, HEIGHT_PX, WIDTH_PX), 2.0)
    state = remember(coordinate_picture(), depth, None, EngineMotion(FOCAL_PX, camera(10, 0, 1.6, 0)))
    _, valid = warp_previous(state, depth, None, EngineMotion(FOCAL_PX, camera(0, 0, 1.6, 0)))
    assert not valid.any()


def test_a_state_without_geometry_offers_nothing() -> None:
    depth = torch.full((1, 1, HEIGHT_PX, WIDTH_PX), 5.0)
    motion = EngineMotion(FOCAL_PX, np.eye(4))
    warped, valid = warp_previous(remember(coordinate_picture(), None, None, None), depth, None, motion)
    assert not valid.any()
    assert not warped.any()


def test_another_size_is_refused() -> None:
    hit, motion = frame(camera(0, 0, 1.6, 0), pose(12, 0, 0.8, 0))
    with pytest.raises(ValueError, match="size"):
        warp_previous(state_of(hit, motion), torch.ones(1, 1, 8, 8), None, motion)
