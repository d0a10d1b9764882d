"""`vidrive weights` as a person types it: all forms in which checkpoints arrive."""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from clients.cli import main
from renderer.weights_store import imported_names, read_imported_card
from tests.e2e.published_checkpoints import Networks, Weights, error_of, pack_tar, pack_zip, write

# -- what arrives ------------------------------------------------------------------------------------------------------


def test_import_then_list_show_verify(weights: Weights, networks: Networks, store: Path) -> None:
    run = weights("import", write(networks), "--name", "mine")
    assert run.code == 0, run.stderr
    assert run.stdout.startswith("imported mine: vid2vid, a configuration of its own")
    assert "use it with: --model mine" in run.stdout
    assert sorted(path.name for path in (store / "mine").iterdir()) == [
        "LICENCE.txt",
        "card.json",
        "weights.safetensors",
    ]
    assert "by-nc-sa/4.0" in (store / "mine" / "LICENCE.txt").read_text()
    assert weights("list").stdout.startswith("mine: vid2vid")
    shown = weights("show", "mine").stdout
    assert "reads: cityscapes labels, instances" in shown
    assert "from city/latest_net_G0.pth" in shown
    assert "from city_single/latest_net_G_512.pth" in shown
    assert "config foreground_labels: [26]" in shown
    assert weights("verify", "mine").stdout.startswith("mine is whole")
    card = read_imported_card("mine")
    assert card.parameters["G0"] == sum(value.numel() for key, value in networks["G0"].items() if "running" not in key)
    tensors = store / "mine" / "weights.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)
    assert "were changed" in weights("verify", "mine").stderr
    again = weights("import", "checkpoints/city", "--name", "mine")
    assert (again.code, "there are weights named mine already" in again.stderr) == (2, True)


FORMS: dict[str, Callable[[Networks], list[Path]]] = {
    "legacy files": lambda n: [write(n)],
    "zip files of torch": lambda n: [write(n, legacy=False)],
    "parent folder": lambda n: [write(n).parent],
    "zip": lambda n: [pack_zip(str(write(n).parent), "models.zip")],
    "tar": lambda n: [pack_tar(str(write(n).parent), "models.tar.gz")],
    "single files": lambda n: sorted(write(n).parent.rglob("*.pth")),
    "wrapped": lambda n: [
        write({role: {f"module.module.{key}": value for key, value in t.items()} for role, t in n.items()})
    ],
    "without statistics": lambda n: [
        write({role: {key: v for key, v in t.items() if "running" not in key} for role, t in n.items()})
    ],
    "an epoch beside": lambda n: [write(n, epoch="10"), write(n)][:1],
    "beside discriminators": lambda n: [write({**n, "D": {"scale0_layer0.0.weight": torch.zeros(4, 39, 4, 4)}})],
    "names exchanged": lambda n: [write({**n, "G0": n["G1"], "G1": n["G0"]})],
}


@pytest.fixture(scope="module")
def plain_sha256(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("plain"))
        patch.setenv("VIDRIVE_WEIGHTS", "store")
        patch.setattr("signal.signal", lambda *_: None)
        assert main(["weights", "import", str(write(networks)), "--name", "mine"]) == 0
        return read_imported_card("mine").weights_sha256


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_weights(
    form: str, weights: Weights, networks: Networks, plain_sha256: str, store: Path
) -> None:
    run = weights("import", *FORMS[form](networks), "--name", "mine")
    assert run.code == 0, run.stderr
    assert read_imported_card("mine").weights_sha256 == plain_sha256
    assert [path.name for path in store.iterdir()] == ["mine"]


def test_options_of_the_training_and_of_the_person(weights: Weights, networks: Networks) -> None:
    folder = write(networks)
    (folder / "opt.txt").write_text(
        "--- Options ---\nfg_labels: [24, 26]\nn_scales_spatial: 2\nloadSize: 1024\n--- End ---\n"
    )
    run = weights("import", folder, "--name", "a")
    assert (run.code, "taken to be cars" in run.stdout) == (0, False)
    assert read_imported_card("a").config["foreground_labels"] == [24, 26]
    assert read_imported_card("a").native_size_hw == (512, 1024)
    assert weights("import", folder, "--name", "b", "--set", "fg_labels=33").code == 0
    assert read_imported_card("b").config["foreground_labels"] == [33]
    (folder / "opt.txt").write_text("use_real_img: True\n")
    notes = weights("import", folder, "--name", "d").stdout
    assert "taken to be cars" in notes
    assert "the first two frames of a sequence must be given" in notes
    (folder / "opt.txt").write_text("n_scales_spatial: 3\n")
    run = weights("import", folder, "--name", "c")
    assert "opt.txt says n_scales_spatial=3, and the files hold a network of n_scales_spatial=2" in error_of(run)


def test_imported_weights_are_found_by_name(weights: Weights, networks: Networks, tmp_path: Path) -> None:
    assert weights("import", write(networks), "--name", "mine").code == 0
    for index in range(3):
        path = tmp_path / "in" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(path), np.full((64, 64), 7 + index, np.uint8))
    assert main(["render", "in", "--model", "mine", "--out", "out"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png", "2.png"]
    first = tmp_path / "first"
    first.mkdir()
    for name, level in (("a.png", 10), ("b.png", 200)):
        assert cv2.imwrite(str(first / name), np.full((64, 64, 3), level, np.uint8))
    assert main(["render", "in", "--model", "mine", "--out", "given", "--first-frames", "first"]) == 0
    begun = [cv2.imread(str(tmp_path / "given" / f"{index}.png")) for index in range(2)]
    assert [picture.mean() for picture in begun if picture is not None] == pytest.approx([10, 200], abs=1)


def test_names_that_cannot_be(weights: Weights, networks: Networks) -> None:
    folder = write(networks)
    assert "cannot be the name of weights" in error_of(weights("import", folder, "--name", "../up"))
    assert "is the name of a model that ships" in error_of(weights("import", folder, "--name", "street-photo"))
    assert "no weights were imported as 'missing'" in error_of(weights("show", "missing"))
    assert "there is no nowhere" in error_of(weights("import", "nowhere"))
    assert "is not OPTION=VALUE" in error_of(weights("import", folder, "--set", "fg_labels"))
    assert imported_names() == ()


def test_published_names_say_how_to_get_weights(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("in").mkdir()
    assert cv2.imwrite("in/0.png", np.zeros((32, 32), np.uint8))
    assert main(["render", "in", "--model", "label2city_2048", "--out", "out"]) == 2
    assert "vidrive weights import PATH --name label2city_2048" in capfd.readouterr().err


def test_a_killed_import_leaves_nothing_that_counts(networks: Networks, weights: Weights, store: Path) -> None:
    folder = write(networks)
    process = subprocess.Popen(
        [sys.executable, "-m", "clients", "weights", "import", str(folder), "--name", "mine"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("G0: "):  # it has begun to convert
            process.send_signal(signal.SIGKILL)
    process.wait(60.0)
    process.stderr.close()
    assert process.returncode == -signal.SIGKILL
    assert imported_names() == ()
    assert weights("import", folder, "--name", "mine").code == 0
    assert [path.name for path in store.iterdir()] == ["mine"]


def test_several_models_in_one_archive(weights: Weights, networks: Networks) -> None:
    write(networks, "checkpoints/city_a")
    write(networks, "checkpoints/city_b")
    Path("checkpoints/other").mkdir()
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, "checkpoints/other/latest_net_G.pth")
    archive = pack_zip("checkpoints", "models.zip")
    assert "there are several models: city_a, city_b, other" in error_of(weights("import", archive, "--name", "mine"))
    run = weights("import", archive)
    assert run.code == 0, run.stderr
    assert imported_names() == ("city_a", "city_b")
    assert "left out other: no known generator" in run.stderr


def test_features_of_any_protocol_are_read_without_running_anything(tmp_path: Path) -> None:
    from renderer.weights_features import read_features

    looks = {label: np.random.default_rng(label).random((3, 17)) for label in range(7)}
    for protocol in (2, 4):
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(np.array(looks, dtype=object), file, protocol=protocol)
        path = tmp_path / f"features_{protocol}.npy"
        path.write_bytes(file.getvalue())
        read = read_features(path, path.name)
        assert sorted(read) == [str(label) for label in range(7)]
        for label, values in looks.items():
            np.testing.assert_array_equal(read[str(label)].numpy(), values.astype(np.float32))


def test_a_model_without_first_frames_takes_the_real_pictures(
    networks: Networks, weights: Weights, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    without = {role: tensors for role, tensors in networks.items() if role != "single"}
    run = weights("import", write(without), "--name", "mine")
    assert "the first two frames of a sequence must be given" in run.stdout
    for index in range(3):
        for folder, picture in (
            ("test_A", np.full((64, 64), 7, np.uint8)),
            ("test_B", np.full((64, 64, 3), 90, np.uint8)),
        ):
            path = tmp_path / "in" / folder / "seq" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), picture)
    assert main(["render", "in", "--model", "mine", "--out", "out"]) == 0
    begun = [cv2.imread(str(tmp_path / "out" / "seq" / f"{index}.png")) for index in range(2)]
    assert [picture.mean() for picture in begun if picture is not None] == pytest.approx([90, 90], abs=1)
    assert "reads instance maps too, and there are none" in capfd.readouterr().err
    assert main(["render", "in/test_A", "--model", "mine", "--out", "again"]) == 2
    assert "Give the first frames" in capfd.readouterr().err


def test_without_onnx_the_export_says_what_to_install(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    run = weights("export", "mine", "--onnx", "x.onnx")
    assert "needs the package onnx, which is not installed. pip install 'vidrive[onnx]'" in error_of(run)
