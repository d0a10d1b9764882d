"""A recording gives back what was put in it; a damaged, foreign or unfinished one is told in one sentence."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from bridge.protocol.errors import OutputError, RecordingError
from bridge.protocol.frames import FramePair
from bridge.recording.manifest import PlaneFormat
from bridge.recording.reader import Recording
from bridge.recording.writer import QUEUE_LENGTH, RecordingWriter, prepare_folder
from tests.unit.recording.recorded_drives import PLANES, make_manifest, make_pair, record

ROOT = Path(__file__).parents[3]
ARRAYS = ("label_map", "rgb", "instance_map", "depth_m", "world_from_camera")


def assert_whole(recording: Recording, first_id: int = 100) -> None:
    """Every frame of a recording is the one that was put in it, to the last bit."""
    assert [row.frame_id for row in recording.rows] == list(range(first_id, first_id + len(recording)))
    for index, row in enumerate(recording.rows):
        pair = make_pair(row.frame_id)
        sensor = recording.sensor_frame(index)
        for name in ARRAYS:
            assert np.array_equal(getattr(sensor, name), getattr(pair.sensor, name)), (name, row.frame_id)
        assert (sensor.time_s, sensor.ego, sensor.label_space) == (pair.sensor.time_s, pair.sensor.ego, "carla")
        assert sensor.intrinsics == pair.sensor.intrinsics
        for body, wanted in zip(sensor.bodies, pair.sensor.bodies, strict=True):
            assert body.instance_id == wanted.instance_id
            assert np.array_equal(body.world_from_body, wanted.world_from_body)
        assert pair.rendered is not None
        synthesized = recording.plane("synthesized", index)
        assert synthesized is not None
        assert np.array_equal(synthesized, pair.rendered.rgb)
        assert (row.sequence, row.reset, row.age_ms, row.stages_ms) == (3, "new sequence", 12.5, {"infer": 1.25})


def test_what_is_recorded_comes_back(tmp_path: Path) -> None:
    recording = Recording(record(tmp_path / "drive"))
    assert len(recording) == 5
    assert recording.note == ""
    assert (recording.manifest.ended, recording.manifest.num_frames, recording.manifest.num_missing) == ("done", 5, 0)
    assert sorted(path.name for path in (tmp_path / "drive").iterdir()) == sorted(
        ["manifest.json", "frames.jsonl", *(plane.file for plane in PLANES.values())]
    )
    assert_whole(recording)


def test_missing_frame_ids_are_counted(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    with RecordingWriter(tmp_path, make_manifest()) as writer:
        for frame_id in (100, 101, 105, 106, 108):
            writer.accept(make_pair(frame_id))
    assert Recording(tmp_path).manifest.num_missing == 4


class SlowVideo:
    """A video whose disk is busy until it is let go."""

    def __init__(self) -> None:
        self.busy = threading.Event()
        self.go_on = threading.Event()
        self.num_pictures = 0

    def write(self, picture: np.ndarray) -> None:
        self.busy.set()
        assert self.go_on.wait(30)
        self.num_pictures += 1

    def close(self) -> None:
        pass


def test_live_a_frame_that_finds_the_queue_full_is_dropped_and_counted(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    video = SlowVideo()
    planes = {**PLANES, "rgb": PlaneFormat(codec="h264", file="rgb.mp4", type="u8")}
    manifest = make_manifest(mode="live", planes=planes)
    with RecordingWriter(tmp_path, manifest, {"rgb": video}, waits=False) as writer:
        writer.accept(make_pair(100))
        assert video.busy.wait(30)  # the first is being written, so the queue is empty
        for frame_id in range(101, 101 + QUEUE_LENGTH + 3):
            writer.accept(make_pair(frame_id))
        video.go_on.set()
    recording = Recording(tmp_path)
    assert (recording.manifest.num_dropped, len(recording)) == (3, QUEUE_LENGTH + 1)
    assert video.num_pictures == QUEUE_LENGTH + 1


def test_in_step_nothing_is_dropped_however_slow_the_disk(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    video = SlowVideo()
    planes = {**PLANES, "rgb": PlaneFormat(codec="h264", file="rgb.mp4", type="u8")}
    with RecordingWriter(tmp_path, make_manifest(planes=planes), {"rgb": video}) as writer:
        feeder = threading.Thread(target=lambda: [writer.accept(make_pair(100 + i)) for i in range(QUEUE_LENGTH + 5)])
        feeder.start()
        assert video.busy.wait(30)
        feeder.join(0.3)
        assert feeder.is_alive(), "nobody held the drive back"
        video.go_on.set()
        feeder.join(30)
    recording = Recording(tmp_path)
    assert (recording.manifest.num_dropped, len(recording)) == (0, QUEUE_LENGTH + 5)


def test_an_error_on_the_way_is_in_the_manifest(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    with pytest.raises(RuntimeError, match="the street ended"), RecordingWriter(tmp_path, make_manifest()) as writer:
        writer.accept(make_pair(100))
        raise RuntimeError("the street ended")
    recording = Recording(tmp_path)
    assert_whole(recording)
    assert recording.manifest.ended == "failed"
    assert "the street ended" in recording.note


def test_a_pair_without_a_plane_is_a_sentence(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    pair = make_pair(100)
    blind = FramePair(type(pair.sensor)(**{**vars(pair.sensor), "depth_m": None}), None, 0.0)
    with (
        pytest.raises(OutputError, match="frame 100 cannot be recorded"),
        RecordingWriter(tmp_path, make_manifest()) as writer,
    ):
        writer.accept(blind)


# -- killed, full, cut, foreign ----------------------------------------------------------------------------------

RECORD_FOREVER = """
import sys
from pathlib import Path
from bridge.recording.writer import RecordingWriter, prepare_folder
from tests.unit.recording.recorded_drives import make_manifest, make_pair
folder = Path(sys.argv[1])
prepare_folder(folder)
with RecordingWriter(folder, make_manifest()) as writer:
    for frame_id in range(100, 100_000):
        writer.accept(make_pair(frame_id))
        print(frame_id, flush=True)
"""


def start_recording(folder: Path, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RECORD_FOREVER, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # pyright: ignore[reportArgumentType, reportCallIssue]
    )


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_moment_it_opens_with_all_but_the_queue(tmp_path: Path, seed: int) -> None:
    last_said = random.Random(seed).randrange(100, 300)
    accepted = 0
    with start_recording(tmp_path / "drive") as process:
        assert process.stdout is not None
        for line in process.stdout:
            accepted = int(line)
            if accepted >= last_said:
                break
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split("\n")
    accepted = max([accepted, *(int(line) for line in rest[:-1])])
    recording = Recording(tmp_path / "drive")
    assert_whole(recording)
    assert recording.rows[-1].frame_id >= accepted - QUEUE_LENGTH - 1
    assert recording.manifest.ended == ""
    assert "was not closed" in recording.note


def test_a_full_disk_is_one_sentence_and_the_recording_is_closed(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))

    with start_recording(tmp_path / "drive", preexec_fn=limit) as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    last = stderr.splitlines()[-1]
    assert last.startswith("bridge.protocol.errors.OutputError: the recording ")
    assert "cannot be written any further (file too large)" in last
    recording = Recording(tmp_path / "drive")
    assert_whole(recording)
    assert recording.manifest.ended == "failed"
    assert recording.manifest.num_frames == len(recording) > 20
    assert "file too large" in recording.note
    table = (tmp_path / "drive" / "frames.jsonl").read_bytes()
    assert table.endswith(b"\n")
    ends = [sum(recording.rows[-1].records[name]) for name in PLANES]
    assert ends == [(tmp_path / "drive" / plane.file).stat().st_size for plane in PLANES.values()]


@pytest.mark.parametrize("file", ["frames.jsonl", "labels.planes", "depth_m.planes"])
def test_cut_short_it_opens_with_the_whole_frames_and_says_so(tmp_path: Path, file: str) -> None:
    folder = record(tmp_path / "drive", 10)
    path = folder / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    recording = Recording(folder)
    assert_whole(recording)
    assert 4 <= len(recording) <= 7
    assert recording.note == f"{folder} is cut short: its last {10 - len(recording)} frames are missing"


def test_nothing_left_is_a_sentence(tmp_path: Path) -> None:
    folder = record(tmp_path / "drive")
    (folder / "labels.planes").unlink()
    with pytest.raises(RecordingError, match="holds no whole frame"):
        Recording(folder)


def test_a_damaged_plane_names_its_file_and_frame(tmp_path: Path) -> None:
    folder = record(tmp_path / "drive")
    recording = Recording(folder)
    offset, length = recording.rows[3].records["depth_m"]
    data = bytearray((folder / "depth_m.planes").read_bytes())
    data[offset + length // 2] ^= 255
    (folder / "depth_m.planes").write_bytes(data)
    with pytest.raises(RecordingError, match=r"depth_m\.planes is damaged at frame 103"):
        recording.sensor_frame(3)


def test_a_damaged_line_ends_it_and_is_named(tmp_path: Path) -> None:
    folder = record(tmp_path / "drive")
    lines = (folder / "frames.jsonl").read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace('"frame_id"', '"frame"')
    (folder / "frames.jsonl").write_text("".join(lines))
    recording = Recording(folder)
    assert_whole(recording)
    assert len(recording) == 2
    assert re.search(r"line 3 of .*frames\.jsonl is damaged .*the 2 frames before it", recording.note)


def test_zeros_at_the_end_of_the_table_are_left_out(tmp_path: Path) -> None:
    folder = record(tmp_path / "drive")
    with (folder / "frames.jsonl").open("ab") as table:
        table.write(bytes(4096) + b"\n")
    recording = Recording(folder)
    assert_whole(recording)
    assert len(recording) == 5
    assert "line 6 of" in recording.note


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 7, "vidrive_version": "3.0.0", "new": 1}, "format version 7, and this vidrive reads 1 and 3"),
        ({"format": "holiday photos"}, "manifest.json is damaged"),
        ({"surprise": 1}, "manifest.json is damaged"),
        ({"planes": {"labels": {"codec": "ids", "file": "../../etc/passwd", "type": "u8"}}}, "not a name in the"),
        ({"planes": {"rgb": {"codec": "h264", "file": "http:x", "type": "u8"}}}, "not a name in the"),
        ({"planes": {}}, "has no label maps"),
    ],
)
def test_foreign_manifests_are_one_sentence(tmp_path: Path, changes: dict[str, object], sentence: str) -> None:
    folder = record(tmp_path / "drive")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    with pytest.raises(RecordingError, match=sentence) as caught:
        Recording(folder)
    assert caught.value.hint


def test_what_is_no_recording_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="there is no folder"):
        Recording(tmp_path / "nowhere")
    with pytest.raises(RecordingError, match=r"it has no manifest\.json"):
        Recording(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RecordingError, match="is damaged"):
        Recording(tmp_path)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty"):
        prepare_folder(tmp_path)
    with pytest.raises(OutputError, match="cannot be made"):
        prepare_folder(tmp_path / "thesis.txt" / "drive")
