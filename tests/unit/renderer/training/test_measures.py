"""Measures of a generator, and the feature network that they see through."""

from __future__ import annotations

import json

import msgspec
import pytest
import torch
from torch import Tensor

from bridge.protocol.errors import UsageError
from renderer.models.live import LiveGenerator
from renderer.train import perceptual
from renderer.train.data import LabelledPhoto
from renderer.train.evaluate import evaluate, roll_on
from renderer.train.kernel_distance import kernel_distance
from renderer.train.preset import TrainPreset
from renderer.train.preview import contact_sheet

from .conftest import RandomFeatures, changed, street


def test_feature_network_of_the_package_sees_what_imagenet_taught() -> None:
    network = perceptual.load_feature_network()
    rgb = torch.from_numpy(street(0, 96, 64)[0]).permute(2, 0, 1)[None].float() / 127.5 - 1
    rgb.requires_grad_(True)
    levels = network.features(rgb)
    assert [tuple(level.shape[1:]) for level in levels] == [
        (32, 32, 48), (16, 32, 48), (24, 16, 24), (40, 8, 12), (80, 4, 6), (112, 4, 6)
    ]  # fmt: skip
    levels[-1].abs().mean().backward()
    assert rgb.grad is not None
    assert rgb.grad.abs().max() > 0
    assert len(network.features(rgb, 2)) == 2
    with torch.no_grad():
        assert network.embed(rgb).shape == (1, 1280)


def test_missing_feature_network_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"is not installed. Install the extra for training: pip install"):
        perceptual.load_feature_network()


def test_kernel_distance_is_zero_for_one_distribution_and_grows_with_the_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    real_NC = torch.randn(400, 8, generator=generator)
    shifted = [torch.randn(400, 8, generator=generator) + shift for shift in (0.0, 0.5, 1.0)]
    same, near, far = (kernel_distance(features_NC, real_NC, 300, 20) for features_NC in shifted)
    assert abs(same.mean) < 60
    assert 300 < near.mean < far.mean
    assert kernel_distance(shifted[1], real_NC, 300, 20) == near
    with pytest.raises(ValueError, match="sets of 2 and 400 pictures"):
        kernel_distance(real_NC[:2], real_NC, 50, 20)


def test_evaluation_measures_all(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    torch.manual_seed(0)
    generator = LiveGenerator(tiny.generator).eval()
    metrics = evaluate(generator, photos, photos, RandomFeatures(), "street", tiny.evaluation)
    assert set(metrics.real_drives) == {"a"}
    assert metrics.real_drives["a"].mean < metrics.synthesized_first_frames.mean
    assert metrics.flicker.photos > 0
    assert metrics.flicker.ratio == pytest.approx(metrics.flicker.synthesized / metrics.flicker.photos)
    assert metrics.parked.frames == metrics.driving.frames == 3
    assert json.loads(msgspec.json.encode(metrics))["label_colours"][0] > 0
    config = changed(tiny.evaluation, clip_drive="nobody")
    with pytest.raises(UsageError, match=r"has 0 frames of drive nobody.*--set evaluation.clip_drive=a"):
        evaluate(generator, photos, photos, RandomFeatures(), "street", config)


def test_drive_of_a_photo_or_two_is_no_set_to_be_compared(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    alone = [*photos, LabelledPhoto("b_0", photos[0].rgb, photos[0].labels)]
    generator = LiveGenerator(tiny.generator).eval()
    metrics = evaluate(generator, photos, alone, RandomFeatures(), "street", tiny.evaluation)
    assert set(metrics.real_drives) == {"a"}


def test_stability_sees_a_picture_that_fades(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    class Fading(LiveGenerator):
        def forward(self, labels_BHW: Tensor, warped_B3HW: Tensor, valid_B1HW: Tensor) -> Tensor:
            fresh = labels_BHW.float()[:, None].expand(-1, 3, -1, -1) / 13
            return torch.where(valid_B1HW > 0, 0.9 * warped_B3HW, fresh)

    stability = roll_on(Fading(tiny.generator), [photos[0].labels], 10, 0.0)
    assert stability.contrast == pytest.approx(0.9**10, rel=1e-3)
    assert stability.brightness < 0


def test_contact_sheet_has_a_row_a_photo(tiny: TrainPreset, photos: list[LabelledPhoto]) -> None:
    sheet = contact_sheet(LiveGenerator(tiny.generator), photos[:2], "street", tiny.preview)
    assert sheet.shape == (2 * 32, 4 * 48, 3)
    assert sheet[0, 0].tolist() == [70, 130, 180]  # the sky's display colour
    later = sheet[:, 3 * 48 :]
    assert later.std() > 0
