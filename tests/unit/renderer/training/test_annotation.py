"""Label maps as a person would have drawn them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from renderer.train.annotation import AnnotationConfig, cut_corners, leave_out_small, redraw, thicken
from renderer.train.clip_plan import draw_hand
from renderer.train.clips import Clip, redrawn
from renderer.train.data import LabelledPhoto
from renderer.train.preset import TrainPreset

from .conftest import changed

ROAD, POLE, TREE = 7, 17, 21
ALL = np.ones(256, np.bool_)
ALWAYS = AnnotationConfig(
    share=1.0,
    border_px=1.0,
    border_period_px=12,
    corner_px=1.5,
    thin_ids=(POLE,),
    thin_px=1,
    small_area_px=10,
    left_out_share=0.5,
)


def disc(size_px: int = 80, radius_px: int = 28) -> Any:
    labels = np.full((size_px, size_px), ROAD, np.uint8)
    cv2.circle(labels, (size_px // 2, size_px // 2), radius_px, TREE, -1)
    return labels


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.integers(0, 40)), st.integers(0))
@settings(max_examples=60)
def test_any_label_map_stays_one_of_the_same_classes(labels: Any, hand: int) -> None:
    before = labels.copy()
    drawn = redraw(labels, ALWAYS, hand)
    assert drawn.dtype == np.uint8
    assert drawn.shape == labels.shape
    assert set(np.unique(drawn)) <= set(np.unique(labels))
    assert np.array_equal(labels, before)


def test_a_hand_always_draws_alike_and_another_otherwise() -> None:
    labels = disc()
    assert np.array_equal(redraw(labels, ALWAYS, 3), redraw(labels, ALWAYS, 3))
    assert not np.array_equal(redraw(labels, ALWAYS, 3), redraw(labels, ALWAYS, 4))
    drawn = sum(not np.array_equal(redraw(labels, changed(ALWAYS, share=0.5), hand), labels) for hand in range(40))
    assert 8 < drawn < 32
    assert np.array_equal(redraw(labels, changed(ALWAYS, share=0.0), 3), labels)


def test_borders_stray_by_a_pixel_or_two() -> None:
    plain = changed(ALWAYS, corner_px=0.0, thin_px=0, small_area_px=0)
    changed_px = [np.abs(redraw(disc(), plain, hand) != disc()) for hand in range(5)]
    far = cv2.distanceTransform((cv2.Canny(disc() * 10, 1, 2) == 0).astype(np.uint8), cv2.DIST_L2, 5)
    for change in changed_px:
        assert change.any()
        assert far[change].max() < 6


def test_polygons_go_straight_past_what_is_jagged() -> None:
    labels = np.full((60, 80), ROAD, np.uint8)
    for column in range(80):
        labels[30 + (column // 3) % 2 :, column] = TREE
    steps = [np.diff((one == TREE).argmax(0)) for one in (labels, cut_corners(labels, 2.0))]
    assert [np.count_nonzero(of_border) for of_border in steps] == [26, pytest.approx(0, abs=2)]
    drawn = cut_corners(disc(), 2.0)
    assert set(np.unique(drawn)) == {ROAD, TREE}
    assert (drawn == TREE).sum() == pytest.approx((disc() == TREE).sum(), rel=0.08)


def test_what_is_in_a_hole_stays_in_it() -> None:
    labels = disc()
    labels[36:44, 36:44] = POLE
    labels[39:41, 39:41] = TREE
    drawn = cut_corners(labels, 1.0)
    assert drawn[37, 37] == POLE
    assert drawn[40, 40] == TREE
    assert drawn[40, 30] == TREE
    assert drawn[2, 2] == ROAD


def test_small_regions_are_left_out_and_taken_from_around_them() -> None:
    labels = disc()
    labels[5:8, 5:8] = POLE
    labels[38:41, 38:41] = POLE
    labels[60:75, 70:73] = POLE
    left_out = leave_out_small(labels, 10, ALL)
    expected = labels.copy()
    expected[5:8, 5:8] = ROAD
    expected[38:41, 38:41] = TREE
    assert np.array_equal(left_out, expected)
    others = ALL.copy()
    others[POLE] = False
    assert np.array_equal(leave_out_small(labels, 10, others), labels)


def test_thin_things_grow_on_all_sides() -> None:
    labels = disc()
    labels[10:70, 40] = POLE
    drawn = thicken(labels, (POLE,), 2)
    assert (drawn[40] == POLE).nonzero()[0].tolist() == [38, 39, 40, 41, 42]
    assert (drawn[:, 40] == POLE).nonzero()[0].tolist() == list(range(8, 72))
    assert np.array_equal(drawn[:, :36], labels[:, :36])


def test_one_hand_redraws_a_clip_and_leaves_tones_where_the_class_stays(tiny: TrainPreset) -> None:
    always = changed(ALWAYS, border_period_px=8, thin_ids=(), small_area_px=0)
    toned = np.full((48, 64), 3 + 13, np.uint8)  # a dark road
    toned[10:30, 20:44] = 8 + 2 * 13  # a bright car
    assert redrawn(None, changed(tiny.clips, num_classes=13))(toned) is toned
    config = changed(tiny.clips, num_classes=13, annotation=always)
    by_hand = redrawn(draw_hand(np.random.default_rng(1), config), config)
    drawn = by_hand(toned)
    assert np.array_equal(by_hand(toned), drawn)
    moved = drawn != toned
    assert 0.005 < moved.mean() < 0.2
    assert set(np.unique(drawn[moved]).tolist()) <= {3, 8}  # a class that came has no tone to keep
    photo = LabelledPhoto("a", np.zeros((48, 64, 3), np.uint8), toned)
    clips = [Clip(np.random.default_rng(4), photo, 1, one).next_frame() for one in (config, config)]
    assert np.array_equal(clips[0].labels, clips[1].labels)
