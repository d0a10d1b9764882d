"""Finding the camera: a street whose real camera is known, seen from another one."""

from __future__ import annotations

import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from bridge.capture.presets import load_rig, load_session
from bridge.protocol.errors import UsageError
from bridge.protocol.labels import map_labels
from clients.cli import main
from clients.gap.camera_fit import Fit, read_fit, seen_from, write_fit
from tests.unit.gap.drawn_drives import HEIGHT_PX, WALL_M, WIDTH_PX, Camera, record, see

OURS = Camera(z_m=1.2, pitch_deg=4.0, fov_deg=95.0)
THEIRS = Camera(z_m=2.0, pitch_deg=-3.0, fov_deg=70.0)


def write_real(folder: Path) -> Path:
    folder.mkdir()
    for sequence in range(3):
        for index in range(8):
            camera = Camera(0.3 * index, THEIRS.z_m, THEIRS.pitch_deg, THEIRS.fov_deg)
            label_map = map_labels(see(camera).label_map, "carla", "camvid")
            cv2.imwrite(str(folder / f"drive{sequence}_{index:03d}.png"), label_map)
    return folder


def points(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    frame = see(camera)
    assert frame.depth_m is not None
    focal_px = frame.intrinsics.focal_px
    x = (np.arange(WIDTH_PX) + 0.5 - WIDTH_PX / 2) / focal_px
    y = (np.arange(HEIGHT_PX) + 0.5 - HEIGHT_PX / 2) / focal_px
    depth = frame.depth_m
    rays = np.stack([x[None] * depth, y[:, None] * depth, depth]).reshape(3, -1).astype(np.float32)
    return frame.label_map.ravel(), rays


def test_another_camera_sees_what_is_there() -> None:
    labels, rays = points(OURS)
    size_hw = (HEIGHT_PX, WIDTH_PX)
    seen = seen_from(
        labels, rays, size_hw, (OURS.z_m, OURS.pitch_deg, OURS.fov_deg), (THEIRS.z_m, THEIRS.pitch_deg, THEIRS.fov_deg)
    )
    real = cv2.resize(see(THEIRS).label_map, seen.shape[::-1], interpolation=cv2.INTER_NEAREST)
    known = seen != 255
    assert known.mean() > 0.5
    assert (seen[known] == real[known]).mean() > 0.93


def test_the_camera_of_the_real_set_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drive = record(tmp_path / "drive", 8, camera=OURS, step_m=0.3)
    words = ["gap", "--synthetic", str(drive), "--real", str(write_real(tmp_path / "real")), "--fit-camera"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    fit = read_fit(tmp_path / "out" / "fit.yaml")
    # A wall far away looks the same from higher up and from a camera that is pitched: only their sum can be told.
    up_deg = [camera.pitch_deg + math.degrees(math.atan(camera.z_m / WALL_M)) for camera in (fit, THEIRS)]
    assert up_deg[0] == pytest.approx(up_deg[1], abs=1)
    assert fit.fov_deg == pytest.approx(THEIRS.fov_deg, abs=8)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    gain = re.match(r"camera: spatial prior ([\d.]+) -> ([\d.]+) by reprojection", lines[3])
    assert gain is not None
    assert float(gain[2]) < 0.2 * float(gain[1])
    page = (tmp_path / "out" / "index.html").read_text()
    assert "by reprojection" in page


def test_a_fit_changes_rig_and_session(tmp_path: Path) -> None:
    fit = Fit(z_m=1.4, pitch_deg=-2.0, fov_deg=70.0, num_vehicles=20, num_walkers=3, walkers_within_m=90)
    assert read_fit(write_fit(fit, tmp_path)) == fit
    rig, session = fit.rig(load_rig("dashcam")), fit.session(load_session("demo"))
    assert (rig.mount.z_m, rig.mount.pitch_deg, rig.fov_deg, rig.mount.x_m) == (1.4, -2.0, 70.0, 0.8)
    assert (session.num_vehicles, session.num_walkers, session.walkers_within_m) == (20, 3, 90)


@pytest.mark.parametrize("text", ["z_m: 1.0", "z_m: high", "- 1", "z_m: 1\nfar: 2", ": :"])
def test_a_damaged_fit_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fit.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match="is no fit"):
        read_fit(path)


def test_a_folder_of_maps_has_no_depth_to_look_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = write_real(tmp_path / "real")
    words = ["gap", "--synthetic", str(real), "--labels", "camvid", "--fit-camera", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "a camera is fitted to a recording" in capsys.readouterr().err
