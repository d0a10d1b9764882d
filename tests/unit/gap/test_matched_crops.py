"""Crops matched by their label maps: the look alone is what they tell apart, not what stands where."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from clients.gap.labelled_pictures import LabelledSequence
from clients.gap.matched_crops import CROPS, agreement, compare_crops, describe_crops
from renderer.picture_features import FeatureExtractor, open_extractor
from tests.unit.gap.drawn_pictures import write_network

SKY, ROAD, CAR = 0, 3, 8


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> FeatureExtractor:
    return open_extractor(write_network(tmp_path_factory.mktemp("network") / "bands.pt"))


def street(number: int, horizon_px: int, light: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A picture and its label map, (120,160): sky over road; `light` is that of its day."""
    rng = np.random.default_rng(number)
    ids = np.full((120, 160), SKY, np.uint8)
    ids[horizon_px:] = ROAD
    rgb = np.array([(150, 180, 220), *[(0, 0, 0)] * 2, (85, 85, 90)], np.float32)[ids]
    noise = cv2.GaussianBlur(rng.normal(0, 1, ids.shape).astype(np.float32), (0, 0), 1.0) * 30
    return np.clip((rgb + noise[..., None]) * light, 0, 255).astype(np.uint8), ids


def drives(horizon_px: int, light: float, first: int = 0, num: int = 8) -> list[LabelledSequence]:
    found = []
    for drive in range(4):
        frames = [street(first + 100 * drive + index, horizon_px, light) for index in range(num)]
        found.append(
            LabelledSequence(f"drive{drive}", num, lambda i, f=frames: f[i][0], lambda i, f=frames: f[i][1])
        )  # fmt: skip
    return found


def test_agreement_is_the_share_of_equal_labels_and_unlabelled_never_agrees() -> None:
    one = np.array([[0, 0, 3, 11]], np.uint8)
    others = np.array([[0, 3, 3, 11], [3, 3, 0, 0], [0, 0, 3, 8]], np.uint8)
    assert agreement(one, others).tolist() == [[0.5, 0.0, 0.75]]


def test_another_layout_is_no_gap_of_looks_and_another_look_is(extractor: FeatureExtractor) -> None:
    real = drives(60, 1.0)
    elsewhere = compare_crops(drives(70, 1.0, first=5000), real, extractor)
    darker = compare_crops(drives(60, 0.5, first=5000), real, extractor)
    values = [{result.measure.name: result for result in results} for results in (elsewhere, darker)]
    assert values[0]["crops unmatched"].value < 0.05
    assert abs(values[0]["matched crops"].value) * 5 < values[1]["matched crops"].value
    assert values[1]["matched crops"].value > values[1]["matched crops"].floor_max
    assert values[1]["matched crops"].ceiling > values[0]["matched crops"].value


def test_sets_that_share_no_layout_are_not_compared(extractor: FeatureExtractor) -> None:
    def only(label: int) -> list[LabelledSequence]:
        ids = np.full((120, 160), label, np.uint8)
        return [
            LabelledSequence(str(n), 4, lambda i: np.zeros((120, 160, 3), np.uint8), lambda i: ids) for n in range(3)
        ]

    results = compare_crops(only(CAR), only(ROAD), extractor)
    assert np.isnan(results[0].value)
    assert results[1].value == 1.0


class Watching(FeatureExtractor):
    """Keeps what it is shown."""

    def embed(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        SEEN.extend(pictures)
        return np.zeros((len(pictures), 1), np.float32)


SEEN: list[NDArray[np.uint8]] = []


def test_a_crop_and_its_layout_are_of_one_place() -> None:
    crops = describe_crops(drives(60, 1.0, num=3), Watching("watching", "", lambda rgb: rgb))
    assert len(SEEN) == 12 * CROPS == sum(map(len, crops.units))
    for crop, layout in zip(SEEN, crops.layouts.reshape(-1, 16, 16), strict=True):
        road = cv2.resize(crop, (16, 16), interpolation=cv2.INTER_AREA)[..., 2] < 150
        assert np.mean(road == (layout == ROAD)) > 0.9
