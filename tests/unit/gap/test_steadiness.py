"""How steady pictures are: a street drawn exactly, made to flicker, to swim, to drift, to change its cars' colour."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from clients.cli import main
from clients.gap.comparison import Result
from clients.gap.sections import by_name
from clients.gap.steadiness import CONSTANCY, DRIFT, FLICKER, FLOW, WARPING, measure_steadiness
from clients.recordings.pairs import RecordedPairs
from renderer.engine_warp import follow
from tests.unit.gap.drawn_drives import CAR_ID, Camera, record, see

Change = Callable[[NDArray[np.uint8], int], NDArray]


def measured(folder: Path, **options: Any) -> dict[str, Result]:
    with RecordedPairs(record(folder, 12, **options)) as pairs:
        return by_name(measure_steadiness(pairs).results)


def flickering(strength: float) -> Change:
    return lambda rgb, index: rgb + strength * (-1.0) ** index


def swimming(strength_px: int) -> Change:
    return lambda rgb, index: np.roll(rgb, strength_px * (index % 2), axis=1)


def drifting(strength: float) -> Change:
    return lambda rgb, index: rgb + strength * index


def recoloured(strength: float) -> Change:
    def change(rgb: NDArray[np.uint8], index: int) -> NDArray:
        red = (rgb[..., 0] == 160) & (rgb[..., 1] == 60)
        return np.where(red[..., None], rgb + strength * (-1.0) ** index, rgb)

    return change


def test_surfaces_are_followed_to_where_they_are() -> None:
    before, now = see(Camera(0.0), 1), see(Camera(0.5), 2)
    assert before.rgb is not None
    assert now.rgb is not None
    warped, visible = follow(before.rgb, before, now)
    assert visible.mean() > 0.9
    assert np.abs(warped - now.rgb)[visible].mean() < 3
    unmoved = np.abs(before.rgb.astype(float) - now.rgb)[visible].mean()
    assert unmoved > 2 * np.abs(warped - now.rgb)[visible].mean()


def test_pictures_that_are_the_original_ones_are_as_steady(tmp_path: Path) -> None:
    results = measured(tmp_path / "drive", parked=10)
    for name in (WARPING, FLICKER, CONSTANCY, DRIFT):
        assert results[name].value == results[name].floor, name
    assert results[FLOW].value == 0
    assert results[DRIFT].value == 0


@pytest.mark.parametrize(
    ("change", "strengths", "names"),
    [
        (flickering, (2, 6, 18), (WARPING, FLICKER)),
        (swimming, (1, 2, 4), (WARPING, FLOW)),
        (recoloured, (4, 12, 30), (CONSTANCY,)),
    ],
)
def test_unsteadiness_moves_its_measures(
    tmp_path: Path, change: Callable[[float], Change], strengths: tuple[float, ...], names: tuple[str, ...]
) -> None:
    sets = [measured(tmp_path / str(strength), change=change(strength)) for strength in (0, *strengths)]
    for name in names:
        values = [results[name].value for results in sets]
        assert all(one < other for one, other in itertools.pairwise(values)), (name, values)


def test_a_change_of_the_car_is_no_flicker_of_the_street(tmp_path: Path) -> None:
    results = measured(tmp_path / "drive", change=recoloured(30))
    assert results[FLICKER].value == pytest.approx(results[FLICKER].floor, rel=1e-6)


def test_flicker_has_the_size_of_what_flickers(tmp_path: Path) -> None:
    results = measured(tmp_path / "drive", step_m=0.0, change=flickering(5))
    assert results[FLICKER].value == pytest.approx(10, abs=0.1)
    assert results[FLICKER].floor == pytest.approx(0, abs=1e-3)


def test_a_parked_scene_that_brightens_drifts(tmp_path: Path) -> None:
    results = measured(tmp_path / "drive", parked=12, change=drifting(2))
    assert results[DRIFT].value == pytest.approx(22, abs=0.1)
    assert results[DRIFT].floor == 0


def test_a_report_of_a_recording_says_how_steady_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drive = record(tmp_path / "drive", 12, change=flickering(6))
    assert main(["gap", "--synthetic", str(drive), "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    told = next(line for line in lines if line.startswith("time: flicker "))
    assert "times the original render's" in told
    sections = json.loads((tmp_path / "out" / "gap.json").read_text())["sections"]
    section = next(section for section in sections if section["name"] == "time")
    assert any("never stands" in note for note in section["notes"])
    assert "original render" in (tmp_path / "out" / "index.html").read_text()


def test_the_car_is_what_its_id_says() -> None:
    frame = see(Camera())
    assert frame.instance_map is not None
    assert frame.rgb is not None
    assert (frame.rgb[frame.instance_map == CAR_ID] == (160, 60, 60)).all()


def test_the_ceiling_is_far_above_what_flickers(tmp_path: Path) -> None:
    results = measured(tmp_path / "drive", parked=10, change=flickering(3))
    for name in (WARPING, FLICKER, FLOW, DRIFT):
        assert results[name].ceiling > 2 * max(results[name].value, results[name].floor_max, 0), name
    assert np.isnan(results[CONSTANCY].ceiling), "one car alone has no other's colours"
