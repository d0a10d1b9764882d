"""What a codec takes it gives back bit for bit, and bytes that are none of its own are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bridge.protocol.errors import RecordingError
from bridge.recording.codecs import Codec, open_codec
from bridge.recording.depth import METRES_PER_STEP, metres_of, steps_of

LABELS = open_codec("labels", np.dtype("u1"))
SIDES = st.integers(1, 24)


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> None:
    """Compile before hypothesis looks at the clock."""
    open_codec("depth24", np.dtype("<f4"))


def planes(dtype: object, elements: st.SearchStrategy | None = None, depth: tuple[int, ...] = ()) -> st.SearchStrategy:
    shapes = st.tuples(SIDES, SIDES).map(lambda sides: (*sides, *depth))
    return shapes.flatmap(lambda shape: hnp.arrays(dtype, shape, elements=elements))


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def round_trip(codec: Codec, plane: np.ndarray) -> np.ndarray:
    return codec.decode(codec.encode(plane), (plane.shape[0], plane.shape[1]))


@given(planes(np.uint8))
def test_labels(plane: np.ndarray) -> None:
    assert same_bits(round_trip(open_codec("ids", np.dtype("u1")), plane), plane)


@given(planes(np.uint8) | planes(np.uint8, st.integers(0, 2)))
def test_labels_by_their_neighbourhoods(plane: np.ndarray) -> None:
    assert same_bits(round_trip(LABELS, plane), plane)


@given(planes(np.uint16))
def test_instances(plane: np.ndarray) -> None:
    assert same_bits(round_trip(open_codec("ids", np.dtype("<u2")), plane), plane)


@given(planes(np.float32, depth=(2,)))
def test_flow_with_every_bit_pattern_of_a_float(plane: np.ndarray) -> None:
    assert same_bits(round_trip(open_codec("floats", np.dtype("<f4")), plane), plane)


@given(planes(np.uint8, depth=(3,)))
def test_pictures(plane: np.ndarray) -> None:
    assert same_bits(round_trip(open_codec("png", np.dtype("u1")), plane), plane)


def test_a_pure_red_picture_stays_red() -> None:
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 255
    assert same_bits(round_trip(open_codec("png", np.dtype("u1")), red), red)


@given(planes(np.int32, st.integers(0, 2**24 - 1)))
@example(np.array([[13_840_910]], np.int32))
def test_depth_in_steps(steps: np.ndarray) -> None:
    depth_m = metres_of(steps)
    found = steps_of(depth_m)
    assert found is not None
    assert same_bits(metres_of(found), depth_m)
    # A float32 beyond 512 m is coarser than a step, so two neighbours may be the same depth there.
    assert np.array_equal(found[depth_m < 512.0], steps[depth_m < 512.0])
    assert np.abs(found - steps).max(initial=0) <= 1
    assert same_bits(round_trip(open_codec("depth24", np.dtype("<f4")), depth_m), depth_m)


@given(planes(np.float32))
def test_depth_of_any_float(plane: np.ndarray) -> None:
    assert same_bits(round_trip(open_codec("depth24", np.dtype("<f4")), plane), plane)


@given(
    size_hw=st.tuples(st.integers(1, 40), st.integers(1, 70)),
    slopes=st.lists(st.tuples(*[st.floats(-1e-3, 1e-3)] * 2, st.floats(1e-3, 1.0)), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_depth_of_planes_with_edges_and_noise(
    size_hw: tuple[int, int], slopes: list[tuple[float, float, float]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    owner = rng.integers(0, len(slopes), size_hw) if seed % 2 else (x + y) * len(slopes) // sum(size_hw)
    a, b, c = (np.array(slopes)[owner, i] for i in range(3))
    depth = np.clip(1.0 / np.maximum(a * x + b * y + c, 1e-3), 0.0, 1000.0)
    steps = np.rint(depth / float(METRES_PER_STEP)).astype(np.int32) + rng.integers(-1, 2, size_hw, np.int32)
    depth_m = metres_of(np.clip(steps, 0, 2**24 - 1).astype(np.int32))
    assert same_bits(round_trip(open_codec("depth24", np.dtype("<f4")), depth_m), depth_m)


def test_depth_of_a_street_takes_a_tenth_of_its_bytes() -> None:
    """A road, a wall, the sky and a car: flat surfaces seen by a camera that leans a little."""
    y, x = np.mgrid[:128, :256]
    u, v = (x - 127.5) / 128, (y - 63.5) / 128
    u, v = u - 0.02 * v, v + 0.02 * u
    with np.errstate(divide="ignore"):
        road = np.where(v > 0, 1.6 / np.maximum(v, 1e-9), 1000.0)
        wall = np.where(u < 0, -6.0 / np.minimum(u, -1e-9), 1000.0)
    depth = np.minimum(np.minimum(road, wall), 1000.0)
    depth[60:80, 150:190] = 12.0 + 0.01 * (x - 150)[60:80, 150:190]
    depth_m = metres_of(np.rint(depth / float(METRES_PER_STEP)).astype(np.int32))
    codec = open_codec("depth24", np.dtype("<f4"))
    record = codec.encode(depth_m)
    assert same_bits(codec.decode(record, (128, 256)), depth_m)
    assert len(record) < depth_m.size * 3 / 10


def test_depth_of_noise_takes_no_more_than_its_floats() -> None:
    steps = np.random.default_rng(0).integers(0, 2**24, (64, 64), np.int32)
    depth_m = metres_of(steps)
    codec = open_codec("depth24", np.dtype("<f4"))
    record = codec.encode(depth_m)
    assert same_bits(codec.decode(record, (64, 64)), depth_m)
    assert len(record) <= depth_m.nbytes * 1.01 + 64


CASES = [
    ("ids", "u1", np.arange(48, dtype=np.uint8).reshape(6, 8)),
    ("ids", "<u2", np.arange(48, dtype=np.uint16).reshape(6, 8)),
    ("labels", "u1", np.arange(48, dtype=np.uint8).reshape(6, 8) // 5),
    ("depth24", "<f4", metres_of(np.arange(48, dtype=np.int32).reshape(6, 8) ** 3)),
    ("depth24", "<f4", np.linspace(0.0, 1.0, 48, dtype=np.float32).reshape(6, 8)),
    ("floats", "<f4", np.linspace(-1.0, 1.0, 96, dtype=np.float32).reshape(6, 8, 2)),
    ("png", "u1", np.arange(144, dtype=np.uint8).reshape(6, 8, 3)),
]


@pytest.mark.parametrize(("name", "dtype", "plane"), CASES)
def test_cut_and_damaged_records_are_refused(name: str, dtype: str, plane: np.ndarray) -> None:
    codec = open_codec(name, np.dtype(dtype))  # pyright: ignore[reportArgumentType]
    record = codec.encode(plane)
    for length in range(len(record) - 1):
        # A PNG's last bytes say only that it ends.
        if name == "png" and length > len(record) - 20:
            continue
        with pytest.raises(RecordingError):
            codec.decode(record[:length], (6, 8))
    for position in range(len(record)):
        damaged = bytearray(record)
        damaged[position] ^= 0x10
        try:
            decoded = codec.decode(bytes(damaged), (6, 8))
        except RecordingError:
            continue
        assert same_bits(decoded, plane), f"byte {position} changed the plane and nobody noticed"


@pytest.mark.parametrize(("name", "dtype", "plane"), CASES)
def test_a_plane_of_another_size_is_refused(name: str, dtype: str, plane: np.ndarray) -> None:
    codec = open_codec(name, np.dtype(dtype))  # pyright: ignore[reportArgumentType]
    with pytest.raises(RecordingError):
        codec.decode(codec.encode(plane), (7, 8))
    with pytest.raises(ValueError, match="was to come"):
        codec.encode(plane.astype(np.float64))
