"""Tones: read off photos for training, and laid on surfaces by where they are in the world."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from renderer.surface_tones import surface_tones, tones_of_labels
from renderer.temporal import EngineMotion
from renderer.tones import (
    BRIGHT,
    COOL,
    DARK,
    NEUTRAL,
    NUM_BRIGHTNESSES,
    PLAIN,
    WARM,
    read_tones,
    with_tones,
    without_tones,
)
from renderer.train.preset import find_train_preset

SKY, BUILDING, ROAD, TREE, CAR, PERSON = 0, 1, 3, 5, 8, 9
NUM_CLASSES = 13
FOCAL_PX = 256.0
HEIGHT_PX, WIDTH_PX = 128, 256
TONES = find_train_preset("street-photo").data.tones
FACING_X = np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])  # optical axes of a camera that looks along the world's x


def camera(x: float, y: float = 0.0, z: float = 1.6) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[:3, :3] = FACING_X
    pose[:3, 3] = x, y, z
    return pose


def wall_ahead(x: float, y: float, wall_x: float = 20.0) -> NDArray[np.uint8]:
    """Return the tones of a wall across the view, as seen from (x, y)."""
    labels_BHW = torch.full((1, HEIGHT_PX, WIDTH_PX), BUILDING, dtype=torch.uint8)
    depth_B1HW = torch.full((1, 1, HEIGHT_PX, WIDTH_PX), wall_x - x)
    toned_BHW = surface_tones(labels_BHW, depth_B1HW, None, EngineMotion(FOCAL_PX, camera(x, y)))
    assert toned_BHW.dtype == torch.uint8
    assert bool((toned_BHW % NUM_CLASSES == BUILDING).all())
    return (toned_BHW[0] // NUM_CLASSES).numpy()


def test_tones_of_a_photo_are_brightness_within_a_class_and_tint() -> None:
    assert TONES is not None
    labels = np.full((60, 120), BUILDING, np.uint8)
    labels[:, 60:] = SKY
    rgb = np.full((60, 120, 3), 128, np.uint8)
    rgb[:, 60:] = 250
    rgb[20:30, 10:20] = 40  # a window
    rgb[20:30, 30:40] = 220  # a pale panel
    rgb[45:, :40] = (170, 110, 80)  # brick
    rgb[:30, 80:] = (120, 160, 250)  # blue sky
    tones = read_tones(rgb, labels, TONES)
    assert tones[25, 15] == DARK
    assert tones[25, 35] == BRIGHT
    assert tones[5, 5] == PLAIN
    assert tones[55, 10] // NUM_BRIGHTNESSES == WARM
    assert tones[10, 100] == COOL * NUM_BRIGHTNESSES
    assert tones[50, 100] == NEUTRAL
    toned = with_tones(labels, tones, NUM_CLASSES)
    assert np.array_equal(without_tones(toned, NUM_CLASSES), labels)
    assert np.array_equal(without_tones(toned, NUM_CLASSES, [SKY])[:, :60], toned[:, :60])
    assert (without_tones(toned, NUM_CLASSES, [SKY])[:, 60:] == SKY).all()


def test_a_wall_has_dark_windows_with_pale_frames() -> None:
    brightness = wall_ahead(0.0, 0.0) % NUM_BRIGHTNESSES
    shares = np.bincount(brightness.ravel(), minlength=NUM_BRIGHTNESSES) / brightness.size
    assert (shares > 0.05).all()


def test_windows_stay_on_their_wall_while_the_camera_moves() -> None:
    step_px = 16
    before = wall_ahead(0.0, 0.0)
    after = wall_ahead(0.0, step_px * 20.0 / FOCAL_PX)  # to the right: the wall moves to the left
    same = (before[4:, 20 + step_px : -20] == after[4:, 20 : -20 - step_px]).mean()
    still = (before[4:, 20:-20] == after[4:, 20:-20]).mean()
    assert same > 0.98
    assert still < 0.9


def test_far_walls_and_other_classes_are_left_as_they_are() -> None:
    assert not (wall_ahead(0.0, 0.0, wall_x=400.0)).any()
    labels_BHW = torch.full((1, HEIGHT_PX, WIDTH_PX), ROAD, dtype=torch.uint8)
    depth_B1HW = torch.full((1, 1, HEIGHT_PX, WIDTH_PX), 10.0)
    assert torch.equal(surface_tones(labels_BHW, depth_B1HW, None, EngineMotion(FOCAL_PX, camera(0.0))), labels_BHW)


def test_tones_of_a_vehicle_move_with_it() -> None:
    def seen_at(distance_m: float) -> torch.Tensor:
        labels_BHW = torch.full((1, HEIGHT_PX, WIDTH_PX), ROAD, dtype=torch.uint8)
        labels_BHW[:, 40:100, 80:180] = CAR
        instances_B1HW = (labels_BHW == CAR).to(torch.int32)[:, None] * 4
        depth_B1HW = torch.full((1, 1, HEIGHT_PX, WIDTH_PX), 8.0)
        body = np.eye(4)
        body[0, 3] = distance_m + 2.0
        motion = EngineMotion(FOCAL_PX, camera(distance_m - 8.0), {4: body})
        return surface_tones(labels_BHW, depth_B1HW, instances_B1HW, motion)

    near_BHW = seen_at(8.0)
    assert torch.equal(near_BHW, seen_at(80.0))
    car = near_BHW[0, 40:100, 80:180]
    assert bool((car % NUM_CLASSES == CAR).all())
    brightness = (car // NUM_CLASSES) % NUM_BRIGHTNESSES
    assert bool((brightness == DARK).any())
    assert bool((brightness == PLAIN).any())


def test_a_vehicle_has_wheels_where_it_stands_on_the_road() -> None:
    """A parked car seen from its side at 8 m: its sill is 0.4 m above the road, two wheels come down to it."""
    depth_m, row_m = 8.0, 8.0 / FOCAL_PX
    road = round(HEIGHT_PX / 2 + 1.6 / row_m)  # the row of the road under the car

    def row(height_m: float) -> int:
        return round(road - height_m / row_m)

    labels_BHW = torch.full((1, HEIGHT_PX, WIDTH_PX), SKY, dtype=torch.uint8)
    labels_BHW[:, road:] = ROAD
    labels_BHW[:, row(1.4) : row(0.4), 60:200] = CAR
    for left in (80, 160):
        labels_BHW[:, row(0.4) : road, left : left + 16] = CAR
    below_px = torch.arange(HEIGHT_PX) + 0.5 - HEIGHT_PX / 2
    ground_m = (FOCAL_PX * 1.6 / below_px.clamp(min=0.1)).clamp(max=depth_m)  # the road is flat, the car upright on it
    ground_m[: HEIGHT_PX // 2] = depth_m
    depth_B1HW = ground_m[:, None].expand(1, 1, HEIGHT_PX, WIDTH_PX).contiguous()
    toned = surface_tones(labels_BHW, depth_B1HW, None, EngineMotion(FOCAL_PX, camera(0.0)))[0]
    brightness = ((toned // NUM_CLASSES) % NUM_BRIGHTNESSES).numpy()
    assert (brightness[row(0.3), 80:96] == BRIGHT).all() and (brightness[row(0.3), 160:176] == BRIGHT).all()  # hubs
    assert (brightness[row(0.1), 80:96] == DARK).all() and (brightness[row(0.58), 80:96] == DARK).all()  # tyres
    assert (brightness[row(0.58), 110:150] == PLAIN).all()  # bodywork between them


def test_people_wear_dark_trousers_and_a_jacket_of_their_own() -> None:
    labels_BHW = torch.full((1, HEIGHT_PX, WIDTH_PX), SKY, dtype=torch.uint8)
    depth_B1HW = torch.full((1, 1, HEIGHT_PX, WIDTH_PX), 10.0)
    instances_B1HW = torch.zeros((1, 1, HEIGHT_PX, WIDTH_PX), dtype=torch.int32)
    for person in range(1, 5):  # 1.7 m tall
        rows, columns = slice(64, 108), slice(person * 40, person * 40 + 14)
        labels_BHW[0, rows, columns] = PERSON
        instances_B1HW[0, 0, rows, columns] = person
    motion = EngineMotion(FOCAL_PX, camera(0.0))
    tones = (surface_tones(labels_BHW, depth_B1HW, instances_B1HW, motion)[0] // NUM_CLASSES).numpy()
    jackets = {int(tones[78, person * 40 + 6]) for person in range(1, 5)}
    assert len(jackets) == 4 and DARK not in jackets
    assert {int(tones[100, person * 40 + 6]) for person in range(1, 5)} == {DARK}  # trousers
    assert {int(tones[64, person * 40 + 6]) for person in range(1, 5)} == {DARK}  # hair
    alone = (surface_tones(labels_BHW, depth_B1HW, None, motion)[0] // NUM_CLASSES).numpy()
    assert not alone[labels_BHW[0].numpy() == PERSON].any()  # without instances nobody is told from another


def test_parked_cars_of_one_instance_id_have_a_paint_each_and_keep_it() -> None:
    """A row of cars 4.5 m long with 2 m between them, seen from a street beside it, then from 2 m farther on."""
    length_m, slot_m, beside_m, roof_m = 4.5, 6.5, 6.0, 1.4

    def paints_seen_from(x: float) -> dict[int, int]:
        """Return the tone of the bodywork of each car in view, by its number in the row."""
        across = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # a camera that looks along the world's y
        pose = camera(x)
        pose[:3, :3] = across
        along_m = x - (np.arange(WIDTH_PX) + 0.5 - WIDTH_PX / 2) * beside_m / 100.0
        height_m = 1.6 - (np.arange(HEIGHT_PX) + 0.5 - HEIGHT_PX / 2) * beside_m / 100.0
        is_car = (np.mod(along_m, slot_m) < length_m)[None] & ((height_m > 0) & (height_m < roof_m))[:, None]
        labels_BHW = torch.from_numpy(np.where(is_car, CAR, SKY).astype(np.uint8))[None]
        depth_B1HW = torch.full((1, 1, HEIGHT_PX, WIDTH_PX), beside_m)
        instances_B1HW = torch.zeros((1, 1, HEIGHT_PX, WIDTH_PX), dtype=torch.int32)
        toned_BHW = surface_tones(labels_BHW, depth_B1HW, instances_B1HW, EngineMotion(100.0, pose))
        body = (toned_BHW[0] // NUM_CLASSES).numpy()[int(np.argmin(np.abs(height_m - 0.68)))]
        number = np.floor(along_m / slot_m).astype(int)
        inside = (np.mod(along_m, slot_m) > 0.5) & (np.mod(along_m, slot_m) < length_m - 0.5)
        seen = {each: np.unique(body[inside & (number == each)]) for each in np.unique(number[inside])}
        assert all(tones.size == 1 for tones in seen.values())  # one paint for all of a car
        return {int(each): int(tones[0]) for each, tones in seen.items()}

    here, there = paints_seen_from(100.0), paints_seen_from(102.0)
    assert len(set(here) & set(there)) >= 2
    assert all(there[car] == here[car] for car in set(here) & set(there) if slot_m * car > 96 and slot_m * car < 102)
    assert len({paint for x in range(0, 120, 10) for paint in paints_seen_from(x).values()}) >= 4


def test_trunks_are_of_bark_and_crowns_of_leaves() -> None:
    """A tree at 10 m, its crown above 3 m, and a hedge beside it: both are plants to a label map."""
    depth_m, row_m = 10.0, 10.0 / FOCAL_PX
    road = round(HEIGHT_PX / 2 + 1.6 / row_m)
    labels_BHW = torch.full((1, HEIGHT_PX, WIDTH_PX), SKY, dtype=torch.uint8)
    labels_BHW[:, road:] = ROAD
    labels_BHW[:, round(road - 2.9 / row_m) : road, 60:68] = TREE  # a trunk of 0.3 m
    labels_BHW[:, : round(road - 2.9 / row_m), 20:108] = TREE
    labels_BHW[:, round(road - 1.2 / row_m) : road, 140:240] = TREE
    below_px = torch.arange(HEIGHT_PX) + 0.5 - HEIGHT_PX / 2
    ground_m = torch.where(below_px > 0, FOCAL_PX * 1.6 / below_px.clamp(min=0.1), depth_m).clamp(max=depth_m)
    depth_B1HW = ground_m[:, None].expand(1, 1, HEIGHT_PX, WIDTH_PX).contiguous()
    toned = surface_tones(labels_BHW, depth_B1HW, None, EngineMotion(FOCAL_PX, camera(0.0)))[0] // NUM_CLASSES
    trunk = slice(round(road - 2.0 / row_m), road - 2), slice(60, 68)
    assert bool((toned[trunk] == DARK + NUM_BRIGHTNESSES * NEUTRAL).all())
    motion = EngineMotion(FOCAL_PX, camera(0.0))
    green = surface_tones(labels_BHW, depth_B1HW, None, motion, bark=False)[0] // NUM_CLASSES
    assert bool((green[trunk] // NUM_BRIGHTNESSES == COOL).all())
    for leaves in (toned[: round(road - 3.0 / row_m), 22:106], toned[round(road - 1.1 / row_m) : road - 2, 150:230]):
        assert bool((leaves // NUM_BRIGHTNESSES == COOL).all())


def test_trees_without_leaves_are_grey_before_the_sky() -> None:
    labels_BHW = torch.full((1, HEIGHT_PX, WIDTH_PX), TREE, dtype=torch.uint8)
    depth_B1HW = torch.full((1, 1, HEIGHT_PX, WIDTH_PX), 12.0)
    motion = EngineMotion(FOCAL_PX, camera(0.0))
    tones = {
        leafless: surface_tones(labels_BHW, depth_B1HW, None, motion, leafless=leafless)[0] // NUM_CLASSES
        for leafless in (False, True)
    }
    assert bool((tones[False] // NUM_BRIGHTNESSES == COOL).all())
    assert bool((tones[True] // NUM_BRIGHTNESSES == NEUTRAL).all())
    bright = float((tones[True] % NUM_BRIGHTNESSES == BRIGHT).float().mean())
    assert 0.1 < bright < 0.7


def test_leaves_are_of_light_and_shade() -> None:
    labels_BHW = torch.full((1, HEIGHT_PX, WIDTH_PX), TREE, dtype=torch.uint8)
    depth_B1HW = torch.full((1, 1, HEIGHT_PX, WIDTH_PX), 12.0)
    toned_BHW = surface_tones(labels_BHW, depth_B1HW, None, EngineMotion(FOCAL_PX, camera(0.0)))
    dark = float(((toned_BHW // NUM_CLASSES) % NUM_BRIGHTNESSES == DARK).float().mean())
    assert 0.1 < dark < 0.7


def test_a_label_map_alone_gets_tones_too() -> None:
    labels_BHW = torch.full((1, HEIGHT_PX, WIDTH_PX), ROAD, dtype=torch.uint8)
    labels_BHW[:, :40] = SKY
    labels_BHW[:, 10:75, :80] = BUILDING
    toned_BHW = tones_of_labels(labels_BHW)
    assert torch.equal(toned_BHW % NUM_CLASSES, labels_BHW)
    house = (toned_BHW[0, 10:75, :80] // NUM_CLASSES) % NUM_BRIGHTNESSES
    assert bool((house == DARK).any())
    assert bool((toned_BHW[0, :8] // NUM_CLASSES == COOL * NUM_BRIGHTNESSES).all())
    assert torch.equal(toned_BHW[0, 80:], labels_BHW[0, 80:])
