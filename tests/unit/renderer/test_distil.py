"""A model teaches a small generator: it draws label maps, and the small one learns from its pictures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clients import cli
from renderer.models.live import load_live
from renderer.train import __main__ as command

LEVEL_CHANNELS = (24, 40, 112)
TINY = [
    "generator.channels_4=8",
    "generator.channels_8=8",
    "generator.channels_16=8",
    "generator.num_blocks_16=1",
    "clips.width_px=64",
    "clips.height_px=48",
    "clips.scale=[0.9,1.0]",
    "schedule.batch_size=1",
    "schedule.precision=float32",
    "preview.num_photos=1",
    "preview.width_px=64",
    "preview.height_px=48",
    "preview.num_frames=1",
]


class FewFeatures:
    """A feature network of one random convolution a level, always the same."""

    def features(self, rgb_B3HW: Tensor, num_levels: int | None = None) -> list[Tensor]:
        generator = torch.Generator().manual_seed(3)
        levels = []
        for channels, stride in zip(
            (8, 16, *LEVEL_CHANNELS[:2], 64, LEVEL_CHANNELS[2]), (2, 2, 4, 8, 16, 16), strict=True
        ):
            weight = torch.randn((channels, 3, 1, 1), generator=generator)
            levels.append(F.conv2d(F.avg_pool2d(rgb_B3HW, stride), weight))
        return levels[:num_levels]

    def embed(self, rgb_B3HW: Tensor) -> Tensor:
        return self.features(rgb_B3HW)[-1].mean((2, 3))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    folder = tmp_path / "labels"
    folder.mkdir()
    for index in range(3):
        ids = np.zeros((64, 96), np.uint8)
        ids[30:] = 3
        ids[24:40, 20 + 4 * index :][:, :16] = 8
        assert cv2.imwrite(str(folder / f"{index}.png"), ids)
    return folder


def test_a_model_teaches_a_small_generator(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_feature_network", FewFeatures)
    monkeypatch.setattr("renderer.backends.host.prepare_process", lambda: None)
    out = tmp_path / "out"
    words = ["train", "distil", "--data", str(labels), "--out", str(out), "--steps", "2"]
    for setting in TINY:
        words += ["--set", setting]
    assert cli.main(words) == 2
    assert "distil needs a teacher" in capsys.readouterr().err
    assert cli.main([*words, "--teacher", "street-photo"]) == 0
    said = capsys.readouterr().err
    assert "street-photo has drawn 3 of 3 pictures" in said
    assert "3 photos to learn from" in said
    card = json.loads((out / "distil.json").read_text())
    assert card["licence"].startswith("CC BY-NC")  # the teacher's
    assert load_live(out / "distil.safetensors").config.channels_4 == 8
    taught = cv2.imread(str(out / "taught" / "train" / "label" / "frames_1.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(taught, cv2.imread(str(labels / "1.png"), cv2.IMREAD_UNCHANGED))
    assert cli.main([*words, "--teacher", "street-photo"]) == 0
    assert "holds what street-photo drew before" in capsys.readouterr().err
    assert cv2.imwrite(str(labels / "3.png"), np.full((64, 96), 26, np.uint8))
    assert cli.main([*words, "--teacher", "street-photo"]) == 2
    said = capsys.readouterr().err
    assert "does not have: 26. street-photo draws label maps of the space street: give it those" in said
