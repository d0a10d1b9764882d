"""The bodies that are lists of points, there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bridge.carla_wire import point_clouds

FLOATS = st.floats(-1e4, 1e4, width=32)
COUNTS = st.lists(st.integers(0, 4), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(angle=FLOATS, counts=COUNTS, data=st.data())
def test_lidar_points_come_back(angle: float, counts: list[int], data: st.DataObject) -> None:
    points = data.draw(hnp.arrays(np.float32, (sum(counts), 4), elements=FLOATS))
    body = point_clouds.encode_scan(angle, np.array(counts), points)
    assert len(body) == 8 + 4 * len(counts) + 16 * len(points)
    back_angle, back_counts, back = point_clouds.decode_lidar(body)
    assert back_angle == np.float32(angle) and back_counts.tolist() == counts
    np.testing.assert_array_equal(back, points)


@settings(max_examples=40, deadline=None)
@given(counts=COUNTS, data=st.data())
def test_semantic_lidar_points_come_back(counts: list[int], data: st.DataObject) -> None:
    rows = st.tuples(*[FLOATS] * 4, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
    points = np.array(
        data.draw(st.lists(rows, min_size=sum(counts), max_size=sum(counts))), point_clouds.SEMANTIC_POINT
    )
    _angle, back_counts, back = point_clouds.decode_semantic_lidar(
        point_clouds.encode_scan(0.0, np.array(counts), points)
    )
    assert back_counts.tolist() == counts
    assert back.tobytes() == points.tobytes()


def test_points_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="3 points are announced, but there are 2"):
        point_clouds.encode_scan(0.0, np.array([1, 2]), np.zeros((2, 4), np.float32))


@settings(max_examples=40, deadline=None)
@given(data=hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.just(4)), elements=FLOATS))
def test_radar_detections_come_back(data: np.ndarray) -> None:
    np.testing.assert_array_equal(point_clouds.decode_radar(point_clouds.encode_radar(data)), data)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(*[st.integers(0, 2**16 - 1)] * 2, st.integers(0, 2**62), st.booleans()), max_size=5))
def test_events_come_back(rows: list[tuple[int, int, int, bool]]) -> None:
    body = point_clouds.encode_events(np.array(rows, point_clouds.EVENT))
    assert len(body) == 13 * len(rows)
    assert point_clouds.decode_events(body).tolist() == rows


def test_events_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="events have the type"):
        point_clouds.encode_events(np.zeros(3))
