"""Damaged and malicious checkpoints: refused with a sentence each, nothing executed, nothing left."""

from __future__ import annotations

import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.e2e.published_checkpoints import Networks, Weights, changed, error_of, write

# -- what is refused ---------------------------------------------------------------------------------------------------


class Code:
    """What a pickle runs when it is opened without care."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("executed",)


def truncated(networks: Networks) -> Path:
    path = write(networks) / "latest_net_G0.pth"
    path.write_bytes(path.read_bytes()[:-50_000])
    return path.parent


def truncated_zip(networks: Networks) -> Path:
    path = write(networks, legacy=False) / "latest_net_G0.pth"
    path.write_bytes(path.read_bytes()[:-50_000])
    return path.parent


def flipped(networks: Networks) -> Path:
    path = write(networks, legacy=False) / "latest_net_G0.pth"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    return path.parent


def renamed_key(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.replace("model_final_img.1.w", "model_final_image.1.w"): value for key, value in tensors.items()}


def wrong_shape(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    key = "model_res_img.0.conv_block.1.weight"
    return {**tensors, key: torch.cat([tensors[key], tensors[key]])}


def not_finite(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    spoilt = tensors["model_final_img.1.bias"].clone()
    spoilt[1] = float("nan")
    return {**tensors, "model_final_img.1.bias": spoilt}


def wrong_family(_: Networks) -> Path:
    Path("resnet").mkdir()
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.bias": torch.zeros(1000)}, "resnet/latest_net_G0.pth")
    return Path("resnet")


def web_page(_: Networks) -> Path:
    Path("models.zip").write_text("<!DOCTYPE html><html><title>Google Drive - Virus scan warning</title></html>")
    return Path("models.zip")


def bomb(_: Networks) -> Path:
    with zipfile.ZipFile("models.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("city/latest_net_G0.pth", bytes(48 << 20))
    return Path("models.zip")


def traversal_zip(networks: Networks) -> Path:
    path = write(networks) / "latest_net_G0.pth"
    with zipfile.ZipFile("models.zip", "w") as archive:
        archive.write(path, "../../../escaped.pth")
    return Path("models.zip")


def traversal_tar(_: Networks) -> Path:
    with tarfile.open("models.tar", "w") as archive:
        link = tarfile.TarInfo("city/latest_net_G0.pth")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return Path("models.tar")


def code_legacy(networks: Networks) -> Path:
    folder = write(networks)
    torch.save(Code(), folder / "latest_net_G0.pth", _use_new_zipfile_serialization=False)
    return folder


def code_zip(networks: Networks) -> Path:
    folder = write(networks)
    torch.save({"x": torch.zeros(1), "y": Code()}, folder / "latest_net_G0.pth")
    return folder


def code_features(networks: Networks) -> Path:
    folder = write(networks)
    np.save(folder / "features.npy", np.array({0: Code()}, dtype=object), allow_pickle=True)
    return folder


def code_plain(networks: Networks) -> Path:
    folder = write(networks)
    (folder / "latest_net_G0.pth").write_bytes(pickle.dumps(Code()))
    return folder


def empty(networks: Networks) -> Path:
    folder = write(networks)
    (folder / "latest_net_G0.pth").write_bytes(b"")
    return folder


def empty_folder(_: Networks) -> Path:
    Path("nothing").mkdir()
    return Path("nothing")


def empty_zip(_: Networks) -> Path:
    Path("models.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    return Path("models.zip")


def renamed(networks: Networks) -> Path:
    folder = write(networks)
    assert cv2.imwrite("picture.png", np.zeros((8, 8), np.uint8))
    Path("picture.png").replace(folder / "latest_net_G0.pth")
    return folder


def only_a_finer_scale(networks: Networks) -> Path:
    folder = write(networks)
    (folder / "latest_net_G1.pth").replace(folder / "latest_net_G0.pth")
    return folder


def mixed_epochs(networks: Networks) -> Path:
    folder = write({"G0": networks["G0"]}, epoch="10")
    return write({"G1": networks["G1"]}, str(folder), epoch="20")


def mixed_widths(networks: Networks) -> Path:
    wide = {"G1": {key: torch.cat([v, v]) if v.dim() == 1 else v for key, v in networks["G1"].items()}}
    return write({**networks, **wide})


def huge_claim(networks: Networks) -> Path:
    return write(changed(networks, "G0", lambda t: {**t, "model_final_img.1.bias": torch.zeros(1).expand(10**12)}))


DAMAGED: dict[str, tuple[Callable[[Networks], Path], str]] = {
    "truncated": (truncated, "latest_net_G0.pth is damaged or cut short"),
    "truncated zip": (truncated_zip, "latest_net_G0.pth is damaged or cut short"),
    "flipped bits": (flipped, "latest_net_G0.pth is damaged: the checksum of"),
    "wrong key": (lambda n: write(changed(n, "G0", renamed_key)), "model_final_im"),
    "wrong shape": (
        lambda n: write(changed(n, "G0", wrong_shape)),
        "model_res_img.0.conv_block.1.weight has shape (32,",
    ),
    "wrong family": (wrong_family, "no known generator has networks of these keys (the first is conv1.weight)"),
    "html instead of zip": (web_page, "models.zip is a web page that was saved under that name"),
    "zip bomb": (bomb, "models.zip unpacks to far more than weights of its size can be"),
    "path traversal": (traversal_zip, "would be written outside its folder"),
    "link out of a tar": (traversal_tar, "has a link or device"),
    "NaN": (
        lambda n: write(changed(n, "G0", not_finite)),
        "model_final_img.1.bias holds 1 of 3 values",
    ),
    "pickle with code, legacy": (code_legacy, "holds a reference to posix.mkdir"),
    "pickle with code, zip": (code_zip, "holds a reference to posix.mkdir"),
    "pickle with code, features": (code_features, "holds a reference to posix.mkdir"),
    "pickle with code, bare": (code_plain, "latest_net_G0.pth"),
    "empty": (empty, "latest_net_G0.pth is empty"),
    "empty folder": (empty_folder, "nothing holds no checkpoints"),
    "empty zip": (empty_zip, "models.zip holds no checkpoints"),
    "renamed": (renamed, "is not a checkpoint of torch, whatever its name says"),
    "renamed scale": (only_a_finer_scale, "G0"),
    "mixed stages": (mixed_epochs, "city mixes stages of training: network G0 is of epoch 10, others of 20"),
    "mixed widths": (mixed_widths, "has shape"),
    "claims to be huge": (huge_claim, "claims tensors of"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_checkpoints_are_refused_and_leave_nothing(
    damage: str, weights: Weights, networks: Networks, store: Path, tmp_path: Path
) -> None:
    make, sentence = DAMAGED[damage]
    path = make(networks)
    before = sorted(tmp_path.rglob("*"))
    line = error_of(weights("import", path, "--name", "mine"))
    assert sentence in line
    assert line.count(". ") >= 1, "a remedy follows"
    assert not list(store.rglob("*")), "nothing is left"
    left = set(tmp_path.rglob("*")) - set(before)
    assert left <= {store, *store.parents}, "nothing was written elsewhere, and nothing was executed"
    assert not (tmp_path / "executed").exists()
