"""Shapes of vehicles and walkers, the bake's cache file, and the painter's parts that need no picture."""

from __future__ import annotations

import logging
from pathlib import Path

import numba
import numpy as np
import pytest

from bridge.town.engine import bake, body_half_extents_m, catalogue, tags
from bridge.town.engine.catalogue import build_shape, shape_key
from bridge.town.engine.frames import camera_axes, street_from_body
from bridge.town.engine.kernel_cache import keep_kernels_by_content
from bridge.town.engine.light import BakedLight
from bridge.town.engine.mesh import Mesh
from bridge.town.engine.packing import Piece, pack_static
from bridge.town.engine.people import STRIDE_LENGTH_M
from bridge.town.engine.shapes import Motion, Shape
from bridge.town.pose import Pose

BLUEPRINTS = [f"vehicle.{name}" for name in catalogue._MODELS] + [f"walker.pedestrian.{k:04d}" for k in (1, 2, 15, 48)]


def bounds(shape: Shape, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """The box around all parts of a shape in its own frame."""
    placed = [
        part.position @ pose[:, :3].T + pose[:, 3]
        for part, pose in zip(shape.parts, shape.part_poses(motion), strict=True)
    ]
    points = np.concatenate(placed)
    return points.min(0), points.max(0)


@pytest.mark.parametrize("blueprint", BLUEPRINTS)
def test_every_shape_stands_on_the_ground_and_fills_its_box(blueprint: str) -> None:
    half = np.array(body_half_extents_m(blueprint))
    low, high = bounds(build_shape(shape_key(blueprint)), Motion())
    assert abs(low[2]) < 0.03
    slack = 0.12 if blueprint.startswith("vehicle") else 0.2
    np.testing.assert_allclose(high[:2], half[:2], atol=slack)
    np.testing.assert_allclose(low[:2], -half[:2], atol=slack)
    assert high[2] == pytest.approx(2 * half[2], abs=0.12)


@pytest.mark.parametrize("blueprint", ["vehicle.audi.tt", "vehicle.mitsubishi.fusorosa", "walker.pedestrian.0001"])
def test_a_shape_is_made_of_finite_unit_normals_and_known_tags(blueprint: str) -> None:
    for part in build_shape(shape_key(blueprint)).parts:
        assert np.isfinite(part.position).all()
        np.testing.assert_allclose(np.linalg.norm(part.normal, axis=1), 1.0, atol=1e-3)
        assert part.triangle.max() < len(part.position)
        assert set(np.unique(part.tag)) <= {tags.CAR, tags.BUS, tags.PEDESTRIAN}


def test_a_walker_closes_its_cycle_after_one_stride() -> None:
    shape = build_shape(shape_key("walker.pedestrian.0004"))
    scale = 2 * shape.half_extents_m[2] / 1.78
    start, middle, end = (shape.part_poses(Motion(stride_m=s * STRIDE_LENGTH_M * scale)) for s in (1.0, 1.25, 2.0))
    np.testing.assert_allclose(start, end, atol=1e-9)
    assert np.abs(middle - start).max() > 0.2


def test_wheels_steer_to_the_left_for_positive_angles_and_roll_forward() -> None:
    shape = build_shape(shape_key("vehicle.tesla.model3"))
    _, left, _, rear = shape.part_poses(Motion(steer_rad=0.3, roll_rad=0.0))
    assert left[1, 0] > 0.2, "the wheel's forward axis points to +y, left"
    np.testing.assert_allclose(rear[:, :3], np.eye(3), atol=1e-12)
    rolled = shape.part_poses(Motion(roll_rad=0.2))[3]
    assert rolled[0, 2] > 0.0 > rolled[2, 0], "the top of a rolling wheel moves forward"


def test_walkers_and_models_that_look_alike_share_a_shape() -> None:
    assert shape_key("walker.pedestrian.0001") == shape_key("walker.pedestrian.0017")
    assert shape_key("vehicle.acme.rocket") == "vehicle.generic"
    for refused in ("static.nothing", "vehicle", "walker.", ""):
        with pytest.raises(ValueError, match="the town draws vehicle"):
            shape_key(refused)


def test_the_street_frame_is_right_handed() -> None:
    pose = Pose(3.0, 4.0, 1.0, pitch_deg=10.0, yaw_deg=30.0, roll_deg=5.0)
    matrix = street_from_body(pose)
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1.0)
    np.testing.assert_allclose(matrix[:3, 3], [3.0, -4.0, 1.0])
    eye, axes = camera_axes(pose)
    np.testing.assert_allclose(eye, [3.0, -4.0, 1.0])
    np.testing.assert_allclose(np.cross(axes[0], axes[1]), axes[2], atol=1e-12)
    assert axes[1][2] < -0.9, "the second axis looks down"


def small_town() -> bake.BakedTown:
    mesh = Mesh()
    mesh.box((0, 0, 0), (1, 2, 3), "stone", tags.BUILDING)
    light = BakedLight(np.ones((4, 4, 4), np.float32), np.zeros(2, np.float32))
    clouds = np.ones((2, 2, 2), np.int16)
    return bake.BakedTown(pack_static([Piece(mesh.build())]), np.zeros((1, 5, 4), np.uint8), light, clouds)


def test_a_baked_town_comes_back_from_its_file(tmp_path: Path) -> None:
    town, path = small_town(), tmp_path / "deep" / "town-x.npz"
    assert bake._load(path) is None
    bake._store(path, town)
    again = bake._load(path)
    assert again is not None
    np.testing.assert_array_equal(again.mesh.vertex_position, town.mesh.vertex_position)
    np.testing.assert_array_equal(again.light.ground_grid, town.light.ground_grid)
    assert [p.name for p in path.parent.iterdir()] == ["town-x.npz"], "no scratch file is left"


def test_a_damaged_or_unwritable_cache_costs_only_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "town-x.npz"
    path.write_bytes(b"not an archive")
    with caplog.at_level(logging.WARNING):
        assert bake._load(path) is None
        bake._store(path / "below-a-file" / "town.npz", small_town())
    assert "cannot be read" in caplog.text
    assert "cannot be kept" in caplog.text


def test_static_pieces_keep_their_triangles_in_chunks() -> None:
    mesh = Mesh()
    for x in (0.0, 30.0, 70.0):
        mesh.box((x, 0, 0), (x + 1, 1, 1), "stone", tags.BUILDING)
    packed = pack_static([Piece(mesh.build()), Piece(mesh.build(), 50.0, 90.0, (0.0, 0.0))])
    assert len(packed.chunk_object) == 4
    assert packed.chunk_triangle1[-1] == len(packed.triangle_vertex) == 60
    for first, last, low, high in zip(
        packed.chunk_vertex0, packed.chunk_vertex1, packed.chunk_low, packed.chunk_high, strict=True
    ):
        inside = packed.vertex_position[first:last]
        np.testing.assert_array_equal(inside.min(0), low)
        np.testing.assert_array_equal(inside.max(0), high)
    assert sorted(packed.chunk_near_m.tolist()) == [0.0, 0.0, 0.0, 50.0]


def test_compiled_kernels_are_kept_by_the_content_of_their_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", "before")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "the user's choice")
    keep_kernels_by_content()
    assert numba.config.CACHE_DIR == "before"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keep_kernels_by_content()
    folder = Path(numba.config.CACHE_DIR)
    assert folder.parent == tmp_path / "vidrive" / "town"
    assert folder.name.startswith("kernels-")
    assert not folder.exists()
