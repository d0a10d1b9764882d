"""`vidrive gap` as a person types it: a report, three lines, and a sentence for what it cannot use."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from clients.cli import main

ROAD, SKY, CAR = 3, 0, 8


def write_maps(folder: Path, num_frames: int, *, horizon_px: int = 40, cars: bool = True, sequences: int = 1) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for sequence in range(sequences):
        for index in range(num_frames):
            label_map = np.full((96, 160), SKY, np.uint8)
            label_map[horizon_px + int(rng.integers(0, 3)) :] = ROAD
            if cars:
                left = int(rng.integers(0, 140))
                label_map[60:70, left : left + 18] = CAR
            cv2.imwrite(str(folder / f"drive{sequence}_{index:04d}.png"), label_map)
    return folder


def test_a_report_says_what_is_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = write_maps(tmp_path / "real", 12, sequences=4)
    synthetic = write_maps(tmp_path / "synthetic", 30, horizon_px=25, cars=False)
    words = ["gap", "--synthetic", str(synthetic), "--labels", "camvid", "--real", str(real)]
    assert main([*words, "--out", str(tmp_path / "report")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "times the distance between real drives" in lines[0]
    assert lines[1].startswith("farthest: vocabulary 1 instead of 0, ")
    assert "car never shown" in lines[2]
    report = json.loads((tmp_path / "report" / "gap.json").read_text())
    measures = {measure["name"]: measure for measure in report["measures"]}
    assert measures["top of the road"]["value"] == pytest.approx(15 / 96, abs=0.02)
    assert measures["top of the road"]["floor"] < 0.02
    change = measures["change"]
    assert change["value"] is change["low"] is change["high"] is None, (
        "nobody knows how many frames there are to a second"
    )
    assert main([*words, "--rate", "10", "--out", str(tmp_path / "rated")]) == 0
    rated = {m["name"]: m for m in json.loads((tmp_path / "rated" / "gap.json").read_text())["measures"]}
    assert rated["change"]["value"] > 0 and rated["births and deaths"]["value"] > 0
    capsys.readouterr()
    assert report["sets"]["real"]["sequences"] == 4
    assert any(line.startswith("Pitch the camera up") for line in report["advice"])
    page = (tmp_path / "report" / "index.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page), "the page needs something else"
    assert page.count("<img ") == 18


def test_against_itself_nothing_stands_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = write_maps(tmp_path / "real", 12, sequences=4)
    words = ["gap", "--synthetic", str(real), "--labels", "camvid", "--real", str(real), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "0 of" in lines[0]
    assert lines[1:] == ["farthest: none", "classes: all within a factor of two"]
    assert json.loads((tmp_path / "out" / "gap.json").read_text())["advice"] == []


def test_without_a_real_set_the_built_in_counts_are_used(tmp_path: Path) -> None:
    synthetic = write_maps(tmp_path / "synthetic", 5)
    words = ["gap", "--synthetic", str(synthetic), "--labels", "camvid", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    report = json.loads((tmp_path / "out" / "gap.json").read_text())
    assert report["sets"]["real"] | {"objects_per_frame": 0} == {
        "name": "CamVid, 367 frames (built in)",
        "frames": 367,
        "sequences": 3,
        "objects_per_frame": 0,
    }
    # Measured on the maps themselves by others: 0.042 of all pixels are border, 3.4 to 4 cars are in a frame.
    assert 3.3 < report["sets"]["real"]["objects_per_frame"]["cars"] < 4.1


def broken(folder: Path, kind: str) -> Path:
    write_maps(folder, 1 if kind == "one frame" else 3)
    first = min(folder.iterdir())
    if kind == "unknown ids":
        cv2.imwrite(str(first), np.full((96, 160), 77, np.uint8))
    if kind == "colours":
        cv2.imwrite(str(first), np.zeros((96, 160, 3), np.uint8))
    if kind == "damaged":
        first.write_bytes(first.read_bytes()[:100])
    if kind == "mixed sizes":
        cv2.imwrite(str(first), np.zeros((48, 80), np.uint8))
    if kind == "empty":
        for path in folder.iterdir():
            path.unlink()
    return folder


@pytest.mark.parametrize(
    ("kind", "sentence"),
    {
        "missing": "there is no folder",
        "empty": "there are no PNGs",
        "one frame": "holds one label map",
        "unknown ids": "holds ids that label space camvid does not have: 77",
        "colours": "holds colours, not class ids",
        "damaged": "is a damaged PNG",
        "mixed sizes": "the first of its sequence",
    }.items(),
)
def test_what_cannot_be_compared_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, sentence: str
) -> None:
    folder = tmp_path / "nowhere" if kind == "missing" else broken(tmp_path / "maps", kind)
    words = ["gap", "--synthetic", str(folder), "--labels", "camvid", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert sentence in error
    assert not (tmp_path / "out").exists()
