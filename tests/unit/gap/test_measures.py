"""The measures of the label gap: against reference implementations, and each moved by what its definition names."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from clients.gap.comparison import Result, compare, count_part
from clients.gap.label_maps import MapSequence
from clients.gap.measures import MEASURES, class_log_ratios, shannon_bits, vocabulary, wasserstein
from clients.gap.reference import load_reference
from clients.gap.statistics import NUM_CLASSES, Counts, count, total

SKY, BUILDING, POLE, ROAD, SIDEWALK, TREE, CAR, UNLABELLED = 0, 1, 2, 3, 4, 5, 8, 11
HEIGHT_PX, WIDTH_PX = 90, 160
DISTANCE = {measure.name: measure.distance for measure in MEASURES}
histograms = st.lists(st.integers(0, 1000), min_size=5, max_size=5).filter(any).map(np.array)
samples = st.lists(st.floats(-100, 100), min_size=1, max_size=20).map(np.array)


def street(
    seed: int, *, horizon: float = 0.5, num_cars: int = 3, car_px: int = 12, poles: bool = True
) -> NDArray[np.uint8]:
    """A street drawn by rules: sky, houses, road to a vanishing point, cars and poles at random."""
    rng = np.random.default_rng(seed)
    label_map = np.full((HEIGHT_PX, WIDTH_PX), SKY, np.uint8)
    row = round(horizon * HEIGHT_PX) + int(rng.integers(-2, 3))
    label_map[row // 2 :] = BUILDING
    label_map[row:] = SIDEWALK
    outline = np.array([[WIDTH_PX // 2 - 3, row], [WIDTH_PX // 2 + 3, row], [WIDTH_PX, HEIGHT_PX], [0, HEIGHT_PX]])
    cv2.fillPoly(label_map, [outline.astype(np.int32)], ROAD)
    for _ in range(num_cars):
        left, top = int(rng.integers(0, WIDTH_PX - car_px)), row + int(rng.integers(2, 20))
        label_map[top : top + car_px // 2, left : left + car_px] = CAR
    for left in rng.integers(0, WIDTH_PX - 2, 4 if poles else 0):
        label_map[row - 25 : row + 8, left : left + 2] = POLE
    return label_map


def counts(num_frames: int = 12, first: int = 0, **options: float) -> Counts:
    return total([count(street(seed, **options)) for seed in range(first, first + num_frames)])


@given(histograms, histograms)
def test_divergence_is_scipys(first: NDArray, second: NDArray) -> None:
    assert shannon_bits(first, second) == pytest.approx(jensenshannon(first, second, base=2) ** 2, abs=1e-7)


@given(samples, samples)
def test_wasserstein_is_scipys(first: NDArray, second: NDArray) -> None:
    assert wasserstein(first, second) == pytest.approx(wasserstein_distance(first, second), abs=1e-9)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_a_set_is_no_distance_from_itself(measure) -> None:
    ours = counts()
    distance = measure.distance(ours, ours)
    assert distance == 0 or (measure.group == "time" and math.isnan(distance)), "a rate that nobody knows"


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_the_order_of_two_sets_does_not_matter(measure) -> None:
    ours, theirs = counts(), counts(horizon=0.4, num_cars=1)
    forth, back = measure.distance(ours, theirs), measure.distance(theirs, ours)
    assert forth == pytest.approx(back, nan_ok=True)


def moved(name: str, *strengths: Counts) -> None:
    """The distance from the first grows with each of the others."""
    distances = [DISTANCE[name](strengths[0], other) for other in strengths]
    assert distances == sorted(distances), (name, distances)
    assert all(one < other for one, other in itertools.pairwise(distances)), (name, distances)


def test_a_lower_horizon_is_seen() -> None:
    sets = [counts(horizon=horizon) for horizon in (0.5, 0.45, 0.4, 0.35)]
    for name in ("top of the road", "bottom of the sky", "spatial prior"):
        moved(name, *sets)


def test_fewer_cars_are_seen() -> None:
    sets = [counts(num_cars=number, num_frames=30) for number in (6, 3, 1)]
    for name in ("class frequency", "object density"):
        moved(name, *sets)


def test_larger_cars_are_seen() -> None:
    moved("object sizes", *(counts(car_px=size, num_cars=1, num_frames=20) for size in (8, 12, 20)))


def test_a_picture_shifted_sideways_is_seen() -> None:
    def shifted(shift_px: int) -> Counts:
        return total([count(np.roll(street(seed, num_cars=0, poles=False), shift_px, 1)) for seed in range(8)])

    moved("vanishing column", *(shifted(shift_px) for shift_px in (0, 8, 20)))


def test_hand_drawn_borders_are_told_from_straight_ones() -> None:
    def jittered(sigma_px: float) -> Counts:
        rng = np.random.default_rng(1)
        parts = []
        for seed in range(8):
            v, u = np.mgrid[:HEIGHT_PX, :WIDTH_PX].astype(np.float32)
            u, v = (plane + rng.normal(0, 1, plane.shape).astype(np.float32) * sigma_px for plane in (u, v))
            parts.append(count(cv2.remap(street(seed), u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)))
        return total(parts)

    sets = [jittered(sigma_px) for sigma_px in (0.0, 0.5, 1.0)]
    for name in ("border density", "border directions", "polygonality", "compactness", "outline to area"):
        moved(name, *sets)


def test_classes_that_touch_are_seen() -> None:
    def with_trees(share: float) -> Counts:
        parts = []
        for seed in range(8):
            label_map = street(seed)
            label_map[:, : round(share * WIDTH_PX)][label_map[:, : round(share * WIDTH_PX)] == BUILDING] = TREE
            parts.append(count(label_map))
        return total(parts)

    moved("neighbours", *(with_trees(share) for share in (0.0, 0.3, 0.6)))


def test_faster_change_is_seen() -> None:
    def driven(step_px: int) -> Counts:
        frames = [np.roll(street(0), index * step_px, 1) for index in range(6)]
        return total([count(now, before, 0.05) for before, now in itertools.pairwise(frames)])

    moved("change", *(driven(step_px) for step_px in (1, 3, 8)))


def appearing(share: float, interval_s: float = 0.05) -> Counts:
    """Streets in some of which a car is where there was none, and one gone from where it was."""
    before, now = street(0, num_cars=0, poles=False), street(0, num_cars=0, poles=False)
    before[70:78, 20:34] = CAR
    now[70:78, 100:114] = CAR
    return total([count(now if index < share * 20 else before, before, interval_s) for index in range(20)])


def test_objects_that_come_and_go_are_seen() -> None:
    assert appearing(0.5).changes[1] / appearing(0.5).changes[2] == pytest.approx(0.5 * 2 / 0.05)
    moved("births and deaths", *(appearing(share) for share in (0.1, 0.3, 1.0)))


def test_an_object_that_moves_on_is_the_same() -> None:
    frames = [street(0, num_cars=0, poles=False) for _ in range(4)]
    for index, frame in enumerate(frames):
        frame[70:78, 20 + 6 * index : 34 + 6 * index] = CAR
    assert sum(count(now, before, 0.05).changes[1] for before, now in itertools.pairwise(frames)) == 0


def test_changes_over_other_times_are_not_compared() -> None:
    assert math.isnan(DISTANCE["births and deaths"](appearing(0.5), appearing(0.5, 1.0)))
    assert DISTANCE["births and deaths"](appearing(0.5), appearing(0.5, 0.055)) > 0


def test_changes_are_counted_over_the_same_time_at_any_rate() -> None:
    maps = [np.roll(street(0), index, 1) for index in range(41)]
    twenty = count_part(MapSequence("20 Hz", 41, maps.__getitem__, 20.0), 0, 41, 1.0)
    one = count_part(MapSequence("1 Hz", 3, maps[::20].__getitem__, 1.0), 0, 3, 1.0)
    assert twenty.changes == pytest.approx(one.changes)
    assert one.changes[2:].tolist() == [2.0, 2]
    parts = [count_part(MapSequence("20 Hz", 41, maps.__getitem__, 20.0), *part, 1.0) for part in ((0, 25), (25, 41))]
    assert total(parts).changes == pytest.approx(one.changes), "however it is cut"


def test_thin_structures_are_seen() -> None:
    def with_bars(thickness_px: int) -> Counts:
        label_map = np.full((HEIGHT_PX, WIDTH_PX), BUILDING, np.uint8)
        for left in range(20, 140, 20):
            label_map[20:70, left : left + thickness_px] = POLE
        return count(label_map)

    assert [with_bars(px).thin_px for px in (1, 2, 4, 5)] == [6 * 50 * 1, 6 * 50 * 2, 6 * 50 * 4, 0]
    moved("thin structures", *(with_bars(px) for px in (1, 2, 4)))


def test_classes_of_one_picture_are_seen() -> None:
    def with_cars(num_frames: int) -> Counts:
        return total([count(street(seed, num_cars=3 if seed < num_frames else 0)) for seed in range(12)])

    moved("seen together", *(with_cars(num_frames) for num_frames in (12, 8, 0)))


def test_a_class_that_is_missing_is_named() -> None:
    ours, theirs = counts(num_cars=0), counts()
    assert vocabulary(ours, theirs) == ([], ["car"])
    assert DISTANCE["vocabulary"](ours, theirs) == 1
    assert class_log_ratios(ours, theirs)["car"] == -math.inf


def test_what_is_unlabelled_counts_nowhere() -> None:
    label_map = street(0)
    label_map[-20:] = UNLABELLED
    counted = count(label_map)
    assert counted.pixels.sum() == (label_map < NUM_CLASSES).sum()
    assert counted.grid.sum() == counted.pixels.sum()


def test_parts_add_up() -> None:
    maps = [street(seed) for seed in range(6)]
    whole, halves = total([count(m) for m in maps]), [total([count(m) for m in part]) for part in (maps[:3], maps[3:])]
    for name in DISTANCE.keys() - {"change", "births and deaths"}:  # whose rate nobody knows here
        assert DISTANCE[name](whole, total(halves)) == pytest.approx(0, abs=1e-12)


def test_borders_to_what_is_unlabelled_are_none() -> None:
    label_map = street(0)
    patched = label_map.copy()
    patched[30:40, 50:60] = UNLABELLED
    assert count(patched).boundary_px <= count(label_map).boundary_px


@pytest.mark.parametrize("thickness_px", [1, 2, 3, 8])
def test_a_bar_has_the_direction_of_its_sides(thickness_px: int) -> None:
    lying = np.full((HEIGHT_PX, WIDTH_PX), BUILDING, np.uint8)
    lying[40 : 40 + thickness_px] = POLE
    standing = np.full((HEIGHT_PX, WIDTH_PX), BUILDING, np.uint8)
    standing[:, 40 : 40 + thickness_px] = POLE
    assert np.argmax(count(standing).orientations) == 0, "its sides are left and right"
    assert np.argmax(count(lying).orientations) == 4, "its sides are above and below"
    assert count(lying).orientations[4] > 0.9 * count(lying).boundary_px


@pytest.mark.parametrize("result", compare(load_reference(), load_reference()), ids=lambda result: result.measure.name)
def test_what_nobody_takes_for_a_street_is_far_beyond_real_drives(result: Result) -> None:
    assert result.ceiling > 2 * result.floor_max
