"""A small vid2vid in upstream's files, and the command that imports it, for the tests of this folder."""

from __future__ import annotations

import collections
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from renderer.models.vid2vid_config import SingleConfig
from tests.unit.renderer.vid2vid_cases import TWO_SCALES

CONFIG = msgspec.structs.replace(
    TWO_SCALES, width=4, num_blocks=3, single=SingleConfig(kind="global", width=2, num_down=2, num_blocks=1)
)
Networks = dict[str, dict[str, Tensor]]
Weights = Callable[..., "Run"]


@dataclass(frozen=True)
class Run:
    code: int
    stdout: str
    stderr: str


def write(networks: Networks, folder: str = "checkpoints/city", *, legacy: bool = True, epoch: str = "latest") -> Path:
    """Write networks as upstream's files, the one for first frames in a folder of its own."""
    for role, tensors in networks.items():
        place = Path(folder).parent / "city_single" if role == "single" else Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        name = "latest_net_G_512.pth" if role == "single" else f"{epoch}_net_{role}.pth"
        torch.save(collections.OrderedDict(tensors), place / name, _use_new_zipfile_serialization=not legacy)
    return Path(folder)


def changed(networks: Networks, role: str, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Networks:
    return {**networks, role: change(networks[role])}


def pack_zip(folder: str, file: str) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(Path(folder).rglob("*")):
            archive.write(path)
    return Path(file)


def pack_tar(folder: str, file: str) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        archive.add(folder)
    return Path(file)


def error_of(run: Run) -> str:
    """The one error sentence of a run that failed as it should."""
    assert run.code == 2, run.stderr
    assert "Traceback" not in run.stderr
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    return line
