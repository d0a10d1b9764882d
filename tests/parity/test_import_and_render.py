"""From a published-layout folder through `weights import` and `render` to the pictures of the published networks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from golden import GoldenCase, frozen_weights, load_case
from test_single_pictures import CITY_LOCAL, CITY_SPADE, published_shapes
from test_vid2vid import CASES as VIDEO_CASES
from test_vid2vid import UPSTREAM_NAMES
from torch import Tensor

from clients.cli import main
from renderer.models import pix2pixhd, spade
from renderer.models.family import shapes_of
from renderer.models.vid2vid_networks import Vid2vid

OPTIONS = """\
------------ Options -------------
fg: True
fg_labels: [26]
label_nc: 35
loadSize: 512
n_scales_spatial: {scales}
use_instance: True
use_single_G: True
-------------- End ----------------
"""
Pictures = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imported weights go to a folder of the test's own; the process has torch already, which the command refuses."""
    monkeypatch.setenv("VIDRIVE_WEIGHTS", str(tmp_path / "store"))
    monkeypatch.setattr("renderer.backends.host.prepare_process", lambda: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.chdir(tmp_path)


def write_png(path: str, ids: np.ndarray) -> None:
    place = Path("in") / path
    place.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(place), ids)


def with_statistics(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add what upstream's norms count while they train: ballast, and wrong if it were used."""
    ballast = {}
    for key, value in tensors.items():
        owner, _, leaf = key.rpartition(".")
        if leaf == "weight" and value.dim() == 1:
            ballast[f"{owner}.running_mean"] = torch.full_like(value, 3.0)
            ballast[f"{owner}.running_var"] = torch.full_like(value, 0.1)
            ballast[f"{owner}.num_batches_tracked"] = torch.tensor(5)
    return tensors | ballast


def save(tensors: dict[str, Tensor], path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def rendered(model: str) -> Pictures:
    assert main(["render", "in", "--model", model, "--out", "out"]) == 0
    found = {}
    for path in sorted(Path("out").rglob("*.png")):
        bgr = cv2.imread(str(path))
        assert bgr is not None
        found[f"{path.parent.name}/{path.stem}"] = bgr[:, :, ::-1].transpose(2, 0, 1)
    return found


def assert_within_a_level(case: GoldenCase, picture: np.ndarray, expected: np.ndarray) -> None:
    """Compare 8-bit levels with floats of [-1, 1], truncated as upstream does, at the pixels that are stored."""
    levels = np.clip((expected.astype(np.float64) + 1) / 2 * 255, 0, 255).astype(int)
    assert np.abs(case.sampled(torch.from_numpy(picture.astype(int))).numpy() - levels).max() <= 1


@pytest.mark.parametrize("name", ["v2v_label2city_512", "v2v_label2city_1024_g1"])
def test_video(name: str) -> None:
    case, config = load_case(name), VIDEO_CASES[name]
    with torch.device("meta"):
        shapes = shapes_of(Vid2vid(config))
    for role in sorted({key.partition(".")[0] for key in shapes}):
        own = {key.removeprefix(f"{role}."): shape for key, shape in shapes.items() if key.startswith(f"{role}.")}
        tensors = with_statistics(frozen_weights(name, UPSTREAM_NAMES.get(role, role), own))
        single = role == "single"
        path = "label2city_single/latest_net_G_512.pth" if single else f"label2city/latest_net_{role}.pth"
        save(tensors, f"checkpoints/{path}")
    Path("checkpoints/label2city/opt.txt").write_text(OPTIONS.format(scales=config.num_scales))
    assert main(["weights", "import", "checkpoints/label2city", "--name", "mine"]) == 0

    for key, scene in case.arrays.items():
        if key[0] in "AI" and key[1:].isdigit():
            folder = "test_A" if key[0] == "A" else "test_inst"
            for index, ids in enumerate(scene):
                write_png(f"{folder}/seq{key[1:]}/{index}.png", ids)
    pictures = rendered("mine")
    assert len(pictures) == sum(len(scene) for key, scene in case.arrays.items() if key.startswith("A"))
    for key, expected in case.arrays.items():
        scene, _, rest = key.partition("/")
        index, _, what = rest.partition("/")
        if what == "image":
            assert_within_a_level(case, pictures[f"seq{scene}/{index}"], expected)
        if what == "first":
            for first in range(2):
                assert_within_a_level(case, pictures[f"seq{scene}/{first}"], expected[first])


@pytest.mark.parametrize("name", ["spade_cityscapes", "p2phd_label2city_1024p"])
def test_single_pictures(name: str) -> None:
    case = load_case(name)
    family, config = (spade, CITY_SPADE) if name.startswith("spade") else (pix2pixhd, CITY_LOCAL)
    with torch.device("meta"):
        shapes = published_shapes(family.FAMILY.build(config))
    counted = {key: torch.tensor(7) for key in shapes if key.endswith("num_batches_tracked")}
    frozen = frozen_weights(name, "G", {key: shape for key, shape in shapes.items() if key not in counted})
    save(frozen | counted, f"{name}/latest_net_G.pth")
    assert main(["weights", "import", name]) == 0

    keys = [key.removesuffix("/image") for key in case.arrays if key.endswith("/image")]
    for key in keys:
        write_png(f"test_A/{key}.png", case.arrays[f"{key}/labels"])
        write_png(f"test_inst/{key}.png", case.arrays[f"{key}/instances"])
    pictures = rendered(name)
    assert sorted(pictures) == sorted(keys)
    for key in keys:
        assert_within_a_level(case, pictures[key], case.arrays[f"{key}/image"])
