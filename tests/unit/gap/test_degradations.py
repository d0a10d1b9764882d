"""The command that makes the table of degradations: on drawn streets, every measure moves as its definition says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from clients.gap import degradations
from tests.unit.gap.drawn_pictures import HEIGHT_PX, WIDTH_PX, picture, write_network


def write_street(root: Path, num_frames: int) -> Path:
    for kind in ("label", "image"):
        (root / kind).mkdir(parents=True)
    for index in range(num_frames):
        rng = np.random.default_rng(index)
        label_map = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
        row = 60 + int(rng.integers(-3, 4))
        label_map[20:row, : WIDTH_PX // 2] = degradations.BUILDING
        label_map[30:row, WIDTH_PX // 2 :] = degradations.TREE
        label_map[row:] = degradations.ROAD
        for left in (20, 70, 120):
            top, side = row + 5 + int(rng.integers(0, 4)), int(rng.integers(14, 22))
            label_map[top : top + 10, left : left + side] = degradations.CAR
        name = f"drive_{index:03d}.png"
        cv2.imwrite(str(root / "label" / name), label_map)
        cv2.imwrite(str(root / "image" / name), picture(index)[..., ::-1])
    return root


def test_maps_move_their_measures(tmp_path: Path) -> None:
    root = write_street(tmp_path / "street", 24)
    maps = [np.asarray(cv2.imread(str(path), 0), np.uint8) for path in sorted((root / "label").iterdir())]
    nothing, table = degradations.degrade_maps(maps)
    assert degradations.not_monotone(nothing, table, list(degradations.OF_MAPS.values())) == []


def test_a_measure_that_does_not_move_is_said() -> None:
    blurred = degradations.OF_PICTURES[degradations.blurred]
    table = {"blurred": {"FID": [2.0, 1.0, 3.0]}}
    assert degradations.not_monotone({"FID": [0.5]}, table, [blurred]) == ["blurred: FID goes 0.5, 2, 1, 3"]


def test_the_command_writes_a_table_of_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, page = write_street(tmp_path / "street", 24), tmp_path / "table.md"
    words = ["--real", str(root), "--features", str(write_network(tmp_path / "bands.pt")), "--out", str(page)]
    degradations.main(words)
    text = page.read_text()
    assert text.count("\n| blurred, ") == len(degradations.OF_PICTURES[degradations.blurred].strengths)
    assert "| KID x1000 |" in text
    capsys.readouterr()


def test_a_missing_folder_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert degradations.main(["--real", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: there is no folder ")
