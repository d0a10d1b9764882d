"""What a segmentation network finds in pictures: its scores are cityscapesScripts', its files any published one."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bridge.protocol.labels import palette
from clients.cli import main
from clients.gap import semantics
from clients.gap.gathering import drawn_by
from renderer.segmentation import load_segmentation
from tests.unit.gap.drawn_pictures import write_network
from tests.unit.recording.recorded_drives import record

# Counts of true classes (rows) and found ones; the scores that cityscapesScripts 2.3.0's getIouScoreForLabel and
# getScoreAverage give, the first four classes counted, the last found label ignored in evaluation.
COUNTED = np.array([[900, 40, 3, 0, 7], [25, 410, 0, 0, 0], [1, 6, 55, 0, 18], [0, 0, 0, 0, 0]])
CITYSCAPES_IOUS = (0.922131147541, 0.852390852391, 0.662650602410, float("nan"))
CITYSCAPES_MEAN = 0.812390867447


def test_scores_are_cityscapes() -> None:
    assert semantics.class_ious(COUNTED) == pytest.approx(CITYSCAPES_IOUS, abs=1e-9, nan_ok=True)
    assert semantics.mean_iou(COUNTED) == pytest.approx(CITYSCAPES_MEAN, abs=1e-9)


def test_scores_are_those_of_the_installed_cityscapes_scripts() -> None:
    """Installed by hand, without what it depends on (`typing` of before Python 3.5): cityscapesScripts 2.3.0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
        labels = pytest.importorskip("cityscapesscripts.helpers.labels")
    rng = np.random.default_rng(0)
    true, found = (rng.integers(0, 12, (64, 96)).astype(np.uint8) for _ in range(2))
    # CamVid's eleven as Cityscapes' first evaluated classes, unlabelled as its 0.
    evaluated = [label.id for label in labels.labels if not label.ignoreInEval][:11]
    ids = np.array([*evaluated, 0])
    args = reference.args
    args.evalLabels = sorted({*evaluated, 0})
    conf = reference.generateMatrix(args)
    for row, column in zip(ids[true.ravel()], ids[found.ravel()], strict=True):
        conf[row][column] += 1
    expected = [reference.getIouScoreForLabel(label, conf, args) for label in evaluated]
    counted = semantics.confusion(true, found)
    assert semantics.class_ious(counted) == pytest.approx(expected, abs=1e-4)
    named = {labels.id2label[label].name: score for label, score in zip(evaluated, expected, strict=True)}
    assert semantics.mean_iou(counted) == pytest.approx(reference.getScoreAverage(named, args), abs=1e-4)


def test_what_is_unlabelled_counts_nowhere_and_what_is_not_found_is_missed() -> None:
    true = np.array([[3, 3, 11, 11]], np.uint8)
    found = np.array([[3, 11, 3, 5]], np.uint8)
    counted = semantics.confusion(true, found)
    assert semantics.accuracy(counted) == 0.5
    assert semantics.mean_iou(counted) == 0.5
    assert semantics.class_accuracy(counted) == 0.5


def test_a_class_that_is_only_found_counts_as_wrong() -> None:
    counted = semantics.confusion(np.full((2, 2), 3, np.uint8), np.array([[3, 3], [3, 8]], np.uint8))
    assert semantics.mean_iou(counted) == pytest.approx((0.75 + 0) / 2)


class Nearest(torch.nn.Module):
    """Scores that are high where a pixel has the colour of a class of CamVid's: it labels label colours exactly."""

    def __init__(self, num_classes: int = 12) -> None:
        super().__init__()
        colours = torch.from_numpy(np.array(palette("camvid")[:num_classes], np.float32)) / 255
        self.register_buffer("colours", colours)
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406))[:, None, None])
        self.register_buffer("deviation", torch.tensor((0.229, 0.224, 0.225))[:, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rgb = x * self.deviation + self.mean
        return -(rgb[:, None] - self.colours[None, :, :, None, None]).abs().sum(2)


def write_script(path: Path, network: torch.nn.Module) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(network.eval(), torch.zeros(1, 3, 64, 96)), str(path))
    return path


def write_data_set(root: Path, num_frames: int, *, noise: float, sequences: int = 3) -> Path:
    """A root with label maps and pictures beside them: the maps' colours, noisy."""
    colours = np.asarray(palette("camvid"), np.float32)
    for kind in ("label", "image"):
        (root / kind).mkdir(parents=True)
    for sequence in range(sequences):
        for index in range(num_frames):
            rng = np.random.default_rng(100 * sequence + index)
            ids = np.zeros((64, 96), np.uint8)
            ids[24 + int(rng.integers(0, 4)) :] = 3
            left = int(rng.integers(0, 70))
            ids[30:44, left : left + 20] = 8
            ids[10:30, :12] = 1
            rgb = np.clip(colours[ids] + rng.normal(0, noise, (*ids.shape, 3)), 0, 255).astype(np.uint8)
            name = f"drive{sequence}_{index:03d}.png"
            cv2.imwrite(str(root / "label" / name), ids)
            cv2.imwrite(str(root / "image" / name), rgb[..., ::-1])
    return root


def report_of(root: Path) -> tuple[dict, dict]:
    report = json.loads((root / "gap.json").read_text())
    section = {section["name"]: section for section in report["sections"]}["semantics"]
    return section, {measure["name"]: measure for measure in section["measures"]}


def test_a_report_says_what_a_network_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = write_data_set(tmp_path / "ours", 6, noise=60)
    theirs = write_data_set(tmp_path / "theirs", 6, noise=3)
    network = write_script(tmp_path / "nearest.pt", Nearest())
    words = ["gap", "--synthetic", str(ours), "--labels", "camvid", "--real", str(theirs)]
    words += ["--features", str(write_network(tmp_path / "bands.pt"))]
    assert main([*words, "--segmentation", str(network), "--out", str(tmp_path / "out")]) == 0
    section, measures = report_of(tmp_path / "out")
    lost = measures["mIoU lost"]
    assert lost["floor"] < 0.1 < lost["value"]
    assert lost["low"] <= lost["value"] <= lost["high"]
    assert lost["ceiling"] == pytest.approx(0, abs=1e-6), "this network labels label colours exactly"
    assert section["table"][0] == ["IoU", "synthesized (18)", "real (18)", "real, in label colours (18)"]
    assert "semantics: mIoU 0." in capsys.readouterr().out
    assert any("sha256" in note for note in section["notes"])
    page = (tmp_path / "out" / "index.html").read_text()
    assert "synthesized: found in it" in page


def test_an_onnx_file_finds_what_its_script_does(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from renderer.segmentation_files import open_segmentation_file

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Nearest(), (torch.zeros(1, 3, 64, 96),), str(tmp_path / "n.onnx"), dynamo=False)
    exported = open_segmentation_file(tmp_path / "n.onnx")
    scripted = open_segmentation_file(write_script(tmp_path / "n.pt", Nearest()))
    assert exported.label_space == scripted.label_space == "camvid"
    rgb = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    assert np.array_equal(exported.label_map(rgb), scripted.label_map(rgb))
    assert exported.label_map(rgb[:50, :70]).shape == (50, 70)


class Ids(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, 0] > 0).long() * 7


def test_class_ids_are_of_the_space_that_a_user_names(tmp_path: Path) -> None:
    from renderer.segmentation_files import open_segmentation_file, split_space

    path, space = split_space(f"{write_script(tmp_path / 'ids.pt', Ids())}:cityscapes")
    network = open_segmentation_file(path, space)
    assert network.label_space == "cityscapes"
    rgb = np.zeros((40, 50, 3), np.uint8)
    rgb[:, 25:] = 255
    found: NDArray[np.uint8] = network.label_map(rgb)
    assert (found[:, 40] == 7).all()
    assert (found[:, 5] == 0).all()


class Vector(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_bytes(b"no network"), "is no TorchScript file"),
        (lambda path: write_script(path, Vector()), "which is no map of classes"),
        (lambda path: write_script(path, Nearest(7)), "tells 7 classes apart"),
        (lambda path: write_script(path, Ids()), "nobody says of which label space"),
        (lambda path: None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_such_network_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make, sentence: str
) -> None:
    root = write_data_set(tmp_path / "set", 4, noise=10, sequences=1)
    path = tmp_path / "network.pt"
    make(path)
    words = ["gap", "--synthetic", str(root), "--labels", "camvid", "--segmentation", str(path)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert sentence in error


def test_recordings_are_judged_by_the_network_of_the_look_that_drew_them(tmp_path: Path) -> None:
    record(tmp_path / "drive")  # by the model "tiny", which has no network of its own
    assert drawn_by(tmp_path / "drive") == "tiny"
    assert drawn_by(tmp_path) == "tiny"
    manifest = tmp_path / "drive" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"tiny"', '"street-town"'))
    assert drawn_by(tmp_path / "drive") == "street-town"
    record(tmp_path / "other")
    assert drawn_by(tmp_path) == ""
    assert load_segmentation("street-town").licence == "Apache-2.0"
