"""Several looks in one file: photos graded for each, a tiny run that learns them, crops that look at small classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import torch

from bridge.protocol.errors import UsageError
from renderer.models.live import load_live, save_live
from renderer.train import __main__ as command
from renderer.train.clips import Clip
from renderer.train.data import LabelledPhoto, load_photos
from renderer.train.grade import DyeConfig, StyleConfig, grade
from renderer.train.preset import TrainPreset, find_train_preset

from .conftest import CAR, NUM_LABELS, ROAD, SKY, RandomFeatures, changed, make_trainer, street

NIGHT = StyleConfig(name="night", gamma=3.0)
DAY = StyleConfig(name="day")


def red(share: float = 1.0) -> DyeConfig:
    return DyeConfig(class_ids=(CAR,), colours=((60.0, 40.0),), share=share, darkest=5.0, lightest=110.0, edge=10.0)


def styled(preset: TrainPreset, *styles: StyleConfig) -> TrainPreset:
    generator = changed(preset.generator, styles=tuple(style.name for style in styles))
    return changed(preset, generator=generator, data=changed(preset.data, styles=styles))


def test_a_dye_changes_the_colour_of_its_class_alone_and_leaves_lightness() -> None:
    rgb, labels = street(3)
    rgb = np.clip(rgb, 60, 190)
    graded = grade(rgb, labels, StyleConfig(name="red", dyes=(red(),)), 7)
    chroma = [cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(int) for picture in (rgb, graded)]
    car = cv2.erode((labels == CAR).astype(np.uint8), np.ones((3, 3))) > 0
    assert (chroma[1] - chroma[0])[car][:, 1].mean() > 20
    assert np.abs(chroma[1] - chroma[0])[car][:, 0].mean() < 4
    assert np.abs(graded.astype(int) - rgb)[labels != CAR].max() <= 2
    assert np.array_equal(grade(rgb, labels, StyleConfig(name="red", dyes=(red(),)), 7), graded)
    assert np.abs(grade(rgb, labels, StyleConfig(name="red", dyes=(red(0.0),)), 7).astype(int) - rgb).max() <= 2


def test_photos_are_those_of_each_style_in_turn(data: Path, tiny: TrainPreset) -> None:
    night = changed(NIGHT, drives=("0001TP",), repeat=2)
    config = styled(changed(tiny, data=changed(tiny.data, excluded_drives=())), changed(DAY, drives=("a",)), night).data
    photos = load_photos(data / "train", config, NUM_LABELS)
    assert [photo.style for photo in photos] == [0] * 5 + [1] * 2
    assert {photo.drive for photo in photos[5:]} == {"0001TP"}
    plain = load_photos(data / "train", config, NUM_LABELS, "night")
    assert [photo.style for photo in plain] == [1] * 6
    dark, light = photos[5].rgb, next(photo.rgb for photo in plain if photo.drive == "0001TP")
    assert dark.mean() < 0.7 * light.mean()
    with pytest.raises(UsageError, match="holds no photos of the drives b"):
        load_photos(data / "train", changed(config, styles=(changed(DAY, drives=("b",)),)), NUM_LABELS)


def test_a_tiny_run_learns_which_look_is_which(tiny: TrainPreset) -> None:
    schedule = changed(tiny.schedule, num_steps=60, adversarial_after=1000, generator_rate=5e-3, style_rate=4.0)
    losses = changed(tiny.losses, perceptual=0.0, temporal=0.0, temporal_coarse=0.0)
    preset = changed(styled(tiny, DAY, NIGHT), schedule=schedule, losses=losses)
    bright, dark = np.full((64, 96, 3), 220, np.uint8), np.full((64, 96, 3), 30, np.uint8)
    labels = np.full((64, 96), ROAD, np.uint8)
    photos = [LabelledPhoto("a_0", bright, labels), LabelledPhoto("a_1", dark, labels, style=1)]
    trainer = make_trainer(preset, photos)
    for _ in range(60):
        assert trainer.step().taken
    nothing = torch.zeros(1, 3, 64, 96)
    pictures = [
        trainer.generator.eval().in_style(shares)(torch.from_numpy(labels)[None], nothing, nothing[:, :1]).mean()
        for shares in ([1, 0], [0.5, 0.5], [0, 1])
    ]
    assert pictures[0] > pictures[2] + 0.5
    assert pictures[0] > pictures[1] > pictures[2]


def test_the_command_trains_styles_and_begins_from_a_file(
    tiny: TrainPreset, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_feature_network", RandomFeatures)
    path = tmp_path / "tiny.yaml"
    path.write_bytes(msgspec.yaml.encode(styled(tiny, DAY, NIGHT)))
    words = [str(path), "--data", str(data)]
    first = tmp_path / "first"
    assert command.main([*words, "--out", str(first)]) == 0
    card = json.loads((first / "tiny.json").read_text())
    assert card["styles"] == ["day", "night"]
    assert card["metrics"]["real_drives"].keys() == {"a"}
    weights = first / "tiny.safetensors"
    assert load_live(weights).config.styles == ("day", "night")
    assert command.main([*words, "--out", str(tmp_path / "more"), "--from", str(weights), "--minutes", "1e-9"]) == 0
    assert "--from tiny.safetensors" in json.loads((tmp_path / "more" / "tiny.json").read_text())["command"]
    capsys.readouterr()
    for style in ("day", "night"):
        assert command.main([*words, "--evaluate", str(weights), "--style", style]) == 0
        assert json.loads(capsys.readouterr().out)["flicker"]["photos"] > 0
    assert command.main([*words, "--evaluate", str(weights), "--style", "noon"]) == 2
    assert "no such style. It has day, night" in capsys.readouterr().err


def test_weights_without_styles_are_where_all_styles_begin(
    tiny: TrainPreset, photos: list[LabelledPhoto], tmp_path: Path
) -> None:
    plain = make_trainer(tiny, photos).generator
    trainer = make_trainer(styled(tiny, DAY, NIGHT), photos)
    trainer.begin_from(plain)
    for key, value in plain.state_dict().items():
        assert torch.equal(trainer.average.state_dict()[key], value)
    other = changed(tiny, generator=changed(tiny.generator, channels_4=8))
    with pytest.raises(ValueError, match="has shape"):
        trainer.begin_from(make_trainer(other, photos).generator)
    save_live(tmp_path / "other.safetensors", make_trainer(other, photos).generator)


def test_a_preset_names_the_same_styles_twice(tiny: TrainPreset, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    preset = styled(tiny, DAY, NIGHT)
    path.write_bytes(msgspec.yaml.encode(preset))
    assert find_train_preset(str(path)) == preset
    path.write_bytes(msgspec.yaml.encode(changed(preset, generator=changed(preset.generator, styles=("day",)))))
    with pytest.raises(UsageError, match="other styles in its generator than in its data"):
        find_train_preset(str(path))


def test_crops_look_at_the_classes_that_matter(tiny: TrainPreset) -> None:
    labels = np.full((64, 192), SKY, np.uint8)
    labels[40:44, 176:180] = CAR
    photo = LabelledPhoto("a_0", np.zeros((64, 192, 3), np.uint8), labels)

    def share(focus: float) -> float:
        config = changed(tiny.clips, focus_share=focus, focus_ids=(CAR, 9), shaken_share=0.0)
        rngs: Callable[[int], np.random.Generator] = np.random.default_rng
        return float(np.mean([(Clip(rngs(i), photo, 1, config).next_frame().labels == CAR).any() for i in range(60)]))

    assert share(1.0) > 0.9
    assert share(0.0) < 0.5
