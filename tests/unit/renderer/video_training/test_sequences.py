"""What a step reads: frames, reference flow, and redrawn labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bridge.protocol.errors import LabelError
from renderer.train.video.lanes import Lane
from renderer.train.video.preset import VideoPreset, find_video_preset
from renderer.train.video.reference_flow import confidence, estimate_flow, flow_picture, read_flow
from renderer.train.video.schedule import Moment
from renderer.train.video.sequences import Load, find_train_sequences, read_load

from .conftest import HEIGHT_PX, STEP_PX, WIDTH_PX, DrawClip, changed, draw_frame


def test_estimated_flow_points_to_the_last_picture() -> None:
    (last, _), (now, _) = draw_frame(0), draw_frame(1)
    flow, sure = estimate_flow(now, last)
    assert sure.mean() > 0.7
    assert np.median(flow[sure][:, 0]) == pytest.approx(STEP_PX, abs=0.3)  # the street has moved to the left
    assert np.median(flow[sure][:, 1]) == pytest.approx(0, abs=0.2)


def test_flow_is_not_believed_where_pictures_differ() -> None:
    (last, _), (now, _) = draw_frame(0), draw_frame(1)
    now[20:30, 20:40] = 255 - now[20:30, 20:40]
    flow, sure = estimate_flow(now, last)
    believed = sure & confidence(now, last, flow, 0.02)
    assert believed[22:28, 24:36].mean() < 0.1
    assert believed[40:, 5:80].mean() > 0.5


def test_flow_files_hold_motion_and_are_scaled(tmp_path: Path) -> None:
    motion = np.full((8, 16, 2), (-2.0, 1.0), np.float32)
    motion[0, 0] = np.nan
    np.save(tmp_path / "flow.npy", motion)
    flow, sure = read_flow(tmp_path / "flow.npy", (4, 8))
    assert flow[3, 3].tolist() == [1.0, -0.5]
    assert sure[2, 2]
    assert not sure[:, -1].any()  # comes from beyond the border
    np.save(tmp_path / "flow.npy", motion[..., 0])
    with pytest.raises(LabelError, match=r"holds float32 \(8, 16\). Write \(height, width, 2\) floats"):
        read_flow(tmp_path / "flow.npy", (4, 8))


@given(arrays(np.float32, (3, 4, 2), elements=st.floats(-600, 600, width=32) | st.just(np.nan)))
def test_flow_pictures_keep_motion_to_a_128th_of_a_pixel(tmp_path_factory: pytest.TempPathFactory, motion: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "flow.png"
    assert cv2.imwrite(str(path), flow_picture(motion))
    flow, _ = read_flow(path, (3, 4))
    with np.errstate(invalid="ignore"):
        kept = (np.abs(motion) < 511.9).all(2)
        lost = ~(np.abs(motion) < 512.1).all(2)
    assert np.abs(flow[kept] + motion[kept]).max(initial=0) <= 1 / 128
    assert not flow[lost].any()


def test_what_is_no_flow_picture_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "flow.png"
    for picture in (b"", b"none", cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()):
        path.write_bytes(picture)
        with pytest.raises(LabelError, match=r"flow.png is no flow picture. Write 16-bit PNGs as KITTI's, or .npy"):
            read_flow(path, (4, 8))


def test_flow_beside_unknown_flow_keeps_its_size_when_it_is_scaled(tmp_path: Path) -> None:
    motion = np.full((8, 16, 2), (4.0, 0.0), np.float32)
    motion[:, 5] = np.nan
    np.save(tmp_path / "flow.npy", motion)
    flow, _ = read_flow(tmp_path / "flow.npy", (4, 8))
    assert np.abs(flow[..., 0] + 2.0).max() < 1e-6


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_load_holds_frames_that_belong_together(tiny: VideoPreset, draw_clip: DrawClip, mirrored: bool) -> None:
    preset = changed(tiny, data=changed(tiny.data, width_px=WIDTH_PX, height_px=HEIGHT_PX))
    sequences = find_train_sequences(draw_clip(1, 6, flow=True), preset)
    load = Load(0, 2, 2, 3, True, mirrored, (HEIGHT_PX, WIDTH_PX))
    frames = read_load(sequences, load, preset.data, reads_instances=False)
    rgb, labels = draw_frame(3)
    turn = slice(None, None, -1 if mirrored else 1)
    assert np.array_equal(frames.labels_THW[3].numpy(), labels[:, turn])
    real = ((frames.real_T3HW[3] + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert np.array_equal(real, rgb[:, turn])
    assert frames.flow_N2HW[:, 0].unique().tolist() == [-STEP_PX if mirrored else STEP_PX]
    assert frames.confidence_N1HW.mean() > 0.9


def test_one_hand_redraws_the_labels_of_all_loads_of_a_run(tiny: VideoPreset, draw_clip: DrawClip) -> None:
    annotation = changed(tiny.data.annotation, share=1.0, border_px=2.0)
    data = changed(tiny.data, width_px=WIDTH_PX, height_px=HEIGHT_PX, annotation=annotation)
    sequences = find_train_sequences(draw_clip(1, 6), tiny)
    load = Load(0, 2, 2, 2, True, False, (HEIGHT_PX, WIDTH_PX), 5)
    first = read_load(sequences, load, data, reads_instances=False)
    later = read_load(sequences, replace(load, first=4), data, reads_instances=False)
    assert torch.equal(first.labels_THW[2:], later.labels_THW[:2])  # frames 2 and 3
    exact = read_load(sequences, replace(load, hand=None), data, reads_instances=False)
    assert 0 < (first.labels_THW != exact.labels_THW).float().mean() < 0.2
    assert torch.equal(first.real_T3HW, exact.real_T3HW)


def test_runs_have_hands_of_their_own() -> None:
    schedule = find_video_preset("street-small").schedule
    lane = Lane(0, 1, [40], 2, 0)
    hands: list[int | None] = []
    for step in range(18):
        load = lane.plan(Moment(0, step), schedule, (64, 96), 0.0)
        lane.take(load, Moment(0, step), schedule)
        hands.append(load.hand)
    assert [len(set(hands[run : run + 6])) for run in (0, 6, 12)] == [1, 1, 1]
    assert len(set(hands)) == 3
