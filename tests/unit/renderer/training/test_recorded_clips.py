"""Recordings as data: true motion in clips, sentences for what cannot be used, and the light they are put into."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bridge.protocol.errors import UsageError
from bridge.recording.reader import Recording
from renderer.temporal import EngineMotion
from renderer.train.check import check_photos
from renderer.train.dusk import DuskConfig, Surfaces, light_as_dusk
from renderer.train.preset import TrainPreset
from renderer.train.recordings import (
    RecordedFrame,
    RecordedStream,
    RecordingConfig,
    load_recordings,
    true_motion,
)
from tests.unit.recording.recorded_drives import record

from .conftest import CAR, ROAD, SHIPPED, SKY, assert_same, changed, differs, make_trainer, weights_of

HEIGHT_PX, WIDTH_PX = 64, 96
STEP_PX = 3
FOCAL_PX, DEPTH_M = 48.0, 12.0
BUILDING, WINDOW = 1, 1 + 13  # a dark tone of a building
ALL = RecordingConfig(every=1, frames_in_a_row=1)
PRESET = changed(SHIPPED, recordings=ALL)


def passing(num_frames: int = 3) -> list[RecordedFrame]:
    """A camera that moves to the right before a wall: each frame shows the one before, `STEP_PX` further left."""
    rng = np.random.default_rng(5)
    wall = rng.integers(0, 256, (HEIGHT_PX, WIDTH_PX + STEP_PX * num_frames, 3), np.uint8)
    frames = []
    for number in range(num_frames):
        pose = np.array([[0.0, 0, 1, 0], [1, 0, 0, number * STEP_PX * DEPTH_M / FOCAL_PX], [0, -1, 0, 2], [0, 0, 0, 1]])
        frames.append(
            RecordedFrame(
                name=f"wall_{number}",
                rgb=np.ascontiguousarray(wall[:, number * STEP_PX : number * STEP_PX + WIDTH_PX]),
                labels=np.full((HEIGHT_PX, WIDTH_PX), BUILDING, np.uint8),
                depth_m=np.full((HEIGHT_PX, WIDTH_PX), DEPTH_M, np.float32),
                instances=np.zeros((HEIGHT_PX, WIDTH_PX), np.uint16),
                motion=EngineMotion(FOCAL_PX, pose),
                follows=number > 0,
            )
        )
    return frames


def test_every_pixel_is_found_where_it_was_in_the_frame_before() -> None:
    before, now = passing(2)
    place_HW2, valid_HW = true_motion(before, now)
    columns = (place_HW2[..., 0] + 1) / 2 * WIDTH_PX - 0.5
    inside = valid_HW > 0
    assert inside[:, : -STEP_PX - 1].all()
    assert not inside[:, -STEP_PX + 1 :].any()
    assert np.abs(columns - np.arange(WIDTH_PX) - STEP_PX)[inside].max() < 0.1


@pytest.mark.parametrize("mirror_share", [0.0, 1.0])
def test_the_last_crop_moved_is_the_next_crop(tiny: TrainPreset, mirror_share: float) -> None:
    holes = changed(tiny.clips.holes, chance=0.0)
    config = changed(tiny.clips, mirror_share=mirror_share, exposure=(1.0, 1.0), single_share=0.0, holes=holes)
    stream = RecordedStream(passing(), 1, 0, config)
    moved_frames = 0
    last = stream.next_batch(3)
    for _ in range(12):
        batch = stream.next_batch(3)
        valid = batch.valid_B1HW.expand_as(batch.photo_B3HW) > 0
        if valid.any():
            moved = F.grid_sample(last.photo_B3HW, batch.source_BHW2, mode="bilinear", align_corners=False)
            inner = valid[..., 2:-2, 2:-2]
            error = (moved - batch.photo_B3HW).abs()[..., 2:-2, 2:-2][inner]
            still = (last.photo_B3HW - batch.photo_B3HW).abs()[..., 2:-2, 2:-2][inner]
            assert float(error.mean()) < 0.1 * float(still.mean())
            moved_frames += 1
        last = batch
    assert moved_frames >= 3


def test_a_stream_goes_on_where_another_was(tiny: TrainPreset) -> None:
    config = changed(tiny.clips, single_share=0.0)
    stream, resumed = (RecordedStream(passing(4), 2, 7, config) for _ in range(2))
    for _ in range(5):
        stream.next_batch(3)
    resumed.load_state_dict(stream.state_dict())
    for _ in range(4):
        first, second = stream.next_batch(3), resumed.next_batch(3)
        assert torch.equal(first.photo_B3HW, second.photo_B3HW)
        assert torch.equal(first.source_BHW2, second.source_BHW2)
        assert torch.equal(first.valid_B1HW, second.valid_B1HW)
    with pytest.raises(ValueError, match="3 clips side by side"):
        RecordedStream(passing(), 2, 7, config).load_state_dict(stream.state_dict() | {"taken": [1, 1, 1]})


def test_a_trainer_learns_from_recorded_frames_the_same_twice(tiny: TrainPreset) -> None:
    first, second = (make_trainer(tiny, [*passing()]) for _ in range(2))
    untrained = weights_of(first.generator)
    for _ in range(3):
        assert first.step().taken
        assert second.step().taken
    assert differs(weights_of(first.generator), untrained)
    assert_same(weights_of(first.generator), weights_of(second.generator))


def test_recordings_are_read_with_their_planes_and_order(tmp_path: Path) -> None:
    record(tmp_path / "train" / "one_drive", num_frames=5)
    frames = load_recordings(
        tmp_path / "train", RecordingConfig(every=3, frames_in_a_row=2), "street", Recording, tones=False
    )
    assert [(frame.name, frame.follows) for frame in frames] == [
        ("one-drive_00000100", False),
        ("one-drive_00000101", True),
        ("one-drive_00000103", False),
        ("one-drive_00000104", True),
    ]
    assert frames[0].drive == "one-drive"
    assert frames[0].rgb.shape == (32, 64, 3)
    assert int(frames[0].labels.max()) < 13
    toned = load_recordings(tmp_path / "train", ALL, "street", Recording, tones=True)
    assert all((frame.labels % 13 == again.labels).all() for frame, again in zip(toned[:2], frames[:2], strict=True))


def test_what_is_wrong_with_recordings_is_said_in_sentences(tmp_path: Path) -> None:
    small = changed(PRESET, clips=changed(PRESET.clips, width_px=64, height_px=32))
    assert [sentence.partition(" holds")[2] for sentence in check_photos(tmp_path, small, Recording)] == [
        " no recordings, so there is nothing to learn from. Record some into it",
        " no recordings, so nothing can be measured. Record some into it",
    ]
    with pytest.raises(UsageError, match=r"does not read recordings\. Use vidrive train"):
        check_photos(tmp_path, small)
    with pytest.raises(UsageError, match=r"holds no recordings. vidrive record --pictures lossless"):
        load_recordings(tmp_path / "train", ALL, "street", Recording, tones=True)
    for split in ("train", "val"):
        record(tmp_path / split / "a")
    assert check_photos(tmp_path, small, Recording) == []
    assert all("is 64x32, a crop is 256x160" in sentence for sentence in check_photos(tmp_path, PRESET, Recording))
    damaged = tmp_path / "train" / "a" / "depth_m.planes"
    damaged.write_bytes(bytes([damaged.read_bytes()[0]]) + bytes(damaged.stat().st_size - 1))
    assert [sentence for sentence in check_photos(tmp_path, small, Recording) if "is damaged at frame" in sentence]


def test_pictures_that_are_a_video_are_refused(tmp_path: Path) -> None:
    path = record(tmp_path / "train" / "a") / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["planes"]["rgb"] = {"codec": "h264", "file": "rgb.mp4", "type": "u8"}
    path.write_text(json.dumps(manifest))
    table = path.with_name("frames.jsonl")
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    for row in rows:
        del row["records"]["rgb"]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UsageError, match=r"pictures as a video.*--pictures lossless"):
        load_recordings(tmp_path / "train", ALL, "street", Recording, tones=False)


def street_at(rgb: tuple[int, int, int]) -> Surfaces:
    """Sky over a house with one window on the ground floor, and road before it, all painted in one colour."""
    toned = np.full((64, 96), SKY, np.uint8)
    toned[12:33] = BUILDING
    toned[29:32, 30:60] = WINDOW
    toned[33:] = ROAD
    toned[40:50, 70:90] = CAR
    depth_m = np.full(toned.shape, 1000.0, np.float32)
    depth_m[12:33] = 20.0
    depth_m[33:] = np.minimum(48.0 * 1.6 / (np.arange(33, 64) - 31.5), 20.0)[:, None]
    pose = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, -1, 0, 1.6], [0, 0, 0, 1]])
    return Surfaces(np.full((64, 96, 3), rgb, np.uint8), toned, depth_m, EngineMotion(FOCAL_PX, pose))


def test_dusk_gives_surfaces_its_own_colours_and_the_road_the_light_of_the_windows() -> None:
    lit = light_as_dusk(street_at((200, 90, 90)), DuskConfig()).astype(int)
    other = light_as_dusk(street_at((60, 60, 160)), DuskConfig()).astype(int)
    made = np.isin(street_at((0, 0, 0)).toned % 13, (SKY, BUILDING, ROAD, CAR))
    assert np.abs(lit - other)[made].max() <= 2
    window, wall = lit[30, 45], lit[30, 10]
    assert window.sum() > wall.sum() + 150
    assert window[0] > window[2] + 60, "its light is warm"
    assert lit[2, 48, 2] > lit[2, 48, 0], "the sky above is blue"
    dry = light_as_dusk(street_at((200, 90, 90)), DuskConfig(wetness=0.0)).astype(int)
    assert lit[35, 45, 0] > dry[35, 45, 0] + 20
    assert np.abs(lit[:20] - dry[:20]).max() <= 3
