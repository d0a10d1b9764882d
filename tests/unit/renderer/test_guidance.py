"""The colours that the world is known to have: found again at the same surface, wherever camera and bodies went."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from renderer.models.guidance import Geometry, WorldColours, recall, remember
from renderer.temporal import SKY_DEPTH_M, EngineMotion

HEIGHT_PX, WIDTH_PX, FOCAL_PX = 32, 64, 40.0
WALL_M = 10.0
CAR = 7


def wall(camera_z_m: float = 0.0, camera_x_m: float = 0.0, car_x_m: float | None = None) -> Geometry:
    """A wall across the view, at 10 m from the world's origin, the camera looking along z; perhaps a car before it."""
    pose = np.eye(4)
    pose[:3, 3] = camera_x_m, 0.0, camera_z_m
    depth = torch.full((1, 1, HEIGHT_PX, WIDTH_PX), WALL_M - camera_z_m)
    instances = torch.zeros(1, 1, HEIGHT_PX, WIDTH_PX, dtype=torch.int32)
    bodies = {}
    if car_x_m is not None:
        bodies[CAR] = np.eye(4)
        bodies[CAR][:3, 3] = car_x_m, 0.0, 5.0
        column = round(WIDTH_PX / 2 + (car_x_m - camera_x_m) * FOCAL_PX / (5.0 - camera_z_m))
        depth[..., 10:20, column : column + 8] = 5.0 - camera_z_m
        instances[..., 10:20, column : column + 8] = CAR
    return Geometry(depth, instances, EngineMotion(FOCAL_PX, pose, bodies))


def picture(seed: int) -> Tensor:
    return torch.rand(1, 3, HEIGHT_PX, WIDTH_PX, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def after(geometry: Geometry, rgb_B3HW: Tensor, world: WorldColours | None = None) -> WorldColours:
    return remember(world, recall(world, geometry), rgb_B3HW, geometry)


def test_nothing_is_known_before_the_first_picture() -> None:
    assert recall(None, wall()).count_nonzero() == 0


def test_a_camera_that_stands_still_is_shown_its_first_picture() -> None:
    first = picture(1)
    world = after(wall(), first)
    guidance = recall(world, wall())
    assert torch.equal(guidance[:, :3], first)
    assert bool((guidance[:, 3] == 1).all())


def test_the_first_colour_stays_whatever_is_drawn_later() -> None:
    first = picture(1)
    world = after(wall(), first)
    world = after(wall(), picture(2), world)
    assert torch.equal(recall(world, wall())[:, :3], first)
    assert len(world.owners_N) == HEIGHT_PX * WIDTH_PX


def test_a_camera_that_went_away_and_comes_back_sees_the_same_colours() -> None:
    first = picture(1)
    world = after(wall(), first)
    for step, x_m in enumerate((2.0, 6.0, 40.0, 6.0)):
        world = after(wall(camera_x_m=x_m), picture(10 + step), world)
    assert torch.equal(recall(world, wall())[:, :3], first)


def test_a_camera_that_moves_aside_sees_the_picture_moved_and_new_surface_unknown() -> None:
    first = picture(1)
    world = after(wall(), first)
    shift_px = 12
    guidance = recall(world, wall(camera_x_m=shift_px * WALL_M / FOCAL_PX))
    assert torch.equal(guidance[:, :3, :, :-shift_px], first[..., shift_px:])
    assert bool((guidance[:, 3, :, -shift_px:] == 0).all())


def test_a_body_takes_its_colours_along() -> None:
    first = picture(1)
    world = after(wall(car_x_m=-2.0), first)
    moved = wall(car_x_m=2.0)
    guidance = recall(world, moved)
    on_car = (moved.instances_B1HW == CAR)[0, 0] if moved.instances_B1HW is not None else torch.zeros(0)
    was_car = (wall(car_x_m=-2.0).depth_B1HW == 5.0)[0, 0]
    assert torch.equal(guidance[0, :3, on_car], first[0, :, was_car])
    assert bool((guidance[0, 3, was_car] == 0).all())  # the wall behind it was never seen


def test_the_sky_and_bodies_without_a_pose_are_never_known() -> None:
    geometry = wall(car_x_m=0.0)
    geometry.depth_B1HW[..., :5, :] = SKY_DEPTH_M
    unposed = Geometry(geometry.depth_B1HW, geometry.instances_B1HW, EngineMotion(FOCAL_PX, np.eye(4)))
    world = after(unposed, picture(1))
    guidance = recall(world, unposed)
    known = (geometry.depth_B1HW < SKY_DEPTH_M) & (geometry.depth_B1HW != 5.0)
    assert torch.equal(guidance[:, 3:] == 1, known)


def test_a_surface_that_is_hidden_now_lends_no_colour() -> None:
    world = after(wall(), picture(1))
    covered = wall()
    covered.depth_B1HW[..., 8:16, 8:16] = 3.0
    guidance = recall(world, covered)
    assert bool((guidance[:, 3, 8:16, 8:16] == 0).all())
    assert int(guidance[:, 3].sum()) == HEIGHT_PX * WIDTH_PX - 64
