"""A recording as a Rerun log, read back by Rerun's own command line; runs where `vidrive[rerun]` is installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.protocol.errors import OutputError, UsageError
from clients.recordings import rerun_log
from clients.recordings.pairs import RecordedPairs
from clients.recordings.rerun_log import export_rerun
from tests.unit.recording.recorded_drives import record

pytest.importorskip("rerun")
NUM_FRAMES = 5
TIMEOUT_S = 120.0
CHUNK = re.compile(r"^Chunk\(\w+\) with (\d+) rows .* - (/\S*) - data columns: \[(.*)\]$")


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("rerun") / "drive", NUM_FRAMES)


def rerun(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rerun", *words], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_has_planes_poses_bodies_and_timings_of_every_frame(drive: Path, tmp_path: Path) -> None:
    out = tmp_path / "drive.rrd"
    with RecordedPairs(drive) as pairs:
        assert export_rerun(pairs, out) == NUM_FRAMES
    rerun("rrd", "verify", str(out))
    num_rows: dict[str, int] = {}
    for line in rerun("rrd", "print", str(out)).splitlines():
        if found := CHUNK.match(line):
            for column in found[3].split():
                at = f"{found[2]} {column.partition(':')[0]}"
                num_rows[at] = max(num_rows.get(at, 0), 0) + int(found[1])
    every_frame = {
        "/world/camera Transform3D": 2,  # rotation and translation
        "/world/camera/labels SegmentationImage": 2,  # bytes and format
        "/world/camera/instances SegmentationImage": 2,
        "/world/camera/depth DepthImage": 3,  # and the unit
        "/world/camera/rgb EncodedImage": 2,
        "/synthesized EncodedImage": 2,
        "/world/bodies Points3D": 3,
        "/drive/speed_m_s Scalars": 1,
        "/drive/age_ms Scalars": 1,
        "/drive/gear Scalars": 1,
        "/drive/stages_ms/infer Scalars": 1,
    }
    for name, num_columns in every_frame.items():
        assert num_rows.get(name) == num_columns * NUM_FRAMES, (name, num_rows)
    assert num_rows["/world/camera Pinhole"] > 0
    assert num_rows["/ AnnotationContext"] == 1
    assert num_rows["/events TextLog"] == NUM_FRAMES


def test_what_cannot_be_written_is_one_sentence(drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RecordedPairs(drive) as pairs:
        with pytest.raises(UsageError, match=r"x\.mp4 is not a Rerun file"):
            export_rerun(pairs, tmp_path / "x.mp4")
        with pytest.raises(OutputError, match=r"x\.rrd cannot be written \(No such file or directory\)"):
            export_rerun(pairs, tmp_path / "nowhere" / "x.rrd")
        monkeypatch.setattr(rerun_log, "LEAST_ROOM_BYTES", 1 << 60)
        with pytest.raises(OutputError, match=r"x\.rrd cannot be written \(only \d+ MB are left on the disk"):
            export_rerun(pairs, tmp_path / "x.rrd")
    assert list(tmp_path.iterdir()) == []
