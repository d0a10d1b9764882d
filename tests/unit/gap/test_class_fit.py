"""Finding names for classes: a street whose pavement the simulator calls terrain."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from bridge.edits.rules import Edits, Rule, load_edits
from bridge.protocol.errors import UsageError
from bridge.protocol.labels import map_labels
from clients.cli import main
from clients.gap.label_maps import find_maps, renamed
from tests.unit.gap.drawn_drives import ROAD, WIDTH_PX, Camera, see

SIDEWALK, TERRAIN = 2, 10


def write_maps(folder: Path, beside_the_road: int, space: str) -> Path:
    folder.mkdir()
    for sequence in range(3):
        for index in range(8):
            labels = see(Camera(0.3 * index)).label_map.copy()
            left = labels[:, : WIDTH_PX // 4 + 2 * sequence + index]
            left[left == ROAD] = beside_the_road
            path = folder / f"drive{sequence}_{index:03d}.png"
            cv2.imwrite(str(path), map_labels(labels, "carla", space))
    return folder


def test_the_name_that_brings_it_closest_is_found_and_applied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = write_maps(tmp_path / "ours", TERRAIN, "carla")
    words = ["gap", "--synthetic", str(ours), "--real", str(write_maps(tmp_path / "real", SIDEWALK, "camvid"))]
    assert main([*words, "--fit-classes", "--out", str(tmp_path / "before")]) == 0
    said = capsys.readouterr().out.splitlines()
    classes = tmp_path / "before" / "classes.yaml"
    assert said[3].startswith("classes: labels ") and str(classes) in said[3]
    assert load_edits(str(classes)).rules == (Rule(classes=("terrain",), to="sidewalk"),)
    assert "terrain to sidewalk" in (tmp_path / "before" / "index.html").read_text()

    assert main([*words, "--edits", str(classes), "--out", str(tmp_path / "after")]) == 0
    before, after = (json.loads((tmp_path / name / "gap.json").read_text()) for name in ("before", "after"))
    values = [{m["name"]: m["value"] for m in report["measures"]} for report in (before, after)]
    assert values[0]["class frequency"] > 0.05 and values[0]["vocabulary"] == 2
    assert values[1]["class frequency"] == pytest.approx(0, abs=1e-9) and values[1]["vocabulary"] == 0


def test_nothing_is_renamed_where_the_names_are_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, real = (write_maps(tmp_path / name, SIDEWALK, "camvid") for name in ("ours", "real"))
    words = ["gap", "--synthetic", str(ours), "--labels", "camvid", "--real", str(real), "--fit-classes"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert load_edits(str(tmp_path / "out" / "classes.yaml")) == Edits()
    assert "labels 1.00 -> 1.00" in capsys.readouterr().out


def test_the_first_rule_that_fits_names_a_class() -> None:
    rules = (
        Rule(classes=("terrain",), to="road", enabled=False),
        Rule(classes=("terrain",), to="sidewalk"),
        Rule(classes=("terrain", "sidewalk"), to="road"),
    )
    table = renamed(Edits(rules=rules), "carla")
    assert (table[TERRAIN], table[SIDEWALK]) == (SIDEWALK, ROAD)
    assert (np.delete(table, [TERRAIN, SIDEWALK]) == np.delete(np.arange(256), [TERRAIN, SIDEWALK])).all()


@pytest.mark.parametrize("rule", [Rule(classes=("car",), to="behind"), Rule(instances=(7,), to="road")], ids=str)
def test_rules_of_more_than_classes_are_one_sentence(tmp_path: Path, rule: Rule) -> None:
    maps = write_maps(tmp_path / "maps", TERRAIN, "carla")
    with pytest.raises(UsageError, match="is not of classes alone"):
        find_maps(maps, "carla", edits=Edits(rules=(rule,)))
