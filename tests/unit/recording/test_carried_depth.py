"""Depth and labels kept as their changes come back bit for bit, whatever moves; whole pictures come often enough."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.protocol.errors import RecordingError
from bridge.protocol.frames import BodyPose
from bridge.recording.carried import CARRIED, GROUP_LENGTH, WHOLE, CarriedCodec, DepthView
from bridge.recording.carried_kernels import LOGITS, SQUASHED
from bridge.recording.codecs import LabelsCodec
from bridge.recording.depth import METRES_PER_STEP, Depth24Codec, metres_of
from bridge.recording.manifest import read_manifest, write_manifest
from bridge.recording.reader import Recording
from bridge.recording.writer import RecordingWriter, prepare_folder
from tests.unit.recording.recorded_drives import PLANES, make_manifest, make_pair, record

MAX_STEPS = 2**24 - 1


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> None:
    """Compile before hypothesis looks at the clock."""
    CarriedCodec()


def street(size_hw: tuple[int, int], forward_m: float, car_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Depth and instances of a road, a wall, the sky and the flat back of a car."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    focal = size_hw[1] / 2
    u, v = (x - size_hw[1] / 2 + 0.5) / focal, (y - size_hw[0] / 2 + 0.5) / focal
    with np.errstate(divide="ignore"):
        road = np.where(v > 0, 1.6 / np.maximum(v, 1e-9), 1000.0)
        end = np.where(np.abs(u) < 0.3, 60.0 - forward_m, 1000.0)
        wall = np.where(u < -0.1, -6.0 / np.minimum(u, -1e-9), 1000.0)
    is_car = (np.abs(u * (car_m - forward_m)) < 0.9) & (np.abs(v * (car_m - forward_m)) < 1.0)
    depth = np.minimum(np.minimum(road, wall), np.where(v > -0.2, end, 1000.0))
    depth = np.where(is_car, np.minimum(depth, car_m - forward_m), np.minimum(depth, 1000.0))
    depth_m = metres_of(np.rint(np.clip(depth, 0.0, 1000.0) / float(METRES_PER_STEP)).astype(np.int32))
    return depth_m, is_car.astype(np.uint16) * 77


def pose_at(x_m: float, yaw: float = 0.0) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = [[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]]
    pose[2, 3] = x_m
    return pose


def drive(num: int, size_hw: tuple[int, int] = (96, 192)) -> list[tuple[np.ndarray, DepthView]]:
    shown = []
    for tick in range(num):
        depth_m, instances = street(size_hw, 0.5 * tick, 12.0 + 0.9 * tick)
        bodies = (BodyPose(77, pose_at(0.9 * tick)),)
        shown.append((depth_m, DepthView(pose_at(0.5 * tick), size_hw[1] / 2, instances, bodies)))
    return shown


def labels_of(depth_m: np.ndarray, view: DepthView, seed: int = 0) -> np.ndarray:
    """Labels of cars, sky and what is near, some of them wrong."""
    labels = np.where(depth_m > 999.0, 11, np.where(depth_m < 20.0, 1, 3)).astype(np.uint8)
    if view.instances is not None:
        labels[view.instances > 0] = 14
    if seed:
        rng = np.random.default_rng(seed)
        wrong = rng.random(labels.shape) < 0.1 * (seed % 10)
        labels[wrong] = rng.integers(0, 256, np.count_nonzero(wrong))
    return labels


def round_trip(shown: list[tuple[np.ndarray, DepthView]], seed: int = 0) -> list[bytes]:
    encoder, decoder = CarriedCodec(), CarriedCodec()
    records = []
    for number, (depth_m, view) in enumerate(shown):
        size_hw = depth_m.shape[0], depth_m.shape[1]
        labels = labels_of(depth_m, view, seed and seed + number)
        records.append(encoder.encode(depth_m, view))
        coded = encoder.encode_labels(labels)
        back = decoder.decode(records[-1], size_hw, view)
        assert back.tobytes() == depth_m.tobytes() and back.dtype == depth_m.dtype
        np.testing.assert_array_equal(decoder.decode_labels(coded, size_hw), labels)
    return records


FLOATS = st.one_of(st.floats(-2.0, 2.0), st.sampled_from([0.0, 1e-30, 1e9, -1e9, 1e300, float("inf")]))


@settings(deadline=None)
@given(
    size_hw=st.tuples(st.integers(1, 20), st.integers(1, 30)),
    kinds=st.lists(st.sampled_from(["street", "noise", "empty", "far", "floats", "same"]), min_size=1, max_size=7),
    seed=st.integers(0, 2**32 - 1),
    focal_px=st.one_of(st.floats(0.1, 500.0), st.sampled_from([1e-9, 1e12])),
    jump=FLOATS,
)
def test_whatever_follows_whatever(
    size_hw: tuple[int, int], kinds: list[str], seed: int, focal_px: float, jump: float
) -> None:
    """Cuts, cameras and bodies that jump or turn into no rotation at all, pictures that nothing explains."""
    rng = np.random.default_rng(seed)
    shown: list[tuple[np.ndarray, DepthView]] = []
    for tick, kind in enumerate(kinds):
        depth_m, instances = street(size_hw, 0.4 * tick, 10.0)
        if kind == "noise":
            depth_m = metres_of(rng.integers(0, MAX_STEPS + 1, size_hw, np.int32))
        elif kind == "floats":
            depth_m = rng.normal(size=size_hw).astype(np.float32)
        elif kind in ("empty", "far"):
            depth_m = metres_of(np.full(size_hw, MAX_STEPS if kind == "far" else 0, np.int32))
        elif kind == "same" and shown:
            shown.append(shown[-1])
            continue
        pose = pose_at(0.4 * tick, 0.02 * tick)
        pose[0, 3] += jump * (seed % 3)
        wild = np.vstack([rng.normal(size=(3, 4)) * (jump if seed % 5 == 0 else 1.0), [[0, 0, 0, 1]]])
        bodies = (BodyPose(77, wild), BodyPose(1 << 20, pose))
        view = DepthView(pose, focal_px * (1 + tick // 3), instances if tick % 4 else None, bodies)
        shown.append((depth_m, view))
    with np.errstate(all="ignore"):
        round_trip(shown, seed)


def test_what_was_seen_before_costs_little_and_a_moving_car_too() -> None:
    shown = drive(12)
    records = round_trip(shown)
    alone = [len(Depth24Codec().encode(depth_m)) for depth_m, _ in shown]
    follows = [len(r) for r in records if r[:1] == CARRIED][-6:]
    assert np.mean(follows) < np.mean(alone) / 2
    still = [(depth_m, DepthView(view.world_from_camera, view.focal_px, view.instances)) for depth_m, view in shown]
    assert sum(len(r) for r in records) < sum(len(r) for r in round_trip(still))


def test_labels_cost_next_to_nothing_beside_their_depth() -> None:
    codec, beside, alone = CarriedCodec(), 0, 0
    for number, each in enumerate(drive(16)):
        codec.encode(*each)
        labels = labels_of(*each)
        coded = codec.encode_labels(labels)
        if number < 4:
            continue  # contexts are still to be learnt
        beside += len(coded)
        alone += len(LabelsCodec().encode(labels))
    assert beside < alone / 2


def test_a_street_that_stands_still_costs_next_to_nothing() -> None:
    codec, each = CarriedCodec(), drive(1)[0]
    sizes = [len(codec.encode(*each)) for _ in range(8)]
    assert sizes[-1] < sizes[0] / 8


def test_what_poses_lack_in_digits_is_mended() -> None:
    """CARLA sends poses in 32 bits: two hundred metres from the origin that is half a step of depth."""
    exact, rounded = ([], []), np.float32(0.5) / 2**14
    for each, cut in zip(exact, (0.0, float(rounded)), strict=True):
        for number, (depth_m, view) in enumerate(drive(12)):
            pose = view.world_from_camera.copy()
            pose[:3, 3] += cut * np.random.default_rng(number).uniform(-1, 1, 3)
            each.append((depth_m, DepthView(pose, view.focal_px, view.instances, view.bodies)))
    sizes = [sum(len(record) for record in round_trip(each)[6:]) for each in exact]
    assert sizes[1] < 1.25 * sizes[0]


def test_the_mixing_tables_are_the_same_everywhere() -> None:
    """No entry is so near to a half that another library's exponential would round it to the other side."""
    x = np.arange(-2047, 2048)
    for exactly, table in (
        (4096.0 / (1.0 + np.exp(x / -256.0)), SQUASHED),
        (256.0 * np.log(np.arange(1, 4096) / np.arange(4095, 0, -1.0)), LOGITS[1:]),
    ):
        assert np.abs(np.abs(exactly - np.floor(exactly)) - 0.5).min() > 1e-9
        inside = (exactly > table.min()) & (exactly < table.max())
        assert np.abs(exactly - table)[inside].max() <= 0.5


def test_whole_pictures_come_often_enough() -> None:
    codec = CarriedCodec()
    depth_m, view = drive(1, (8, 16))[0]
    letters = [codec.encode(depth_m, view)[:1] for _ in range(2 * GROUP_LENGTH + 1)]
    whole = [at for at, letter in enumerate(letters) if letter == WHOLE]
    assert {after - before for before, after in pairwise(whole)} == {GROUP_LENGTH}


def test_a_picture_without_the_one_before_it_is_refused() -> None:
    shown = drive(4, (24, 48))
    codec = CarriedCodec()
    records = [codec.encode(*each) for each in shown]
    for skipped in (1, 2):
        decoder = CarriedCodec()
        decoder.decode(records[0], (24, 48), shown[0][1])
        with pytest.raises(RecordingError, match="damaged"):
            decoder.decode(records[1 + skipped], (24, 48), shown[1 + skipped][1])
    with pytest.raises(RecordingError, match="damaged"):
        CarriedCodec().decode(records[2], (24, 48), shown[2][1])


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_changed_bit_is_noticed(at: int, bit: int) -> None:
    shown = drive(2, (8, 16))
    encoder, decoder = CarriedCodec(), CarriedCodec()
    records = []
    for each in shown:
        records += [bytearray(encoder.encode(*each)), bytearray(encoder.encode_labels(labels_of(*each)))]
    at %= sum(map(len, records))
    damaged = next(r for r in range(4) if at < sum(map(len, records[: r + 1])))
    records[damaged][at - sum(map(len, records[:damaged]))] ^= 1 << bit
    with pytest.raises(RecordingError, match="damaged"):
        for number, (_, view) in enumerate(shown):
            decoder.decode(bytes(records[2 * number]), (8, 16), view)
            decoder.decode_labels(bytes(records[2 * number + 1]), (8, 16))


def test_frames_of_a_recording_are_read_in_any_order(tmp_path: Path) -> None:
    opened = Recording(record(tmp_path / "drive", 9))
    in_order = [opened.plane("depth_m", index) for index in range(9)]
    for index in (7, 2, 8, 0, 0, 5, 6):
        sensor = make_pair(100 + index).sensor
        for name, expected in (("labels", sensor.label_map), ("depth_m", sensor.depth_m)):
            plane = opened.plane(name, index)
            assert plane is not None and expected is not None
            assert plane.tobytes() == expected.tobytes()
            assert not plane.flags.writeable
    assert all(plane is not None for plane in in_order)


def test_labels_without_the_depth_that_they_go_with_are_refused(tmp_path: Path) -> None:
    folder = record(tmp_path / "drive", 2)
    manifest = read_manifest(folder)
    depth = msgspec.structs.replace(manifest.planes["depth_m"], codec="depth24")
    write_manifest(folder, msgspec.structs.replace(manifest, planes={**manifest.planes, "depth_m": depth}))
    with pytest.raises(RecordingError, match="belongs together"):
        Recording(folder)


def test_a_recording_of_the_format_before_still_opens(tmp_path: Path) -> None:
    depth = msgspec.structs.replace(PLANES["depth_m"], codec="depth24")
    labels = msgspec.structs.replace(PLANES["labels"], codec="labels")
    folder = tmp_path / "drive"
    prepare_folder(folder)
    with RecordingWriter(
        folder, make_manifest(version=1, planes={**PLANES, "depth_m": depth, "labels": labels})
    ) as writer:
        for frame_id in range(100, 103):
            writer.accept(make_pair(frame_id))
    plane, expected = Recording(folder).plane("depth_m", 1), make_pair(101).sensor.depth_m
    assert plane is not None and expected is not None
    assert plane.tobytes() == expected.tobytes()
