"""Each decoder of CARLA's buffers against its encoder, and each colour path with a frame of one pure colour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bridge.capture import decode

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def bgra(blue: NDArray | int, green: NDArray | int, red: NDArray | int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """CARLA's order of bytes, written down a second time on purpose."""
    picture = np.empty((*shape, 4), np.uint8)
    picture[..., 0], picture[..., 1], picture[..., 2], picture[..., 3] = blue, green, red, 255
    return picture


@pytest.mark.parametrize(("color", "expected"), [("red", (255, 0, 0)), ("green", (0, 255, 0)), ("blue", (0, 0, 255))])
def test_a_pure_colour_stays_that_colour(color: str, expected: tuple[int, int, int]) -> None:
    raw = {"red": b"\x00\x00\xff\xff", "green": b"\x00\xff\x00\xff", "blue": b"\xff\x00\x00\xff"}[color] * 12
    rgb = decode.rgb_from_bgra(decode.bgra_view(raw, 4, 3))
    assert rgb.shape == (3, 4, 3)
    assert (rgb == expected).all()


@given(SHAPES.flatmap(lambda shape: hnp.arrays(np.uint8, shape)))
def test_labels(tags: NDArray[np.uint8]) -> None:
    decoded = decode.labels_from_bgra(bgra(0, 0, tags, tags.shape))
    np.testing.assert_array_equal(decoded, tags)
    assert decoded.dtype == np.uint8


@given(SHAPES.flatmap(lambda shape: hnp.arrays(np.uint16, shape)), st.sampled_from([12, 13, 14, 15, 16, 17, 18, 19]))
def test_instances_of_what_moves(ids: NDArray[np.uint16], tag: int) -> None:
    decoded = decode.instances_from_bgra(bgra(ids >> 8, ids & 255, tag, ids.shape), "carla")
    np.testing.assert_array_equal(decoded, ids)
    assert decoded.dtype == np.uint16


def test_instances_of_houses_and_roads_are_nothing_that_moves() -> None:
    tags = np.arange(256, dtype=np.uint8).reshape(16, 16)
    decoded = decode.instances_from_bgra(bgra(1, 2, tags, tags.shape), "carla")
    assert set(tags[decoded != 0]) == {12, 13, 14, 15, 16, 17, 18, 19}
    decoded = decode.instances_from_bgra(bgra(1, 2, tags, tags.shape), "carla-0.9.13")
    assert set(tags[decoded != 0]) == {4, 10}


@given(SHAPES.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=st.floats(0.0, 1000.0))))
def test_depth_is_exact_to_its_24_bits(depth_m: NDArray[np.float64]) -> None:
    steps = np.round(depth_m / 1000.0 * (2**24 - 1)).astype(np.uint32)
    decoded = decode.depth_m_from_bgra(bgra(steps >> 16, (steps >> 8) & 255, steps & 255, depth_m.shape))
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, depth_m, rtol=2e-7, atol=3.1e-5)


def test_the_far_end_of_depth() -> None:
    assert decode.depth_m_from_bgra(bgra(255, 255, 255, (2, 2))).max() == pytest.approx(1000.0)
    assert decode.depth_m_from_bgra(bgra(0, 0, 0, (2, 2))).max() == 0.0


@given(SHAPES.flatmap(lambda s: hnp.arrays(np.float32, (*s, 2), elements=st.floats(-100.0, 100.0, width=32))))
def test_flow_in_pixels_of_the_picture(flow_px: NDArray[np.float32]) -> None:
    height_px, width_px = flow_px.shape[:2]
    halves = flow_px / np.array([width_px / 2, -height_px / 2], np.float32)  # CARLA: halves of the picture, y up
    decoded = decode.flow_px_from_raw(halves.astype("<f4").tobytes(), width_px, height_px)
    assert decoded.shape == flow_px.shape
    np.testing.assert_allclose(decoded, flow_px, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "read",
    [
        decode.rgb_from_bgra,
        decode.labels_from_bgra,
        decode.depth_m_from_bgra,
        lambda picture: decode.instances_from_bgra(picture, "carla"),
    ],
)
def test_planes_are_read_only_and_own_their_memory(read: Callable[[NDArray], NDArray]) -> None:
    buffer = bytearray(bgra(1, 2, 14, (4, 6)).tobytes())
    plane = read(decode.bgra_view(memoryview(buffer), 6, 4))
    before = plane.copy()
    buffer[:] = bytes(len(buffer))
    np.testing.assert_array_equal(plane, before)
    assert not plane.flags.writeable
    assert plane.flags.c_contiguous


def test_buffers_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="44 bytes for 4x3 pixels"):
        decode.bgra_view(bytes(44), 4, 3)
    with pytest.raises(ValueError, match="for 4x3 pixels"):
        decode.flow_px_from_raw(bytes(88), 4, 3)
    with pytest.raises(ValueError, match=r"\(H,W,4\) uint8"):
        decode.rgb_from_bgra(np.zeros((4, 4, 3), np.uint8))
