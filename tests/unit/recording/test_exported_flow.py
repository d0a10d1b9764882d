"""The motion that an export to vid2vid's layout writes is the engine's, and the trainer reads it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.recording.depth import metres_of, steps_of
from bridge.recording.manifest import PlaneFormat
from bridge.recording.writer import RecordingWriter, prepare_folder
from clients.recordings.layouts import export_vid2vid
from clients.recordings.pairs import RecordedPairs
from renderer.train.video.reference_flow import read_flow
from tests.unit.recording.recorded_drives import HEIGHT, WIDTH, make_manifest, make_pair

WALL_M, POST_M = 10.0, 5.0
SLIDE_M = 0.5  # of the camera to its right, from frame to frame
FOCAL_PX = WIDTH / 2  # 90 degrees
POST = slice(20, 30)  # columns of the first frame


def slide_past_a_post(folder: Path, num_frames: int, *, with_depth: bool = True) -> Path:
    """Record a camera that slides past a post before a wall."""
    prepare_folder(folder)
    planes = make_manifest().planes
    kept = {name: plane for name, plane in planes.items() if with_depth or name != "depth_m"}
    if not with_depth:
        kept["labels"] = PlaneFormat(codec="labels", file="labels.planes", type="u8")
    with RecordingWriter(folder, make_manifest(planes=kept)) as writer:
        for index in range(num_frames):
            pose = np.eye(4)
            pose[0, 3] = SLIDE_M * index
            depth_m = np.full((HEIGHT, WIDTH), WALL_M, np.float32)
            moved_px = round(index * SLIDE_M * FOCAL_PX / POST_M)
            depth_m[:, POST.start - moved_px : POST.stop - moved_px] = POST_M
            pair = make_pair(100 + index)
            sensor = dataclasses.replace(
                pair.sensor,
                world_from_camera=pose,
                depth_m=in_whole_steps(depth_m) if with_depth else None,
                instance_map=np.zeros((HEIGHT, WIDTH), np.uint16),
                bodies=(),
            )
            writer.accept(dataclasses.replace(pair, sensor=sensor))
    return folder


def in_whole_steps(depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return depth as CARLA's 24 bits have it."""
    rounded = metres_of(np.rint(depth_m.astype(np.float64) * ((1 << 24) - 1) / 1000).astype(np.int32))
    assert steps_of(rounded) is not None
    return rounded


def test_flow_of_depth_and_poses_is_exported_but_for_what_is_newly_visible(tmp_path: Path) -> None:
    with RecordedPairs(slide_past_a_post(tmp_path / "drive", 3)) as pairs:
        assert export_vid2vid(pairs, tmp_path / "out", "carla") == 3
    flows = sorted((tmp_path / "out" / "train_flow" / "seq0001").iterdir())
    assert [path.name for path in flows] == ["000001.png", "000002.png"]  # the first frame has none before it
    flow, known = read_flow(flows[0], (HEIGHT, WIDTH))
    of_wall_px, of_post_px = (SLIDE_M * FOCAL_PX / depth_m for depth_m in (WALL_M, POST_M))
    left = POST.start - round(of_post_px)
    assert flow[5, left:][:10, 0] == pytest.approx(of_post_px, abs=0.02)  # a pixel comes from farther right
    assert flow[5, 40:60, 0] == pytest.approx(of_wall_px, abs=0.02)
    assert np.abs(flow[..., 1]).max() < 0.02
    assert known[:, left : left + 10].all()
    hidden = slice(POST.start - round(of_post_px) + 10, POST.stop - round(of_wall_px))  # the post stood before it
    assert not known[:, hidden].any()
    assert known[:, hidden.stop : WIDTH - round(of_wall_px) - 1].all()


def test_a_recording_without_depth_is_exported_without_flow(tmp_path: Path) -> None:
    with RecordedPairs(slide_past_a_post(tmp_path / "drive", 2, with_depth=False)) as pairs:
        assert export_vid2vid(pairs, tmp_path / "out", "carla") == 2
    assert not (tmp_path / "out" / "train_flow").exists()
