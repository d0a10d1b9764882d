"""A tiny preset of the live family, made-up streets, and a made-up feature network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from renderer.train.data import LabelledPhoto
from renderer.train.preset import TrainPreset, find_train_preset
from renderer.train.trainer import Trainer

ROAD, CAR, SKY, MARK = 3, 8, 0, 12


def changed(part: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(part, **fields)


def of_one_look(preset: TrainPreset) -> TrainPreset:
    """Return a preset without its styles, which name drives that made-up data has not; the dusk drive is left out."""
    data = changed(preset.data, styles=(), excluded_drives=("0001TP",))
    return changed(preset, data=data, generator=changed(preset.generator, styles=()))


SHIPPED = of_one_look(find_train_preset("street-photo"))
NUM_LABELS = SHIPPED.generator.num_labels


class RandomFeatures:
    """A feature network of two small random convolutions, always the same."""

    LEVEL_CHANNELS = (6, 8)

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        self._weights = [torch.randn(shape, generator=generator) for shape in ((6, 3, 3, 3), (8, 6, 3, 3))]

    def features(self, rgb_B3HW: Tensor, num_levels: int | None = None) -> list[Tensor]:
        levels = [rgb_B3HW]
        for weight in self._weights:
            levels.append(F.relu(F.conv2d(levels[-1], weight, stride=2, padding=1)))
        return levels[1:][:num_levels]

    def embed(self, rgb_B3HW: Tensor) -> Tensor:
        return self.features(rgb_B3HW)[-1].mean((2, 3))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Run tiny networks on one thread: a second one costs more than it does, and waits for busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny() -> TrainPreset:
    """Return the shipped preset with a tiny generator, 32x48 crops and every stage within a few steps."""
    return changed(
        SHIPPED,
        name="tiny",
        generator=changed(
            SHIPPED.generator,
            label_channels=2,
            channels_4=4,
            channels_8=4,
            channels_16=4,
            num_blocks_16=1,
            head_channels=4,
            fine_channels=2,
        ),
        clips=changed(SHIPPED.clips, width_px=48, height_px=32, scale=(0.7, 1.0), canvas_px=(96, 64)),
        discriminators=changed(
            SHIPPED.discriminators,
            label_channels=2,
            channels=(4, 4),
            head_levels=(0, 1),
            head_level_channels=RandomFeatures.LEVEL_CHANNELS,
            head_channels=8,
        ),
        schedule=changed(
            SHIPPED.schedule,
            num_steps=4,
            batch_size=2,
            warm_up_steps=2,
            longest_clip=(2, 4),
            longest_clip_step=2,
            adversarial_after=1,
            report_every=1,
            checkpoint_every=2,
        ),
        preview=changed(SHIPPED.preview, every=2, num_photos=2, width_px=48, height_px=32, num_frames=2),
        evaluation=changed(
            SHIPPED.evaluation,
            width_px=96,
            height_px=64,
            subset_size=4,
            num_subsets=3,
            clip_drive="a",
            stability_frames=3,
            stability_photos=2,
        ),
    )


def street(seed: int, width_px: int = 96, height_px: int = 64) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a made-up photo and its label map: sky, a road that ends somewhere, one car."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((height_px, width_px), np.uint8)
    labels[rng.integers(20, 40) :] = ROAD
    labels[30:44, rng.integers(10, 40) :][:, :20] = CAR
    colours = np.random.default_rng(0).integers(30, 220, (13, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(rng.normal(0, 60, (height_px, width_px, 3)), (0, 0), 1.5)
    return np.clip(colours[labels] + noise, 0, 255).astype(np.uint8), labels


def write_pair(folder: Path, name: str, rgb: NDArray[np.uint8], labels: NDArray[Any]) -> None:
    for part, picture in (("image", rgb[:, :, ::-1]), ("label", labels)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / part / f"{name}.png"), picture)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with train/ and val/ of made-up streets; one of them is of the excluded dusk drive."""
    for split, count in (("train", 5), ("val", 5)):
        for index in range(count):
            write_pair(tmp_path / "data" / split, f"a_{index:02d}", *street(index + 10 * count))
    write_pair(tmp_path / "data" / "train", "0001TP_00", *street(99))
    return tmp_path / "data"


@pytest.fixture
def photos() -> list[LabelledPhoto]:
    return [LabelledPhoto(f"a_{seed}", *street(seed)) for seed in range(5)]


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert not [key for key in first if not torch.equal(first[key], second[key])]


def differs(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return any(not torch.equal(first[key], second[key]) for key in first)


def make_trainer(preset: TrainPreset, photos: list[LabelledPhoto], seed: int = 0) -> Trainer:
    return Trainer(preset, photos, RandomFeatures(), seed)
