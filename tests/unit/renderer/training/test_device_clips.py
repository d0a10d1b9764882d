"""Clips cut on the device that learns from them: the same as those that a CPU cuts one after the other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bridge.protocol.errors import UsageError
from renderer.train.annotation import AnnotationConfig
from renderer.train.checkpoint import load_checkpoint, save_checkpoint
from renderer.train.clips import ClipStream
from renderer.train.data import LabelledPhoto
from renderer.train.device_clips import DeviceClipStream
from renderer.train.preset import TrainPreset

from .conftest import CAR, assert_same, changed, differs, make_trainer, street, weights_of

CPU = torch.device("cpu")
SIZES = ((240, 160), (240, 160), (320, 180), (200, 150))


@pytest.fixture
def many_sizes() -> list[LabelledPhoto]:
    photos = [LabelledPhoto(f"a_{seed}", *street(seed, *size_px), style=seed % 2) for seed, size_px in enumerate(SIZES)]
    return [*photos, photos[0]]


def test_frames_are_those_that_a_cpu_cuts(tiny: TrainPreset, many_sizes: list[LabelledPhoto]) -> None:
    config = changed(tiny.clips, width_px=96, height_px=64, focus_share=0.0, single_share=0.2, tone_loss_share=0.3)
    one_by_one, at_once = ClipStream(many_sizes, 4, 5, config), DeviceClipStream(many_sizes, 4, 5, config, CPU)
    num_later = 0
    for _ in range(8):
        wanted, batch = one_by_one.next_batch(4), at_once.next_batch(4)
        grey_levels = (batch.photo_B3HW - wanted.photo_B3HW) * 127.5
        assert grey_levels.abs().mean() < 2.0  # of 255; noise of 30 is in the photos
        assert 0.98 < batch.photo_B3HW.std() / wanted.photo_B3HW.std() < 1.02
        assert (batch.labels_BHW != wanted.labels_BHW).float().mean() < 1e-3
        assert torch.allclose(batch.place_B2HW, wanted.place_B2HW, atol=1e-5)
        assert (batch.source_BHW2 - wanted.source_BHW2).abs().mean() * 48 < 0.01  # pixels
        assert (batch.valid_B1HW != wanted.valid_B1HW).float().mean() < 1e-2
        assert torch.equal(batch.style_B, wanted.style_B)
        for plane in ("photo_B3HW", "labels_BHW", "place_B2HW", "source_BHW2", "valid_B1HW"):
            assert getattr(batch, plane).dtype == getattr(wanted, plane).dtype
        num_later += int((wanted.valid_B1HW.amax((1, 2, 3)) > 0).sum())
    assert num_later > 8
    assert at_once.state_dict() == one_by_one.state_dict()


def test_clips_look_at_classes_that_matter(tiny: TrainPreset) -> None:
    rgb, labels = street(3, 240, 160)
    labels[labels == CAR] = 3
    labels[100:106, 30:38] = CAR  # a small one, which few crops would have in them
    photos = [LabelledPhoto("a_0", rgb, labels)]
    for mirror_share in (0.0, 1.0):
        still = changed(tiny.clips.motion, parked_share=1.0)
        config = changed(tiny.clips, motion=still, focus_ids=(CAR,), focus_share=1.0, mirror_share=mirror_share)
        stream = DeviceClipStream(photos, 8, 1, config, CPU)
        seen = [(labels % 13 == CAR).any().item() for _ in range(3) for labels in stream.next_batch(1).labels_BHW]
        assert np.mean(seen) > 0.9
        blind = DeviceClipStream(photos, 8, 1, changed(config, focus_share=0.0), CPU)
        unseen = [(labels % 13 == CAR).any().item() for _ in range(3) for labels in blind.next_batch(1).labels_BHW]
        assert np.mean(unseen) < 0.6


def test_stream_goes_on_from_any_moment(tiny: TrainPreset, many_sizes: list[LabelledPhoto]) -> None:
    config = changed(tiny.clips, single_share=0.2)
    stream, other = (DeviceClipStream(many_sizes, 3, 5, config, CPU) for _ in range(2))
    for _ in range(3):
        stream.next_batch(4)
    other.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    for _ in range(4):
        one, two = stream.next_batch(4), other.next_batch(4)
        for plane in ("photo_B3HW", "labels_BHW", "source_BHW2", "valid_B1HW"):
            assert torch.equal(getattr(one, plane), getattr(two, plane))


def test_run_on_photos_on_the_device_resumes_to_the_bit(
    tiny: TrainPreset, many_sizes: list[LabelledPhoto], tmp_path: Path
) -> None:
    preset = changed(tiny, clips=changed(tiny.clips, on_device=True, single_share=0.5))
    photos = [LabelledPhoto(photo.name, photo.rgb, photo.labels) for photo in many_sizes]
    whole, first = make_trainer(preset, photos), make_trainer(preset, photos)
    elsewhere = make_trainer(changed(preset, clips=changed(preset.clips, on_device=False)), photos)
    for _ in range(4):
        assert whole.step().taken
        elsewhere.step()
    first.step()
    first.step()
    save_checkpoint(tmp_path, first)
    second = make_trainer(preset, photos, seed=123)
    load_checkpoint(tmp_path, second)
    second.step()
    second.step()
    assert_same(weights_of(whole.generator), weights_of(second.generator))
    assert differs(weights_of(whole.generator), weights_of(elsewhere.generator))  # it was the other code indeed


def test_label_maps_are_not_redrawn_on_a_device(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    annotation = AnnotationConfig(
        share=0.5,
        border_px=1.0,
        border_period_px=24,
        corner_px=1.5,
        thin_ids=(2,),
        thin_px=1,
        small_area_px=24,
        left_out_share=0.5,
    )
    preset = changed(tiny, clips=changed(tiny.clips, on_device=True, annotation=annotation))
    with pytest.raises(UsageError, match=r"redrawn .* by the CPU alone. --set clips.on_device=false"):
        make_trainer(preset, photos)
