"""The segmentation network that ships, its files, and how its answers are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bridge.protocol.errors import WeightsError
from renderer.models.live import load_live
from renderer.models.reprojecting import to_uint8
from renderer.segmentation import (
    SegmentationConfig,
    SegmentationNetwork,
    class_ious,
    confusion,
    load_segmentation,
    save_segmentation,
)
from renderer.surface_tones import tones_of_labels
from renderer.train.perceptual import load_feature_network
from renderer.train.segmentation.trainer import copy_encoder
from renderer.weights_catalogue import find_weights

SKY, BUILDING, ROAD, VEGETATION, UNLABELLED = 0, 1, 3, 5, 11
CONFIG = SegmentationConfig(label_space="street", num_classes=13, channels=8)


def test_shipped_network_finds_in_a_picture_of_the_look_what_it_was_drawn_from() -> None:
    """At a size that is no multiple of anything."""
    labels = np.full((160, 256), SKY, np.uint8)
    labels[40:100, :90], labels[60:100, 170:] = BUILDING, VEGETATION
    labels[100:] = ROAD
    labels_BHW = tones_of_labels(torch.from_numpy(labels)[None])
    nothing_B3HW = torch.zeros(1, 3, 160, 256)
    with torch.no_grad():
        rgb_B3HW = load_live(find_weights("street-photo.safetensors"))(labels_BHW, nothing_B3HW, nothing_B3HW[:, :1])
    network = load_segmentation("street-photo")
    found = network.label_map(to_uint8(rgb_B3HW)[:150, :203])
    assert found.shape == (150, 203) and found.dtype == np.uint8
    assert (found == labels[:150, :203]).mean() > 0.8
    assert UNLABELLED not in found
    assert network.label_space == "street" and network.licence.startswith("CC BY-NC")


def test_a_picture_that_may_not_be_written_to_is_read_without_a_warning() -> None:
    rgb = np.full((32, 64, 3), 120, np.uint8)
    rgb.flags.writeable = False  # as the planes of a recording are
    assert load_segmentation("street-town").label_map(rgb).shape == (32, 64)


def test_pictures_of_another_kind_are_refused() -> None:
    network = load_segmentation("street-photo")
    with pytest.raises(ValueError, match=r"a picture is \(H,W,3\) uint8, not \(8, 8\) float64"):
        network.label_map(np.zeros((8, 8)))  # type: ignore[arg-type]


def test_encoder_begins_as_lite0() -> None:
    lite0, network = load_feature_network(), SegmentationNetwork(CONFIG)
    copy_encoder(lite0, network)
    rgb_B3HW = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    x = ((rgb_B3HW + 1) / 2 - network.get_buffer("mean")) / network.get_buffer("deviation")
    with torch.no_grad():
        features = F.relu6(network.stem(x))
        for stage in network.stages:
            features = stage(features)
        torch.testing.assert_close(features, lite0.features(rgb_B3HW, 7)[-1], atol=1e-3, rtol=1e-3)


def test_a_written_network_is_read_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, path = SegmentationNetwork(CONFIG), tmp_path / "mine.safetensors"
    save_segmentation(path, network, {"name": "mine"})
    rgb = np.random.default_rng(2).integers(0, 256, (32, 64, 3), np.uint8)
    read = load_segmentation(str(path))
    first, again = read.label_map(rgb), load_segmentation(str(path)).label_map(rgb)
    np.testing.assert_array_equal(first, again)
    assert read.name == "mine"


def test_what_is_no_segmentation_network_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"street-photo\.safetensors cannot be used .* Get the file again"):
        load_segmentation("street-photo.safetensors")
    with pytest.raises(WeightsError, match=r"there are no weights nowhere-segmentation\.safetensors"):
        load_segmentation("nowhere")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match=r"damaged\.safetensors cannot be used"):
        load_segmentation(str(damaged))


def test_ious_count_what_is_labelled() -> None:
    true = np.array([[0, 0, 3, 3], [3, 11, 11, 5]], np.uint8)
    found = np.array([[0, 3, 3, 3], [0, 5, 5, 5]], np.uint8)
    ious = class_ious(confusion(true, found, "street"))
    assert ious[0] == pytest.approx(1 / 3)
    assert ious[3] == pytest.approx(2 / 4)
    assert ious[5] == 1.0
    assert np.isnan(ious[[1, 11]]).all()
    with pytest.raises(ValueError, match="cannot be compared"):
        confusion(true, found[:1], "street")
